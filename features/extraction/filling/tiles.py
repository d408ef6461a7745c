"""A tile's optical acquisitions with cloud removal: planned as blocks, run, joined into parts, and
remembered."""

import json
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from features.code.version import code_version
from features.context.blocks import BlockContext
from features.errors import CropcheckError, ImageryError
from features.extraction.filling.blocks import (
    BlockOutcome,
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
from features.imagery.blocks import Block
from features.imagery.grids import grid_of, placed
from features.imagery.scenes import Scene, scene_of, widened
from features.memory import budget, is_said
from features.schema import OPTICAL_BANDS, SCENE_CLASS, Acquisition, assets_by_band
from features.workers import Executor, in_threads, one_by_one

log = logging.getLogger(__name__)
POLARISATIONS = ("vv", "vh")
LEAST_SIDE = 32  # pixels of a block
# stacks in memory at a time, as measured: as read, and what is made of it; and that of the next block
STACKS_WITH_NEXT, STACKS_ALONE = 6, 4
BESIDE_STACKS = 700 << 20  # bytes: libraries, and one tile's coverage


@dataclass(frozen=True)
class Fill:
    """One tile's work: blocks first, then a part for every acquisition that could be read in all of them."""

    tile: str
    scene: Scene
    blocks: tuple[BlockUnit, ...]
    units: tuple[Unit, ...]
    note: Path  # JSON of the acquisitions set aside; written last
    whole: BlockUnit  # the tile as one block
    side: int  # of the blocks, pixels
    ahead: bool  # whether the next block is read while one is filled

    def smaller(self) -> "Fill":
        """Return the same work in blocks of half the side.

        Raises
        ------
        CropcheckError
            Where they are as small as they get.
        """
        side = self.side // 2
        if side < LEAST_SIDE:
            raise CropcheckError(
                f"Memory is used up by one block of {self.side} pixels of tile {self.tile} over "
                f"{len(self.whole.rows)} acquisitions; close other programs, use fewer --workers, or lower "
                "extract.threads."
            )
        log.warning("Memory is used up; tile %s goes on in blocks of %d pixels.", self.tile, side)
        return replace(self, blocks=cut(self.whole, side), side=side, ahead=False)

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
        What the remover reads with every block beside its imagery.
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
    layers = len(bands) * len(rows) + len(polarisations) * len(radar)
    least = LEAST_SIDE if is_said() else options.clear_block_px  # the same numbers on any machine
    side, ahead = within(budget(), options.clear_block_px, layers, remover.margin_px, least)
    if side < options.clear_block_px:
        log.warning(
            "Tile %s is filled in blocks of %d pixels rather than %d: %.1f GiB of memory may be used. The "
            "last digits of filled values differ from those of larger blocks; set extract.clear_block_px=%d "
            "to get the same numbers on any machine.",
            tile,
            side,
            options.clear_block_px,
            budget() / 2**30,
            side,
        )
    whole = BlockUnit(
        (*rows, *radar), scene, _all_of(scene), bands, polarisations, parcels, folder / "coverage",
        folder / "blocks" / f"{tile}-{key}", options, remover, context,
    )  # fmt: skip
    named = tuple(
        replace(unit, part=unit.part.with_name(f"{unit.part.stem}-{key}.parquet")) for unit in units
    )
    return Fill(tile, scene, cut(whole, side), named, here / f"fill-{key}.json", whole, side, ahead)


def within(memory: int, side: int, layers: int, margin: int, least: int) -> tuple[int, bool]:
    """Return the side of blocks whose stacks fit into memory, halved from `side` as often as needed, and
    whether the next block may be read while one is filled.

    Parameters
    ----------
    layers
        Layers of pixels of a stack: bands and polarisations over all dates.
    margin
        Pixels around a block that are read with it.
    least
        Side below which no block is halved.

    Examples
    --------
    >>> [within(gib << 30, 256, 960, 32, least=64) for gib in (3, 2, 1)]
    [(256, True), (128, True), (64, False)]
    """
    while True:
        stack = 4 * layers * (side + 2 * margin) ** 2
        for ahead, held in ((True, STACKS_WITH_NEXT), (False, STACKS_ALONE)):
            if held * stack + BESIDE_STACKS <= memory:
                return side, ahead
        if side // 2 < least:
            return side, False
        side //= 2


def _all_of(scene: Scene) -> Block:
    height, width = scene.grid.shape
    return Block(slice(0, height), slice(0, width))


def cut(whole: BlockUnit, side: int) -> tuple[BlockUnit, ...]:
    """Return a tile's unit as blocks of at most `side` pixels, which have a folder of their own."""
    return tuple(
        replace(
            whole,
            block=block,
            part=whole.part.with_name(f"{whole.part.name}-{side}")
            / f"{block.rows.start}-{block.columns.start}",
        )
        for block in whole.scene.blocks(side)
    )


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
    try:
        for outcome in _blocks(fill, executor):
            lost |= outcome.failed
            tick()
    except MemoryError:
        drop_blocks(fill.blocks[0].part.parent)
        _run(fill.smaller(), executor, tick)
        return
    paths = tuple(block.part for block in fill.blocks)
    jobs = [_Joining(unit, fill.scene, paths) for unit in fill.units if unit.row["item_id"] not in lost]
    join = in_threads(fill.whole.options.threads) if executor is one_by_one else executor
    for joined in join(_join, jobs):
        if joined.reason is not None:
            lost[joined.item_id] = (joined.reason, joined.detail)
    vouch(write_json(fill.note, lost))
    drop_blocks(fill.blocks[0].part.parent)


def _blocks(fill: Fill, executor: Executor) -> Iterator[BlockOutcome]:
    if executor is one_by_one and fill.ahead:
        return run_blocks(fill.blocks)
    return executor(run_block, fill.blocks)


def _join(job: _Joining) -> Outcome:
    return join_blocks(job.unit, job.scene, job.blocks)


def bands_of_all(rows: Sequence[Acquisition]) -> tuple[str, ...]:
    """Optical bands that most optical acquisitions have, by wavelength: those a remover is fitted on."""
    optical = [{asset["band"] for asset in row["assets"]} for row in rows if row["sensor"] == "s2"]
    usual = usual_bands(optical)
    return tuple(band for band in OPTICAL_BANDS if band in usual)
