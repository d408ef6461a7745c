"""Explanation of the models: contributions per parcel; importance by feature, date, sensor and statistic."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import xarray as xr

from features.errors import ModelError
from features.indices.formulas import sensor_of
from features.schema import CONTRIBUTIONS, ENSEMBLE, IMPORTANCE, check_table
from features.series.chunks import chunks_of
from models.crops.estimators.by_name import build
from models.crops.estimators.estimator import CropEstimator
from models.crops.fitting.crossfit import CrossFit
from models.crops.fitting.options import ExplanationOptions
from models.crops.inputs.arrays import take
from models.crops.inputs.source import InMemory, SeriesSource, read_rows
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


@dataclass(frozen=True)
class Subject:
    """Cross-fitted models, and the parcels that they are explained on.

    Attributes
    ----------
    models
        By name and fold.
    classes
        Names of the classes, in the order of the probabilities.
    table
        `at, parcel_id, fold, declared, predicted` of the parcels that were predicted; `at` is the position in
        the source, `declared` null where the models do not know the class.
    source, total
        Series of all parcels, and how many those are.
    learned
        `(n,)` bool: whether a parcel of the source was learned from.
    at_once
        Parcels that are read together.
    """

    models: Mapping[str, Mapping[int, CropEstimator]]
    classes: tuple[str, ...]
    table: pl.DataFrame
    source: SeriesSource
    total: int
    learned: np.ndarray
    at_once: int


def explain(
    fitted: CrossFit,
    series: xr.Dataset,
    y: Sequence[str | None],
    options: ExplanationOptions,
    *,
    parcels: Iterable[str] | None = None,
    model: str | None = None,
    threads: int = 1,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Explain a cross-fitted model on a series `(parcel, time, feature, statistic)` that is held in memory:
    importance and contributions, parameters as of `explain_models` and `explain_parcels`.
    """
    n = series.sizes["parcel"]
    block = fitted.probabilities.filter(pl.col("model") == ENSEMBLE)
    table = predicted_of([block], series["parcel"].values.astype(str), y)
    classes = tuple(block.columns[3:])
    subject = Subject(fitted.models, classes, table, InMemory(series), n, np.ones(n, bool), max(n, 1))
    importance = explain_models(subject, options, model=model, threads=threads)
    contributions = explain_parcels(subject, options, parcels=parcels, model=model, threads=threads)
    return importance, pl.concat(contributions)


def explain_models(
    subject: Subject, options: ExplanationOptions, *, model: str | None = None, threads: int = 1
) -> pl.DataFrame:
    """Return what a cross-fitted model goes by, out of fold, on some of the parcels it was trained on.

    Parameters
    ----------
    model
        Whose contributions: lightgbm where it was fitted, else the first of the models.
    threads
        Classes and folds that are worked on side by side.

    Returns
    -------
    pl.DataFrame
        IMPORTANCE: mean absolute contribution of each group, with methods `shap` (feature and date),
        `shap_feature`, `shap_date`, `shap_sensor` and `shap_statistic` (signed values are summed within a
        group first), for each class over its own parcels and over `all`; `impurity` of a forest;
        `permutation` and `permutation_date` where asked for. A null time stands for the whole season.
    """
    model = _explained_model(subject, model)
    sample = _sampled(subject.table.filter(pl.col("fold") >= 0), options.parcels)
    held = _held(subject, sample["at"].to_numpy())
    times = held["time"].values
    explainer = _explainer(subject, options, model, threads)
    own = explainer.explained(held, sample.with_row_index("row").with_columns(crop_class="declared"))
    importance = [importance_of(own, times, model), *_overall(own, times, model)]
    importance += _other_importance(subject, held, sample, options, model, threads)
    return check_table(pl.concat(importance), IMPORTANCE, "importance")


