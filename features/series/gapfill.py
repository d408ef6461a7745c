"""Gap filling of a ParcelSeries: what was observed is kept, what is filled carries its sigma."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import xarray as xr

from features.code.jit import njit
from features.schema import check_series
from features.series.options import GapfillOptions
from features.series.whittaker import penalty, posterior_variance, smooth_shared

DAYS_PER_UNIT = 10.0  # positions in dekads, so that the smoothness does not depend on the calendar


def gapfill_series(series: xr.Dataset, options: GapfillOptions) -> xr.Dataset:
    """Fill the gaps of a ParcelSeries `(parcel, time, feature, statistic)`; only `value` and `sigma` change,
    and only where a step was not observed.

    `linear` fills missing steps between the nearest ones with a value, and holds the first and last value
    outwards; values that cloud removal filled are kept. `whittaker` smooths observed and pixel-filled values
    together, the latter weighing less, and replaces whatever was not observed. A feature with no value at all
    (an absent orbit) stays missing.

    `sigma` of a filled step is the standard error of the mean statistic, in the feature's unit: for `linear`
    that of a Brownian bridge between its neighbours, for `whittaker` that of the smoother's posterior
    (Hutchinson and de Hoog 1985), both with a noise level pooled over the parcels.

    Returns
    -------
    xr.Dataset
        A new ParcelSeries; the one given is untouched.
    """
    return GapFiller.learn(options, lambda: [series]).fill(series)


@dataclass(frozen=True)
class GapFiller:
    """Gap filling with noise levels pooled over all parcels, which may come in chunks.

    Attributes
    ----------
    rate
        `(feature,)`: squared change over ten days, from `increment_variance`.
    noise
        `(feature,)`: variance of a value about Whittaker's curve; zeros for `linear`, which needs none.
    """

    options: GapfillOptions
    rate: np.ndarray
    noise: np.ndarray

    @classmethod
    def learn(cls, options: GapfillOptions, chunks: Callable[[], Iterable[xr.Dataset]]) -> Self:
        """Learn the noise levels from all parcels.

        Parameters
        ----------
        chunks
            Gives the ParcelSeries `(parcel, time, feature, statistic)` of every parcel, as observed, some
            parcels at a time; called once a pass, of which `whittaker` makes two.
        """
        if options.method == "none":
            return cls(options, np.zeros(0), np.zeros(0))
        pooled = None
        for chunk in chunks():
            check_series(chunk)
            pooled = _Increments(chunk.sizes["feature"]) if pooled is None else pooled
            pooled.add(chunk)
        rate = np.zeros(0) if pooled is None else pooled.rate
        noise = np.zeros_like(rate)
        if options.method == "whittaker" and len(rate):
            residual, freedom = np.zeros_like(rate), np.zeros_like(rate)
            for chunk in chunks():
                left = _smooth(chunk.copy(deep=True), positions(chunk), options, rate)
                residual += left.residual
                freedom += left.freedom
            np.divide(residual, freedom, out=noise, where=freedom > 0)
        return cls(options, rate, noise)

    def fill(self, series: xr.Dataset) -> xr.Dataset:
        """Return a ParcelSeries with its gaps filled, as `gapfill_series` does; the one given stays."""
        filled = check_series(series).copy(deep=True)
        if self.options.method != "none" and filled["value"].size:
            x = positions(series)
            if self.options.method == "whittaker":
                left = _smooth(filled, x, self.options, self.rate)
                spread = np.sqrt(left.spread * self.noise.astype(np.float32))
                filled["sigma"].values[left.gained] = spread[left.gained]
            _fill_linear(filled, x, self.rate)  # after Whittaker, what defines no curve: a single value
        return filled.assign_attrs(filling=self.options.method)


def positions(series: xr.Dataset) -> np.ndarray:
    """Return `(time,)`: the start of each step in dekads (ten days) since the first."""
    time = series["time"].to_numpy()
    return np.asarray((time - time[0]) / np.timedelta64(1, "D") / DAYS_PER_UNIT)


def weights_of(series: xr.Dataset, noise: np.ndarray) -> np.ndarray:
    """Return the weight of each step in the smoother, `(parcel, time, feature)`, 0 where there is no value;
    `noise (feature,)` is in the feature's unit.

    `(1 - filled_share) / (1 + (sigma / noise)^2)`: the inverse variance of a value whose filled pixels add
    sigma to the feature's own noise, and count for nothing in themselves where all are filled and nothing is
    known of sigma.
    """
    seen = 1 - series["filled_share"].to_numpy() * (series["sigma"].to_numpy() <= 0)
    ratio = series["sigma"].to_numpy() / noise.astype(np.float32)
    known = np.isfinite(series["value"].to_numpy()).any(-1)
    weights: np.ndarray = np.where(known, np.maximum(seen, 0.01) / (1 + ratio**2), 0)
    return weights


class _Increments:
    """The mean squared change of each feature over one unit of position, pooled over parcels.

    The variance rate of the Brownian motion that successive observed values suggest; drift counts as
    variance, so gaps are not thought better known than they are.
    """

    def __init__(self, features: int) -> None:
        self.total, self.count = np.zeros(features), np.zeros(features)

    def add(self, series: xr.Dataset) -> None:
        """Add the parcels of a ParcelSeries."""
        value = np.ascontiguousarray(series["value"].values[..., _mean_index(series)])
        _increments(value, series["observed"].values, positions(series), self.total, self.count)

    @property
    def rate(self) -> np.ndarray:
        """Return `(feature,)`, zero where no two values follow each other."""
        return np.divide(self.total, self.count, out=np.zeros_like(self.total), where=self.count > 0)


def _mean_index(series: xr.Dataset) -> int:
    names = list(series["statistic"].to_numpy())
    return names.index("mean") if "mean" in names else 0


def _fill_linear(series: xr.Dataset, x: np.ndarray, rate: np.ndarray) -> None:
    value, sigma = series["value"].values, series["sigma"].values
    mean = _mean_index(series)
    known = np.isfinite(value[..., mean])
    variance = np.zeros(sigma.shape, np.float32)
    for index in range(value.shape[3]):
        _interpolate(value[..., index], x, rate, variance, index == mean)
    gained = ~known & np.isfinite(value[..., mean])
    sigma[gained] = np.sqrt(variance[gained])


@dataclass(frozen=True)
class _Smoothed:
    """What smoothing leaves: `residual` and `freedom (feature,)`, weighted squares about the curves and their
    degrees of freedom; `spread` and `gained (parcel, time, feature)`, the curve's variance in units of the
    noise, and where it gave a value."""

    residual: np.ndarray
    freedom: np.ndarray
    spread: np.ndarray
    gained: np.ndarray


def _smooth(series: xr.Dataset, x: np.ndarray, options: GapfillOptions, rate: np.ndarray) -> _Smoothed:
    """Lay Whittaker's curve over what was not observed, in place."""
    value, observed = series["value"].values, series["observed"].values
    residual, freedom = np.zeros(observed.shape[2]), np.zeros(observed.shape[2])
    spread = np.zeros(observed.shape, np.float32)
    if len(x) < 3:
        return _Smoothed(residual, freedom, spread, np.zeros(observed.shape, bool))
    mean, bands = _mean_index(series), penalty(x, options.smoothness)
    weights = weights_of(series, np.sqrt(np.maximum(rate, 1e-12)))
    for parcels, features in _sharing(weights):
        cells = np.ix_(parcels, np.arange(len(x)), features)
        shared = weights[parcels, :, features[0]]
        own = value[cells].reshape(*shared.shape, -1)  # a copy, smoothed in place
        curve = smooth_shared(own, shared, bands, own).reshape(*shared.shape, len(features), -1)
        variance = posterior_variance(shared, bands)
        residual[features] += _squares(value[cells][..., mean] - curve[..., mean], shared)
        freedom[features] += np.nansum((shared > 0) - shared * variance)
        _replace(value, observed, cells, _hold_edges(curve, shared), series["statistic"].to_numpy())
        spread[cells] = variance[..., None]
    gained = ~observed & np.isfinite(value[..., mean]) & np.isfinite(spread)
    return _Smoothed(residual, freedom, spread, gained)


