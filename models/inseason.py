"""In season: how well crops can be told apart, and how much can be decided, by each date."""

from collections.abc import Callable, Sequence
from datetime import date

import numpy as np
import polars as pl
import xarray as xr

from features.gapfill import FillOptions, fill_series
from models.evaluation import Estimate, confusion, f1_scores, macro_f1, multiplicities, resampled_confusions

CURVE = pl.Schema(
    {
        "until": pl.Date,
        "metric": pl.String,  # macro_f1, decided_rate
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
    }
)
DECIDABLE = pl.Schema({"crop_class": pl.String, "until": pl.Date, "f1": pl.Float64, "n": pl.Int64})
DECIDABLE_F1 = 0.8
Typing = Callable[[xr.Dataset], np.ndarray]


def seen_until(series: xr.Dataset, until: date, fill: FillOptions) -> xr.Dataset:
    """Cut an unfilled ParcelSeries to the steps begun by `until`; fill gaps from these alone.

    The step in progress counts with all its dates: end at the eve of a step to leave it out. A filled series
    would let later dates shine through the gaps that they filled.
    """
    cut = series.sel(time=slice(None, np.datetime64(until, "ns")))
    return fill_series(cut, fill)


def dates_of(series: xr.Dataset, every: int = 3, first: int = 3) -> list[date]:
    """Last days of every so many steps, from the end of the first few to the end of the season."""
    days = series["time"].to_numpy().astype("datetime64[D]").astype(object).tolist()
    return [days[index] for index in range(first - 1, len(days) - 1, every)] + [days[-1]]


def season_curve(
    series: xr.Dataset,
    untils: Sequence[date],
    fill: FillOptions,
    typing: Typing,
    truth: np.ndarray,
    *,
    groups: np.ndarray,
    classes: Sequence[str],
    rng: np.random.Generator,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Type the crops anew with what was seen by each date.

    Parameters
    ----------
    series
        Unfilled.
    typing
        From a filled, cut ParcelSeries to out-of-fold probabilities `(parcel, class)`; one cross-fit a date.
    truth
        `(parcel)` index of the class to score against; -1 is left out.
    groups
        `(parcel)`: redrawn for the intervals.

    Returns
    -------
    tuple
        Macro-F1 by date, schema CURVE, and `earliest_dates` of every class, schema DECIDABLE.
    """
    known = truth >= 0
    drawn = multiplicities(groups[known], rng)
    rows, scores = [], []
    for until in untils:
        predicted = typing(seen_until(series, until, fill)).argmax(1)[known]
        whole = confusion(truth[known], predicted, len(classes))
        spread = macro_f1(resampled_confusions(truth[known], predicted, groups[known], len(classes), drawn))
        low, high = np.nanquantile(spread, [0.025, 0.975])
        estimate = Estimate(float(macro_f1(whole)), float(low), float(high), int(known.sum()))
        rows.append({"until": until, "metric": "macro_f1", **estimate.to_dict()})
        scores.append(f1_scores(whole))
    counts = np.bincount(truth[known], minlength=len(classes))
    return pl.DataFrame(rows, schema=CURVE), earliest_dates(untils, np.array(scores), counts, classes)


def decided_row(until: date, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Share of parcels confirmed or contradicted, a row of CURVE without interval: all are counted."""
    share = verdicts["verdict"].is_in(["confirmed", "contradicted"]).mean()
    row = {
        "until": until,
        "metric": "decided_rate",
        "value": share,
        "low": None,
        "high": None,
        "n": len(verdicts),
    }
    return pl.DataFrame([row], schema=CURVE)


def earliest_dates(
    untils: Sequence[date],
    scores: np.ndarray,
    counts: np.ndarray,
    classes: Sequence[str],
    least: float = DECIDABLE_F1,
) -> pl.DataFrame:
    """First date from which a class's F1 stays at `least` or above; null where it never does.

    Parameters
    ----------
    scores
        F1 `(date, class)`, NaN where undefined.
    counts
        Parcels of each class.

    Examples
    --------
    >>> days = [date(2022, 5, 1), date(2022, 6, 1), date(2022, 7, 1)]
    >>> f1 = np.array([[0.9, 0.2], [0.7, 0.3], [0.9, 0.4]])
    >>> earliest_dates(days, f1, np.array([20, 30]), ["maize", "rye"])["until"].to_list()
    [datetime.date(2022, 7, 1), None]
    """
    stays = np.logical_and.accumulate((scores >= least)[::-1], axis=0)[::-1]
    rows = []
    for index, name in enumerate(classes):
        reached = bool(stays[:, index].any())
        first = int(stays[:, index].argmax())
        score = float(scores[first if reached else -1, index])
        rows.append(
            {
                "crop_class": name,
                "until": untils[first] if reached else None,
                "f1": score,
                "n": int(counts[index]),
            }
        )
    return pl.DataFrame(rows, schema=DECIDABLE)
