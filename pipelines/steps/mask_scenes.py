"""The run's own cloud masks: computed tile by tile, block by block, and written as scene classes."""

import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from features.accounting import Tally, tally
from features.catalog.mission import Level
from features.errors import ImageryError
from features.extraction.extract import without_contradictions
from features.extraction.options import ExtractOptions
from features.extraction.tiles.tile_parcels import safe_name
from features.files import sha256
from features.imagery.blocks import Block, cut
from features.schema import ACQUISITIONS, SCENE_CLASS, Acquisition, Row, acquisition_rows
from features.workers import Progress
from models.clouds.mask.by_name import build
from models.clouds.mask.classes import NAMES, NODATA, UNKNOWN, UNKNOWN_NAMES
from models.clouds.mask.decide import classes_of, to_scene_class
from models.clouds.mask.fitting import fit_mask
from models.clouds.mask.frames import Mask, unknown_of
from models.clouds.mask.labels.tiles import read_tiles
from models.clouds.mask.methods.temporal import TemporalMask
from models.clouds.mask.options import FITTED, Buffers, CloudMaskOptions
from models.clouds.mask.rasters import TILE_PX, MaskWriter
from models.clouds.mask.reading import MaskGrid, read_frames
from pipelines.config import RunConfig
from pipelines.inputs.pixels.cloud_masks import INDEX, masks_folder, model_folder
from pipelines.inputs.pixels.mask_frames import fitting_frames
from pipelines.inputs.pixels.tile_grids import finest_grid
from pipelines.tables import read_declared, write_table
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)
NO_MASK = "no_mask"
STACK_VALUES = 100_000_000  # reflectances in memory at a time
LARGEST_PX = 1024


@dataclass
class _Account:
    """Pixels of every class, by item id."""

    pixels: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, item: str, classes: np.ndarray, unknown: np.ndarray) -> None:
        held = self.pixels.setdefault(item, Counter())
        judged = unknown == 0
        for number, name in enumerate(NAMES):
            held[name] += int((judged & (classes == number)).sum())
        for number, name in UNKNOWN_NAMES.items():
            held[name] += int((unknown == number).sum())
        held["not_compared"] += int((judged & (classes == UNKNOWN)).sum())


def make_masks(
    acquisitions: pl.DataFrame, config: RunConfig, workspace: Workspace, progress: Progress
) -> list[Tally]:
    """Write the masks of optical acquisitions to `masks/`, and their index; nothing where the scene classes
    are used as delivered.

    An acquisition that cannot be read, or lacks a band that the mask needs, has none and is set aside with
    the reason. What cannot be judged is written as nodata, saturated or snow, and counted.
    """
    folder, options = masks_folder(workspace), config.clear.mask
    optical = acquisitions.filter(pl.col("sensor") == "s2")
    if options.as_delivered or not len(optical):
        shutil.rmtree(folder, ignore_errors=True)
        return []
    compared = ExtractOptions(mask=config.extract.mask, inner_buffer_m=config.extract.inner_buffer_m)
    usable, _ = without_contradictions(optical, read_declared(workspace), compared, workspace.observations)
    back = config.season.until is not None
    index: list[Row] = []
    for which, some in assigned(usable, options):
        mask = _fitted(some, config, workspace, progress) if which.method in FITTED else build(which, back)
        for (tile, epsg), rows in some.group_by("tile", "epsg", maintain_order=True):
            place = safe_name(
                f"{tile}_{epsg}" + ("" if which.method == options.method else f"_{which.method}")
            )
            index += _mask_tile(
                place, acquisition_rows(rows), mask, which, workspace, progress, config.imagery.level
            )
    write_table(pl.DataFrame(index, schema=INDEX).sort("item_id"), folder / "masks.parquet")
    reasons = [row["reason"] for row in index]
    return [tally("mask", "acquisitions", reasons)]


def assigned(
    acquisitions: pl.DataFrame, options: CloudMaskOptions
) -> list[tuple[CloudMaskOptions, pl.DataFrame]]:
    """Return which acquisitions are masked, and how: with a fallback, those without scene classes by that.

    Where scene classes are otherwise used as they were delivered, the fallback's masks have no buffers: both
    are grown as they are read.
    """
    if options.method != "scl" or options.fallback == "none":
        return [(options, acquisitions)]
    bands = pl.col("assets").list.eval(pl.element().struct.field("band"))
    held = bands.list.contains(SCENE_CLASS)
    bare = {"buffer_px": Buffers(cloud=0, thin=0, shadow=0)} if options.keeps_delivered else {}
    other = options.model_copy(update={"method": options.fallback, "fallback": "none", **bare})
    parts = [(other, acquisitions.filter(~held))]
    if not options.keeps_delivered:
        parts.append((options, acquisitions.filter(held)))
    return [(which, some) for which, some in parts if len(some)]


def _fitted(usable: pl.DataFrame, config: RunConfig, workspace: Workspace, progress: Progress) -> Mask:
    """Fit a mask on parts of the region that hold parcels, and write it to `masks/model/`."""
    stacks = fitting_frames(usable, config, workspace)
    tiles = [tile for folder in config.clear.mask.network.tiles for tile in read_tiles(folder, config.limits)]
    back = config.season.until is not None
    mask = fit_mask(config.clear.mask, stacks, tiles, back, config.seed, progress)
    shutil.rmtree(model_folder(workspace), ignore_errors=True)
    if not isinstance(mask, TemporalMask):  # which stands in where there was nothing to learn
        mask.save(model_folder(workspace))
    return mask


