"""Radar at the dates of the optical frames: orbits levelled, speckle averaged in time and space."""

import numpy as np
from scipy.ndimage import uniform_filter

from models.clouds.cube import Cube

SPREAD_DAYS = 6.0  # one Sentinel-1 repeat: wide enough to average speckle, narrow enough to see a harvest
REACH_DAYS = 18.0
SPECKLE_PX = (3, 9)  # windows: a field's edge is sharp in one, its level sure in the other


def radar_at(cube: Cube, days: np.ndarray) -> np.ndarray:
    """Return backscatter `(len(days), window x channel, y, x)` in dB around each day, NaN where none was
    seen within reach.

    Acquisitions are weighted by a Gaussian of 6 days; each orbit is first shifted, pixel by pixel, to the
    mean over
    orbits, because incidence angles differ.
    """
    power = level_orbits(cube.backscatter, cube.radar_orbits)  # type: ignore[arg-type]
    power = np.concatenate([_despeckle(power, size) for size in SPECKLE_PX], axis=1)
    apart = np.abs(days[:, None] - cube.radar_days[None, :])
    weight = np.where(apart <= REACH_DAYS, np.exp(-0.5 * (apart / SPREAD_DAYS) ** 2), 0).astype(np.float32)
    seen = np.isfinite(power)
    flat = np.where(seen, power, 0).reshape(len(power), -1)
    total = weight @ flat
    amount = (
        np.broadcast_to(weight.sum(1)[:, None], total.shape)
        if seen.all()
        else weight @ seen.reshape(flat.shape).astype(np.float32)
    )
    mean = np.divide(total, amount, out=np.full_like(total, np.nan), where=amount > 1e-3)
    return np.asarray(mean.reshape(len(days), *power.shape[1:]))


def level_orbits(power: np.ndarray, orbits: np.ndarray) -> np.ndarray:
    """Shift each orbit, per pixel and channel, to the mean of the orbits' means."""
    names = np.unique(orbits)
    if len(names) < 2:
        return power
    means = np.stack([_mean(power[orbits == name]) for name in names])
    overall = _mean(means)
    out = power.copy()
    for name, mean in zip(names, means, strict=True):
        shift = np.where(np.isfinite(mean), overall - mean, 0)
        out[orbits == name] += shift
    return out


def _despeckle(power: np.ndarray, pixels: int) -> np.ndarray:
    seen = np.isfinite(power)
    size = (1, 1, pixels, pixels)
    if seen.all():
        return np.asarray(uniform_filter(power, size, mode="nearest"))
    total = uniform_filter(np.where(seen, power, 0), size, mode="nearest")
    share = uniform_filter(seen.astype(np.float32), size, mode="nearest")
    return np.where(
        seen, np.divide(total, share, out=np.full_like(total, np.nan), where=share > 1e-3), np.nan
    )


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis of what is finite, NaN where nothing is."""
    seen = np.isfinite(values)
    count = seen.sum(axis=0)
    total = np.where(seen, values, 0).sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))
