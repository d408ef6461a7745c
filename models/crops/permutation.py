"""What is lost out of fold when a feature, or a date, is shuffled between parcels."""

from collections.abc import Iterator

import numpy as np
import polars as pl
import xarray as xr

from features.schema import IMPORTANCE
from models.crops.crossfit import CrossFit
from models.crops.inputs import take
from models.crops.task import on_classes


def permutation_importance(
    fitted: CrossFit, series: xr.Dataset, y: np.ndarray, model: str, rng: np.random.Generator
) -> pl.DataFrame:
    """Return IMPORTANCE of method `permutation`: rise of the log-loss (nats) when a group is shuffled.

    Groups are features (over all dates, so that what dates share is shuffled together) and dates (over all
    features); each fold's parcels are predicted by the model that did not see them.
    """
    block = fitted.probabilities.filter((pl.col("model") == model) & (pl.col("fold") >= 0))
    place = {name: i for i, name in enumerate(series["parcel"].values.astype(str))}
    rows = np.array([place[name] for name in block["parcel_id"]])
    folds, classes = block["fold"].to_numpy(), block.columns[3:]
    codes = np.searchsorted(classes, np.asarray(y, str)[rows])
    losses: dict[tuple[str, object], float] = {}
    for fold, estimator in fitted.models[model].items():
        held = folds == fold
        part = take(series, rows[held])

        def loss(of: xr.Dataset, estimator=estimator, held=held) -> float:  # type: ignore[no-untyped-def]
            found = on_classes(estimator.predict_proba(of), estimator.classes_, classes)
            own = found[np.arange(len(found)), codes[held]]
            return float(-np.log(np.maximum(own, 1e-6)).sum())

        base = loss(part)
        for key, shuffled in _shuffled(part, rng):
            losses[key] = losses.get(key, 0.0) + loss(shuffled) - base
    n = len(rows)
    return pl.DataFrame(
        [
            ("permutation", model, "all", feature, time, value / n, n)
            for (feature, time), value in losses.items()
        ],
        schema=IMPORTANCE,
        orient="row",
    )


def _shuffled(
    series: xr.Dataset, rng: np.random.Generator
) -> Iterator[tuple[tuple[str, object], xr.Dataset]]:
    value, observed = series["value"].values, series["observed"].values
    dates = series["time"].values.astype("datetime64[D]").tolist()
    for axis, names in ((2, series["feature"].values), (1, dates)):
        for position, name in enumerate(names):
            order = rng.permutation(len(value))
            chosen = (slice(None),) * axis + (position,)
            mixed, seen = value.copy(), observed.copy()
            mixed[chosen], seen[chosen] = value[order][chosen], observed[order][chosen]
            key = (str(name), None) if axis == 2 else ("all", name)
            yield (
                key,
                series.assign(value=(series["value"].dims, mixed), observed=(series["observed"].dims, seen)),
            )
