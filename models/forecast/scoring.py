"""One scorer for every method: errors by horizon, and whether intervals hold, each over groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.evaluation.metrics import Estimate, multiplicities, totals

REPLICATES = 500
ALL = "all"


@dataclass(frozen=True)
class Truth:
    """What came, `(sample,)`, and how samples are grouped.

    Attributes
    ----------
    value
        NDVI that was seen on the day.
    horizon
        Days ahead.
    parcel
        Number of the parcel: "outperformance" counts parcels.
    group
        Redrawn for the intervals: site, holding or region.
    """

    value: np.ndarray
    horizon: np.ndarray
    parcel: np.ndarray
    group: np.ndarray

    def take(self, rows: np.ndarray) -> "Truth":
        """Return some of the samples, by number `(n)` or by a bool `(sample)`."""
        return Truth(self.value[rows], self.horizon[rows], self.parcel[rows], self.group[rows])


def sums_of(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return `(group, column)`: sums of `values (sample, column)` over groups as `np.unique` sorts them."""
    _, group = np.unique(groups, return_inverse=True)
    out = np.zeros((group.max(initial=-1) + 1, values.shape[1]))
    for k in range(values.shape[1]):
        out[:, k] = np.bincount(group, values[:, k], minlength=len(out))
    return out


def errors(truth: Truth, forecast: np.ndarray, rng: np.random.Generator) -> dict[str, Estimate]:
    """Return r2, rmse, mae and bias of a forecast `(sample,)`, with 95% intervals over groups.

    R2 is 1 less the squared error over the squared deviation from the mean of what came, of all samples
    together.
    """
    error = forecast - truth.value
    columns = np.column_stack(
        [np.ones(len(error)), error, np.abs(error), error**2, truth.value, truth.value**2]
    ).astype(float)
    sums = sums_of(columns, truth.group)
    drawn = totals(multiplicities(truth.group, rng, REPLICATES), sums)
    whole = sums.sum(0)
    found = {}
    for name, metric in (("r2", _r2), ("rmse", _rmse), ("mae", _mae), ("bias", _bias)):
        found[name] = _estimate(float(metric(whole)), metric(drawn), len(error))
    return found


def outperformance(
    truth: Truth, forecast: np.ndarray, climatology: np.ndarray, rng: np.random.Generator
) -> Estimate:
    """Return the share of parcels on which a forecast `(sample)` has a lower RMSE than climatology."""
    both = np.column_stack([(forecast - truth.value) ** 2, (climatology - truth.value) ** 2])
    sums = sums_of(both.astype(float), truth.parcel)
    parcels, at = np.unique(truth.parcel, return_index=True)
    better = (sums[:, 0] < sums[:, 1]).astype(float)
    group = truth.group[at]
    per_group = sums_of(np.column_stack([np.ones(len(better)), better]), group)
    drawn = totals(multiplicities(group, rng, REPLICATES), per_group)
    return _estimate(float(better.mean()), drawn[:, 1] / np.maximum(drawn[:, 0], 1), len(parcels))


def improvement(truth: Truth, forecast: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> Estimate:
    """Return by which share the RMSE of a forecast `(sample)` is below another's, paired, over groups."""
    both = np.column_stack([(forecast - truth.value) ** 2, (other - truth.value) ** 2]).astype(float)
    sums = sums_of(both, truth.group)
    drawn = totals(multiplicities(truth.group, rng, REPLICATES), sums)
    whole = sums.sum(0)
    return _estimate(
        float(1 - np.sqrt(whole[0] / whole[1])), 1 - np.sqrt(drawn[:, 0] / drawn[:, 1]), len(forecast)
    )


def coverage(
    truth: Truth, low: np.ndarray, high: np.ndarray, rng: np.random.Generator
) -> tuple[Estimate, Estimate]:
    """Return the share of what came that lies within the intervals `(sample)`, and their mean width."""
    inside = (truth.value >= low) & (truth.value <= high)
    sums = sums_of(np.column_stack([np.ones(len(low)), inside, high - low]).astype(float), truth.group)
    drawn = totals(multiplicities(truth.group, rng, REPLICATES), sums)
    whole = sums.sum(0)
    n = len(low)
    return (
        _estimate(float(whole[1] / whole[0]), drawn[:, 1] / drawn[:, 0], n),
        _estimate(float(whole[2] / whole[0]), drawn[:, 2] / drawn[:, 0], n),
    )


def best_of(truth: Truth, forecasts: Mapping[str, np.ndarray], names: Sequence[str]) -> str:
    """Return the name of the forecast `(sample)` with the lowest RMSE, among `names`."""
    squared = {name: float(np.mean((forecasts[name] - truth.value) ** 2)) for name in names}
    return min(names, key=lambda name: squared[name])


def _estimate(value: float, drawn: np.ndarray, n: int) -> Estimate:
    known = drawn[np.isfinite(drawn)]
    if len(known) < 2:
        return Estimate(value, np.nan, np.nan, n)
    low, high = np.quantile(known, [0.025, 0.975])
    return Estimate(value, float(low), float(high), n)


def _r2(sums: np.ndarray) -> np.ndarray:
    n = np.maximum(sums[..., 0], 1)
    total = sums[..., 5] - sums[..., 4] ** 2 / n
    return np.asarray(1 - sums[..., 3] / np.where(total > 0, total, np.nan))


def _rmse(sums: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(sums[..., 3] / np.maximum(sums[..., 0], 1)))


def _mae(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 2] / np.maximum(sums[..., 0], 1))


def _bias(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 1] / np.maximum(sums[..., 0], 1))
