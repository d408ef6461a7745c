"""Explanation of the models: contributions per parcel; importance by feature, date, sensor and statistic."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import xarray as xr

from features.errors import ModelError
from features.indices.formulas import sensor_of
from features.schema import CONTRIBUTIONS, ENSEMBLE, IMPORTANCE, check_table
from features.workers import Progress
from models.crops.estimators.by_name import build
from models.crops.estimators.estimator import CropEstimator
from models.crops.fitting.crossfit import CrossFit
from models.crops.fitting.options import ExplanationOptions
from models.crops.inputs.arrays import take
from models.crops.inputs.table import SUMMARIES, Column, columns_of
from models.explanation.contributions import columns, forest_contributions, sums_by, tree_contributions

log = logging.getLogger(__name__)
ALL = "all"
GROUPINGS: Mapping[str, Callable[[Column], tuple[str, int | None]]] = {
    "shap": lambda column: (column.feature, column.step),
    "shap_feature": lambda column: (column.feature, None),
    "shap_date": lambda column: (ALL, column.step),
    "shap_sensor": lambda column: (sensor_of(column.feature), None),
    "shap_statistic": lambda column: (statistic_of(column), None),
}


@dataclass(frozen=True)
class Explained:
    """Contributions to one class's score, `(n, column)`: what of, and of which parcels."""

    crop_class: str
    parcel_ids: np.ndarray
    columns: list[Column]
    contributions: np.ndarray
    gap: float = 0.0  # how far contributions are from adding up, as a share; 0 for trees


def statistic_of(column: Column) -> str:
    """Return the pixel statistic that a column is of, a summary of the season like the dates it sums up.

    Examples
    --------
    >>> statistic_of(Column("ndvi", "std_amplitude_1", None)), statistic_of(Column("ndvi", "mean", 3))
    ('std', 'mean')
    >>> statistic_of(Column("ndvi", "mean_day_of_high", None))  # and not `mean_day_of`, of a summary `high`
    'mean'
    """
    if column.step is not None or column.statistic == "context":
        return column.statistic
    fitting = [summary for summary in SUMMARIES if column.statistic.endswith(f"_{summary}")]
    return column.statistic.removesuffix(f"_{max(fitting, key=len)}") if fitting else column.statistic


