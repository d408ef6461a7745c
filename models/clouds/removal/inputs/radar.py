"""Radar at the dates of the optical frames: orbits levelled, speckle averaged."""

import numpy as np
from scipy.ndimage import uniform_filter

from features.code.jit import njit
from models.clouds.removal.cube import Cube

SPREAD_DAYS = 6.0  # one Sentinel-1 repeat: wide enough to average speckle, narrow enough to see a harvest
REACH_DAYS = 18.0
SPECKLE_PX = (3, 9)  # windows: a field's edge is sharp in one, its level sure in the other
MOISTURE_DAYS = 1.5  # the tile's mean needs no averaging in time, and soil dries within days
VIEWS = 3  # of each polarisation: near, over the field, over the tile
ALIKE_PX = 13  # the wide window, in which optical profiles select similar pixels
ALIKE = 2.0  # times the usual squared difference of neighbours: pixels as far apart weigh 1 / e
LEAST_WEIGHT = 1e-5  # of all acquisitions around a day: one six days off still informs on moisture
TOGETHER = 2048  # pixels that are averaged together: their sums stay in the first cache level
FARTHEST = 6.0  # beyond which a weight is as good as none


def radar_at(cube: Cube, days: np.ndarray, profiles: np.ndarray | None = None) -> np.ndarray:
    """Return backscatter `(len(days), view x channel, y, x)` in dB around each day, NaN where none was
    seen within reach.

    Acquisitions are weighted by a Gaussian of 6 days, of 1.5 days for the mean over the tile, which shows
    how wet the soil is (0.2 dB per percent: Baghdadi et al. 2016), and so how dark; each orbit is first
    shifted, pixel by pixel, to the mean over orbits, because incidence angles differ.

    Parameters
    ----------
    profiles
        `(y, x, feature)`, what is known of each pixel's season: the wide window then averages pixels that
        are alike in it, as those of one field are; by default all.
    """
    power = level_orbits(cube.backscatter, cube.radar_orbits)  # type: ignore[arg-type]
    narrow, wide = SPECKLE_PX
    level = _despeckle(power, wide) if profiles is None else _among_alike(power, profiles)
    views = np.concatenate([_despeckle(power, narrow), level], axis=1)
    apart = np.abs(days[:, None] - cube.radar_days[None, :])
    tile = _around(_over_tile(power), apart, MOISTURE_DAYS)
    there = np.broadcast_to(tile, (*tile.shape[:2], *power.shape[2:]))
    return np.concatenate([_around(views, apart, SPREAD_DAYS), there], axis=1)


def _around(power: np.ndarray, apart: np.ndarray, spread: float) -> np.ndarray:
    """Average `power (radar_time, channel, y, x)` around days that are `apart (day, radar_time)`."""
    weight = np.where(apart <= REACH_DAYS, np.exp(-0.5 * (apart / spread) ** 2), 0).astype(np.float32)
    flat = np.ascontiguousarray(power, np.float32).reshape(len(power), -1)
    mean = np.empty((len(apart), flat.shape[1]), np.float32)
    _mean_near(weight, flat, mean)
    return mean.reshape(len(apart), *power.shape[1:])


@njit(cache=True, nogil=True)
def _mean_near(weight: np.ndarray, values: np.ndarray, mean: np.ndarray) -> None:
    """Write means of the finite `values (time, k)` by `weight (day, time)`, of which few are not zero, to
    `mean (day, k)`; not as a matrix product, which would sum in another order on another number of cores."""
    total, amount = np.empty(TOGETHER, np.float32), np.empty(TOGETHER, np.float32)
    for start in range(0, values.shape[1], TOGETHER):
        size = min(TOGETHER, values.shape[1] - start)
        for day in range(len(weight)):
            total[:] = 0
            amount[:] = 0
            for time in range(len(values)):
                if weight[day, time] > 0:
                    _add_finite(total, amount, weight[day, time], values[time, start : start + size])
            out = mean[day, start : start + size]
            for k in range(size):
                out[k] = total[k] / amount[k] if amount[k] > LEAST_WEIGHT else np.nan


@njit(cache=True, nogil=True)
def _add_finite(total: np.ndarray, amount: np.ndarray, weight: np.float32, values: np.ndarray) -> None:
    nothing = np.float32(0)
    for k in range(len(values)):
        seen = np.isfinite(values[k])
        total[k] += weight * (values[k] if seen else nothing)
        amount[k] += weight if seen else nothing


def _over_tile(power: np.ndarray) -> np.ndarray:
    """Return the mean over what was seen of the tile, `(radar_time, channel, 1, 1)`."""
    return _mean(power.reshape(*power.shape[:2], -1).transpose(2, 0, 1))[:, :, None, None]


def level_orbits(power: np.ndarray, orbits: np.ndarray) -> np.ndarray:
    """Shift each orbit of `power (time, channel, y, x)`, per pixel and channel, to the mean of the orbits'
    means; `orbits` is `(time)`.
    """
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


def _among_alike(power: np.ndarray, profiles: np.ndarray) -> np.ndarray:
    """Average around each pixel, weighted by similarity of season (non-local means, Buades et al. 2005)."""
    usual = np.median(np.square(np.diff(profiles, axis=1)).sum(axis=-1)) if profiles.shape[1] > 1 else 0.0
    scale = np.float32(1 / max(ALIKE * float(usual), 1e-9))
    values = np.ascontiguousarray(np.moveaxis(power.reshape(-1, *power.shape[2:]), 0, -1))
    seen = np.isfinite(values)
    known = np.empty((0, 0, 0), np.float32) if seen.all() else seen.astype(np.float32)
    out = _similar_mean(
        np.where(seen, values, np.float32(0)), known, np.ascontiguousarray(profiles), scale, ALIKE_PX // 2
    )
    return np.ascontiguousarray(np.moveaxis(out, -1, 0)).reshape(power.shape)


@njit(cache=True, nogil=True)
def _similar_mean(
    values: np.ndarray, known: np.ndarray, profiles: np.ndarray, scale: np.float32, reach: int
) -> np.ndarray:
    """Average `values (y, x, k)`, which are zero where `known` is 0; an empty `known`: all are known."""
    height, width, count = values.shape
    out = np.full(values.shape, np.nan, np.float32)
    total, amount = np.empty(count, np.float32), np.empty(count, np.float32)
    for y in range(height):
        for x in range(width):
            total[:] = 0
            amount[:] = 0
            for j in range(max(0, y - reach), min(height, y + reach + 1)):
                for i in range(max(0, x - reach), min(width, x + reach + 1)):
                    apart = _squared_distance(profiles[y, x], profiles[j, i]) * scale
                    if apart > FARTHEST:
                        continue
                    weight = np.exp(-apart)
                    _add_scaled(total, weight, values[j, i])
                    if known.size > 0:
                        _add_scaled(amount, weight, known[j, i])
                    else:
                        amount += weight
            for k in range(count):
                if amount[k] > 0:
                    out[y, x, k] = total[k] / amount[k]
    return out


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})  # several terms at once
def _squared_distance(one: np.ndarray, other: np.ndarray) -> np.float32:
    total = np.float32(0)
    for k in range(len(one)):
        total += (one[k] - other[k]) ** 2
    return total


@njit(cache=True, nogil=True)
def _add_scaled(total: np.ndarray, weight: np.float32, values: np.ndarray) -> None:
    for k in range(len(total)):
        total[k] += weight * values[k]


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis of what is finite, NaN where nothing is."""
    seen = np.isfinite(values)
    count = seen.sum(axis=0)
    total = np.where(seen, values, 0).sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))
