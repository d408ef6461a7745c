"""Crops classified in season: by what was seen, and by the same completed with forecasts to the season's end.

A forecast that knew the declared crop would hand it to the classifier, so that these know no crop at all:
neither as an input nor through a class's curve. A forecast also brings the parcel's earlier years; what those
alone bring is told apart: `earlier` is completed by them, without a model. All have the season's radar.
Linear discriminants stand in for the crop models, as in the in-season curve of a run
(`models.verdicts.in_season`), cross-fitted over holdings.
"""

import warnings
from dataclasses import replace
from datetime import date

import numpy as np

from models.evaluation.metrics import Estimate, estimate, multiplicities
from models.forecast.forecaster import ALL, Forecaster, fit_forecaster, forecast
from models.forecast.history import UNKNOWN, History, Looks
from models.forecast.learning.samples import on_days, seen_ahead
from models.forecast.options import ForecastOptions
from tests.benchmarks.data.forecast_data import Regions

STEP_DAYS = 10
FOLDS = 5
SURE = 0.9  # chance from which a parcel counts as decided
CUTS = ("05-01", "06-01", "07-01", "08-01")


def blind_forecaster(known: Regions, options: ForecastOptions) -> Forecaster:
    """Return a forecaster that was never told a crop."""
    history = replace(known.history, crop=np.full_like(known.history.crop, UNKNOWN))
    own = options.model_copy(update={"inputs": tuple(name for name in options.inputs if name != "crop")})
    fold = np.random.default_rng(3).integers(0, 3, known.holding.max() + 1)[known.holding]
    samples = seen_ahead(history, np.arange(425, history.january[-1], 5))
    return fit_forecaster(history, samples, fold, known.holding, own)


def compared(fitted: Forecaster, new: Regions) -> list[tuple[str, str, str, Estimate]]:
    """Return `(cut, by, metric, estimate)` for the last season of regions that the forecaster never saw."""
    history = new.history
    year = history.origin.year + history.crop.shape[1] - 1
    crop = history.crop[:, -1].astype(int)
    blind = replace(history, crop=np.full_like(history.crop, UNKNOWN))
    start, end = history.day(date(year, 3, 1)), history.day(date(year, 10, 31))
    kept = np.isin(crop, np.flatnonzero(np.bincount(crop[crop >= 0]) >= 20)) & (crop >= 0)
    rows = []
    for cut in CUTS:
        day = history.day(date.fromisoformat(f"{year}-{cut}"))
        known = blind.until(day)
        radar = [steps_of(with_radar(known, k), start, day) for k in range(3)]
        seen = np.column_stack([steps_of(known, start, day), *radar])
        ahead = np.arange(day + STEP_DAYS, end, STEP_DAYS)
        samples = on_days(np.arange(len(history)), day, ahead)
        later = forecast(fitted, known, samples, np.full(len(history), ALL))
        shape = (len(history), len(ahead))
        tables = {
            "seen": seen,
            "earlier": np.column_stack([seen, later.by_method["climatology"].reshape(shape)]),
            "completed": np.column_stack([seen, later.value.reshape(shape)]),
        }
        for by, table in tables.items():
            chances = classified(table[kept], crop[kept], new.holding[kept])
            rows += [(cut, by, *one) for one in scored(chances, crop[kept], new.holding[kept])]
    return rows


def with_radar(history: History, channel: int) -> History:
    """Return a history in which a radar channel stands in for NDVI."""
    radar = history.radar
    known = np.isfinite(radar.value[:, channel])
    kept = radar.where(known)
    return replace(history, ndvi=Looks(kept.first, kept.day, kept.value[:, channel]))


def steps_of(history: History, start: int, end: int) -> np.ndarray:
    """Return `(parcel, step)` means of steps of ten days; unseen: the mean of the parcels that were."""
    count = max((end - start) // STEP_DAYS, 1)
    looks = history.ndvi
    at = (looks.day - start) // STEP_DAYS
    inside = (looks.day >= start) & (at < count)
    sums, n = np.zeros((len(history), count)), np.zeros((len(history), count))
    np.add.at(sums, (looks.rows()[inside], at[inside]), looks.value[inside])
    np.add.at(n, (looks.rows()[inside], at[inside]), 1)
    value = np.divide(sums, n, out=np.full_like(sums, np.nan), where=n > 0)
    value = value[:, (n > 0).any(0)]
    return np.where(np.isfinite(value), value, np.nanmean(value, axis=0))


def classified(table: np.ndarray, crop: np.ndarray, holding: np.ndarray) -> np.ndarray:
    """Return `(parcel, class)` chances by linear discriminants, out of fold."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    fold = np.random.default_rng(5).integers(0, FOLDS, holding.max() + 1)[holding]
    table = np.nan_to_num(table, nan=float(np.nanmean(table)))
    chances = np.zeros((len(table), crop.max() + 1))
    for k in range(FOLDS):
        rest, mine = fold != k, np.flatnonzero(fold == k)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # classes of one parcel
            fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(table[rest], crop[rest])
        chances[np.ix_(mine, fitted.classes_)] = fitted.predict_proba(table[mine])
    return chances


def scored(chances: np.ndarray, crop: np.ndarray, holding: np.ndarray) -> list[tuple[str, Estimate]]:
    """Return macro-F1, the share decided and how many of those are wrong, over holdings."""
    drawn = multiplicities(holding, np.random.default_rng(7))[:, np.unique(holding, return_inverse=True)[1]]
    drawn = drawn.astype(float)
    found, sure = chances.argmax(1), chances.max(1) >= SURE
    wrong = (found != crop) & sure
    classes = np.unique(crop)

    def macro(weight: np.ndarray) -> np.ndarray:
        scores = []
        for one in classes:
            hit = weight @ ((found == one) & (crop == one))
            scores.append(2 * hit / np.maximum(weight @ (found == one) + weight @ (crop == one), 1e-9))
        return np.mean(scores, axis=0)

    whole = np.ones((1, len(crop)))
    decided = drawn @ sure
    return [
        ("macro_f1", estimate(float(macro(whole)[0]), macro(drawn), len(crop))),
        ("share_decided", estimate(float(sure.mean()), decided / drawn.sum(1), len(crop))),
        (
            "wrong_among_decided",
            estimate(
                wrong.sum() / max(sure.sum(), 1), drawn @ wrong / np.maximum(decided, 1), int(sure.sum())
            ),
        ),
    ]
