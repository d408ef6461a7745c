"""What each kind of input adds: a model fitted anew without it, on the same folds, by the same scorer."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import xarray as xr

from features.indices.formulas import sensor_of
from models.crops.fitting.crossfit import cross_fit
from models.crops.fitting.options import TrainOptions
from models.crops.inputs.arrays import CONTEXT
from models.evaluation.metrics import Estimate, macro_f1, paired_difference, score_model

KINDS = ("s1", "s2", "weather", "soil", "elevation", "embedding", "history", "surface")
EVERYTHING = "everything"
ABLATION = pl.Schema(
    {
        "subject": pl.String,  # everything, or `without <kind>`
        "metric": pl.String,  # macro_f1, accuracy, macro_f1_above_everything
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
    }
)


def ablation(
    series: xr.Dataset, y: Sequence[str | None], folds: np.ndarray, groups: np.ndarray, options: TrainOptions
) -> pl.DataFrame:
    """Cross-fit the first of the models with everything, then without each kind of input; schema ABLATION.

    Parameters
    ----------
    series, y, folds
        As in `cross_fit`; scored against `y`.
    groups
        `(n,)` holdings or blocks, redrawn for the intervals.
    """
    name = next(iter(options.models))
    alone = options.model_copy(update={"models": {name: options.models[name]}, "combination": "mean"})
    rows: list[dict[str, object]] = []
    base: dict[int, int] = {}
    for subject, part in parts_of(series).items():
        table = cross_fit(part, y, folds, alone).probabilities
        table = table.filter((pl.col("model") == name) & (pl.col("fold") >= 0))
        classes, values = table.columns[3:], table[:, 3:].to_numpy()
        place = {parcel: row for row, parcel in enumerate(series["parcel"].values.astype(str))}
        at = np.array([place[parcel] for parcel in table["parcel_id"]])
        codes, group = np.array([classes.index(str(y[row])) for row in at]), groups[at]
        scores = score_model(values, codes, group, np.random.default_rng(0))
        found: dict[str, Estimate] = {metric: scores[metric] for metric in ("macro_f1", "accuracy")}
        predicted = dict(zip(at.tolist(), values.argmax(1).tolist(), strict=True))
        base = base or predicted
        both = np.array([row in base for row in at])  # without a sensor, some parcels have nothing left
        if predicted is not base:
            ours, theirs = (np.array([of[row] for row in at[both].tolist()]) for of in (predicted, base))
            found["macro_f1_above_everything"] = paired_difference(
                ours, theirs, codes[both], group[both], np.random.default_rng(0), metric=macro_f1
            )
        rows += [{"subject": subject, "metric": metric, **e.to_dict()} for metric, e in found.items()]
    return pl.DataFrame(rows, schema=ABLATION)


def parts_of(series: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return the series `(parcel, time, feature, statistic)`, and the series without each kind of input that
    can be left out.
    """
    parts = {EVERYTHING: series}
    for kind in KINDS:
        features = [kind_of(str(name)) != kind for name in series["feature"].values]
        names: list[object] = series["variable"].values.tolist() if CONTEXT in series else []
        variables = [kind_of(str(name)) != kind for name in names]
        if (all(features) and all(variables)) or not any(features):
            continue
        part = series.isel(feature=np.flatnonzero(features))
        if CONTEXT in series:
            kept = np.flatnonzero(variables)
            part = part.isel(variable=kept) if len(kept) else part.drop_vars([CONTEXT, "variable"])
        parts[f"without {kind}"] = part
    return parts


def kind_of(name: str) -> str:
    """Return which of KINDS a feature or a context variable is.

    Examples
    --------
    >>> [kind_of(name) for name in ("s0vv_db_r037", "ndvi", "weather_gdd", "soil_3", "embedding_07")]
    ['s1', 's2', 'weather', 'soil', 'embedding']
    """
    named = "elevation" if name == "slope" else next((k for k in KINDS[2:] if name.startswith(k)), None)
    return named or sensor_of(name)
