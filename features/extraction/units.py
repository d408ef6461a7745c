"""One work unit: a tile's parcels over one acquisition, from files to one part of the observations."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
from odc.geo.geobox import GeoBox

from features.catalog.access.hrefs import is_remote
from features.catalog.access.stamps import file_stamp
from features.errors import CropcheckError, ImageryError
from features.extraction.clear_mask import clear_weights, read_clear_mask
from features.extraction.observations import Remarks, make_part, write_part
from features.extraction.options import ExtractOptions
from features.files import is_vouched
from features.imagery.blocks import Block
from features.imagery.physical import told_outside
from features.imagery.rasters.header import layout_of
from features.imagery.scenes import Layer, Scene, finer, read_layer, scene_of
from features.indices.formulas import compute, find_index, left_out, to_db
from features.memory import room
from features.schema import SCENE_CLASS, Acquisition
from features.workers import pool_of
from features.zonal.coverage import Coverage, coverage_of
from features.zonal.engine import gathered, summarise, summarise_gathered
from features.zonal.statistics import Owned, Part, combine, finish, quantiles_of, ranges

LEAST_PIXELS = 4.0  # clear pixels of a parcel, to tell whether its numbers can be
READ_AHEAD_SHARE = 1 / 8  # of the memory that may be used
POWER = "power of "  # a hidden feature: the band's linear power, for means that speckle does not bias


@dataclass(frozen=True)
class Unit:
    """All that a worker needs: small, so that a scheduler can hold millions."""

    row: Acquisition
    tile: str
    parcels: Path  # GeoParquet of the tile's parcels, buffered, in the tile's CRS
    cache: Path  # folder of coverages
    part: Path  # what to write
    options: ExtractOptions


@dataclass(frozen=True)
class Outcome:
    """What became of a unit: `reason` is None where its part was written."""

    item_id: str
    tile: str
    reason: str | None = None
    detail: str = ""


def identity(row: Acquisition, stamps: Mapping[str, str]) -> list[object]:
    """Return what the numbers of an acquisition depend on: its row, and the stamp of every asset.

    The folder that a local file lies in is no part of it: a catalog may be moved.
    """
    assets = []
    for asset in row["assets"]:
        href = asset["href"]
        name = href if is_remote(href) else Path(href).name
        stamp = stamps.get(href) or file_stamp(href)
        assets.append([name, stamp, {key: value for key, value in asset.items() if key != "href"}])
    return [{key: str(value) for key, value in row.items() if key != "assets"}, assets]


def run_unit(unit: Unit) -> Outcome:
    """Extract one acquisition over one tile and write its part; never raises for a bad raster."""
    if is_vouched(unit.part):
        return Outcome(unit.row["item_id"], unit.tile)
    try:
        write_part(unit.part, *extract_unit(unit))
    except CropcheckError as error:
        return Outcome(unit.row["item_id"], unit.tile, error.reason, str(error))
    return Outcome(unit.row["item_id"], unit.tile)


def _touched(unit: Unit, layer: Layer) -> np.ndarray | None:
    """Which blocks of the layer's file the tile's parcels touch; None where they are not known."""
    layout = layout_of(layer.asset["href"])
    return None if layout is None else touched_blocks(unit.parcels, layer.grid, unit.cache, layout.block)


@lru_cache(maxsize=32)
def touched_blocks(parcels: Path, grid: GeoBox, cache: Path, block: tuple[int, int]) -> np.ndarray:
    """Blocks (row, column) of a raster on `grid` that a tile's parcels touch."""
    return tile_coverage(parcels, grid, cache).touched(block)


@dataclass(frozen=True)
class Window:
    """A grid's coverage within one block: which parcels it holds, and which of them whole (bool).

    `cut` is the coverage of the others, `at` the places of its weights among all.
    """

    coverage: Coverage
    present: np.ndarray
    whole: np.ndarray
    cut: Coverage
    at: np.ndarray