def _mask_tile(
    place: str,
    rows: list[Acquisition],
    mask: Mask,
    options: CloudMaskOptions,
    workspace: Workspace,
    progress: Progress,
    level: Level,
) -> list[Row]:
    folder = masks_folder(workspace) / place
    needs = chosen_bands(rows, mask)
    lacking = {row["item_id"]: said for row in rows if (said := _lacks(row, needs, mask.name))}
    failed: dict[str, ImageryError] = {}
    account = _Account()
    able = [row for row in rows if row["item_id"] not in lacking]
    names = {row["item_id"]: f"{safe_name(row['item_id'])}.tif" for row in rows}
    if able:
        grid = MaskGrid.over(finest_grid(pl.DataFrame(able, schema=ACQUISITIONS)))
        writer = MaskWriter(folder, grid.grid, names)
        places = list(cut(grid.grid.shape, _side(len(able), mask), TILE_PX))
        for done, block in enumerate(places, start=1):
            for item, classes, unknown in _mask_block(able, grid, block, mask, needs, options, failed, level):
                writer.add(item, block, classes)
                account.add(item, *unknown)
            progress(done, len(places))
        writer.close(set(failed))
    reasons = {**lacking, **{item: (error.reason, str(error)) for item, error in failed.items()}}
    return [_row(row, reasons.get(row["item_id"]), folder / names[row["item_id"]], account) for row in rows]


def chosen_bands(rows: Sequence[Acquisition], mask: Mask) -> tuple[tuple[str, ...], ...]:
    """Return the band of each group that the mask uses.

    The first that at least half of the acquisitions have, else the first that some have; the whole group
    where none has any.
    """
    held = [{asset["band"] for asset in row["assets"]} for row in rows]
    chosen = []
    for group in mask.needs:
        counts = {band: sum(band in bands for bands in held) for band in group}
        usual = [band for band in group if 2 * counts[band] >= len(rows)] or [b for b in group if counts[b]]
        chosen.append(tuple(usual[:1]) or group)
    return tuple(chosen)


def _lacks(row: Acquisition, needs: tuple[tuple[str, ...], ...], name: str) -> tuple[str, str] | None:
    present = {asset["band"] for asset in row["assets"]}
    missing = [" or ".join(group) for group in needs if not present & set(group)]
    if not missing:
        return None
    return "missing_band", f"{row['item_id']} has no {', no '.join(missing)}, which the mask {name} needs."


def _side(dates: int, mask: Mask) -> int:
    """Side of a block in the mask's pixels: as large as memory allows, since margins are read twice."""
    bands = max(len(mask.needs) + 2, 6)
    side = int(np.sqrt(STACK_VALUES / (dates * bands))) - 2 * mask.margin_px
    return max(TILE_PX, min(side // TILE_PX * TILE_PX, LARGEST_PX))


Masked = tuple[str, np.ndarray, tuple[np.ndarray, np.ndarray]]


def _mask_block(
    rows: Sequence[Acquisition],
    grid: MaskGrid,
    place: Block,
    mask: Mask,
    needs: tuple[tuple[str, ...], ...],
    options: CloudMaskOptions,
    failed: dict[str, ImageryError],
    level: Level,
) -> Iterator[Masked]:
    """Yield each acquisition's scene classes of a block, and its classes and reasons of unknown."""
    margin = max(mask.margin_px, *(options.buffer_px or Buffers()).model_dump().values())
    wide = place.widened(margin, grid.grid.shape)
    inner = place.within(wide).slices
    wanted = [row for row in rows if row["item_id"] not in failed]
    frames, read = read_frames(wanted, grid, wide, _bands(mask, needs), failed, level)
    if not read:
        return
    for number, chances in enumerate(mask.chances(frames)):
        unknown = unknown_of(frames, number, needs or (frames.bands[:1],))
        chances[:, unknown == NODATA] = np.nan
        classes = classes_of(chances, options)
        delivered = None if frames.scene_class is None else frames.scene_class[number]
        scene_class = to_scene_class(classes, unknown, delivered)
        yield read[number]["item_id"], scene_class[inner], (classes[inner], unknown[inner])


def _bands(mask: Mask, needs: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """Bands to read: those the mask needs and may use, and those that tell snow; none that the mask would
    take in place of the one that was chosen of a group."""
    chosen = [band for group in needs for band in group]
    before = {
        b for group, taken in zip(mask.needs, needs, strict=True) for b in group[: group.index(taken[0])]
    }
    return tuple(dict.fromkeys([*chosen, *(band for band in mask.uses if band not in before)]))


def _row(row: Acquisition, reason: tuple[str, str] | None, path: Path, account: _Account) -> Row:
    item = row["item_id"]
    there = reason is None and path.is_file()
    why = reason if reason or there else (NO_MASK, f"{item} shows none of its tile")
    pixels = account.pixels.get(item, Counter())
    counted = (*NAMES, *UNKNOWN_NAMES.values(), "not_compared")
    return {
        "item_id": item,
        "tile": row["tile"],
        "file": f"{path.parent.name}/{path.name}" if there else None,
        "sha256": sha256(path) if there else None,
        "reason": why[0] if why else None,
        "detail": why[1] if why else None,
        **{f"{name}_px": pixels[name] if there else 0 for name in counted},
    }