def explain_parcels(
    subject: Subject,
    options: ExplanationOptions,
    *,
    parcels: Iterable[str] | None = None,
    model: str | None = None,
    threads: int = 1,
) -> Iterator[pl.DataFrame]:
    """Yield CONTRIBUTIONS to the declared and the predicted class of parcels, each by the model that was not
    trained on it: in blocks of some parcels, in the order of the source.

    Parameters
    ----------
    parcels
        Those whose most probable class is not the declared one when omitted.
    model, threads
        As of `explain_models`.
    """
    model, table = _explained_model(subject, model), subject.table
    wanted = _disagreeing(table) if parcels is None else list(parcels)
    asked = table.filter(pl.col("parcel_id").is_in(wanted))
    times = subject.source.read(slice(0, 0))["time"].values
    return _contributions(subject, asked, _explainer(subject, options, model, threads), times, model)


def _explained_model(subject: Subject, model: str | None) -> str:
    return model or ("lightgbm" if "lightgbm" in subject.models else next(iter(subject.models)))


def _explainer(subject: Subject, options: ExplanationOptions, model: str, threads: int) -> "_Explainer":
    return _Explainer(subject.models[model], _backgrounds(subject, options), threads)


def predicted_of(
    ensemble: Iterable[pl.DataFrame], parcel_ids: np.ndarray, y: Sequence[str | None]
) -> pl.DataFrame:
    """Return `at, parcel_id, fold, declared, predicted` of the ensemble's rows, which may come in blocks.

    Parameters
    ----------
    parcel_ids, y
        `(n,)` ids and classes of all parcels, in the order of their series.
    """
    parts = []
    for block in ensemble:
        classes = np.array(block.columns[3:])
        best = classes[block.select(classes.tolist()).to_numpy().argmax(1)] if len(block) else []
        parts.append(block.select("parcel_id", "fold").with_columns(pl.Series("predicted", best, pl.String)))
    known = list(block.columns[3:])
    declared = pl.DataFrame(
        {"parcel_id": parcel_ids, "declared": list(y)},
        schema={"parcel_id": pl.String, "declared": pl.String},
    ).with_row_index("at")
    table = pl.concat(parts).join(declared, on="parcel_id", how="left", validate="1:1", maintain_order="left")
    return table.with_columns(
        pl.when(pl.col("declared").is_in(known)).then(pl.col("declared")), pl.col("at").cast(pl.Int64)
    )


def _held(subject: Subject, rows: np.ndarray) -> xr.Dataset:
    return read_rows(subject.source, rows, subject.total, subject.at_once)


