"""The grid of a tile's imagery."""

import polars as pl
from odc.geo.geobox import GeoBox

from features.errors import ImageryError
from features.imagery.grids import grid_of
from features.schema import OPTICAL_BANDS, acquisition_rows, assets_by_band


def finest_grid(rows: pl.DataFrame) -> GeoBox:
    """Return the finest grid of the first readable acquisition's optical bands."""
    for row in acquisition_rows(rows):
        assets = assets_by_band(row)
        try:
            grids = [grid_of(assets[band]["href"]) for band in OPTICAL_BANDS if band in assets]
        except ImageryError:
            continue
        if grids:
            return min(grids, key=lambda grid: abs(grid.affine.a))
    raise ImageryError(
        "None of the optical acquisitions can be opened; check the catalog's links.", reason="nothing_read"
    )