@lru_cache(maxsize=64)
def windows_of(
    parcels: Path, grid: GeoBox, cache: Path, rows: tuple[int, int], columns: tuple[int, int]
) -> Window:
    """The coverage of a grid by a tile's parcels in a block, held for the next unit."""
    coverage = tile_coverage(parcels, grid, cache)
    part, present = coverage.window(slice(*rows), slice(*columns))
    whole = np.diff(part.offsets) == np.diff(coverage.offsets)[present]
    others = np.flatnonzero(~whole)
    return Window(part, present, whole, part.take(others), ranges(part.offsets, others)[0])


@lru_cache(maxsize=8)
def tile_shares(parcels: Path, grid: GeoBox, cache: Path) -> np.ndarray:
    """Area of every parcel in pixels, `(parcel)`, as `features.zonal.coverage.Coverage.pixels`, but no less
    than what is covered.
    """
    coverage = tile_coverage(parcels, grid, cache)
    return np.asarray(np.maximum(coverage.pixels, coverage.covered()))


@lru_cache(maxsize=8)
def tile_coverage(parcels: Path, grid: GeoBox, cache: Path) -> Coverage:
    """Coverage of a grid by a tile's parcels, held in memory by the worker for the next unit."""
    table = gpd.read_parquet(parcels)
    return coverage_of(table.geometry, table["parcel_id"].to_numpy(), grid, cache)


def forget_tiles() -> None:
    """Let go of every coverage held in memory."""
    for held in (tile_coverage, tile_shares, windows_of, touched_blocks):
        held.cache_clear()


@dataclass(frozen=True)
class Gathered:
    """A block's coverage, and its weights that the clear mask leaves."""

    window: Window
    weights: np.ndarray


Lines = dict[tuple[str, GeoBox], np.ndarray]  # gathered physical values, by band and grid
Grids = dict[GeoBox, Gathered]
Found = dict[str, list[Owned]]  # by feature, what each block gave of which parcels


def extract_unit(unit: Unit) -> tuple[pl.DataFrame, Remarks]:
    """Statistics of every parcel of the tile for every feature the acquisition allows, as a part."""
    row, options = unit.row, unit.options
    optical = row["sensor"] == "s2"
    scene = scene_of(row, options.features_of(row["sensor"]), (SCENE_CLASS,) if optical else ())
    if optical and SCENE_CLASS not in scene.layers and options.mask.without_classes == "set_aside":
        raise ImageryError(
            f"{row['item_id']} has no scene classification; clouds cannot be masked by it. Set "
            "clear.mask.method to temporal, or clear.mask.fallback to fmask; where they are masked already, "
            "set extract.mask.without_classes: clear.",
            reason="no_scene_class",
        )
    found: Found = {}
    lost: Counter[str] = Counter()
    ahead: deque[_Running] = deque()
    pool = pool_of(options.threads)
    most = min(options.read_ahead_mb * 1e6, room() * READ_AHEAD_SHARE)
    try:
        for block in scene.blocks(options.block_px):
            nbytes = _nbytes(scene, block)
            while ahead and nbytes + sum(running.nbytes for running in ahead) > most:
                _end_block(unit, scene, ahead.popleft(), pool, found, lost)
            started = _start_block(unit, scene, block, pool, nbytes)
            if started is not None:
                ahead.append(started)
        while ahead:
            _end_block(unit, scene, ahead.popleft(), pool, found, lost)
    finally:
        for task in (task for running in ahead for task in running.bands):
            task.cancel()
    return _finish_unit(unit, scene, found), Remarks(dict(+lost), scene.notes)


@dataclass(frozen=True)
class _Running:
    """A block whose bands are being read, and the memory that its pixels take until it is ended."""

    seen: Future[Grids]
    bands: list[Future[tuple[dict[str, Owned], Lines]]]
    nbytes: int


def _start_block(
    unit: Unit, scene: Scene, block: Block, pool: ThreadPoolExecutor, nbytes: int
) -> _Running | None:
    """Begin to read a block; None where no parcel has a pixel in it."""
    windows = {layer.grid: _window(unit, layer, block) for layer in map(scene.target, scene.features)}
    if not any(len(window.present) for window in windows.values()):
        return None
    seen = pool.submit(_gather_grids, unit, scene, block, windows)
    bands = [band for band in scene.layers if band != SCENE_CLASS]
    tasks = [pool.submit(_run_band, unit, scene, band, block, seen) for band in bands]
    return _Running(seen, tasks, nbytes)


