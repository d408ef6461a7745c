"""In season: how well crops can be probabilities apart, and how much can be decided, by each date.

A light model stands in for the run's own, whose fits would cost minutes a date: linear discriminants of the
principal components of what was observed until then (Fisher 1936), cross-fitted on the run's folds. Nothing
is filled, for a filled value knows of later dates; a step not observed takes its mean over all parcels.
"""

import warnings
from collections.abc import Callable, Sequence
from datetime import date

import numpy as np
import polars as pl
import xarray as xr

from features.series.parcel_series import last_days
from models.evaluation.metrics import (
    confusion,
    estimate,
    f1_scores,
    macro_f1,
    multiplicities,
    ratio,
    resampled_confusions,
)
from models.probability.conformal import can_promise, class_p_values, least_p_values, margins, prediction_sets
from models.verdicts.options import JudgeOptions

COMPONENTS = 60  # principal components that crops are classified by
LANCZOS_FROM = 4  # columns a component from which Lanczos' method is the faster one
NO_VARIANCE = 1e-12  # of that of the first component
CURVE = pl.Schema(
    {
        "until": pl.Date,  # last day whose observations may have been used
        "metric": pl.String,  # macro_f1, decided_rate
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
    }
)
DECIDABLE = pl.Schema({"crop_class": pl.String, "until": pl.Date, "f1": pl.Float64, "n": pl.Int64})
DECIDABLE_F1 = 0.8
Classify = Callable[[xr.Dataset], np.ndarray]


def seen_until(series: xr.Dataset, until: date) -> xr.Dataset:
    """Return a ParcelSeries `(parcel, time, feature, statistic)` cut to the steps ended by `until`, and to
    observed values: the rest is NaN.
    """
    cut = series.isel(time=slice(None, sum(day <= until for day in last_days(series))))
    return cut.assign(value=cut["value"].where(cut["observed"]))


def dates_of(series: xr.Dataset, every: int = 3, first: int = 3) -> list[date]:
    """Return the last days of every `every`-th step of a ParcelSeries `(parcel, time, …)`, from the end of
    step `first` to the end of the season.
    """
    days = last_days(series)
    return [days[index] for index in range(first - 1, len(days) - 1, every)] + [days[-1]]


def discriminate(series: xr.Dataset, declared: np.ndarray, folds: np.ndarray, n_classes: int) -> np.ndarray:
    """Return out-of-fold probabilities `(parcel, class)` by linear discriminants; the prior where unknown.

    Parameters
    ----------
    declared
        `(parcel)` class index; -1 is not trained on.
    folds
        `(parcel)`; -1 is not trained on, and probabilities by the model without the first fold.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    points = components(series)
    trained = (declared >= 0) & (folds >= 0)
    counts = np.bincount(declared[trained], minlength=n_classes) + 1.0
    probabilities = np.tile(counts / counts.sum(), (len(declared), 1))
    for fold in np.unique(folds[trained]):
        rest = trained & (folds != fold)
        mine = (folds == fold) | ((folds < 0) & (fold == folds[trained].min()))
        if len(np.unique(declared[rest])) < 2 or not points.shape[1]:
            continue
        with warnings.catch_warnings():  # classes of one parcel; components that are nearly alike
            warnings.simplefilter("ignore")
            fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(
                points[rest], declared[rest]
            )
            probabilities[mine] = 0
            probabilities[np.ix_(mine, fitted.classes_)] = fitted.predict_proba(points[mine])
    return probabilities


def components(series: xr.Dataset) -> np.ndarray:
    """Return principal components of the standardised season, `(parcel, component)`; no label is used."""
    value = series["value"].transpose("parcel", "time", "feature", "statistic").values
    table = value.reshape(len(value), -1).astype(float)
    known = np.isfinite(table)
    count = np.maximum(known.sum(0), 1)
    centred = np.where(known, table - np.where(known, table, 0).sum(0) / count, 0)
    deviation = np.sqrt((centred**2).sum(0) / count)
    return principal(centred[:, deviation > 0] / deviation[deviation > 0], COMPONENTS)


def principal(centred: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many principal components of columns whose mean is 0, `(row, component)`.

    They are eigenvectors of the smaller of the two matrices of products, by Lanczos' method where few of many
    are wanted; components without variance are left out.

    Examples
    --------
    >>> np.abs(principal(np.array([[3.0, 4.0], [-3.0, -4.0]]), 2)).round(6)
    array([[5.],
           [5.]])
    """
    from scipy.linalg import eigh
    from scipy.sparse.linalg import eigsh

    tall = centred.shape[0] >= centred.shape[1]
    products = centred.T @ centred if tall else centred @ centred.T
    size = len(products)
    width = min(most, size)
    if not width:
        return np.empty((len(centred), 0))
    if size > LANCZOS_FROM * width:
        variance, vectors = eigsh(products, width, v0=np.random.default_rng(0).normal(size=size))
    else:
        variance, vectors = eigh(products, subset_by_index=[size - width, size - 1])
    real = variance > NO_VARIANCE * max(variance.max(), 0)
    vectors = vectors[:, real][:, ::-1]
    return np.asarray(centred @ vectors if tall else vectors * np.sqrt(variance[real][::-1]))


