"""Exact coverage of a grid's pixels by parcels: computed once per grid, then used for every raster on it."""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from odc.geo.geobox import GeoBox

from features.code.jit import njit
from features.declarations.geometry.repair import repair
from features.errors import ImageryError
from features.files import atomic_path, fingerprint, is_vouched, vouch
from features.zonal.exact import covered_cells
from features.zonal.statistics import ranges

log = logging.getLogger(__name__)
FULL = 0.999  # a pixel with at least this coverage counts as full
BATCH = 2000  # parcels handed to exactextract at a time, to bound its Python objects
VERSION = 1  # of the layout below; part of the cache key


@dataclass(frozen=True)
class Coverage:
    """Pixels that parcels cover, as runs along the grid's rows, with the covered fraction of each pixel.

    Parcel i owns runs `runs[i]:runs[i + 1]` and weights `offsets[i]:offsets[i + 1]`; a run is `lengths[r]`
    pixels from `(rows[r], columns[r])`. Rows, columns and lengths are of the narrowest type that holds them.
    """

    parcel_ids: np.ndarray  # object (parcel,)
    shape: tuple[int, int]
    runs: np.ndarray  # int64 (parcel + 1,)
    offsets: np.ndarray  # int64 (parcel + 1,)
    rows: np.ndarray
    columns: np.ndarray
    lengths: np.ndarray
    weights: np.ndarray  # float32 (pixel,), exactextract's own precision
    pixels: np.ndarray  # float64 (parcel,): area of the parcel in pixels, also where it leaves the grid

    def __len__(self) -> int:
        return len(self.parcel_ids)

    @property
    def nbytes(self) -> int:
        """Bytes held by the runs and weights."""
        arrays = (self.runs, self.offsets, self.rows, self.columns, self.lengths, self.weights, self.pixels)
        return sum(array.nbytes for array in arrays)

    def covered(self) -> np.ndarray:
        """Sum of coverage of each parcel inside the grid, in pixels; float64 (parcel,)."""
        return sums(self.weights, self.offsets)

    def full_pixels(self) -> np.ndarray:
        """Number of pixels of each parcel with coverage of at least FULL; int64 (parcel,)."""
        return sums(self.weights >= FULL, self.offsets).astype(np.int64)

    def take(self, parcels: np.ndarray) -> "Coverage":
        """Return the coverage of the parcels at indices `(n,)`, in that order."""
        run_of, runs = ranges(self.runs, parcels)
        pixel_of, offsets = ranges(self.offsets, parcels)
        return Coverage(
            self.parcel_ids[parcels], self.shape, runs, offsets,
            self.rows[run_of], self.columns[run_of], self.lengths[run_of], self.weights[pixel_of],
            self.pixels[parcels],
        )  # fmt: skip

    def window(self, rows: slice, columns: slice) -> tuple["Coverage", np.ndarray]:
        """Return the part inside a block, its runs counted from the block's corner, and `(n,)` the indices of
        the parcels that it holds: those with pixels there, or all where the block is the whole grid.
        """
        if (rows.start, columns.start) == (0, 0) and (rows.stop, columns.stop) == self.shape:
            return self, np.arange(len(self))
        bounds = (rows.start, rows.stop, columns.start, columns.stop)
        parts = _cut(self.runs, self.offsets, self.rows, self.columns, self.lengths, *bounds)
        runs, offsets, first_row, first_column, length, source = parts
        weights = np.empty(offsets[-1], np.float32)
        _copy_runs(source, length, self.weights, weights)
        present = np.flatnonzero(np.diff(offsets) > 0)
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        part = Coverage(
            self.parcel_ids[present], shape,
            np.append(runs[present], runs[-1]), np.append(offsets[present], offsets[-1]),
            first_row.astype(self.rows.dtype), first_column.astype(self.columns.dtype),
            length.astype(self.lengths.dtype), weights, self.pixels[present],
        )  # fmt: skip
        return part, present

    def touched(self, tile: tuple[int, int]) -> np.ndarray:
        """Which `tile` (height, width) of a raster with this shape any parcel touches; bool (tile row,
        tile column)."""
        touched = np.zeros((-(-self.shape[0] // tile[0]), -(-self.shape[1] // tile[1])), bool)
        row = self.rows.astype(np.int64) // tile[0]
        first = self.columns.astype(np.int64)
        left, right = first // tile[1], (first + self.lengths.astype(np.int64) - 1) // tile[1]
        for step in range(int((right - left).max(initial=0)) + 1):
            touched[row, np.minimum(left + step, right)] = True
        return touched


def sums(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sum of each range, `(range)`, of `values (n)` from `offsets (range + 1)`, without a running sum of the
    whole, which would take eight bytes a pixel.
    """
    filled, out = np.diff(offsets) > 0, np.zeros(len(offsets) - 1)
    if filled.any():
        out[filled] = np.add.reduceat(values, offsets[:-1][filled], dtype=np.float64)
    return out


@njit(nogil=True, cache=True)
def _cut(
    runs: np.ndarray,
    offsets: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    lengths: np.ndarray,
    top: int,
    bottom: int,
    left: int,
    right: int,
) -> tuple[np.ndarray, ...]:
    """Runs clipped to a block, and for each the index of its first weight."""
    total = 0
    for r in range(rows.size):
        if top <= rows[r] < bottom and columns[r] < right and columns[r] + int(lengths[r]) > left:
            total += 1
    parcels = runs.size - 1
    new_runs = np.zeros(parcels + 1, np.int64)
    new_offsets = np.zeros(parcels + 1, np.int64)
    row = np.empty(total, np.int64)
    column = np.empty(total, np.int64)
    length = np.empty(total, np.int64)
    source = np.empty(total, np.int64)
    count = 0
    pixels = 0
    for i in range(parcels):
        at = offsets[i]
        for r in range(runs[i], runs[i + 1]):
            start = max(int(columns[r]), left)
            stop = min(int(columns[r]) + int(lengths[r]), right)
            if top <= rows[r] < bottom and stop > start:
                row[count] = rows[r] - top
                column[count] = start - left
                length[count] = stop - start
                source[count] = at + start - columns[r]
                pixels += stop - start
                count += 1
            at += lengths[r]
        new_runs[i + 1] = count
        new_offsets[i + 1] = pixels
    return new_runs, new_offsets, row, column, length, source


@njit(nogil=True, cache=True)
def _copy_runs(source: np.ndarray, length: np.ndarray, values: np.ndarray, out: np.ndarray) -> None:
    position = 0
    for r in range(source.size):
        for step in range(length[r]):
            out[position] = values[source[r] + step]
            position += 1


def check_grid(grid: GeoBox) -> GeoBox:
    """Return the grid if it is north-up with square axes.

    Raises
    ------
    ImageryError
        Where it is rotated, sheared or flipped: coverage is computed along rows and columns.
    """
    a = grid.affine
    if a.b or a.d or a.a <= 0 or a.e >= 0:
        raise ImageryError(
            f"The grid {tuple(a)[:6]} is rotated or flipped; warp the raster to a north-up grid first."
        )
    return grid


def coverage_of(
    geometries: gpd.GeoSeries, parcel_ids: Sequence[str], grid: GeoBox, cache: Path | None = None
) -> Coverage:
    """Exact coverage of a grid by parcels, from the cache folder where it has been computed before.

    Parameters
    ----------
    geometries
        Polygons, reprojected here to the grid's CRS where theirs is another, and repaired where invalid;
        empty or None covers nothing.
    parcel_ids
        One per geometry.
    grid
        North-up GeoBox.
    cache
        Folder of coverage files; one is named by a hash of the geometries (in the grid's CRS), ids and grid.
    """
    check_grid(grid)
    if geometries.crs is not None and grid.crs is not None and geometries.crs != grid.crs:
        geometries = geometries.to_crs(str(grid.crs))
    shapes = np.array(geometries.array, dtype=object)
    broken = ~shapely.is_valid(shapes) & ~shapely.is_missing(shapes)
    if broken.any():  # a border that crosses itself encloses some ground negatively
        shapes[broken] = np.asarray(repair(geometries[broken])[0].array, dtype=object)
    ids = np.asarray(parcel_ids, dtype=object)
    if cache is None:
        return _compute(shapes, ids, grid)
    path = cache / f"{coverage_key(shapes, ids, grid)[:24]}.npz"
    found = _cached(path)
    return _made(path, _compute(shapes, ids, grid)) if found is None else found


def _made(path: Path, coverage: Coverage) -> Coverage:
    write_coverage(path, coverage)
    return coverage


def _cached(path: Path) -> Coverage | None:
    """Return a coverage from its file; None where there is none, or it is not as it was written."""
    if not path.is_file():
        return None
    if not is_vouched(path):
        log.warning("The coverage %s was damaged and is computed anew.", path.name)
        return None
    return read_coverage(path)


def coverage_key(shapes: np.ndarray, parcel_ids: np.ndarray, grid: GeoBox) -> str:
    """Return a hash of geometries and ids, `(parcel,)` each, and grid: equal keys have equal coverage."""
    import hashlib

    digest = hashlib.sha256()
    for blob in shapely.to_wkb(shapes):
        digest.update(blob or b"none")
    names = hashlib.sha256("\n".join(parcel_ids).encode()).hexdigest()
    return fingerprint(
        [VERSION, digest.hexdigest(), names, list(grid.affine)[:6], list(grid.shape), str(grid.crs)]
    )


def _batches(shapes: np.ndarray, grid: GeoBox) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (parcel, cell, coverage) of a batch of parcels."""
    left, bottom, right, top = grid.boundingbox
    boxes = shapely.bounds(shapes)
    with np.errstate(invalid="ignore"):
        near = (boxes[:, 0] < right) & (boxes[:, 2] > left) & (boxes[:, 1] < top) & (boxes[:, 3] > bottom)
    usable = np.flatnonzero(near & ~shapely.is_empty(shapes) & ~shapely.is_missing(shapes))
    shape = (int(grid.shape[0]), int(grid.shape[1]))
    for start in range(0, len(usable), BATCH):
        chosen = usable[start : start + BATCH]
        found = covered_cells(shapes[chosen], shape, (left, bottom, right, top))
        parcel = np.repeat(chosen, [len(cells) for cells, _ in found])
        cell = np.concatenate([cells for cells, _ in found]).astype(np.int64)
        yield parcel, cell, np.concatenate([shares for _, shares in found]).astype(np.float32)


def _compute(shapes: np.ndarray, parcel_ids: np.ndarray, grid: GeoBox) -> Coverage:
    height, width = (int(n) for n in grid.shape)
    kind = np.min_scalar_type(max(height, width))
    runs, offsets = np.zeros(len(shapes) + 1, np.int64), np.zeros(len(shapes) + 1, np.int64)
    rows, columns, lengths, weights = [], [], [], []
    for owners, cells, shares in _batches(shapes, grid):
        kept = np.flatnonzero(shares > 0)
        kept = kept[np.lexsort((cells[kept], owners[kept]))]
        parcel, cell, weight = owners[kept], cells[kept], shares[kept]
        row, column = cell // width, cell % width
        new = np.ones(len(cell), bool)
        new[1:] = (np.diff(cell) != 1) | (np.diff(parcel) != 0) | (np.diff(row) != 0)
        starts = np.flatnonzero(new)
        rows.append(row[starts].astype(kind))
        columns.append(column[starts].astype(kind))
        lengths.append(np.diff(np.append(starts, len(cell))).astype(kind))
        weights.append(weight)
        runs[1:] += np.bincount(parcel[starts], minlength=len(shapes))
        offsets[1:] += np.bincount(parcel, minlength=len(shapes))
    step = grid.affine
    return Coverage(
        parcel_ids, (height, width), np.cumsum(runs), np.cumsum(offsets),
        _join(rows, kind), _join(columns, kind), _join(lengths, kind), _join(weights, np.dtype(np.float32)),
        np.nan_to_num(shapely.area(shapes)) / abs(step.a * step.e),
    )  # fmt: skip


def _join(parts: list[np.ndarray], kind: np.dtype) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, kind)


def write_coverage(path: Path, coverage: Coverage) -> Path:
    """Write a coverage atomically as an uncompressed .npz without pickled objects, and note its hash."""
    arrays = {name: getattr(coverage, name) for name in ARRAYS}
    names = np.frombuffer(json.dumps(list(coverage.parcel_ids)).encode(), np.uint8)
    with atomic_path(path) as partial, partial.open("wb") as handle:
        np.savez(handle, allow_pickle=False, parcel_ids=names, shape=np.array(coverage.shape), **arrays)
    vouch(path)
    return path


def read_coverage(path: Path) -> Coverage:
    """Read what `write_coverage` wrote."""
    with path.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
        ids = np.array(json.loads(stored["parcel_ids"].tobytes()), dtype=object)
        height, width = stored["shape"].tolist()
        return Coverage(ids, (height, width), **{name: stored[name] for name in ARRAYS})


ARRAYS = ("runs", "offsets", "rows", "columns", "lengths", "weights", "pixels")
