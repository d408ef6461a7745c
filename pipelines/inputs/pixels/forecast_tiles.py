"""Tiles of imagery whose pixels are forecast, and pixels that are drawn from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl
import shapely

from features.errors import ConfigError, ImageryError
from features.imagery.blocks import Block, cut
from features.imagery.grids import crop
from features.messages.listed import listed
from features.schema import acquisition_rows
from features.workers import Progress
from models.forecast.history import History, Looks, joined
from models.forecast.pixels.looks import INFRARED, NO_PARCEL, RED, Imagery, looks_of, owners
from pipelines.config import RunConfig
from pipelines.inputs.pixels.cloud_masks import masked_extract
from pipelines.inputs.pixels.patch_inputs import usable
from pipelines.inputs.pixels.tile_grids import finest_grid
from pipelines.tables import read_declared
from pipelines.workspace import Workspace

BLOCK_PX = 256
DRAWN_BLOCKS = 16  # blocks whose pixels tell how good forecasts of pixels are
PIXELS_A_PARCEL = 8


@dataclass(frozen=True)
class Tile:
    """One optical tile: its imagery by the day of the forecast, and outlines and rows of its parcels."""

    name: str
    imagery: Imagery
    shapes: np.ndarray
    rows: np.ndarray
    tree: shapely.STRtree

    def within(self, place: Block) -> np.ndarray:
        """Return the numbers `(parcel,)` of the tile's parcels that reach into a block, in order."""
        return np.sort(self.tree.query(crop(self.imagery.grid, place).extent.geom, predicate="intersects"))

    @cached_property
    def blocks(self) -> list[Block]:
        """The blocks that hold parcels."""
        return [place for place in cut(self.imagery.grid.shape, BLOCK_PX) if len(self.within(place))]

    def seen(self, stamps: Mapping[str, str]) -> list[list[tuple[str, str | None]]]:
        """Return what identifies the imagery: bands and stamps of each acquisition."""
        return [
            sorted((asset["band"], stamps.get(asset["href"], "")) for asset in row["assets"])
            for row in self.imagery.rows
        ]


def forecast_tiles(config: RunConfig, workspace: Workspace, by: date) -> list[Tile]:
    """Return the optical tiles that hold parcels, with their acquisitions by a day."""
    if config.series.tables:
        raise ConfigError(
            "This run was made from tables of series: maps need its imagery, which it never read."
        )
    acquisitions = usable(config, workspace).filter(pl.col("datetime").dt.date() <= by)
    had = set(acquisitions["assets"].explode().struct.field("band"))
    missing = [band for band in (RED, INFRARED) if band not in had]
    if missing:
        raise ImageryError(
            f"Maps of NDVI need {RED} and {INFRARED}; no acquisition by {by} has {listed(missing)}."
        )
    declared = read_declared(workspace)
    found = []
    for (name,), rows in acquisitions.group_by("tile", maintain_order=True):
        grid = finest_grid(rows)
        moved = declared.geometry.to_crs(str(grid.crs))
        near = np.flatnonzero(~moved.is_empty & moved.intersects(grid.extent.geom))
        if not len(near):
            continue
        shapes = moved.to_numpy()[near]
        imagery = Imagery(tuple(acquisition_rows(rows)), grid, masked_extract(config).mask)
        found.append(Tile(str(name), imagery, shapes, near, shapely.STRtree(shapes)))
    if not found:
        raise ImageryError("No parcel lies within the optical imagery; there is nothing to map.")
    return found


def drawn_pixels(
    tiles: Sequence[Tile], history: History, seed: int, progress: Progress
) -> tuple[np.ndarray, Looks]:
    """Return the parcel `(pixel,)` and the looks of pixels drawn from blocks spread over the tiles: at most
    PIXELS_A_PARCEL of each parcel and block.
    """
    rng = np.random.default_rng([seed, 41])
    places = [(tile, place) for tile in tiles for place in tile.blocks]
    chosen = np.sort(rng.permutation(len(places))[:DRAWN_BLOCKS])
    parcels, looks = [], []
    for done, k in enumerate(chosen, start=1):
        tile, place = places[k]
        near = tile.within(place)
        owner = owners(tile.shapes[near], crop(tile.imagery.grid, place))
        row, column = np.nonzero(owner != NO_PARCEL)
        taken = _some_of_each(owner[row, column], rng)
        days, ndvi = tile.imagery.looks(place)
        numbers = np.array([history.day(day) for day in days], np.int64)
        looks.append(looks_of(numbers, ndvi[:, row[taken], column[taken]]))
        parcels.append(tile.rows[near][owner[row[taken], column[taken]]])
        progress(done, len(chosen))
    return np.concatenate(parcels), joined(looks)


def _some_of_each(owner: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return numbers of pixels, at most PIXELS_A_PARCEL of each of `owner (pixel,)`, by chance."""
    order = rng.permutation(len(owner))
    order = order[np.argsort(owner[order], kind="stable")]
    rank = np.arange(len(order)) - np.searchsorted(owner[order], owner[order])
    return np.sort(order[rank < PIXELS_A_PARCEL])
