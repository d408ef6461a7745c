"""Cubes at a fraction of the resolution, where networks look, and the way back to every pixel.

A network corrects means over blocks of pixels; the detail within a block is that of the interpolation in
time. So a network costs a fraction, sees radar with its speckle averaged, and cannot blur an edge.
"""

from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from models.clouds.cube import Cube
from models.clouds.intervals import GAP_EDGES
from models.clouds.neighbours import strict_neighbours


def coarsen(cube: Cube, size: int) -> Cube:
    """Return means over blocks of `size` pixels a side; a block is clear where any pixel of it is.

    Sides must be multiples of `size`; means are over clear (reflectance) or finite (the rest) pixels, NaN
    where there is none. A block is inside parcels where half of it is.
    """
    if size == 1:
        return cube
    reflectance, clear = _block_reflectance(cube.reflectance, cube.clear, size)
    return replace(
        cube,
        reflectance=reflectance,
        clear=clear,
        backscatter=None if cube.backscatter is None else block_means(cube.backscatter, size),
        context={name: block_means(channel, size) for name, channel in cube.context.items()},
        parcels=None if cube.parcels is None else block_means(cube.parcels.astype(np.float32), size) >= 0.5,
    )


def whole_blocks(clear: np.ndarray, size: int) -> np.ndarray:
    """Return `(time, y / size, x / size)`: the blocks in which every pixel is clear."""
    time, height, width = clear.shape
    return np.asarray(clear.reshape(time, height // size, size, width // size, size).all(axis=(2, 4)))


def block_means(values: np.ndarray, size: int) -> np.ndarray:
    """Return the mean of the finite values in each block of the last two axes, NaN where none is.

    Examples
    --------
    >>> block_means(np.array([[1.0, np.nan], [4.0, 4.0]], np.float32), 2)
    array([[3.]], dtype=float32)
    """
    *lead, height, width = values.shape
    out = np.empty((*lead, height // size, width // size), np.float32)
    flat = np.ascontiguousarray(values, np.float32).reshape(-1, height, width)
    _block_means(flat, size, out.reshape(-1, *out.shape[-2:]))
    return out


@njit(cache=True, nogil=True)
def _block_means(values: np.ndarray, size: int, out: np.ndarray) -> None:
    layers, high, wide = out.shape
    for row in range(layers * high):
        layer, y = row // high, row % high
        for x in range(wide):
            total, count = np.float32(0), 0
            for j in range(y * size, (y + 1) * size):
                for i in range(x * size, (x + 1) * size):
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
            `(y / size, x / size, band)`: the network's means over blocks, and its sigma.
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
    reflectance: np.ndarray, clear: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    times, bands, height, width = reflectance.shape
    high, wide = height // size, width // size
    means = np.full((times, bands, high, wide), np.nan, np.float32)
    seen = np.zeros((times, high, wide), np.bool_)
    for t in range(times):
        count = np.zeros((high, wide), np.int32)
        for y in range(high * size):
            for x in range(wide * size):
                count[y // size, x // size] += clear[t, y, x]
        for b in range(bands):
            total = np.zeros((high, wide), np.float32)
            for y in range(high * size):
                for x in range(wide * size):
                    if clear[t, y, x]:
                        total[y // size, x // size] += reflectance[t, b, y, x]
            for y in range(high):
                for x in range(wide):
                    if count[y, x] > 0:
                        means[t, b, y, x] = total[y, x] / count[y, x]
                        seen[t, y, x] = True
    return means, seen


@njit(cache=True, nogil=True)
def _refine(  # noqa: PLR0912 - one pass over the pixels, as numba wants it
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
    for block in range(height // size):
        weight = np.empty((size, width), np.float32)
        kind = np.empty((size, width), np.int16)  # bin of the gap; -1: seen, or nothing known
        for j in range(size):
            y = block * size + j
            for x in range(width):
                p, n = before[y, x], after[y, x]
                kind[j, x] = -1
                if clear[y, x] or (p < 0 and n < 0):
                    continue
                to_before = days[frame] - days[p] if p >= 0 else np.inf
                to_after = days[n] - days[frame] if n >= 0 else np.inf
                gap = min(to_before, to_after)
                k = 0
                while k < len(edges) and gap >= edges[k]:
                    k += 1
                kind[j, x] = k
                if p < 0:
                    weight[j, x] = 1
                elif n < 0:
                    weight[j, x] = 0
                else:
                    total = to_before + to_after
                    weight[j, x] = to_before / total if total > 0 else 0.5
        for b in range(bands):
            for bx in range(width // size):
                mean, count = np.float32(0), 0
                for j in range(size):
                    y = block * size + j
                    for x in range(bx * size, bx * size + size):
                        if kind[j, x] < 0:
                            continue
                        if len(constant):
                            found = constant[b]
                        else:
                            w = weight[j, x]
                            found = np.float32(0)
                            if w < 1:
                                found += (1 - w) * reflectance[before[y, x], b, y, x]
                            if w > 0:
                                found += w * reflectance[after[y, x], b, y, x]
                        value[b, y, x] = found
                        sigma[b, y, x] = spread[block, bx, b] * factor[kind[j, x], b]
                        mean += found
                        count += 1
                if count == 0:
                    continue
                shift = low[block, bx, b] - mean / count
                for j in range(size):
                    for x in range(bx * size, bx * size + size):
                        if kind[j, x] >= 0:
                            value[b, block * size + j, x] += shift
