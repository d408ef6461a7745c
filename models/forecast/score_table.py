"""How good a run's own forecasts were: looked back on, by horizon, beside the simple methods."""

import numpy as np
import polars as pl

from features.context.daily import Daily
from models.evaluation.metrics import Estimate
from models.forecast.forecaster import Forecast, Forecaster, forecast
from models.forecast.history import History
from models.forecast.learning.samples import STEP, Samples, horizon_step, seen_ahead
from models.forecast.scoring import Truth, coverage, errors, outperformance

LEAST = 50
SCORES = pl.Schema(
    {
        "method": pl.String,  # combined, persistence, climatology, damped ...
        "horizon_days": pl.Int32,
        "metric": pl.String,  # r2, rmse, mae, bias, outperformance, coverage_90, coverage_50, width_90
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
        "weather_ahead": pl.String,
    }
)
SHOWN = (1, 3, 5, 9, 13, 19)  # steps of the horizon


def score_table(
    forecaster: Forecaster,
    history: History,
    fold: np.ndarray,
    group: np.ndarray,
    days: np.ndarray,
    ahead: Daily | None = None,
) -> pl.DataFrame:
    """Return the scores of forecasts made on `days (day)`, schema SCORES; fold and group are `(parcel)`.

    Each parcel is forecast by models that did not see it; they may know the same days of other parcels, so
    that these figures are somewhat better than those of a season that is not known yet.
    """
    samples = seen_ahead(history, days)
    if not len(samples):
        return SCORES.to_frame()
    samples = samples.take(forecaster.knows(history.day_of_year(samples.target)))
    found = forecast(forecaster, history, samples, fold, ahead)
    return scores_of(samples, found, group, forecaster.weather_ahead)


def scores_of(samples: Samples, found: Forecast, group: np.ndarray, weather_ahead: str) -> pl.DataFrame:
    """Return the scores of what was forecast of samples with a truth, schema SCORES; figures of bounds that
    are NaN are left out.

    Parameters
    ----------
    group
        `(parcel,)` holding or block, redrawn for the intervals.
    """
    truth = Truth(samples.truth, samples.target - samples.origin, samples.parcel, group[samples.parcel])
    step, rng = horizon_step(truth.horizon), np.random.default_rng(1)
    methods = {"combined": found.value, **found.by_method}
    rows = []
    for one in SHOWN:
        at = np.flatnonzero(step == one)
        if len(at) < LEAST:
            continue
        part, horizon = truth.take(at), STEP * (one + 1)
        for name, value in methods.items():
            figures = errors(part, value[at], rng)
            if name == "combined":
                usual = found.by_method["climatology"][at]
                figures["outperformance"] = outperformance(part, value[at], usual, rng)
                figures |= _of_bounds(part, found.bounds[at], rng)
            rows += [
                (name, horizon, metric, e.value, e.low, e.high, e.n, weather_ahead)
                for metric, e in figures.items()
            ]
    return pl.DataFrame(rows, schema=SCORES, orient="row")


def _of_bounds(truth: Truth, bounds: np.ndarray, rng: np.random.Generator) -> dict[str, Estimate]:
    known = np.isfinite(bounds).all(1)
    if known.sum() < LEAST:
        return {}
    part, (low, low_50, high_50, high) = truth.take(known), bounds[known].T
    covered, width = coverage(part, low, high, rng)
    return {"coverage_90": covered, "width_90": width, "coverage_50": coverage(part, low_50, high_50, rng)[0]}