def season_curve(
    series: xr.Dataset,
    untils: Sequence[date],
    classify: Classify,
    *,
    truth: np.ndarray,
    declared: np.ndarray,
    folds: np.ndarray,
    groups: np.ndarray,
    classes: Sequence[str],
    options: JudgeOptions,
    rng: np.random.Generator,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Type the crops anew with what was seen by each date.

    Parameters
    ----------
    series
        ParcelSeries.
    classify
        From a cut ParcelSeries to out-of-fold probabilities `(parcel, class)`; one cross-fit a date.
    truth, declared
        `(parcel)` index of the class to score against, and of the class declared; -1 is left out.
    groups
        `(parcel)`: redrawn for the intervals.

    Returns
    -------
    tuple
        Macro-F1 and share decided by date, schema CURVE, and `earliest_dates` of every class, schema
        DECIDABLE.
    """
    known = truth >= 0
    drawn = multiplicities(groups[known], rng)
    rows, scores = [], []
    for until in untils:
        probabilities = classify(seen_until(series, until))
        predicted = probabilities.argmax(1)[known]
        whole = confusion(truth[known], predicted, len(classes))
        spread = macro_f1(resampled_confusions(truth[known], predicted, groups[known], len(classes), drawn))
        decided = decided_by(probabilities, declared, folds, options)
        found = {
            "macro_f1": estimate(float(macro_f1(whole)), spread, int(known.sum())),
            "decided_rate": ratio(decided, np.ones(len(decided)), groups, rng),
        }
        rows += [{"until": until, "metric": name, **value.to_dict()} for name, value in found.items()]
        scores.append(f1_scores(whole))
    counts = np.bincount(truth[known], minlength=len(classes))
    return pl.DataFrame(rows, schema=CURVE), earliest_dates(untils, np.array(scores), counts, classes)


def decided_by(
    probabilities: np.ndarray, declared: np.ndarray, folds: np.ndarray, options: JudgeOptions
) -> np.ndarray:
    """Return whether probabilities alone would confirm or contradict each declaration, `(parcel)` bool.

    The rule without what does not depend on the date: schemes, sizes, mislabel scores. A parcel is compared
    with its class by the margin.
    """
    p_values = class_p_values(margins(probabilities), declared, folds)
    own = np.where(declared >= 0, p_values[np.arange(len(declared)), declared], np.nan)
    promised = np.zeros(len(declared), bool)
    for number in range(probabilities.shape[1]):
        mine = declared == number
        promised[mine] = can_promise(least_p_values(mine & (folds >= 0), folds), options.alpha)[mine]
    same = probabilities.argmax(1) == declared
    narrow = prediction_sets(p_values, 1 - options.set_level).sum(1) <= options.max_set_size
    return np.asarray(promised & np.where(same, (own > options.alpha) & narrow, own <= options.alpha))


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
