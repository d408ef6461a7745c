"""Cloud-free images, NDVI maps and monthly composites of a whole region, tile by tile, block by block."""

from pathlib import Path

import numpy as np
import polars as pl
from odc.geo.geobox import GeoBox

from features.context.blocks import BlockContext
from features.errors import ModelError, StageError
from features.extraction.extract import without_contradictions
from features.imagery.blocks import Block, cut
from features.imagery.grids import crop
from features.imagery.stacks import read_stack
from features.workers import Progress
from models.clouds.products import ProductWriter, write_catalog
from models.clouds.stored import Stored
from pipelines.config import RunConfig
from pipelines.inputs.pixels.clear_context import clear_context, frame_times
from pipelines.inputs.pixels.cloud_masks import masked_extract, read_masked
from pipelines.inputs.pixels.tile_grids import finest_grid
from pipelines.stages.observing.clear import bands_of, fitted_remover, polarisations_of
from pipelines.tables import read_declared
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
    acquisitions, _ = without_contradictions(
        read_masked(config, workspace),
        read_declared(workspace),
        masked_extract(config),
        workspace.observations,
    )
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
    places = list(cut(grid.shape, BLOCK_PX))
    bands, polarisations = bands_of(rows), polarisations_of(rows)
    shares = _clear_shares(config, rows, grid, places)
    writer = ProductWriter(folder, tile, grid, shares)
    for done, place in enumerate(places, start=1):
        wide = place.widened(remover.margin_px, grid.shape)
        inner, block = place.within(wide), crop(grid, wide)
        stack = read_stack(rows, block, bands, masked_extract(config).mask, polarisations)
        filled = remover.fill(context.laid_on(stack, block)).isel(y=inner.rows, x=inner.columns)
        writer.add(place, filled)
        progress(done, len(places))
    return writer.close()


def _clear_shares(config: RunConfig, rows: pl.DataFrame, grid: GeoBox, places: list[Block]) -> np.ndarray:
    """Return each frame's clear share over the tile, read block by block."""
    optical, total = rows.filter(pl.col("sensor") == "s2"), grid.shape[0] * grid.shape[1]
    mask = masked_extract(config).mask
    counts = [
        read_stack(optical, crop(grid, place), (), mask)["clear"].sum(("y", "x")).to_numpy()
        for place in places
    ]
    return np.asarray(np.sum(counts, axis=0) / total)
