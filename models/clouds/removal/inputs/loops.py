"""Compiled loops that write the networks' input channels, pixel by pixel; see `channels` for their order."""

import numpy as np

from features.code.jit import njit

LEAST_KNOWN = np.float32(0.5)  # weight that a mean deviation needs to count in full


@njit(cache=True, nogil=True)
def write_layers(
    pixels: np.ndarray,
    whole: np.ndarray,
    indices: np.ndarray,
    days: np.ndarray,
    frame: int,
    base: np.ndarray,
    around: np.ndarray,
    haze: np.ndarray,
    radar: np.ndarray,
    layers: np.ndarray,
    scene: np.ndarray,
) -> None:
    """Write a frame's `layers (y, x, layer, feature)` and the first channels of its `scene (y, x, channel)`:
    what the interpolation and the centre of each pixel's observations are.

    Parameters
    ----------
    pixels, radar
        `(time, y, x, band)` and `(time, y, x, channel)`.
    whole
        `(y, x)`, where nothing is to be filled: zeros are written.
    indices
        `(layer, y, x)`, the frames that a pixel's layers are of, -1 where there is none.
    base
        `(band, y, x)`, the interpolation, which is the last layer.
    around, haze
        `(time, y / 4, x / 4)`.
    """
    bands, height, width = base.shape
    count, channels = len(indices), radar.shape[3]
    apart = np.minimum(np.maximum((days - days[frame]) / 20, -5), 5)
    nearness = np.exp(-2 * np.abs(apart))
    ordered, centre = np.empty((count, bands), np.float32), np.empty(bands)
    flags = bands + channels
    for y in range(height):
        for x in range(width):
            if whole[y, x] or not np.isfinite(base[0, y, x]):  # nothing to fill, or to fill it from
                layers[y, x] = 0
                scene[y, x, : 2 * bands] = 0
                continue
            n = 0
            for k in range(count):
                t = indices[k, y, x]
                if t >= 0:
                    _insert(ordered, n, pixels[t, y, x])
                    n += 1
            for b in range(bands):
                centre[b] = 0.5 * (ordered[(n - 1) // 2, b] + ordered[n // 2, b])
                scene[y, x, b] = (base[b, y, x] - centre[b]) * 20
                scene[y, x, bands + b] = (centre[b] - 0.2) * 4
            for k in range(count + 1):
                row = layers[y, x, k]
                t = indices[k, y, x] if k < count else frame
                for b in range(bands):
                    value = pixels[t, y, x, b] if k < count and t >= 0 else base[b, y, x]
                    row[b] = min(max((value - centre[b]) * 20, -5), 5)
                if t < 0:
                    row[bands:] = 0
                    continue
                for c in range(channels):
                    change = (radar[frame, y, x, c] - radar[t, y, x, c]) / 3
                    row[bands + c] = change if np.isfinite(change) else 0.0
                other = k < count
                row[flags] = apart[t]
                row[flags + 1] = abs(apart[t])
                row[flags + 2] = nearness[t] if other else 0.0
                row[flags + 3] = around[t, y // 4, x // 4] if other else 0.0
                row[flags + 4] = min(max(haze[t, y // 4, x // 4] * 50, -5), 5) if other else 0.0
                row[flags + 5] = 1.0


@njit(cache=True, nogil=True)
def _insert(ordered: np.ndarray, n: int, values: np.ndarray) -> None:
    """Put `values (band,)` into `ordered (n, band)`, each band's in its place."""
    for b in range(len(values)):
        ordered[n, b] = values[b]
    for k in range(n):
        for b in range(len(values)):
            low, high = min(ordered[k, b], ordered[n, b]), max(ordered[k, b], ordered[n, b])
            ordered[k, b], ordered[n, b] = low, high


@njit(cache=True, nogil=True)
def write_radar(power: np.ndarray, scene: np.ndarray, at: int) -> None:
    """Write `power (y, x, channel)` in dB from channel `at` on, and whether all of it is known."""
    height, width, channels = power.shape
    for y in range(height):
        for x in range(width):
            known = True
            for c in range(channels):
                seen = np.isfinite(power[y, x, c])
                scene[y, x, at + c] = (power[y, x, c] + 15) / 5 if seen else 0.0
                known &= seen
            scene[y, x, at + channels] = known


@njit(cache=True, nogil=True)
def write_deviations(
    near: np.ndarray, by_kind: np.ndarray, kinds: np.ndarray, scene: np.ndarray, at: int
) -> None:
    """Write from channel `at` of `scene (y, x, channel)` on what
    `models.clouds.removal.inputs.surroundings.deviations` found, and its mean.
    """
    height, width = kinds.shape
    reaches, size = near.shape[2:]
    last = at + (reaches + 1) * size
    for y in range(height):
        for x in range(width):
            row = scene[y, x]
            for b in range(size):
                total = by_kind[kinds[y, x], b]
                row[at + reaches * size + b] = total
                for s in range(reaches):
                    value = near[y // 4, x // 4, s, b]
                    row[at + s * size + b] = value
                    total += value
                row[last + b] = total
            known = max(row[last + size - 1], LEAST_KNOWN)
            for b in range(size - 1):
                row[last + b] /= known
            row[last + size - 1] /= reaches + 1
