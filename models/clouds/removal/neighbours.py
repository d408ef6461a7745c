"""The clear observations on either side of a gap, pixel by pixel."""

import numpy as np

from features.code.jit import njit


@njit(cache=True, nogil=True)
def strict_neighbours(clear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of the last clear frame before, and of the first after, each frame and pixel.

    Strictly: a frame is never its own neighbour, so its own values cannot leak into its filling.

    Parameters
    ----------
    clear
        `(time, y, x)` bool.

    Returns
    -------
    tuple
        int16 `(time, y, x)` twice; -1 where there is none.
    """
    times, height, width = clear.shape
    before = np.full((times, height, width), -1, np.int16)
    after = np.full((times, height, width), -1, np.int16)
    for y in range(height):
        last, coming = np.full(width, -1, np.int16), np.full(width, -1, np.int16)
        for t in range(times):
            for x in range(width):
                before[t, y, x] = last[x]
                last[x] = t if clear[t, y, x] else last[x]
        for t in range(times - 1, -1, -1):
            for x in range(width):
                after[t, y, x] = coming[x]
                coming[x] = t if clear[t, y, x] else coming[x]
    return before, after


def step_on(neighbour: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the neighbour of a neighbour.

    Parameters
    ----------
    neighbour
        `(time, y, x)` as `strict_neighbours` gives it, one direction.
    frames
        `(y, x)` frame indices, -1 where there is none.
    """
    further = np.take_along_axis(neighbour, np.maximum(frames, 0)[None].astype(np.int64), axis=0)[0]
    return np.where(frames >= 0, further, np.int16(-1)).astype(np.int16)


@njit(cache=True, nogil=True)
def weighted_pair(
    reflectance: np.ndarray, before: np.ndarray, after: np.ndarray, weight_after: np.ndarray
) -> np.ndarray:
    """Return `(band, y, x)`: the value before and the value after, weighted; the one there is; else NaN."""
    _, bands, height, width = reflectance.shape
    out = np.full((bands, height, width), np.nan, np.float32)
    for y in range(height):
        for b in range(bands):
            for x in range(width):
                p, n, w = before[y, x], after[y, x], weight_after[y, x]
                if p >= 0 and n >= 0:
                    value = np.float32(0)
                    if w < 1:
                        value += (1 - w) * reflectance[p, b, y, x]
                    if w > 0:
                        value += w * reflectance[n, b, y, x]
                    out[b, y, x] = value
                elif p >= 0:
                    out[b, y, x] = reflectance[p, b, y, x]
                elif n >= 0:
                    out[b, y, x] = reflectance[n, b, y, x]
    return out


def distance_days(days: np.ndarray, frame: int, neighbour: np.ndarray) -> np.ndarray:
    """Return days from a frame to each pixel's neighbour, float32 `(y, x)`, infinite where there is none."""
    distance = np.abs(days[np.maximum(neighbour, 0)] - days[frame])
    return np.where(neighbour >= 0, distance, np.inf).astype(np.float32)


def linear_weight(to_before: np.ndarray, to_after: np.ndarray) -> np.ndarray:
    """Return `(y, x)`: the later neighbour's weight under linear interpolation from both distances in days;
    0.5 where both are on one date.
    """
    total = to_before + to_after
    usable = np.isfinite(total) & (total > 0)
    return np.asarray(np.divide(to_before, total, out=np.full_like(total, 0.5), where=usable))


def gap_to_clear(clear: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Return `(time, y, x)` float32: days to the pixel's nearest clear date, infinite where there is none."""
    best = np.full(clear.shape, np.inf, np.float32)
    for frame, seen in enumerate(clear):
        distance = np.abs(days - days[frame]).astype(np.float32)[:, None, None]
        np.minimum(best, np.where(seen[None], distance, np.inf), out=best)
    return best