def _nbytes(scene: Scene, block: Block) -> int:
    """Bytes of a block's pixels: raw, and for bands that indices are made of as float32 too."""
    gathered_bands = {
        b for name in scene.features if not _is_raw(scene, name) for b in find_index(name).bands
    }
    total = 0
    for band, layer in scene.layers.items():
        height, width = layer.hull(block).shape
        layout = layout_of(layer.asset["href"])
        each = (4 if layout is None else layout.dtype.itemsize) + 4 * (band in gathered_bands)
        total += height * width * each
    return total


def _end_block(
    unit: Unit, scene: Scene, running: _Running, pool: ThreadPoolExecutor, found: Found, lost: Counter[str]
) -> None:
    lines: Lines = {}
    for task in running.bands:
        parts, gathered_lines = task.result()
        lines |= gathered_lines
        for name, part in parts.items():
            found.setdefault(name, []).append(part)
    made = [name for name in scene.features if not _is_raw(scene, name)]
    more = [pool.submit(_run_index, scene, name, running.seen.result(), lines, unit.options) for name in made]
    for name, index_task in zip(made, more, strict=True):
        part, count = index_task.result()
        found.setdefault(name, []).append(part)
        lost[name] += count


def _window(unit: Unit, layer: Layer, block: Block) -> Window:
    rows, columns = ((edge.start, edge.stop) for edge in layer.own(block).slices)
    return windows_of(unit.parcels, layer.grid, unit.cache, rows, columns)


def _gather_grids(unit: Unit, scene: Scene, block: Block, windows: Mapping[GeoBox, Window]) -> Grids:
    """Coverage and clear weights of the block on each grid that a feature's statistics are taken on."""
    seen = read_clear_mask(scene, block, unit.options.mask) if SCENE_CLASS in scene.layers else None
    grids = {}
    for layer in map(scene.target, scene.features):
        if layer.grid not in grids:
            part = windows[layer.grid].coverage
            weights = part.weights if seen is None else clear_weights(seen, layer, block, part)
            grids[layer.grid] = Gathered(windows[layer.grid], weights)
    return grids


def _is_raw(scene: Scene, name: str) -> bool:
    """Whether a feature is a band as stored, up to scale and offset: its statistics come from the raw
    pixels."""
    index = find_index(name)
    encoding = scene.layers[index.bands[0]].encoding
    return index.formula in index.bands and encoding.unit not in ("linear", "db") and encoding.scale > 0


def _run_band(
    unit: Unit, scene: Scene, band: str, block: Block, seen: Future[Grids]
) -> tuple[dict[str, Owned], Lines]:
    """Read one band's block; summarise the features it is, gather it for the indices it is part of."""
    layer = scene.layers[band]
    read = layer.hull(block)
    raw = read_layer(layer, read, _touched(unit, layer))
    grids = seen.result()
    parts: dict[str, Owned] = {}
    lines: Lines = {}
    for name in (name for name in scene.features if band in find_index(name).bands):
        target = scene.target(name)
        grid = grids[target.grid]
        if not _is_raw(scene, name):
            if (band, target.grid) not in lines:
                pixels = np.ascontiguousarray(finer(raw, read, layer, target, block))
                line = gathered(pixels, grid.window.coverage)
                lines[(band, target.grid)] = layer.encoding.physical(line, reuse=True)
        else:
            own, nodata = layer.encoding.with_one_nodata(raw[layer.own(block).within(read).slices])
            parts[name] = _summarise(own, grid, unit.options.statistics, nodata)
    if layer.encoding.unit in ("linear", "db"):
        _, on = min(lines, key=lambda line: line[1] != layer.grid)  # its own grid where a feature is on it
        power = np.power(np.float32(10), lines[(band, on)] / np.float32(10))
        parts[POWER + band] = _summarise_line(power, grids[on], ("mean",))
    return parts, lines


