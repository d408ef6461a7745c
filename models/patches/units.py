"""Work units: a window of imagery, and the parcels that lie in it, to the composition of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl
import shapely
import xarray as xr
from odc.geo.geobox import GeoBox

from features.errors import ImageryError
from features.files import atomic_path, is_vouched, vouch
from features.imagery.blocks import Block, cut
from features.imagery.grids import crop
from features.imagery.masks import MaskOptions
from features.imagery.stacks import read_stack
from features.schema import ACQUISITIONS, COMPOSITION, Acquisition, Row
from models.patches.composition.parcel import Parcel, compose
from models.patches.composition.tables import FINDINGS, PAIRS, PICTURES, composition_rows, finding_row
from models.patches.crossfit import WHOLE, FoldModels
from models.patches.inputs.composites import Composites, composite
from models.patches.inputs.labels import UNKNOWN, ParcelPixels, labels_of, pixels_of
from models.patches.inputs.samples import LabelledBlock
from models.patches.options import PatchOptions

SCHEMAS = {"composition": COMPOSITION, "findings": FINDINGS, "pairs": PAIRS, "pictures": PICTURES}
PAIRS_PER_UNIT = 200  # made-up mixed parcels
NEAR_M = 15.0  # between two neighbours
AT_BORDER_M = 30.0  # length of a common border, at least


@dataclass(frozen=True)
class Imagery:
    """What is read of one tile: the same for all of its units."""

    rows: tuple[Acquisition, ...]
    grid: GeoBox
    bands: tuple[str, ...]
    edges: tuple[date, ...]
    mask: MaskOptions

    def composites(self, place: Block) -> Composites:
        """Read a block over all dates and average it in time."""
        return composite(self.stack(place), self.edges)

    def stack(self, place: Block) -> xr.Dataset:
        """Read a block over all dates, without acquisitions that cannot be read."""
        failed: dict[str, ImageryError] = {}
        table = pl.DataFrame(list(self.rows), schema=ACQUISITIONS)
        return read_stack(table, crop(self.grid, place), self.bands, self.mask, (), failed)


@dataclass(frozen=True)
class ParcelUnit:
    """The parcels whose middle lies in one block.

    Attributes
    ----------
    parcels
        GeoParquet in the tile's CRS, as `parcel_table` has it.
    block
        Number of the block, as `homes` has it.
    place
        Pixels of the tile that hold all of these parcels, with the models' margin.
    folder
        To be written: one Parquet file a table.
    """

    imagery: Imagery
    parcels: Path
    block: int
    place: Block
    models: FoldModels
    options: PatchOptions
    buffer_m: float
    folder: Path

    def table(self, name: str) -> Path:
        """Return the path of one of SCHEMAS."""
        return self.folder / f"{self.block:06d}_{name}.parquet"


def homes(shapes: np.ndarray, grid: GeoBox, side: int) -> np.ndarray:
    """Return `(parcel,)`: number of the block that holds the middle of each outline; -1 outside the grid, or
    where the outline is longer than a block."""
    middles = shapely.point_on_surface(shapes)
    affine = grid.affine
    column = (shapely.get_x(middles) - affine.c) / affine.a
    row = (shapely.get_y(middles) - affine.f) / affine.e
    height, width = grid.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    across = -(-width // side)
    with np.errstate(invalid="ignore"):
        number = (row // side) * across + column // side
        bounds = shapely.bounds(shapes)
        span = np.maximum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1])
    inside &= span <= side * abs(grid.affine.a)
    return np.where(inside, np.nan_to_num(number, nan=-1), -1).astype(np.int64)


def place_of(shapes: np.ndarray, grid: GeoBox, margin: int) -> Block:
    """Return the pixels of a grid that hold outlines `(n)`, and a margin."""
    left, bottom, right, top = shapely.total_bounds(shapes)
    to_pixel = ~grid.affine
    (column, row), (last_column, last_row) = to_pixel @ (left, top), to_pixel @ (right, bottom)
    height, width = grid.shape
    rows = slice(max(int(row), 0), min(int(np.ceil(last_row)), height))
    columns = slice(max(int(column), 0), min(int(np.ceil(last_column)), width))
    return Block(rows, columns).widened(margin, grid.shape)


def labelled_blocks(
    imagery: Imagery,
    parcels: gpd.GeoDataFrame,
    blocks: Sequence[Block],
    options: PatchOptions,
    buffer_m: float,
) -> list[LabelledBlock]:
    """Read blocks with the labels of their pixels; `parcels` as `parcel_table` has them."""
    found = []
    tree = shapely.STRtree(parcels.geometry.to_numpy())
    for place in blocks:
        grid = crop(imagery.grid, place)
        near = parcels.iloc[np.sort(tree.query(grid.extent.geom))]
        pixels = pixels_of(near.geometry.to_numpy(), grid, buffer_m)
        folds = near["fold"].to_numpy()
        if options.labels == "single":
            folds = np.where(near["second"].to_numpy() >= 0, UNKNOWN, folds)
        labels = labels_of(pixels, grid.shape, near["label"].to_numpy(), near["second"].to_numpy(), folds)
        found.append(LabelledBlock(imagery.composites(place), labels))
    return found


def blocks_with_parcels(grid: GeoBox, parcels: gpd.GeoDataFrame, side: int) -> list[Block]:
    """Return the blocks of a grid, of about one size, that hold parcels which teach."""
    teaching = parcels.geometry.to_numpy()[(parcels["fold"] >= 0) & (parcels["label"] >= 0)]
    tree = shapely.STRtree(teaching)
    return [
        place
        for place in cut(grid.shape, side, even=True)
        if len(tree.query(crop(grid, place).extent.geom, predicate="intersects"))
    ]


def run_unit(unit: ParcelUnit) -> int:
    """Compose the parcels of a unit and write its tables, unless they lie there whole; return its number."""
    if not all(is_vouched(unit.table(name)) for name in SCHEMAS):
        tables = _composed(unit)
        for name, schema in SCHEMAS.items():
            with atomic_path(unit.table(name)) as partial:
                pl.DataFrame(tables[name], schema=schema).write_parquet(partial)
            vouch(unit.table(name))
    return unit.block


def _composed(unit: ParcelUnit) -> dict[str, list[Row]]:
    parcels = _parcels(unit.parcels)
    parcels = parcels[parcels["home"] == unit.block].reset_index(drop=True)
    grid = crop(unit.imagery.grid, unit.place)
    pixels = pixels_of(parcels.geometry.to_numpy(), grid, unit.buffer_m)
    composites = unit.imagery.composites(unit.place)
    chances = unit.models.each(composites, _wanted(unit.models, parcels["fold"].to_numpy(), pixels, grid))
    found = _Found(unit, parcels, grid, composites, chances, pixels)
    tables: dict[str, list[Row]] = {name: [] for name in SCHEMAS}
    for index, row in enumerate(parcels.itertuples(index=False)):
        parcel = found.compose([index], row.fold)
        accepted = {number for number in (row.label, row.second) if number >= 0}
        finding = finding_row(row.parcel_id, row.area_ha, parcel, accepted, unit.options.composition)
        tables["composition"] += composition_rows(row.parcel_id, row.area_ha, parcel, unit.models.classes)
        tables["findings"].append(finding)
        if finding["more_than_one_crop"]:
            tables["pictures"] += found.picture(index, row.parcel_id, parcel)
    tables["pairs"] = list(islice(_pairs(unit, parcels, found), PAIRS_PER_UNIT))
    return tables


def _wanted(models: FoldModels, fold: np.ndarray, pixels: ParcelPixels, grid: GeoBox) -> np.ndarray:
    """Return `(fold, y, x)` bool: the pixels that each model predicts, and last those of all models."""
    wanted = np.zeros((len(models.folds) + 1, *grid.shape), bool)
    of = {number: k for k, number in enumerate(models.folds)}
    place = np.array([of.get(int(number), len(of)) for number in fold], np.int64)
    wanted[place[pixels.parcel], pixels.row, pixels.column] = True
    return wanted


@lru_cache(maxsize=2)
def _parcels(path: Path) -> gpd.GeoDataFrame:
    return gpd.read_parquet(path)


@dataclass(frozen=True)
class _Found:
    """The pixels of a unit's parcels, and the prediction of each model."""

    unit: ParcelUnit
    parcels: gpd.GeoDataFrame
    grid: GeoBox
    composites: Composites
    chances: dict[int, np.ndarray]
    pixels: ParcelPixels

    def of(self, members: Sequence[int]) -> ParcelPixels:
        """Return the pixels of some parcels."""
        return self.pixels.take(np.isin(self.pixels.parcel, members))

    def compose(self, members: Sequence[int], fold: int) -> Parcel:
        """Compose some parcels as one, with the model without `fold`."""
        pixels = self.of(members)
        here = (pixels.row, pixels.column)
        by = self.chances.get(fold, self.chances[WHOLE])[:, *here].T
        seen = self.composites.values[:, :, *here].reshape(-1, len(pixels)).T
        return compose(pixels, by, self.unit.options.composition, seen)

    def picture(self, member: int, parcel_id: str, parcel: Parcel) -> list[Row]:
        """Return the rows of PICTURES of a parcel."""
        pixels, affine = self.of([member]), self.grid.affine
        x = affine.c + affine.a * (pixels.column + 0.5)
        y = affine.f + affine.e * (pixels.row + 0.5)
        classes = self.unit.models.classes
        return [
            {
                "parcel_id": parcel_id,
                "x": float(x[k]),
                "y": float(y[k]),
                "epsg": self.grid.crs.epsg if self.grid.crs else None,
                "pixel_m": abs(affine.a),
                "crop_class": classes[parcel.classes[k]] if parcel.classes[k] >= 0 else None,
            }
            for k in range(len(pixels))
            if pixels.share[k] >= 0.5
        ]