def _sharing(weights: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Parcels and features that share one set of weights within each parcel: one factor serves them all."""
    parcels = np.arange(weights.shape[0])
    for features in _like(weights):
        alike = (weights[:, :, features] == weights[:, :, features[:1]]).all((1, 2))
        for chunk in _chunks(parcels[alike]):
            yield chunk, features
        for feature in features:
            for chunk in _chunks(parcels[~alike]):
                yield chunk, np.array([feature])


def _like(weights: np.ndarray) -> list[np.ndarray]:
    """Features whose weights agree in most of a sample of parcels: those of one sensor and orbit."""
    sample = weights[:: max(len(weights) // 64, 1)]
    left, groups = list(range(weights.shape[2])), []
    while left:
        agree = (sample[:, :, left] == sample[:, :, left[:1]]).all(1).mean(0) > 0.5
        agree[0] = True
        groups.append(np.array(left)[agree])
        left = [feature for feature, together in zip(left, agree, strict=True) if not together]
    return groups


def _chunks(parcels: np.ndarray, size: int = 4096) -> Iterator[np.ndarray]:
    return (parcels[start : start + size] for start in range(0, len(parcels), size))


def _squares(residual: np.ndarray, weights: np.ndarray) -> np.ndarray:
    known = (weights[..., None] > 0) & np.isfinite(residual)
    return np.asarray(np.where(known, weights[..., None] * residual.astype(float) ** 2, 0).sum((0, 1)))


def _hold_edges(curve: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Hold the curve outside the first and last value: a line drawn on would leave the possible range."""
    known = weights > 0
    first, last = known.argmax(1), known.shape[1] - 1 - known[:, ::-1].argmax(1)
    step = np.clip(np.arange(known.shape[1])[None], first[:, None], last[:, None])
    return np.take_along_axis(curve, step[:, :, None, None], 1)


def _replace(
    value: np.ndarray, observed: np.ndarray, cells: tuple, curve: np.ndarray, statistics: np.ndarray
) -> None:
    curve[..., statistics == "std"] = np.maximum(curve[..., statistics == "std"], 0)
    keep = observed[cells][..., None] | ~np.isfinite(curve)
    value[cells] = np.where(keep, value[cells], curve)


@njit(cache=True)
def _increments(
    value: np.ndarray, observed: np.ndarray, x: np.ndarray, total: np.ndarray, count: np.ndarray
) -> None:
    for p in range(value.shape[0]):
        for f in range(value.shape[2]):
            last = -1
            for t in range(value.shape[1]):
                if observed[p, t, f] and np.isfinite(value[p, t, f]):
                    if last >= 0:
                        total[f] += (value[p, t, f] - value[p, last, f]) ** 2 / (x[t] - x[last])
                        count[f] += 1
                    last = t


@njit(cache=True)
def _interpolate(
    value: np.ndarray, x: np.ndarray, rate: np.ndarray, variance: np.ndarray, wants_variance: bool
) -> None:
    """Fill NaN along time in place, `(parcel, time, feature)`; variance of a Brownian bridge where filled."""
    for p in range(value.shape[0]):
        for f in range(value.shape[2]):
            last = -1
            for t in range(value.shape[1] + 1):
                if t < value.shape[1] and not np.isfinite(value[p, t, f]):
                    continue
                if last < 0 and t == value.shape[1]:
                    break  # never seen: stays missing
                for g in range(last + 1, t):
                    if last < 0:
                        value[p, g, f], spread = value[p, t, f], x[t] - x[g]
                    elif t == value.shape[1]:
                        value[p, g, f], spread = value[p, last, f], x[g] - x[last]
                    else:
                        share = (x[g] - x[last]) / (x[t] - x[last])
                        value[p, g, f] = value[p, last, f] + share * (value[p, t, f] - value[p, last, f])
                        spread = share * (x[t] - x[g])
                    if wants_variance:
                        variance[p, g, f] = rate[f] * spread
                last = t
