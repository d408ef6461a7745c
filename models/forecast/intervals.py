"""Intervals that hold: conformal prediction by horizon and season, over groups, on errors out of fold.

An error is divided by the size of error that is expected of that sample (locally weighted conformal
prediction: Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018, JASA 113). The quantiles of that ratio are
taken apart by step of the horizon and season, and by class where that has enough samples (Mondrian: Vovk,
Gammerman and Shafer 2005). Each holding or block counts once, whatever its number of samples, and the level
is raised for their finite number (Dunn, Wasserman and Ramdas 2023, JASA 118).
"""

from dataclasses import dataclass

import numpy as np

LEVELS = (0.05, 0.25, 0.75, 0.95)  # of the 90% and the 50% interval
SEASONS = 4
LEAST_SAMPLES = 200
LEAST_GROUPS = 8


@dataclass(frozen=True)
class Intervals:
    """Quantiles of errors over their expected size.

    `quantile (class + 1, SEASONS + 1, step, LEVELS)`; the last class is all, the last season the year.
    """

    quantile: np.ndarray

    def of(
        self, forecast: np.ndarray, scale: np.ndarray, step: np.ndarray, season: np.ndarray, klass: np.ndarray
    ) -> np.ndarray:
        """Return `(sample, LEVELS)` the bounds of the intervals, within what NDVI can be."""
        found = self.quantile[klass, season, step]
        return np.asarray(np.clip(forecast[:, None] + scale[:, None] * found, -1, 1))


def season_of(day_of_year: np.ndarray) -> np.ndarray:
    """Return `(n,)` the season: 0 for December to February, 1 to 3 for spring, summer and autumn.

    Examples
    --------
    >>> season_of(np.array([0, 58, 59, 151, 243, 334, 364])).tolist()
    [0, 0, 1, 2, 3, 0, 0]
    """
    return np.asarray(np.searchsorted([59, 151, 243, 334], day_of_year, side="right") % SEASONS)


def calibrate(
    ratio: np.ndarray,
    step: np.ndarray,
    season: np.ndarray,
    klass: np.ndarray,
    group: np.ndarray,
    steps: int,
    classes: int,
) -> Intervals:
    """Return the quantiles.

    Parameters
    ----------
    ratio
        `(sample,)` truth less forecast, over the expected size of the error; out of fold.
    klass
        `(sample,)`; a negative one is of no class.
    group
        `(sample,)` holding and block.
    """
    quantile = np.full((classes + 1, SEASONS + 1, steps, len(LEVELS)), np.nan)
    everything = _quantiles(ratio, group)
    for one in range(steps):
        # neighbouring horizons err alike: each is calibrated with the step before and after it
        at_step = np.abs(step - one) <= 1
        quantile[classes, SEASONS, one] = _or(everything, ratio, group, at_step)
        for part in range(SEASONS):
            then = at_step & (season == part)
            quantile[classes, part, one] = _or(quantile[classes, SEASONS, one], ratio, group, then)
        for own in range(classes):
            mine = at_step & (klass == own)
            for part in range(SEASONS):
                quantile[own, part, one] = _or(
                    quantile[classes, part, one], ratio, group, mine & (season == part)
                )
            quantile[own, SEASONS, one] = _or(quantile[classes, SEASONS, one], ratio, group, mine)
    return Intervals(quantile)


def _or(otherwise: np.ndarray, ratio: np.ndarray, group: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the quantiles of some samples, or what is given where they, or their groups, are few."""
    at = np.flatnonzero(rows)
    if len(at) < LEAST_SAMPLES or len(np.unique(group[at])) < LEAST_GROUPS:
        return otherwise
    return _quantiles(ratio[at], group[at])


def _quantiles(ratio: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return the quantiles at LEVELS, every group counting as one."""
    _, at, size = np.unique(group, return_inverse=True, return_counts=True)
    order = np.argsort(ratio, kind="stable")
    weight = (1 / size[at])[order]
    share = (np.cumsum(weight) - 0.5 * weight) / len(size)
    more = (len(size) + 1) / len(size)
    upper = [min(level * more, 1.0) if level > 0.5 else 1 - min((1 - level) * more, 1.0) for level in LEVELS]
    return np.asarray(np.interp(upper, share, ratio[order]))
