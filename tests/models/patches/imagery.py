"""Six fields side by side, maize and wheat in turns, as two acquisitions on disk."""

from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
import shapely

from features.imagery.grids import grid_of
from features.imagery.masks import MaskOptions
from features.schema import ACQUISITIONS, acquisition_rows
from models.patches.options import PatchOptions, PixelBoostingOptions
from models.patches.units import Imagery, homes
from tests.small_imagery import LEFT, SIDE, TOP, optical

OPTIONS = PatchOptions(
    method="boosting", bands=("B04", "B08"), block_px=64, boosting=PixelBoostingOptions(rounds=40)
)
CLASSES = ("maize", "wheat")
WIDTH = 10  # pixels of a field


def field(first: int, last: int) -> shapely.Polygon:
    """The ground of some columns, from the second row to the last but one."""
    return shapely.box(LEFT + 10 * first, TOP - 10 * (SIDE - 1), LEFT + 10 * last, TOP - 10)


def make_imagery(folder: Path, hidden: int = 0) -> Imagery:
    """Two dates of red and near infrared; the first `hidden` rows lie under cloud on both."""
    rng = np.random.default_rng(0)
    wheat = np.broadcast_to((np.arange(SIDE) // WIDTH) % 2 == 1, (SIDE, SIDE))
    red, infrared = np.where(wheat, 1500, 2500), np.where(wheat, 5000, 3500)
    classes = np.full((SIDE, SIDE), 4, np.uint8)
    classes[:hidden] = 9
    rows = []
    for day in (130, 160):
        bands = {
            name: (values + rng.normal(0, 60, values.shape)).astype(np.uint16)
            for name, values in (("B04", red), ("B08", infrared))
        }
        rows.append(optical(folder, day, bands, classes))
    table = pl.DataFrame(rows, schema=ACQUISITIONS)
    grid = grid_of(rows[0]["assets"][0]["href"])
    days = (date(2024, 1, 1), date(2024, 12, 31))
    mask = MaskOptions(dilation_m=0)
    return Imagery(tuple(acquisition_rows(table)), grid, ("B04", "B08"), days, mask)


def make_parcels(imagery: Imagery) -> gpd.GeoDataFrame:
    """Four fields declared as they grow, and one outline over two fields that declares maize."""
    table = gpd.GeoDataFrame(
        {
            "parcel_id": ["a", "b", "c", "d", "both"],
            "area_ha": 5.8,
            "label": [0, 1, 0, 1, 0],
            "second": -1,
            "fold": [0, 0, 1, 1, -1],
        },
        geometry=[field(10 * k, 10 * k + 10) for k in range(4)] + [field(40, 60)],
        crs=32635,
    )
    table["home"] = homes(table.geometry.to_numpy(), imagery.grid, OPTIONS.block_px)
    return table
