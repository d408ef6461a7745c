"""Work units with cloud removal: a block of ground over all its dates, then one part per acquisition.

A block's whole time stack is read, filled by the remover and summarised; only what its parcels gave is kept,
in one file per block. Parcels that block borders cut are put together from those files at the end.

`features.indices.uncertainty` explains how the remover's sigma of pixels becomes the error of a parcel.
"""

import json
import math
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xarray as xr
from odc.geo.geobox import GeoBox

from features.context.blocks import BlockContext
from features.errors import ImageryError
from features.extraction.filling.remover import FilledFrame, Remover
from features.extraction.observations import Remarks, make_part, write_part
from features.extraction.options import ExtractOptions
from features.extraction.units import Outcome, Unit, share_of, tile_coverage, tile_shares
from features.files import fingerprint, is_vouched, partial_of, sha256, vouch, write_json
from features.imagery.blocks import Block
from features.imagery.grids import crop
from features.imagery.scenes import Layer, Scene, scene_of
from features.imagery.stacks import read_stack
from features.indices.formulas import compute, find_index, left_out
from features.indices.uncertainty import fill_moments, propagate
from features.schema import ACQUISITIONS, SCENE_CLASS, Acquisition
from features.storage.scratch import scratch_folder
from features.workers import one_ahead, pool_of
from features.zonal.coverage import Coverage
from features.zonal.engine import gathered, summarise_gathered
from features.zonal.kernels import MOMENTS
from features.zonal.statistics import Owned, Part, combine, finish, quantiles_of


@dataclass(frozen=True)
class BlockUnit:
    """A block of one tile over all its acquisitions."""

    rows: tuple[Acquisition, ...]  # optical and radar rows of the acquisitions table
    scene: Scene  # of one acquisition that has all bands: its grids are the tile's
    block: Block
    bands: tuple[str, ...]
    polarisations: tuple[str, ...]
    parcels: Path
    cache: Path
    part: Path  # folder to write
    options: ExtractOptions
    remover: Remover
    context: BlockContext


@dataclass(frozen=True)
class BlockOutcome:
    """Acquisitions that could not be read in a block, with the reason of each."""

    part: Path
    failed: Mapping[str, tuple[str, str]]


