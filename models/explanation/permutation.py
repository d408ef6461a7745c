"""What is lost out of fold when a feature, or a date, is shuffled between parcels."""

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import xarray as xr

from features.schema import IMPORTANCE
from models.crops.estimators.estimator import CropEstimator
from models.crops.fitting.crossfit import CrossFit
from models.crops.fitting.task import on_classes
from models.crops.inputs.arrays import take

LEAST = 1e-6  # probability that the log-loss counts at least
Group = tuple[str, object]  # a feature, or "all"; a date, or None for the season


def permutation_importance(
    fitted: CrossFit,
    series: xr.Dataset,
    y: np.ndarray,
    model: str,
    rng: np.random.Generator,
    parcels: Collection[str] | None = None,
    threads: int = 1,
) -> pl.DataFrame:
    """Return IMPORTANCE of shuffling: the rise of the log-loss (nats) when a group is mixed among parcels.

    Groups are features over all dates (method `permutation`), so that what dates share is shuffled together,
    and dates over all features (`permutation_date`); each fold's parcels are predicted by the model that did
    not see them.

    Parameters
    ----------
    y
        `(n,)` classes; "" where there is none.
    parcels
        Ids it is measured on; every parcel of a fold when omitted.
    threads
        Folds at a time.
    """
    block = fitted.probabilities.filter((pl.col("model") == model) & (pl.col("fold") >= 0))
    if parcels is not None:
        block = block.filter(pl.col("parcel_id").is_in(list(parcels)))
    place = {name: i for i, name in enumerate(series["parcel"].values.astype(str))}
    rows = np.array([place[name] for name in block["parcel_id"]])
    folds, classes = block["fold"].to_numpy(), block.columns[3:]
    codes = np.searchsorted(classes, np.asarray(y, str)[rows])

    def rises(fold: int, own: np.random.Generator) -> dict[Group, float]:
        estimator, held = fitted.models[model][fold], folds == fold
        part = take(series, rows[held])
        base = _loss(estimator, part, codes[held], classes)
        return {
            group: _loss(estimator, shuffled, codes[held], classes) - base
            for group, shuffled in _shuffled(part, own)
        }

    judged = [fold for fold in fitted.models[model] if (folds == fold).any()]
    with ThreadPoolExecutor(threads) as pool:
        by_fold = list(pool.map(rises, judged, rng.spawn(len(judged))))
    n = len(rows)
    found = [
        ("permutation" if time is None else "permutation_date", model, "all", feature, time, value / n, n)
        for feature, time in (by_fold[0] if by_fold else [])
        for value in [sum(losses[feature, time] for losses in by_fold)]
    ]
    return pl.DataFrame(found, schema=IMPORTANCE, orient="row")


def _loss(estimator: CropEstimator, series: xr.Dataset, codes: np.ndarray, classes: list[str]) -> float:
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