def explain(
    fitted: CrossFit,
    series: xr.Dataset,
    y: Sequence[str | None],
    options: ExplanationOptions,
    *,
    parcels: Iterable[str] | None = None,
    model: str | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Explain a cross-fitted model on a series `(parcel, time, feature, statistic)`; each parcel by the model
    that was not trained on it.

    Parameters
    ----------
    series, y
        Those that were cross-fitted.
    model
        Whose contributions: lightgbm where it was fitted, else the first of the models.
    parcels
        Whose contributions are wanted; those whose most probable class is not the declared one when omitted.

    Returns
    -------
    tuple
        IMPORTANCE: mean absolute contribution of each group, with methods `shap` (feature and date),
        `shap_feature`, `shap_date`, `shap_sensor` and `shap_statistic` (signed values are summed within a
        group first), for each class over its own parcels and over `all`; `impurity` of a forest;
        `permutation` and `permutation_date` where asked for. And CONTRIBUTIONS to the declared and the
        predicted class. A null time stands for the whole season.
    """
    model = model or ("lightgbm" if "lightgbm" in fitted.models else next(iter(fitted.models)))
    declared = pl.DataFrame({"parcel_id": series["parcel"].values.astype(str), "declared": list(y)})
    table = _predicted(fitted, declared)
    times = series["time"].values
    wanted = set(_disagreeing(table) if parcels is None else parcels)
    sample = _sampled(table.filter(pl.col("fold") >= 0), options.parcels)
    background = _backgrounds(series, table, options)
    sampled = sample.select("parcel_id", "fold", crop_class="declared")
    own = _explained(fitted, model, series, sampled, background, progress=progress)
    importance = [importance_of(own, times, model), *_overall(own, times, model)]
    importance += _other_importance(fitted, series, table, options, model, threads)
    asked = table.filter(pl.col("parcel_id").is_in(list(wanted)))
    pairs = pl.concat(
        [asked.select("parcel_id", "fold", crop_class=name) for name in ("declared", "predicted")]
    ).unique(maintain_order=True)
    signed = _explained(fitted, model, series, pairs, background)
    every = check_table(pl.concat(importance), IMPORTANCE, "importance")
    return every, contributions_of(signed, times, model)


def _backgrounds(
    series: xr.Dataset, table: pl.DataFrame, options: ExplanationOptions
) -> Callable[[int], xr.Dataset]:
    """Return for a fold some parcels that its model was trained on, for a network to start from."""
    place = {name: i for i, name in enumerate(series["parcel"].values.astype(str))}

    def of(fold: int) -> xr.Dataset:
        trained = table.filter((pl.col("fold") >= 0) & (pl.col("fold") != fold))["parcel_id"].to_list()
        step = max(len(trained) // options.background, 1)
        return take(series, np.array([place[name] for name in trained[::step][: options.background]]))

    return of


def _other_importance(
    fitted: CrossFit,
    series: xr.Dataset,
    table: pl.DataFrame,
    options: ExplanationOptions,
    model: str,
    threads: int,
) -> list[pl.DataFrame]:
    """Impurity of a forest through the season and, if asked for, permutation out of fold."""
    place = {name: i for i, name in enumerate(series["parcel"].values.astype(str))}
    trained = table.filter(pl.col("fold") >= 0)
    rows = np.array([place[name] for name in trained["parcel_id"]])
    y = np.full(series.sizes["parcel"], "", dtype=object)
    y[rows] = trained["declared"].to_list()
    tables = []
    if options.forest_trees:
        known = y[rows].astype(str)
        tables.append(forest_importance(take(series, rows), known, options.forest_trees, 0, threads))
    if options.permutation:
        from models.explanation.permutation import permutation_importance

        sample = set(_sampled(trained, options.parcels)["parcel_id"])
        rng = np.random.default_rng(0)
        y = y.astype(str)
        tables.append(permutation_importance(fitted, series, y, model, rng, sample, threads))
    return tables


def _predicted(fitted: CrossFit, declared: pl.DataFrame) -> pl.DataFrame:
    """Return `parcel_id, fold, declared, predicted`, with the classes of the models."""
    block = fitted.probabilities.filter(pl.col("model") == ENSEMBLE)
    classes = np.array(block.columns[3:])
    predicted = classes[block.select(classes.tolist()).to_numpy().argmax(1)]
    table = block.select("parcel_id", "fold").with_columns(pl.Series("predicted", predicted))
    known = pl.when(pl.col("declared").is_in(classes.tolist())).then(pl.col("declared"))
    return table.join(
        declared, on="parcel_id", how="left", validate="1:1", maintain_order="left"
    ).with_columns(known)


def _disagreeing(table: pl.DataFrame) -> list[str]:
    return table.filter(pl.col("declared").ne_missing(pl.col("predicted")))["parcel_id"].to_list()


def _sampled(table: pl.DataFrame, most: int) -> pl.DataFrame:
    """Take about `most` parcels, equally many of each class, evenly spread over the table."""
    share = max(most // max(table["declared"].n_unique(), 1), 1)
    step = (pl.len().over("declared") / share).ceil().cast(pl.Int64).clip(1)
    return table.filter(
        pl.col("declared").is_not_null() & (pl.int_range(pl.len()).over("declared") % step == 0)
    )


def _explained(
    fitted: CrossFit,
    model: str,
    series: xr.Dataset,
    pairs: pl.DataFrame,
    background: Callable[[int], xr.Dataset],
    *,
    progress: Progress | None = None,
) -> list[Explained]:
    """Contributions to `crop_class` of each `parcel_id`, by the model that did not see it."""
    models = fitted.models[model]
    place = {name: i for i, name in enumerate(series["parcel"].values.astype(str))}
    pairs = pairs.drop_nulls("crop_class").with_columns(
        fold=pl.when(pl.col("fold") < 0).then(min(models)).otherwise("fold")
    )
    groups = list(pairs.group_by("crop_class", "fold", maintain_order=True))
    found = []
    for done, ((crop_class, fold), group) in enumerate(groups):
        estimator = models[int(str(fold))]
        if str(crop_class) in estimator.classes_:
            rows = np.array([place[name] for name in group["parcel_id"]])
            found.append(_one(estimator, take(series, rows), str(crop_class), background(int(str(fold)))))
        if progress:
            progress(done + 1, len(groups))
    return found


def _one(estimator: CropEstimator, series: xr.Dataset, crop_class: str, background: xr.Dataset) -> Explained:
    from models.crops.estimators.boosting import LightgbmClassifier
    from models.crops.estimators.forest import ForestClassifier

    ids = series["parcel"].values.astype(str)
    if isinstance(estimator, LightgbmClassifier):
        contributions, _ = tree_contributions(estimator, series, crop_class)
        return Explained(crop_class, ids, columns(estimator), contributions)
    if isinstance(estimator, ForestClassifier):
        contributions, _ = forest_contributions(estimator, series, crop_class)
        return Explained(crop_class, ids, columns(estimator), contributions)
    from models.crops.estimators.networks.neural import NeuralClassifier
    from models.explanation.gradients import network_columns, network_contributions

    if not isinstance(estimator, NeuralClassifier):
        raise ModelError(f"{estimator.name} has no contributions; explain lightgbm, a forest or a network.")
    rng = np.random.default_rng(estimator.settings.seed)
    found, gap = network_contributions(estimator, series, crop_class, background, rng)
    log.info("%s, %s: contributions add up to within %.0f %%", estimator.name, crop_class, 100 * gap)
    return Explained(crop_class, ids, network_columns(estimator), found, gap)


def forest_importance(series: xr.Dataset, y: np.ndarray, trees: int, seed: int, threads: int) -> pl.DataFrame:
    """Return IMPORTANCE of method `impurity`: a random forest's, by feature and date, fitted on `n` parcels
    with classes `y (n,)`.
    """
    forest: Any = build("forest", trees=trees, seed=seed, threads=threads)
    forest.fit(series, y)
    table = columns_of(forest.layout_, False)
    value = np.asarray(forest.forest_.feature_importances_)
    keys, sums = sums_by(value[None], [GROUPINGS["shap"](column) for column in table])
    dates = _dates(series["time"].values)
    rows = [
        ("impurity", "forest", ALL, feature, None if step is None else dates[step], float(amount), len(y))
        for (feature, step), amount in zip(keys, sums[0], strict=True)
    ]
    return pl.DataFrame(rows, schema=IMPORTANCE, orient="row")


def importance_of(explained: Sequence[Explained], times: np.ndarray, model: str) -> pl.DataFrame:
    """Return IMPORTANCE of each class: the mean over its parcels of the absolute sum within each group;
    `times (time,)` dates the steps.
    """
    tables = []
    for crop_class in dict.fromkeys(part.crop_class for part in explained):
        parts = [part for part in explained if part.crop_class == crop_class]
        tables += _grouped(parts, times, model, crop_class)
    return pl.concat(tables) if tables else IMPORTANCE.to_frame()


def _overall(explained: Sequence[Explained], times: np.ndarray, model: str) -> list[pl.DataFrame]:
    return _grouped(explained, times, model, ALL) if explained else []


def _grouped(
    parts: Sequence[Explained], times: np.ndarray, model: str, crop_class: str
) -> list[pl.DataFrame]:
    stacked = np.concatenate([part.contributions for part in parts])
    dates = _dates(times)
    tables = []
    for method, key in GROUPINGS.items():
        keys, sums = sums_by(stacked, [key(column) for column in parts[0].columns])
        tables.append(
            pl.DataFrame(
                {
                    "method": [method] * len(keys),
                    "model": [model] * len(keys),
                    "crop_class": [crop_class] * len(keys),
                    "feature": [feature for feature, _ in keys],
                    "time": [None if step is None else dates[step] for _, step in keys],
                    "value": np.abs(sums).mean(0),
                    "n": [len(stacked)] * len(keys),
                },
                schema=IMPORTANCE,
            )
        )
    return tables


def contributions_of(explained: Sequence[Explained], times: np.ndarray, model: str) -> pl.DataFrame:
    """Return CONTRIBUTIONS: signed sums within (feature, date), for each parcel and class."""
    dates = _dates(times)
    tables = []
    for part in explained:
        keys, sums = sums_by(part.contributions, [GROUPINGS["shap"](column) for column in part.columns])
        n, width = sums.shape
        tables.append(
            pl.DataFrame(
                {
                    "parcel_id": np.repeat(part.parcel_ids, width),
                    "model": [model] * (n * width),
                    "crop_class": [part.crop_class] * (n * width),
                    "feature": [feature for feature, _ in keys] * n,
                    "time": [None if step is None else dates[step] for _, step in keys] * n,
                    "contribution": sums.ravel(),
                },
                schema_overrides={"time": pl.Date},
            )
        )
    table = pl.concat(tables) if tables else CONTRIBUTIONS.to_frame()
    return check_table(table, CONTRIBUTIONS, "contributions")


def _dates(times: np.ndarray) -> list[object]:
    return list(times.astype("datetime64[D]").tolist())
