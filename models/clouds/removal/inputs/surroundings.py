"""Deviations of a frame's visible part from the interpolation, over surroundings and similar pixels."""

import numpy as np
from scipy.ndimage import uniform_filter

from features.code.jit import njit
from models.clouds.removal.cube import Cube

BLOCK_PX = 4
REACHES = (3, 9)  # blocks: windows of 12 and 36 pixels
PRIOR = 16.0  # visible pixels that a mean needs before it counts half
PROFILE_STEPS = 10
KINDS, ROUNDS = 24, 8  # of k-means


def deviations(residual: np.ndarray, seen: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average a frame's deviations over nearby pixels and over pixels of the same kind, shrunk towards none.

    Parameters
    ----------
    residual
        `(band, y, x)`: observed minus interpolated from other dates.
    seen
        `(y, x)` bool: where both are known.
    kinds
        `(y, x)` labels of `pixel_kinds`.

    Returns
    -------
    tuple
        Coarse means `(y / 4, x / 4, reach, band + 1)` and means per kind `(kind, band + 1)`; the last entry
        is how much was seen, 0 to 1.
    """
    values = np.where(seen[None], residual, 0).astype(np.float32)
    sums = np.concatenate([block_sums(values), block_sums(seen[None].astype(np.float32))])
    near = np.stack([_shrink(uniform_filter(sums, (1, r, r), mode="constant") * r * r) for r in REACHES])
    return np.ascontiguousarray(np.moveaxis(near, (2, 3), (0, 1))), _by_kind(values, seen, kinds)


def block_sums(values: np.ndarray) -> np.ndarray:
    """Sum `(channel, y, x)` over blocks of 4 x 4 pixels; edges are padded with nothing."""
    channels, height, width = values.shape
    out = np.zeros((channels, -(-height // BLOCK_PX), -(-width // BLOCK_PX)), np.float32)
    _add_up(values, out)
    return out


@njit(cache=True, nogil=True)
def _add_up(values: np.ndarray, out: np.ndarray) -> None:
    channels, height, width = values.shape
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                out[c, y // BLOCK_PX, x // BLOCK_PX] += values[c, y, x]


def pixel_kinds(profiles: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return int16 `(y, x)` labels of pixels with similar `profiles (y, x, feature)`, by k-means."""
    profile = profiles.reshape(-1, profiles.shape[-1])
    sample = profile[np.random.default_rng(seed).choice(len(profile), min(len(profile), 4000), replace=False)]
    centres = sample[:: max(1, len(sample) // KINDS)][:KINDS].copy()
    for _ in range(ROUNDS):
        _to_means(sample, _nearest(sample, centres), centres)
    return _nearest(profile, centres).reshape(profiles.shape[:2])


def season_profiles(cube: Cube) -> np.ndarray:
    """Return `(y, x, step x band)`: each pixel's clear means over tenths of the season, off the tile's mean;
    0 where none is clear."""
    bands, pixels = len(cube.bands), cube.clear[0].size
    steps = np.minimum((np.linspace(0, 1, len(cube.days)) * PROFILE_STEPS).astype(int), PROFILE_STEPS - 1)
    out = np.zeros((PROFILE_STEPS, bands, pixels), np.float32)
    for step in np.unique(steps):
        clear = cube.clear[steps == step].reshape(-1, 1, pixels)
        values = np.where(clear, cube.reflectance[steps == step].reshape(len(clear), bands, pixels), 0)
        count = clear.sum(axis=0)
        mean = np.divide(
            values.sum(axis=0), count, out=np.full((bands, pixels), np.nan, np.float32), where=count > 0
        )
        known = count[0] > 0
        if known.any():
            out[step] = np.where(known, mean - mean[:, known].mean(axis=1, keepdims=True), 0)
    return np.ascontiguousarray(out.reshape(-1, pixels).T).reshape(*cube.clear.shape[1:], -1)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})  # several terms at once
def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return which of `centres (centre, feature)` is nearest to each of `points (point, feature)`, int16.

    A matrix product would sum in another order on another number of cores, and wait for them.
    """
    out = np.empty(len(points), np.int16)
    features = points.shape[1]
    for i in range(len(points)):
        least = np.float32(np.inf)
        for k in range(len(centres)):
            apart = np.float32(0)
            for f in range(features):
                apart += (points[i, f] - centres[k, f]) ** 2
            if apart < least:
                least, out[i] = apart, k
    return out


@njit(cache=True, nogil=True)
def _to_means(points: np.ndarray, nearest: np.ndarray, centres: np.ndarray) -> None:
    """Move each centre to the mean of the points that it is the nearest of."""
    sums, count = np.zeros_like(centres), np.zeros(len(centres), np.int64)
    for i in range(len(points)):
        count[nearest[i]] += 1
        for f in range(points.shape[1]):
            sums[nearest[i], f] += points[i, f]
    for k in range(len(centres)):
        if count[k] > 0:
            centres[k] = sums[k] / np.float32(count[k])


def _by_kind(values: np.ndarray, seen: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    labels = kinds[seen]
    count = np.bincount(labels, minlength=KINDS).astype(np.float32)[:KINDS]
    sums = np.stack([np.bincount(labels, band[seen], minlength=KINDS)[:KINDS] for band in values])
    means: np.ndarray = np.ascontiguousarray(
        _shrink(np.concatenate([sums, count[None]]).astype(np.float32)).T
    )
    return means


def _shrink(sums: np.ndarray) -> np.ndarray:
    """Turn sums with their count last into means shrunk to zero, and the count into its weight."""
    count = np.maximum(sums[-1:], 0)
    shrunk: np.ndarray = np.concatenate([sums[:-1], count]).astype(np.float32) / (count + np.float32(PRIOR))
    return shrunk
