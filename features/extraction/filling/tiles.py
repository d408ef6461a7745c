"""A tile's optical acquisitions with cloud removal: planned as blocks, run, joined into parts, and
remembered."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from features.code import code_version
from features.context.blocks import BlockContext
from features.errors import CropcheckError, ImageryError
from features.extraction.filling.blocks import (
    BlockUnit,
    drop_blocks,
    join_blocks,
    key_of,
    readable,
    run_block,
    run_blocks,
)
from features.extraction.filling.remover import Remover
from features.extraction.options import ExtractOptions
from features.extraction.units import Outcome, Unit
from features.extraction.work_plan import usual_bands
from features.files import fingerprint, is_vouched, vouch, write_json
from features.imagery.grids import grid_of, placed
from features.imagery.scenes import Scene, scene_of, widened
from features.schema import OPTICAL_BANDS, SCENE_CLASS, Acquisition, assets_by_band
from features.workers import Executor, one_by_one

POLARISATIONS = ("vv", "vh")


@dataclass(frozen=True)
class Fill:
    """One tile's work: blocks first, then a part for every acquisition that could be read in all of them."""

    tile: str
    scene: Scene
    blocks: tuple[BlockUnit, ...]
    units: tuple[Unit, ...]
    note: Path  # JSON of the acquisitions set aside; written last

    @property
    def is_done(self) -> bool:
        """Whether an earlier run has written all of it."""
        if not is_vouched(self.note):
            return False
        try:
            lost = _lost(self)
        except (OSError, ValueError, AttributeError, LookupError, TypeError):  # of another make
            return False
        return all(unit.row["item_id"] in lost or is_vouched(unit.part) for unit in self.units)


@dataclass(frozen=True)
class _Joining:
    unit: Unit
    scene: Scene
    blocks: tuple[Path, ...]


def plan_fill(
    tile: str,
    rows: Sequence[Acquisition],
    radar: Sequence[Acquisition],
    units: Sequence[Unit],
    parcels: Path,
    folder: Path,
    options: ExtractOptions,
    remover: Remover,
    bands: tuple[str, ...],
    context: BlockContext,
    passes: Sequence[str],
) -> Fill:
    """Plan one tile.

    Parameters
    ----------
    rows, units
        The tile's optical acquisitions and their units, whose parts' names are made here: what one date gives
        depends on all others.
    radar
        Radar acquisitions that the remover may draw on.
    remover
        Fitted, with `fill` and `save`; where blocks are run in other processes, small and to be pickled.
    bands
        Those the remover learnt, in its order.
    context
        What the remover is told of every block beside its imagery.
    passes
        What tells each of `radar` from others: another one, another filling.

    Raises
    ------
    ImageryError
        Where no acquisition of the tile can be opened.
    """
    scene = _over_all(_common_scene(rows, bands, options), rows)
    parts = [unit.part.name for unit in units]
    code = code_version(type(remover).__module__)
    key = fingerprint([key_of(remover), code, parts, list(passes), context.key])[:16]
    here = folder / "parts" / tile
    polarisations = tuple(p for p in POLARISATIONS if any(p in assets_by_band(row) for row in radar))
    blocks = tuple(
        BlockUnit(
            (*rows, *radar), scene, block, bands, polarisations, parcels, folder / "coverage",
            folder / "blocks" / f"{tile}-{key}" / f"{block.rows.start}-{block.columns.start}", options,
            remover, context,
        )
        for block in scene.blocks(options.clear_block_px)
    )  # fmt: skip
    named = tuple(
        replace(unit, part=unit.part.with_name(f"{unit.part.stem}-{key}.parquet")) for unit in units
    )
    return Fill(tile, scene, blocks, named, here / f"fill-{key}.json")


def _common_scene(rows: Sequence[Acquisition], bands: Collection[str], options: ExtractOptions) -> Scene:
    """The acquisition that has most of the bands that are filled, less its other bands."""
    held = {*bands, SCENE_CLASS}
    common = [row.copy() for row in rows]
    for row in common:
        row["assets"] = [asset for asset in row["assets"] if asset["band"] in held]
    for row in sorted(common, key=lambda row: -len(row["assets"])):
        try:
            return scene_of(row, options.features_of("s2"), (SCENE_CLASS,))
        except CropcheckError:
            continue
    raise ImageryError(f"None of {len(rows)} acquisitions can be opened; check the catalog's links.")


def _over_all(scene: Scene, rows: Sequence[Acquisition]) -> Scene:
    """The scene on ground that holds all acquisitions: strips without a tile drift from date to date."""
    grids = []
    for row in rows:
        held = assets_by_band(row)
        band = next((band for band in scene.layers if band in held), None)
        if band is None:
            continue
        with suppress(ImageryError):  # what cannot be opened or does not nest is set aside when it is read
            grid = grid_of(held[band]["href"])
            placed(scene.grid, grid, held[band]["href"])
            grids.append(grid)
    return widened(scene, grids)


def run_fill(fill: Fill, executor: Executor, tick: Callable[[], None]) -> Iterator[Outcome]:
    """Run a tile's blocks and join them; `tick` is called after every block.

    Raises
    ------
    CropcheckError
        Where the remover cannot be applied: that is no fault of one acquisition.
    """
    done = fill.is_done
    if done and any(_mended(fill, item) for item in _lost(fill)):
        _forget(fill)  # what one date gives depends on all others
        done = False
    if not done:
        _run(fill, executor, tick)
    lost = _lost(fill)
    for unit in fill.units:
        item = unit.row["item_id"]
        yield Outcome(item, fill.tile, *lost.get(item, (None, "")))


def _lost(fill: Fill) -> dict[str, tuple[str, str]]:
    """Return the acquisitions that could not be read, optical or radar, with reason and detail."""
    said: dict[str, Any] = json.loads(fill.note.read_text(encoding="utf-8"))
    return {item: (str(why[0]), str(why[1])) for item, why in said.items()}


def _mended(fill: Fill, item: str) -> bool:
    """Try an acquisition that could not be read, block by block up to the first that still cannot."""
    return all(readable(block, item) for block in fill.blocks)


def _forget(fill: Fill) -> None:
    fill.note.unlink()
    for unit in fill.units:
        unit.part.unlink(missing_ok=True)


def _run(fill: Fill, executor: Executor, tick: Callable[[], None]) -> None:
    lost: dict[str, Any] = {}
    alone = executor is one_by_one
    for outcome in run_blocks(fill.blocks) if alone else executor(run_block, fill.blocks):
        lost |= outcome.failed
        tick()
    paths = tuple(block.part for block in fill.blocks)
    jobs = [_Joining(unit, fill.scene, paths) for unit in fill.units if unit.row["item_id"] not in lost]
    for joined in executor(_join, jobs):
        if joined.reason is not None:
            lost[joined.item_id] = (joined.reason, joined.detail)
    vouch(write_json(fill.note, lost))
    drop_blocks(fill.blocks[0].part.parent)


def _join(job: _Joining) -> Outcome:
    return join_blocks(job.unit, job.scene, job.blocks)


def bands_of_all(rows: Sequence[Acquisition]) -> tuple[str, ...]:
    """Optical bands that most optical acquisitions have, by wavelength: those a remover is fitted on."""
    optical = [{asset["band"] for asset in row["assets"]} for row in rows if row["sensor"] == "s2"]
    usual = usual_bands(optical)
    return tuple(band for band in OPTICAL_BANDS if band in usual)
