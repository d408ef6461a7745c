"""Cubes at a fraction of the resolution, where networks look, and the way back to every pixel.

A network corrects means over blocks of pixels; the detail within a block is that of the interpolation in
time. So a network costs a fraction, sees radar with its speckle averaged, and cannot blur an edge.
"""

from dataclasses import dataclass, replace

import numpy as np

from features.code.jit import njit
from models.clouds.removal.cube import Cube
from models.clouds.removal.intervals import GAP_EDGES
from models.clouds.removal.neighbours import strict_neighbours


def coarsen(cube: Cube, size: int, multiple: int = 1) -> Cube:
    """Return means over blocks of `size` pixels a side; a block is clear where any pixel of it is.

    Means are over clear (reflectance) or finite (the rest) pixels, NaN where there is none. A block is inside
    parcels where half of it is.

    Parameters
    ----------
    multiple
        Of which the sides are; what lies beyond the cube is unseen.
    """
    _, _, height, width = cube.shape
    if size == 1:
        return cube.padded(-height % multiple, -width % multiple)
    sides = coarse_sides((height, width), size, multiple)
    reflectance, clear = _block_reflectance(cube.reflectance, cube.clear, size, *sides)
    return replace(
        cube,
        reflectance=reflectance,
        clear=clear,
        backscatter=None if cube.backscatter is None else block_means(cube.backscatter, size, sides),
        context={name: block_means(channel, size, sides) for name, channel in cube.context.items()},
        parcels=None
        if cube.parcels is None
        else block_means(cube.parcels.astype(np.float32), size, sides) >= 0.5,
    )