def _pairs(unit: ParcelUnit, parcels: gpd.GeoDataFrame, found: _Found) -> Any:
    """Yield made-up mixed parcels: neighbours of one fold that declare one crop each, and not the same."""
    options = unit.options.composition
    single = np.flatnonzero((parcels["label"] >= 0) & (parcels["second"] < 0) & (parcels["fold"] >= 0))
    shapes = parcels.geometry.to_numpy()[single]
    left, right = shapely.STRtree(shapes).query(shapely.buffer(shapes, NEAR_M), predicate="intersects")
    for a, b in zip(single[left[left < right]], single[right[left < right]], strict=True):
        first, second = parcels.iloc[a], parcels.iloc[b]
        if first["fold"] != second["fold"] or first["label"] == second["label"]:
            continue
        border = shapely.intersection(shapely.buffer(first.geometry, NEAR_M), second.geometry)
        if border.area < NEAR_M * AT_BORDER_M / 2:
            continue
        both = found.compose([int(a), int(b)], int(first["fold"]))
        accepted = {int(first["label"])}
        row = finding_row("", 1.0, both, accepted, options)
        if row["reason"] is None:
            yield {
                "first": first["parcel_id"],
                "second": second["parcel_id"],
                "fold": int(first["fold"]),
                "true_share": second["area_ha"] / (first["area_ha"] + second["area_ha"]),
                "found_share": row["not_declared_ha"],
                "flagged": row["more_than_one_crop"],
            }
