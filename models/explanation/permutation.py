"""What is lost out of fold when a feature, or a date, is shuffled between parcels."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import xarray as xr

from features.schema import IMPORTANCE
from models.crops.estimators.estimator import CropEstimator
from models.crops.fitting.task import on_classes
from models.crops.inputs.arrays import take

LEAST = 1e-6  # probability that the log-loss counts at least
Group = tuple[str, object]  # a feature, or "all"; a date, or None for the season


def permutation_importance(
    models: Mapping[int, CropEstimator],
    series: xr.Dataset,
    y: np.ndarray,
    folds: np.ndarray,
    classes: Sequence[str],
    model: str,
    rng: np.random.Generator,
    threads: int = 1,
) -> pl.DataFrame:
    """Return IMPORTANCE of shuffling: the rise of the log-loss (nats) when a group is mixed among parcels.

    Groups are features over all dates (method `permutation`), so that what dates share is shuffled together,
    and dates over all features (`permutation_date`); each fold's parcels are predicted by the model that did
    not see them.

    Parameters
    ----------
    models
        By the fold that each was fitted without.
    series
        Of the `n` parcels that it is measured on.
    y, folds
        `(n,)` their classes, of `classes`, and folds.
    model
        Name of the models.
    threads
        Folds at a time.
    """
    codes = np.searchsorted(list(classes), np.asarray(y, str))

    def rises(fold: int, own: np.random.Generator) -> dict[Group, float]:
        estimator, held = models[fold], folds == fold
        part = take(series, held)
        base = _loss(estimator, part, codes[held], classes)
        return {
            group: _loss(estimator, shuffled, codes[held], classes) - base
            for group, shuffled in _shuffled(part, own)
        }

    judged = [fold for fold in models if (folds == fold).any()]
    with ThreadPoolExecutor(threads) as pool:
        by_fold = list(pool.map(rises, judged, rng.spawn(len(judged))))
    n = len(y)
    found = [
        ("permutation" if time is None else "permutation_date", model, "all", feature, time, value / n, n)
        for feature, time in (by_fold[0] if by_fold else [])
        for value in [sum(losses[feature, time] for losses in by_fold)]
    ]
    return pl.DataFrame(found, schema=IMPORTANCE, orient="row")


def _loss(estimator: CropEstimator, series: xr.Dataset, codes: np.ndarray, classes: Sequence[str]) -> float:
    """Sum of the log-loss of the parcels' own classes."""
    found = on_classes(estimator.predict_proba(series), estimator.classes_, classes)
    return float(-np.log(np.maximum(found[np.arange(len(found)), codes], LEAST)).sum())


def _shuffled(series: xr.Dataset, rng: np.random.Generator) -> Iterator[tuple[Group, xr.Dataset]]:
    """Yield the series once for each feature and each date, that one taken from another parcel."""
    value, observed = series["value"], series["observed"]
    dates = series["time"].values.astype("datetime64[D]").tolist()
    for axis, names in ((2, series["feature"].values), (1, dates)):
        for position, name in enumerate(names):
            order = rng.permutation(series.sizes["parcel"])
            chosen = (slice(None),) * axis + (position,)
            mixed, seen = value.values.copy(), observed.values.copy()
            mixed[chosen], seen[chosen] = value.values[order][chosen], observed.values[order][chosen]
            group = (str(name), None) if axis == 2 else ("all", name)
            yield group, series.assign(value=(value.dims, mixed), observed=(observed.dims, seen))
