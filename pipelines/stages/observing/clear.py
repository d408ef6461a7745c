"""A cloud-removal model is fitted on the region's own imagery."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl
import shapely
import xarray as xr
from odc.geo.geobox import GeoBox

from features.accounting import Tally, tally
from features.catalog.access.stamps import file_stamp
from features.context.blocks import BlockContext, pixels_in
from features.errors import ImageryError, ModelError
from features.extraction.extract import without_contradictions
from features.extraction.filling.tiles import bands_of_all
from features.imagery.blocks import cut
from features.imagery.grids import crop
from features.imagery.masks import MaskOptions
from features.imagery.stacks import read_stack
from features.schema import acquisition_rows
from features.workers import Progress
from models.backend import bring_up
from models.clouds.methods import build
from models.clouds.pictures import before_after, half_clear_frames, write_png
from models.clouds.removal.bundle import META
from models.clouds.removal.hiding import NOTHING_CLEAR
from models.clouds.removal.options import LEARNED
from models.clouds.removal.remover import Remover
from models.clouds.stored import Stored
from pipelines.config import RunConfig
from pipelines.inputs.pixels.clear_context import clear_context, farmed, frame_times
from pipelines.inputs.pixels.cloud_masks import (
    mask_stamps,
    masked_extract,
    masks_folder,
    read_masked,
    reading_options,
    with_masks,
    without_mask,
)
from pipelines.inputs.pixels.tile_grids import finest_grid
from pipelines.record.receipt import read_receipt
from pipelines.record.stage import Outcome
from pipelines.steps.keeping.kept_note import Note, may_keep
from pipelines.steps.mask_scenes import make_masks
from pipelines.tables import read_acquired, read_declared, read_stamps
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)
BLOCK_PX = 256
SET_ASIDE, NO_MASK = "set_aside", "no_mask"  # among the facts of the receipt: item ids
LASTING = ("missing_band", "no_mask")  # reasons that trying again does not mend
EXAMPLE_PX = 128
NOTHING_SEEN = (
    NOTHING_CLEAR,
    "nothing_read",
)  # a run goes on, on radar alone
MOST_BLOCKS = 6  # of the imagery a model is fitted on: 0.4 million pixels, over all dates


def run(
    config: RunConfig,
    workspace: Workspace,
    progress: Progress,
    stands_on: Mapping[str, Any] | None = None,
) -> Outcome:
    """Write the region's own cloud masks to `masks/`, fit the configured removal and write it to `clear/`.

    `none` fits nothing, and neither does a season without two clear dates: radar goes on alone.

    Parameters
    ----------
    stands_on
        What the removal is fitted with beside images and parcels: it is kept while that is as it was; None
        fits anew.
    """
    acquisitions = read_acquired(workspace)
    masked = make_masks(acquisitions, config, workspace, progress)
    outputs = [masks_folder(workspace)] if masked else []
    facts = {NO_MASK: unreadable(acquisitions, config, workspace)} if masked else {}
    if config.clear.method != "none" and may_keep(workspace.cloud_model, stands_on):
        progress(1, 1)
        return Outcome([*outputs, workspace.cloud_model], masked, {**facts, "removal_kept": True})
    fitted = _fit(with_masks(acquisitions, config.clear.mask, workspace), config, workspace, progress)
    if fitted.outputs and stands_on is not None:
        Note.now(workspace.cloud_model, stands_on).write(workspace.cloud_model)
    return Outcome([*outputs, *fitted.outputs], [*masked, *fitted.tallies], {**facts, **fitted.facts})


def _fit(acquisitions: pl.DataFrame, config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    if config.clear.method == "none" or not (acquisitions["sensor"] == "s2").any():
        progress(1, 1)
        return Outcome([], [])
    training = workspace.cloud_model / "training"
    kept = {"checkpoint": training} if config.clear.method in LEARNED else {}
    try:
        stacks, failed = fitting_stacks(acquisitions, config, workspace, config.clear.method)
        remover = build(config.clear.method, **config.clear.removal.model_dump(exclude={"method"}))
        assert remover is not None
        remover.fit(stacks, progress, **kept)
    except (ModelError, ImageryError) as error:
        if error.reason not in NOTHING_SEEN:
            raise
        log.warning("Clouds are not removed: %s", error)
        shutil.rmtree(workspace.cloud_model, ignore_errors=True)
        progress(1, 1)
        optical = int((acquisitions["sensor"] == "s2").sum())
        return Outcome([], [Tally("clear", "acquisitions", optical, 0, {error.reason: optical})])
    remover.save(workspace.cloud_model)
    shutil.rmtree(training, ignore_errors=True)
    write_example(remover, stacks[0], workspace.cloud_model / "example.png")
    reasons = [failed.get(item) for item in acquisitions["item_id"]]
    facts = {SET_ASIDE: sorted(failed)} if failed else {}
    return Outcome([workspace.cloud_model], [tally("clear", "acquisitions", reasons)], facts)


def mended(config: RunConfig, workspace: Workspace) -> bool:
    """Say whether an acquisition that could not be read for the fit can be read now."""
    receipt = read_receipt(workspace, "clear")
    before = receipt.facts.get(NO_MASK, {}) if receipt else {}
    if before != unreadable(read_acquired(workspace), config, workspace):
        return True
    items = receipt.facts.get(SET_ASIDE, []) if receipt else []
    if not items:
        return False
    acquisitions = read_masked(config, workspace)
    blocks = fitting_blocks(acquisitions, read_declared(workspace), config.seed)
    failed: dict[str, ImageryError] = {}
    of_these = acquisitions.filter(pl.col("item_id").is_in(items))
    for _ in _stacks(of_these, blocks, config, bands_of(acquisitions), polarisations_of(of_these), failed):
        if len(failed) == len(items):
            return False
    return len(failed) < len(items)


def unreadable(acquisitions: pl.DataFrame, config: RunConfig, workspace: Workspace) -> dict[str, list[str]]:
    """Return the acquisitions whose files could not be read for a mask: item id to the stamps of its assets.

    Those that lack a band will lack it again.
    """
    aside = without_mask(config.clear.mask, workspace)
    wanted = {item for item, (_, reason, _) in aside.items() if reason not in LASTING}
    return {
        row["item_id"]: [file_stamp(asset["href"]) for asset in row["assets"]]
        for row in acquisition_rows(acquisitions)
        if row["item_id"] in wanted
    }


def write_example(remover: Remover, stack: xr.Dataset, path: Path) -> None:
    """Picture a part of a block before and after filling."""
    part = stack.isel(y=slice(0, EXAMPLE_PX), x=slice(0, EXAMPLE_PX))
    frames = half_clear_frames(part)
    write_png(before_after(part, remover.fill(part), frames), path)


def fitted_remover(config: RunConfig, workspace: Workspace) -> Stored | None:
    """Return the model that the stage left, or None where clouds are not removed on pixels."""
    fitted = (workspace.cloud_model / META).is_file()
    return Stored.of(workspace.cloud_model) if config.clear.method != "none" and fitted else None


def fitting_stacks(
    acquisitions: pl.DataFrame, config: RunConfig, workspace: Workspace, method: str
) -> tuple[list[xr.Dataset], dict[str, str]]:
    """Read what a method is fitted on, with the channels and parcels that the config asks for.

    Returns
    -------
    tuple
        The stacks, and the acquisitions that could not be read: item id to reason.

    Raises
    ------
    ConfigError
        Where a channel's file cannot be used.
    ModelError
        Where no optical acquisition can be read.
    """
    context = clear_context(config, workspace, method)
    context.check(frame_times(acquisitions))
    declarations = read_declared(workspace)
    stamps = read_stamps(workspace) | mask_stamps(config.clear.mask, workspace)
    acquisitions, _ = without_contradictions(
        acquisitions,
        declarations,
        masked_extract(config),
        workspace.observations,
        stamps=stamps,
        filled=True,
    )
    blocks = fitting_blocks(acquisitions, declarations, config.seed)
    shapes = farmed(config, declarations, method)
    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(read_blocks, acquisitions, blocks, config, context, shapes)
        if method in LEARNED:  # Keras takes as long to import as blocks to read
            bring_up()
        return reading.result()


def fitting_blocks(
    acquisitions: pl.DataFrame, declarations: gpd.GeoDataFrame, seed: int
) -> list[tuple[str, GeoBox]]:
    """Choose blocks that hold parcels, spread by chance over the tiles: `(tile, grid)`."""
    found = []
    optical = acquisitions.filter(pl.col("sensor") == "s2")
    for tile, rows in optical.group_by("tile", maintain_order=True):
        grid = finest_grid(rows)
        shapes = declarations.geometry[~declarations.geometry.is_empty].to_crs(grid.crs)
        tree = shapely.STRtree(shapes.to_numpy())
        found += [(str(tile[0]), block) for block in blocks_of(grid) if len(tree.query(block.extent.geom))]
    chosen = np.random.default_rng(seed).permutation(len(found))[:MOST_BLOCKS]
    return [found[index] for index in sorted(chosen)]


def blocks_of(grid: GeoBox) -> Iterator[GeoBox]:
    """Cut a grid into even blocks of at most `BLOCK_PX` pixels."""
    return (crop(grid, block) for block in cut(grid.shape, BLOCK_PX, even=True))


def bands_of(acquisitions: pl.DataFrame) -> list[str]:
    """Return the optical bands that most optical acquisitions have, in the order of wavelength."""
    return list(bands_of_all(acquisition_rows(acquisitions)))


def polarisations_of(acquisitions: pl.DataFrame) -> list[str]:
    """Return the polarisations that any acquisition has."""
    present = set(acquisitions["assets"].explode().struct.field("band"))
    return [name for name in ("vv", "vh") if name in present]


def read_blocks(
    acquisitions: pl.DataFrame,
    blocks: list[tuple[str, GeoBox]],
    config: RunConfig,
    context: BlockContext,
    shapes: gpd.GeoSeries | None = None,
) -> tuple[list[xr.Dataset], dict[str, str]]:
    """Read blocks with their context; acquisitions that cannot be read are left out.

    Parameters
    ----------
    shapes
        Where given, the stacks have `parcels (y, x)`: pixels inside them.

    Returns
    -------
    tuple
        The stacks, and the acquisitions left out: item id to reason.

    Raises
    ------
    ModelError
        Where no optical acquisition can be read.
    """
    failed: dict[str, ImageryError] = {}
    bands, polarisations = bands_of(acquisitions), polarisations_of(acquisitions)
    found = _stacks(acquisitions, blocks, config, bands, polarisations, failed)
    read = [(block, stack) for block, stack in found if stack.sizes["time"]]
    if not read:
        raise ModelError(
            "No block of imagery could be read to fit cloud removal on; set clear.method to none.",
            reason="nothing_read",
        )
    stacks = [_with_parcels(context.laid_on(stack, block), block, shapes) for block, stack in read]
    return stacks, {item: error.reason for item, error in failed.items()}


def _with_parcels(stack: xr.Dataset, block: GeoBox, shapes: gpd.GeoSeries | None) -> xr.Dataset:
    return stack if shapes is None else stack.assign(parcels=(("y", "x"), pixels_in(shapes, block)))


def _stacks(
    acquisitions: pl.DataFrame,
    blocks: list[tuple[str, GeoBox]],
    config: RunConfig,
    bands: list[str],
    polarisations: list[str],
    failed: dict[str, ImageryError],
) -> Iterator[tuple[GeoBox, xr.Dataset]]:
    """Yield each block's stack, one that cannot be read in one block being left out of the later ones too;
    `failed` tells why."""
    for tile, block in blocks:
        here = (pl.col("tile") == tile) | (pl.col("sensor") == "s1")
        rows = acquisitions.filter(here & ~pl.col("item_id").is_in(list(failed)))
        if len(rows):
            yield block, read_stack(rows, block, bands, _reading(config), polarisations, failed)


def _reading(config: RunConfig) -> MaskOptions:
    return reading_options(config.clear.mask, config.extract.mask)
