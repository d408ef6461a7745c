"""Cloud-free images, NDVI maps and monthly composites of a whole region, tile by tile, block by block."""

from pathlib import Path

import numpy as np
import polars as pl
from odc.geo.geobox import GeoBox

from features.context.blocks import BlockContext
from features.errors import ModelError, StageError
from features.imagery.pixels import crop, read_stack
from features.workers import Progress
from models.clouds.products import ProductWriter, write_catalog
from models.clouds.stored import Stored
from pipelines.config import RunConfig
from pipelines.inputs.clear_context import clear_context, frame_times
from pipelines.stages.clear import bands_of, finest_grid, fitted_remover, polarisations_of
from pipelines.workspace import Workspace

BLOCK_PX = 512


def write_products(config: RunConfig, workspace: Workspace, folder: Path, progress: Progress) -> Path:
    """Write the products of every optical tile and their catalog; return the catalog's path.

    Raises
    ------
    ModelError
        Where the config removes no clouds.
    StageError
        Where `clear` has not ended.
    """
    if config.clear.method == "none":
        raise ModelError(
            "clear.method is none: nothing is filled; choose a method, e.g. --set clear.method=linear."
        )
    remover = fitted_remover(config, workspace)
    if remover is None:
        raise StageError(
            f"No fitted model lies in {workspace.cloud_model}; run `cropcheck clear CONFIG` first."
        )
    acquisitions = pl.read_parquet(workspace.acquisitions)
    optical = acquisitions.filter(pl.col("sensor") == "s2")
    context = clear_context(config, workspace)
    context.check(frame_times(acquisitions))
    items = []
    for (tile,), rows in optical.group_by("tile", maintain_order=True):
        near = pl.concat([rows, acquisitions.filter(pl.col("sensor") == "s1")])
        items += _write_tile(config, remover, context, str(tile), near, folder, progress)
    return write_catalog(folder, items, f"{config.name}: cloud-free images of {config.season.year}")


def _write_tile(
    config: RunConfig,
    remover: Stored,
    context: BlockContext,
    tile: str,
    rows: pl.DataFrame,
    folder: Path,
    progress: Progress,
) -> list[dict]:
    grid = finest_grid(rows.filter(pl.col("sensor") == "s2"))
    places = [
        (slice(*row), slice(*column)) for row in _cuts(grid.shape[0]) for column in _cuts(grid.shape[1])
    ]
    bands, polarisations = bands_of(rows), polarisations_of(rows)
    shares = _clear_shares(config, rows, grid, places)
    writer = ProductWriter(folder, tile, grid, shares)
    for done, place in enumerate(places, start=1):
        wide, inner = _with_margin(place, (grid.shape[0], grid.shape[1]), remover.margin_px)
        block = crop(grid, *wide)
        stack = read_stack(rows, block, bands, config.extract.mask, polarisations)
        filled = remover.fill(context.laid_on(stack, block)).isel(y=inner[0], x=inner[1])
        writer.add(*place, filled)
        progress(done, len(places))
    return writer.close()


def _clear_shares(
    config: RunConfig, rows: pl.DataFrame, grid: GeoBox, places: list[tuple[slice, slice]]
) -> np.ndarray:
    """Return each frame's clear share over the tile, read block by block."""
    optical, total = rows.filter(pl.col("sensor") == "s2"), grid.shape[0] * grid.shape[1]
    counts = [
        read_stack(optical, crop(grid, *place), (), config.extract.mask)["clear"].sum(("y", "x")).to_numpy()
        for place in places
    ]
    return np.asarray(np.sum(counts, axis=0) / total)


def _cuts(size: int) -> list[tuple[int, int]]:
    return [(start, min(start + BLOCK_PX, size)) for start in range(0, size, BLOCK_PX)]


def _with_margin(
    place: tuple[slice, slice], shape: tuple[int, int], margin: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Widen a block by the pixels that influence its filling; return it and where the block lies in it."""
    wide = [
        slice(max(p.start - margin, 0), min(p.stop + margin, size))
        for p, size in zip(place, shape, strict=True)
    ]
    inner = [slice(p.start - w.start, p.stop - w.start) for p, w in zip(place, wide, strict=True)]
    return (wide[0], wide[1]), (inner[0], inner[1])
