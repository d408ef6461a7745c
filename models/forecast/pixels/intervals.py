"""How good forecasts of single pixels are, and intervals of their own: pixels err more than means of parcels.

Pixels that were drawn are forecast from earlier days of the season, by models that did not see their parcel,
and compared with what came.
"""

from dataclasses import replace

import numpy as np
import polars as pl

from features.context.daily import Daily
from models.forecast.forecaster import STEPS, Forecaster, forecast
from models.forecast.history import History
from models.forecast.intervals import LEAST_GROUPS, LEAST_SAMPLES, Intervals, calibrate
from models.forecast.learning.samples import seen_ahead
from models.forecast.score_table import SCORES, scores_of

EVERY = 17  # days between the days that are looked back from: passes come every few days, by fives
MOST_SAMPLES = 100_000


def calibrated(
    forecaster: Forecaster,
    pixels: History,
    fold: np.ndarray,
    group: np.ndarray,
    days: tuple[int, int],
    ahead: Daily | None = None,
    seed: int = 1,
) -> tuple[Intervals | None, pl.DataFrame]:
    """Return intervals of pixels, None where too few looks tell of any, and scores of their forecasts.

    Intervals are NaN at horizons of which too few looks, or looks of too few groups, tell. The scores
    (schema SCORES) count the cover of intervals that were calibrated on the other half of the groups.

    Parameters
    ----------
    pixels, fold, group
        Pixels that were drawn, with fold, and holding or block, of the parcel of each.
    days
        First day of the season's looks and the last that may be read, since the history's origin.
    """
    known = pixels.until(days[1])
    samples = seen_ahead(known, np.arange(days[0] + EVERY, days[1], EVERY))
    samples = samples.take(forecaster.knows(pixels.day_of_year(samples.target)))
    if len(samples) > MOST_SAMPLES:
        drawn = np.random.default_rng([seed, 31]).choice(len(samples), MOST_SAMPLES, replace=False)
        samples = samples.take(np.sort(drawn))
    if not len(samples):
        return None, SCORES.to_frame()
    found = forecast(forecaster, known, samples, fold, ahead)
    ratio = (samples.truth - found.value) / found.size
    own = group[samples.parcel]
    cells = found.cells
    _, at = np.unique(own, return_inverse=True)
    half = np.random.default_rng([seed, 37]).permutation(at.max() + 1)[at] % 2
    bounds = np.full((len(samples), 4), np.nan)
    for k in (0, 1):
        made = _intervals(forecaster, ratio, cells, own, half != k)
        if made is not None:
            mine = half == k
            bounds[mine] = made.of(found.value[mine], found.size[mine], *(cell[mine] for cell in cells))
    scores = scores_of(samples, replace(found, bounds=bounds), group, forecaster.weather_ahead)
    return _intervals(forecaster, ratio, cells, own, np.ones(len(samples), bool)), scores


def _intervals(
    forecaster: Forecaster, ratio: np.ndarray, cells: tuple[np.ndarray, ...], group: np.ndarray,
    rows: np.ndarray,
) -> Intervals | None:  # fmt: skip
    step, season, klass = (cell[rows] for cell in cells)
    if len(step) < LEAST_SAMPLES or len(np.unique(group[rows])) < LEAST_GROUPS:
        return None
    every = len(forecaster.classes)
    klass = np.where(klass == every, -1, klass)
    quantile = calibrate(ratio[rows], step, season, klass, group[rows], STEPS, every).quantile
    for one in range(STEPS):
        near = np.abs(step - one) <= 1  # as `calibrate` takes them together
        if near.sum() < LEAST_SAMPLES or len(np.unique(group[rows][near])) < LEAST_GROUPS:
            quantile[:, :, one] = np.nan
    return Intervals(quantile)