def _backgrounds(subject: Subject, options: ExplanationOptions) -> Callable[[int], xr.Dataset]:
    """Return for a fold some parcels that its model was trained on, for a network to start from."""
    trained = subject.table.filter(pl.col("fold") >= 0)
    at, folds = trained["at"].to_numpy(), trained["fold"].to_numpy()

    @cache
    def of(fold: int) -> xr.Dataset:
        others = at[folds != fold]
        step = max(len(others) // options.background, 1)
        return _held(subject, others[::step][: options.background])

    return of


def _other_importance(
    subject: Subject,
    held: xr.Dataset,
    sample: pl.DataFrame,
    options: ExplanationOptions,
    model: str,
    threads: int,
) -> list[pl.DataFrame]:
    """Impurity of a forest through the season and, if asked for, permutation out of fold.

    The forest is fitted on the parcels that were learned from; `held` has the series of the sample.
    """
    trained = subject.table.filter(pl.col("fold") >= 0)
    learned = trained.filter(pl.Series(subject.learned[trained["at"].to_numpy()]))
    tables = []
    if options.forest_trees:
        known = np.array(learned["declared"].to_list(), str)
        series = _held(subject, learned["at"].to_numpy())
        tables.append(forest_importance(series, known, options.forest_trees, 0, threads))
    if options.permutation:
        from models.explanation.permutation import permutation_importance

        tables.append(
            permutation_importance(
                subject.models[model],
                held,
                np.array(sample["declared"].to_list(), str),
                sample["fold"].to_numpy(),
                subject.classes,
                model,
                np.random.default_rng(0),
                threads,
            )
        )
    return tables


def _contributions(
    subject: Subject, asked: pl.DataFrame, explainer: "_Explainer", times: np.ndarray, model: str
) -> Iterator[pl.DataFrame]:
    """Yield contributions to the declared and the predicted class of the parcels in `asked`."""
    yield CONTRIBUTIONS.to_frame()
    at = asked["at"].to_numpy()
    for parcels in chunks_of(subject.total, subject.at_once):
        some = asked.filter(pl.Series((at >= parcels.start) & (at < parcels.stop), dtype=pl.Boolean))
        if not len(some):
            continue
        series = take(subject.source.read(parcels), some["at"].to_numpy() - parcels.start)
        some = some.with_row_index("row")
        pairs = pl.concat(
            [some.select("row", "parcel_id", "fold", crop_class=name) for name in ("declared", "predicted")]
        ).unique(maintain_order=True)
        table = contributions_of(explainer.explained(series, pairs), times, model)
        place = some.select("parcel_id", "row", "declared")
        first = pl.col("crop_class").ne_missing(pl.col("declared"))
        ordered = table.join(place, on="parcel_id", how="left", maintain_order="left")
        yield ordered.sort("row", first, maintain_order=True).select(CONTRIBUTIONS.names())


def _disagreeing(table: pl.DataFrame) -> list[str]:
    return table.filter(pl.col("declared").ne_missing(pl.col("predicted")))["parcel_id"].to_list()


def _sampled(table: pl.DataFrame, most: int) -> pl.DataFrame:
    """Take about `most` parcels, equally many of each class, evenly spread over the table."""
    share = max(most // max(table["declared"].n_unique(), 1), 1)
    step = (pl.len().over("declared") / share).ceil().cast(pl.Int64).clip(1)
    return table.filter(
        pl.col("declared").is_not_null() & (pl.int_range(pl.len()).over("declared") % step == 0)
    )


@dataclass(frozen=True)
class _Explainer:
    """One kind of model by fold, and parcels that a network starts from."""

    models: Mapping[int, CropEstimator]
    background: Callable[[int], xr.Dataset]
    threads: int

    def explained(self, series: xr.Dataset, pairs: pl.DataFrame) -> list[Explained]:
        """Explain pairs `row, parcel_id, fold, crop_class` of the series: contributions to that class, by the
        model that did not see the parcel.
        """
        pairs = pairs.drop_nulls("crop_class").with_columns(
            fold=pl.when(pl.col("fold") < 0).then(min(self.models)).otherwise("fold")
        )
        groups = [
            (str(crop_class), int(str(fold)), group["row"].to_numpy())
            for (crop_class, fold), group in pairs.group_by("crop_class", "fold", maintain_order=True)
        ]
        known = [group for group in groups if group[0] in self.models[group[1]].classes_]
        # networks are one graph, and take turns
        side_by_side = self.threads if all(_of_trees(model) for model in self.models.values()) else 1
        with ThreadPoolExecutor(side_by_side) as pool:
            return list(pool.map(lambda group: self._group(series, *group), known))

    def _group(self, series: xr.Dataset, crop_class: str, fold: int, rows: np.ndarray) -> Explained:
        return _one(self.models[fold], take(series, rows), crop_class, lambda: self.background(fold))


def _of_trees(model: CropEstimator) -> bool:
    from models.crops.estimators.boosting import LightgbmClassifier

    return isinstance(model, LightgbmClassifier)


def _one(
    estimator: CropEstimator, series: xr.Dataset, crop_class: str, background: Callable[[], xr.Dataset]
) -> Explained:
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
    found, gap = network_contributions(estimator, series, crop_class, background(), rng)
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
        of_key = np.tile(np.arange(width), n)
        features = pl.Series([feature for feature, _ in keys], dtype=pl.String)
        days = pl.Series([None if step is None else dates[step] for _, step in keys], dtype=pl.Date)
        tables.append(
            pl.DataFrame(
                {
                    "parcel_id": pl.Series(part.parcel_ids.tolist()).gather(np.repeat(np.arange(n), width)),
                    "model": pl.repeat(model, n * width, eager=True),
                    "crop_class": pl.repeat(part.crop_class, n * width, eager=True),
                    "feature": features.gather(of_key),
                    "time": days.gather(of_key),
                    "contribution": sums.ravel(),
                }
            )
        )
    table = pl.concat(tables) if tables else CONTRIBUTIONS.to_frame()
    return check_table(table, CONTRIBUTIONS, "contributions")


def _dates(times: np.ndarray) -> list[object]:
    return list(times.astype("datetime64[D]").tolist())