def key_of(remover: Remover) -> str:
    """A hash of a fitted remover: of the files that it saves itself as."""
    with scratch_folder() as folder:
        remover.save(folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return fingerprint([(str(path.relative_to(folder)), sha256(path)) for path in files])


@dataclass(frozen=True)
class Cut:
    """One grid's coverage within the block, and where its pixels lie in the stack."""

    coverage: Coverage
    present: np.ndarray
    whole: np.ndarray  # bool (present,): the parcel does not go on beyond the block
    factor: int
    rows: slice  # of the stack's fine pixels under the block's own pixels
    columns: slice

    @property
    def samples(self) -> bool:
        """Whether some parcels will be put together from several blocks."""
        return not bool(self.whole.all())


@dataclass(frozen=True)
class _Held:
    """A block in work, with its stack as read; None where nothing is to be done."""

    unit: BlockUnit
    cuts: Mapping[int, Cut] = field(default_factory=dict)
    stack: xr.Dataset | None = None
    failed: Mapping[str, ImageryError] = field(default_factory=dict)

    @property
    def items(self) -> list[str]:
        """The optical acquisitions in the stack, in its order."""
        return [row["item_id"] for row in _optical(self.unit.rows) if row["item_id"] not in self.failed]


def run_block(unit: BlockUnit) -> BlockOutcome:
    """Read, fill and summarise one block over all dates, and write what its parcels gave."""
    return _write(_read(unit))


def run_blocks(units: Iterable[BlockUnit]) -> Iterator[BlockOutcome]:
    """As `run_block`, one after another; while one is filled the next is read, so that memory holds two
    stacks as read, and a few filled frames."""
    with ThreadPoolExecutor(1) as reader:
        yield from map(_write, one_ahead(reader, _read, units))


def _read(unit: BlockUnit) -> _Held:
    if _is_whole(unit.part):
        return _Held(unit)
    cuts, grid = _cuts(unit)
    if not any(len(cut.present) for cut in cuts.values()):
        return _Held(unit)
    failed: dict[str, ImageryError] = {}
    table = pl.DataFrame(list(unit.rows), schema=ACQUISITIONS)
    stack = read_stack(table, grid, unit.bands, unit.options.mask, unit.polarisations, failed)
    return _Held(unit, cuts, unit.context.laid_on(stack, grid), failed)


def readable(unit: BlockUnit, item: str) -> bool:
    """Say whether an acquisition can be read in a block; it can where the block holds no parcel."""
    cuts, grid = _cuts(unit)
    if not any(len(cut.present) for cut in cuts.values()):
        return True
    failed: dict[str, ImageryError] = {}
    table = pl.DataFrame([row for row in unit.rows if row["item_id"] == item], schema=ACQUISITIONS)
    read_stack(table, grid, unit.bands, unit.options.mask, unit.polarisations, failed)
    return not failed


def _write(held: _Held) -> BlockOutcome:
    part = held.unit.part
    if not _is_whole(part):
        shutil.rmtree(part, ignore_errors=True)
        _write_block(part, *_summarise(held))
    return BlockOutcome(part, _read_notes(part)["failed"])


def _summarise(held: _Held) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Notes (items, features by grid factor, failures) and arrays (see `_Sheet`) of a block."""
    if held.stack is None:
        return {"items": [], "failed": {}, "features": {}}, {}
    scene, options, items = held.unit.scene, held.unit.options, held.items
    sheets = {}
    for factor, cut in held.cuts.items():
        names = [name for name in scene.features if scene.target(name).factor == factor]
        sheets[factor] = _Sheet(len(items), names, cut, options.statistics)
    if items:
        _fill_sheets(held.unit, held.stack, list(sheets.values()))
    arrays = {f"{k}-{kind}": array for k, sheet in sheets.items() for kind, array in sheet.arrays().items()}
    reasons = {item: [error.reason, str(error)] for item, error in held.failed.items()}
    features = {str(factor): sheet.features for factor, sheet in sheets.items()}
    return {"items": items, "failed": reasons, "features": features}, arrays


def _fill_sheets(unit: BlockUnit, stack: xr.Dataset, sheets: "Sequence[_Sheet]") -> None:
    """Summarise every frame as soon as it is filled, while the next are; only a few are held."""

    def add(filled: FilledFrame) -> None:
        for sheet in sheets:
            sheet.add(filled.frame, _lines(filled, unit.bands, sheet.features, sheet.cut))

    threads = unit.options.threads
    running: deque[Future[None]] = deque()
    for filled in unit.remover.filled_frames(stack, reuse=True):
        running.append(pool_of(threads).submit(add, filled))
        if len(running) > threads:
            running.popleft().result()
    for task in running:
        task.result()


def _optical(rows: Sequence[Acquisition]) -> list[Acquisition]:
    return sorted(
        (row for row in rows if row["sensor"] == "s2"), key=lambda row: (row["datetime"], row["item_id"])
    )


def layers_of(scene: Scene) -> dict[int, Layer]:
    """By factor, the layer that statistics are taken on: the widest of those that cover different ground."""
    targets = sorted(map(scene.target, scene.features), key=lambda layer: math.prod(layer.grid.shape))
    return {layer.factor: layer for layer in targets}


def _cuts(unit: BlockUnit) -> tuple[dict[int, Cut], GeoBox]:
    """Coverage of the block on each grid that statistics are taken on, and the stack's grid: the block
    and its margin."""
    scene, block = unit.scene, unit.block
    layers = layers_of(scene)
    wide = block.widened(max(unit.remover.margin_px, *layers), scene.grid.shape)
    cuts = {}
    for factor, layer in layers.items():
        coverage = tile_coverage(unit.parcels, layer.grid, unit.cache)
        own = layer.own(block)
        part, present = coverage.window(*own.slices)
        whole = np.diff(part.offsets) == np.diff(coverage.offsets)[present]
        fine = [
            slice(p.start * factor - shift - w.start, p.stop * factor - shift - w.start)
            for p, shift, w in zip(own.slices, (layer.top, layer.left), wide.slices, strict=True)
        ]
        cuts[factor] = Cut(part, present, whole, factor, *fine)
    return cuts, crop(scene.grid, wide)


def _on(cut: Cut, values: np.ndarray) -> np.ndarray:
    """Fine pixels (y, x) of the stack on the cut's own pixels: the mean of those known, NaN where none is."""
    rows, columns = cut.rows, cut.columns
    height, width = cut.coverage.shape
    out = np.full((height * cut.factor, width * cut.factor), np.nan, np.float32)
    top, left = max(rows.start, 0), max(columns.start, 0)
    found = values[top : rows.stop, left : columns.stop]
    out[top - rows.start :, left - columns.start :][: found.shape[0], : found.shape[1]] = found
    if cut.factor == 1:
        return out
    parts = out.reshape(height, cut.factor, width, cut.factor)
    known = np.isfinite(parts)
    total, number = np.where(known, parts, 0).sum(axis=(1, 3)), known.sum(axis=(1, 3))
    unknown = np.full((height, width), np.nan, np.float32)
    return np.asarray(np.divide(total, number, out=unknown, where=number > 0))


@dataclass(frozen=True)
class _Line:
    """One feature of every covered pixel: value, sigma, whether filled; and how many values cannot be."""

    value: np.ndarray
    sigma: np.ndarray
    filled: np.ndarray
    left_out: int


def _lines(filled: FilledFrame, bands: Sequence[str], names: Sequence[str], cut: Cut) -> dict[str, _Line]:
    """Each feature of every covered pixel."""
    needed = sorted({band for name in names for band in find_index(name).bands})
    lines = {
        kind: {band: gathered(_on(cut, values[bands.index(band)]), cut.coverage) for band in needed}
        for kind, values in (("reflectance", filled.value), ("sigma", filled.sigma))
    }
    share = gathered(_on(cut, filled.filled.astype(np.float32)), cut.coverage)
    share = (share > 0).astype(np.float32)
    found: dict[str, _Line] = {}
    for name in names:
        operands, sigmas = ({band: lines[k][band] for band in find_index(name).bands} for k in lines)
        value = compute(name, operands)
        lost = left_out(name, operands, value, cut.coverage.weights)
        found[name] = _Line(value, propagate(name, operands, sigmas, share), share, lost)
    return found


class _Sheet:
    """What one block gives of its parcels on one grid, date by date and feature by feature.

    `moments (date, feature, parcel, MOMENTS)`, `answers (…, quantile)`, `made (…, 3)`: filled weight, and
    mean and weight of sigma; `left_out (date, feature)`; and for parcels cut by the block's border, where
    quantiles are wanted, their pixels `samples (date, feature, pixel)`.
    """

    def __init__(self, dates: int, features: Sequence[str], cut: Cut, statistics: Sequence[str]) -> None:
        quantiles = len(quantiles_of(statistics)[0])
        shape = (dates, len(features), len(cut.present))
        self.cut, self.statistics, self.features = cut, statistics, list(features)
        self.kept = np.zeros(len(cut.coverage.weights), bool)
        if cut.samples and quantiles:
            self.kept = np.repeat(~cut.whole, np.diff(cut.coverage.offsets))
        self.moments, self.answers = np.empty((*shape, MOMENTS)), np.empty((*shape, quantiles))
        self.made = np.empty((*shape, 3))
        self.left_out = np.zeros(shape[:2], np.int64)
        self.samples = np.empty((*shape[:2], int(self.kept.sum())), np.float32)

    def add(self, t: int, lines: Mapping[str, _Line]) -> None:
        offsets, weights = self.cut.coverage.offsets, self.cut.coverage.weights
        for k, name in enumerate(self.features):
            line = lines[name]
            part = summarise_gathered(line.value, offsets, weights, self.statistics)
            self.moments[t, k], self.answers[t, k] = part.moments, part.answers
            self.made[t, k] = fill_moments(line.value, line.sigma, line.filled, weights, offsets)
            self.samples[t, k] = line.value[self.kept]
            self.left_out[t, k] = line.left_out

    def arrays(self) -> dict[str, np.ndarray]:
        sizes = np.where(self.cut.whole | (not self.kept.any()), 0, np.diff(self.cut.coverage.offsets))
        return {
            "owners": self.cut.present,
            "offsets": np.concatenate([[0], np.cumsum(sizes)]),
            "weights": self.cut.coverage.weights[self.kept],
            "moments": self.moments,
            "answers": self.answers,
            "made": self.made,
            "samples": self.samples,
            "left_out": self.left_out,
        }


def _write_block(path: Path, notes: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a folder of .npy files, which can be read date by date; it appears whole or not at all."""
    draft = partial_of(path)
    draft.mkdir(parents=True)
    try:
        for name, array in arrays.items():
            np.save(draft / f"{name}.npy", array, allow_pickle=False)
            vouch(draft / f"{name}.npy")
        vouch(write_json(draft / "notes.json", notes))
        draft.rename(path)
    except OSError:
        if not _is_whole(path):  # else another worker was first, with the same arrays
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _is_whole(path: Path) -> bool:
    """Whether a block's folder is there with every file as it was written."""
    held = [file for file in path.glob("*.*") if not file.name.startswith(".")]
    noted = len(list(path.glob(".*.sha256")))
    return (path / "notes.json") in held and len(held) == noted and all(map(is_vouched, held))


def _read_notes(path: Path) -> dict[str, Any]:
    notes: dict[str, Any] = json.loads((path / "notes.json").read_text(encoding="utf-8"))
    return notes


@dataclass(frozen=True)
class _Given:
    """What a block gave of one acquisition and feature; `made`: filled weight, mean sigma, its weight."""

    owned: Owned
    made: np.ndarray
    left_out: int


def _read_date(path: Path, item: str) -> dict[str, _Given]:
    """What a block gave of one acquisition, by feature."""
    notes = _read_notes(path)
    if item not in notes["items"]:
        return {}
    t = notes["items"].index(item)
    found = {}
    for factor, names in notes["features"].items():
        kinds = ("owners", "offsets", "weights", "moments", "answers", "made", "samples", "left_out")
        held = {
            kind: np.load(path / f"{factor}-{kind}.npy", mmap_mode="r", allow_pickle=False) for kind in kinds
        }
        fixed = [np.array(held[kind]) for kind in ("weights", "offsets")]
        for k, name in enumerate(names):
            moments, answers, samples = (
                np.array(held[kind][t, k]) for kind in ("moments", "answers", "samples")
            )
            part = Part(moments, answers, samples, *fixed)
            owned = (np.array(held["owners"]), part)
            found[name] = _Given(owned, np.array(held["made"][t, k]), int(held["left_out"][t, k]))
    return found


def join_blocks(unit: Unit, scene: Scene, blocks: Sequence[Path]) -> Outcome:
    """Write one acquisition's part from what all blocks of its tile gave."""
    row = unit.row
    if not is_vouched(unit.part):
        found: dict[str, list[_Given]] = {}
        for path in blocks:
            for name, gave in _read_date(path, row["item_id"]).items():
                found.setdefault(name, []).append(gave)
        lost = {name: sum(one.left_out for one in gave) for name, gave in found.items()}
        notes = scene_of(row, unit.options.features_of("s2"), (SCENE_CLASS,)).notes
        remarks = Remarks({name: count for name, count in lost.items() if count}, notes)
        write_part(unit.part, _join(unit, scene, found), remarks)
    return Outcome(row["item_id"], unit.tile)


def _join(unit: Unit, scene: Scene, found: Mapping[str, list[_Given]]) -> pl.DataFrame:
    widest = layers_of(scene)
    layers = {name: widest[scene.target(name).factor] for name in scene.features}
    totals = {layer.factor: tile_shares(unit.parcels, layer.grid, unit.cache) for layer in widest.values()}
    ids = tile_coverage(unit.parcels, next(iter(layers.values())).grid, unit.cache).parcel_ids
    statistics = unit.options.statistics
    values, counts, valid, filled, sigma = ({} for _ in range(5))
    for name, layer in layers.items():
        gave = found.get(name, [])
        part = combine([one.owned for one in gave], statistics, len(ids))
        values[name], counts[name] = finish(part, statistics), part.weight
        valid[name] = share_of(part.weight, totals[layer.factor])
        weight, error = np.zeros(len(ids)), np.zeros(len(ids))
        for one in gave:
            owners, made = one.owned[0], one.made
            weight[owners] += made[:, 0]
            error[owners] += np.nan_to_num(made[:, 1]) * made[:, 2]
        filled[name] = share_of(weight, totals[layer.factor])
        sigma[name] = np.divide(error, part.weight, out=np.zeros(len(ids)), where=part.weight > 0)
    row = unit.row
    orbit = row["relative_orbit"]
    return make_part(
        ids, row["datetime"], row["sensor"], orbit, values, statistics, counts, valid, filled, sigma
    )


def drop_blocks(folder: Path) -> None:
    """Delete the block folders of a tile whose parts have all been written."""
    shutil.rmtree(folder, ignore_errors=True)