def coarse_sides(shape: tuple[int, int], size: int, multiple: int) -> tuple[int, int]:
    """Return how many blocks of `size` pixels cover a `shape (y, x)`, rounded up to a multiple.

    Examples
    --------
    >>> coarse_sides((32, 35), 2, 8)
    (16, 24)
    """
    height, width = (-(-side // (size * multiple)) * multiple for side in shape)
    return height, width


def whole_blocks(clear: np.ndarray, size: int, multiple: int = 1) -> np.ndarray:
    """Return `(time, y / size, x / size)`: the blocks in which every pixel is clear; sides as of `coarsen`,
    and none beyond the pixels."""
    time, *shape = clear.shape
    high, wide = coarse_sides((shape[0], shape[1]), size, multiple)
    filled = np.zeros((time, high * size, wide * size), bool)
    filled[:, : shape[0], : shape[1]] = clear
    return np.asarray(filled.reshape(time, high, size, wide, size).all(axis=(2, 4)))


def block_means(values: np.ndarray, size: int, sides: tuple[int, int] | None = None) -> np.ndarray:
    """Return the mean of the finite values in each block of `values (…, y, x)`: `(…, y / size, x / size)`,
    NaN where none is.

    Parameters
    ----------
    sides
        Of what is returned; by default as many whole blocks as there are.

    Examples
    --------
    >>> block_means(np.array([[1.0, np.nan], [4.0, 4.0]], np.float32), 2)
    array([[3.]], dtype=float32)
    """
    *lead, height, width = values.shape
    out = np.empty((*lead, *(sides or (height // size, width // size))), np.float32)
    flat = np.ascontiguousarray(values, np.float32).reshape(-1, height, width)
    _block_means(flat, size, out.reshape(-1, *out.shape[-2:]))
    return out


@njit(cache=True, nogil=True)
def _block_means(values: np.ndarray, size: int, out: np.ndarray) -> None:
    layers, high, wide = out.shape
    _, height, width = values.shape
    for row in range(layers * high):
        layer, y = row // high, row % high
        for x in range(wide):
            total, count = np.float32(0), 0
            for j in range(y * size, min((y + 1) * size, height)):
                for i in range(x * size, min((x + 1) * size, width)):
                    if np.isfinite(values[layer, j, i]):
                        total += values[layer, j, i]
                        count += 1
            out[layer, y, x] = total / count if count > 0 else np.nan


@dataclass(frozen=True)
class Detail:
    """A cube's own pixels: what a correction of block means is laid over."""

    cube: Cube
    before: np.ndarray  # (time, y, x), as `strict_neighbours` gives them
    after: np.ndarray
    size: int
    constant: np.ndarray | None = None  # (band,): the base instead of other dates, where optics are not seen

    @classmethod
    def of(
        cls, cube: Cube, size: int, recent: bool, constant: np.ndarray | None, used: np.ndarray | None = None
    ) -> "Detail":
        """Find each pixel's neighbours among the `used (time, y, x)` observations, all clear ones by default;
        none after the gap where only earlier dates may be used."""
        before, after = strict_neighbours(cube.clear if used is None else used)
        if recent:
            after = np.full_like(before, -1)
        return cls(cube, before, after, size, None if constant is None else constant.astype(np.float32))

    def refine(
        self, frame: int, low: np.ndarray, spread: np.ndarray, factor: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return value and sigma `(band, y, x)` of a frame's unseen pixels, NaN elsewhere and where unknown.

        Parameters
        ----------
        low, spread
            `(y / size, x / size, band)`, or larger: the network's means over blocks, and its sigma.
        factor
            `(gap bin, band)` on sigma, by each pixel's own gap.
        """
        shape = self.cube.reflectance.shape[1:]
        value, sigma = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
        fixed = np.empty(0, np.float32) if self.constant is None else self.constant
        _refine(
            self.cube.reflectance, self.cube.clear[frame], self.before[frame], self.after[frame],
            self.cube.days, frame, fixed, low, spread, factor.astype(np.float32), GAP_EDGES, self.size,
            value, sigma,
        )  # fmt: skip
        return value, sigma


@njit(cache=True, nogil=True)
def _block_reflectance(
    reflectance: np.ndarray, clear: np.ndarray, size: int, high: int, wide: int
) -> tuple[np.ndarray, np.ndarray]:
    times, bands, height, width = reflectance.shape
    means = np.full((times, bands, high, wide), np.nan, np.float32)
    seen = np.zeros((times, high, wide), np.bool_)
    count = np.empty(wide, np.int32)
    for t in range(times):
        for y in range(min(high, -(-height // size))):
            count[:] = 0
            for j in range(y * size, min((y + 1) * size, height)):
                for x in range(wide):
                    for i in range(x * size, min((x + 1) * size, width)):
                        count[x] += clear[t, j, i]
            for x in range(wide):
                seen[t, y, x] = count[x] > 0
            for b in range(bands):
                for x in range(wide):
                    if count[x] == 0:
                        continue
                    total = np.float32(0)
                    for j in range(y * size, min((y + 1) * size, height)):
                        for i in range(x * size, min((x + 1) * size, width)):
                            if clear[t, j, i]:
                                total += reflectance[t, b, j, i]
                    means[t, b, y, x] = total / count[x]
    return means, seen


@njit(cache=True, nogil=True)
def _refine(
    reflectance: np.ndarray,
    clear: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    days: np.ndarray,
    frame: int,
    constant: np.ndarray,
    low: np.ndarray,
    spread: np.ndarray,
    factor: np.ndarray,
    edges: np.ndarray,
    size: int,
    value: np.ndarray,
    sigma: np.ndarray,
) -> None:
    bands, height, width = value.shape
    plane = height * width
    flat = reflectance.reshape(reflectance.size)
    most, blocks = size * width, -(-width // size)
    at, block, kind = np.empty(most, np.uint64), np.empty(most, np.uint64), np.empty(most, np.uint64)
    first, second = np.empty(most, np.uint64), np.empty(most, np.uint64)
    weight, found = np.empty(most), np.empty(most)
    total, count = np.empty(blocks), np.empty(blocks, np.int64)
    for row in range(-(-height // size)):  # of blocks
        n = 0  # pixels to fill, of which something is known
        count[:] = 0
        for y in range(row * size, min((row + 1) * size, height)):
            for x in range(width):
                p, q = before[y, x], after[y, x]
                if clear[y, x] or (p < 0 and q < 0):
                    continue
                to_before = days[frame] - days[p] if p >= 0 else np.inf
                to_after = days[q] - days[frame] if q >= 0 else np.inf
                at[n], block[n] = y * width + x, x // size
                first[n] = (p if p >= 0 else q) * bands * plane + y * width + x
                second[n] = (q if q >= 0 else p) * bands * plane + y * width + x
                weight[n], kind[n] = _later(to_before, to_after), _bin(min(to_before, to_after), edges)
                count[block[n]] += 1
                n += 1
        for b in range(bands):
            values, sigmas = value[b].reshape(plane), sigma[b].reshape(plane)
            own, factors, here = spread[row, :, b], factor[:, b], flat[b * plane :]
            if len(constant):
                found[:n] = constant[b]
            else:
                for i in range(n):
                    found[i] = (1 - weight[i]) * here[first[i]] + weight[i] * here[second[i]]
            _add_up(found, block, n, total)
            shift = low[row, :blocks, b] - total / np.maximum(count, 1)
            for i in range(n):
                values[at[i]] = np.float32(found[i]) + shift[block[i]]
                sigmas[at[i]] = own[block[i]] * factors[kind[i]]


@njit(cache=True, nogil=True)
def _add_up(found: np.ndarray, block: np.ndarray, n: int, total: np.ndarray) -> None:
    """Sum the first n values by block; those of one block that follow each other before memory is touched."""
    total[:] = 0
    i = 0
    while i < n:
        here = block[i]
        summed = total[here]
        while i < n and block[i] == here:
            summed += found[i]
            i += 1
        total[here] = summed


@njit(cache=True, nogil=True)
def _later(to_before: float, to_after: float) -> np.float32:
    """Return the later neighbour's weight, of two or of the one there is."""
    if np.isinf(to_before) or np.isinf(to_after):
        return np.float32(np.isinf(to_before))
    both = to_before + to_after
    return np.float32(to_before / both if both > 0 else 0.5)


@njit(cache=True, nogil=True)
def _bin(gap: float, edges: np.ndarray) -> int:
    k = 0
    while k < len(edges) and gap >= edges[k]:
        k += 1
    return k