def _run_index(
    scene: Scene, name: str, grids: Grids, lines: Lines, options: ExtractOptions
) -> tuple[Owned, int]:
    grid = scene.target(name).grid
    bands = {band: lines[(band, grid)] for band in find_index(name).bands}
    values = compute(name, bands)
    lost = left_out(name, bands, values, grids[grid].weights)
    return _summarise_line(values, grids[grid], options.statistics), lost


def _summarise(block: np.ndarray, grid: Gathered, statistics: Sequence[str], nodata: float | None) -> Owned:
    """What a block gives of its parcels; with their pixels where they are cut by its border."""
    window = grid.window
    part = summarise(block, window.coverage, grid.weights, statistics, nodata)
    if window.whole.all() or not len(quantiles_of(statistics)[0]):
        return window.present, part
    values, weights = gathered(block, window.cut), grid.weights[window.at]
    if nodata is not None:
        weights = np.where(values == np.float32(nodata), np.float32(0), weights)
    sizes = np.zeros(len(window.present), np.int64)
    sizes[~window.whole] = np.diff(window.cut.offsets)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return window.present, Part(part.moments, part.answers, values, weights, offsets)


def _summarise_line(values: np.ndarray, grid: Gathered, statistics: Sequence[str]) -> Owned:
    window = grid.window
    cut = not window.whole.all() and len(quantiles_of(statistics)[0]) > 0
    part = summarise_gathered(values, window.coverage.offsets, grid.weights, statistics, samples=cut)
    return window.present, part.without_samples_of(window.whole) if cut else part


def _finish_unit(unit: Unit, scene: Scene, found: Found) -> pl.DataFrame:
    ids = tile_coverage(unit.parcels, scene.target(scene.features[0]).grid, unit.cache).parcel_ids
    statistics = unit.options.statistics
    wanted = {name: ("mean",) if name.startswith(POWER) else statistics for name in (*scene.features, *found)}
    parts = {name: combine(found.get(name, []), kinds, len(ids)) for name, kinds in wanted.items()}
    values, counts, shares = {}, {}, {}
    for name in scene.features:
        encoding = scene.layers[find_index(name).bands[0]].encoding
        scaling = (encoding.scale, encoding.offset) if _is_raw(scene, name) else (1.0, 0.0)
        values[name] = finish(parts[name], statistics, *scaling)
        counts[name] = parts[name].weight
        total = tile_shares(unit.parcels, scene.target(name).grid, unit.cache)
        shares[name] = share_of(parts[name].weight, total)
    if "mean" in statistics:
        at = statistics.index("mean")
        seen = {name: table[counts[name] >= LEAST_PIXELS, at] for name, table in values.items()}
        _refuse_impossible(scene, seen)
        _replace_means(scene, values, parts, at)
    row = unit.row
    return make_part(
        ids, row["datetime"], row["sensor"], row["relative_orbit"], values, statistics, counts, shares
    )


def _refuse_impossible(scene: Scene, means: Mapping[str, np.ndarray]) -> None:
    """Raise an ImageryError where a band's reflectance of seen parcels cannot be: where scenes are compared,
    all may have been clouded.
    """
    for name, mean in means.items():
        band = scene.layers.get(name)
        if band is not None and band.encoding.unit == "reflectance":
            told = told_outside(mean, "reflectance", name)
            if told is not None:
                raise ImageryError(told[1], reason=told[0])


def share_of(weight: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Share of each parcel's area that was seen, 0 to 1, of weights and pixels `(parcel)`; what lies off the
    grid counts as not seen.
    """
    share = np.divide(weight, pixels, out=np.zeros(len(weight)), where=pixels > 0)
    return np.asarray(np.minimum(share, 1.0))


def _replace_means(scene: Scene, values: dict[str, np.ndarray], parts: Mapping[str, Part], at: int) -> None:
    """Means of backscatter features are features of the mean power: averaging decibels would be biased
    by speckle."""
    means = {}
    for band in scene.layers:
        if POWER + band in parts:
            power = parts[POWER + band].moments[:, 1]
            means[band] = to_db(power.astype(np.float32))
    for name in scene.features:
        bands = find_index(name).bands
        if any(band in means for band in bands) and set(bands) <= means.keys():
            values[name][:, at] = compute(name, {band: means[band] for band in bands})
