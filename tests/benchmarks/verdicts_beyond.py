"""Beyond one season's known crops: crops never trained on, injected label errors, and the next season."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl
import xarray as xr
from scipy.stats import rankdata

from features.declarations.crop_codes import CropGroups
from features.declarations.schemes import Schemes
from features.extraction.observations import read_observations
from features.series.gapfill import gapfill_series
from features.series.options import GapfillOptions, SeriesOptions
from features.series.parcel_series import build_series, read_series
from features.series.quality import series_quality
from models.crops.estimators.by_name import build
from models.crops.fitting.crossfit import cross_fit
from models.crops.fitting.labels import find_suspects, recall_precision_at
from models.crops.fitting.options import LabelOptions, TrainOptions
from models.evaluation.metrics import (
    Estimate,
    confusion,
    estimate,
    macro_f1,
    multiplicities,
    resampled_confusions,
)
from models.folds import plan_folds
from models.verdicts.evidence import Scoring
from models.verdicts.judge import judge
from models.verdicts.options import JudgeOptions
from tests.benchmarks.data.crop_sets import WorkSet

FOREST = {"models": {"forest": {"trees": 60}}, "combination": "mean"}
Rows = list[dict[str, Any]]


def row(work: str, subject: str, metric: str, found: Estimate) -> dict[str, Any]:
    """Lay a figure out as the benchmarks do."""
    return {"work": work, "subject": subject, "metric": metric, **found.to_dict(), "unit": "share"}


def unknown_rows(work: WorkSet, left_out: Sequence[str]) -> Rows:
    """AUROC of telling a class that training never saw, each in turn: ours beside the highest probability."""
    rows = []
    for name in left_out:
        y = [None if label == name else str(label) for label in work.y]
        fit = cross_fit(work.series, y, work.folds, TrainOptions.model_validate(FOREST))
        table = pl.DataFrame({"parcel_id": work.series["parcel"].values.tolist(), "crop_class": y})
        table = table.with_columns(intervention=pl.lit(None, pl.String))
        rules = Schemes(), CropGroups({}, {}, frozenset())
        scoring = Scoring(fit.probabilities, table, JudgeOptions(), *rules, inner=fit.inner)
        evidence = scoring.evidence(np.arange(len(scoring.at)))
        unknown = (work.truth == name)[evidence.at]
        told = {"cropcheck": -evidence.typical, "max_probability": -evidence.probabilities.max(1)}
        for subject, score in told.items():
            rows.append(row(f"{work.name} without {name}", subject, "unknown_auroc", auroc(score, unknown)))
    return rows


def auroc(score: np.ndarray, positive: np.ndarray, replicates: int = 200) -> Estimate:
    """Area under the receiver's curve (Mann and Whitney) with a bootstrap interval.

    Examples
    --------
    >>> auroc(np.array([0.1, 0.9, 0.4, 0.8]), np.array([False, True, False, True])).value
    1.0
    """
    rng = np.random.default_rng(0)

    def area(which: np.ndarray) -> float:
        hit = positive[which]
        n = int(hit.sum())
        if n in (0, len(which)):
            return np.nan
        return float((rankdata(score[which])[hit].sum() - n * (n + 1) / 2) / (n * (len(which) - n)))

    drawn = [area(rng.integers(0, len(score), len(score))) for _ in range(replicates)]
    return estimate(area(np.arange(len(score))), np.array(drawn), int(positive.sum()))


def label_rows(work: WorkSet, declared: dict[float, np.ndarray]) -> Rows:
    """Recall and precision of the most doubtful labels, as many as were injected and half as many.

    Parameters
    ----------
    declared
        By share of injected errors, the labels with them.
    """
    rows = []
    for share, labels in declared.items():
        wrong = labels != work.truth
        table = find_suspects(work.series, labels, work.folds, LabelOptions(method="drop"), 0)
        injected = int(wrong.sum())
        for part, k in (("as_many", injected), ("half_as_many", injected // 2)):
            found = recall_precision_at(table["mislabel_score"].to_numpy(), wrong, k)
            for metric, value in zip(("recall", "precision"), found, strict=True):
                name = f"label_errors_{share:g}_{metric}_{part}"
                rows.append(row(work.name, "cropcheck", name, Estimate(value, np.nan, np.nan, injected)))
        weight = table["weight"].to_numpy()
        if (weight < 1).any():
            dropped = Estimate(float(wrong[weight < 1].mean()), np.nan, np.nan, int((weight < 1).sum()))
            rows.append(row(work.name, "cropcheck", f"label_errors_{share:g}_dropped_are_wrong", dropped))
    return rows


def years_rows(name: str, first: Path, second: Path, thermal: tuple[xr.Dataset, xr.Dataset] | None) -> Rows:
    """Judge the second season with a forest of the first: as dekads and, if given, in thermal time.

    The second season's declarations calibrate each other across its own folds; no model saw them.
    """
    pairs = {"dekads": tuple(read_series(folder / "filled.nc").load() for folder in (first, second))}
    if thermal is not None:
        pairs["thermal_time"] = thermal
    learnt, judged = (gpd.read_parquet(folder / "declarations.parquet") for folder in (first, second))
    truth = pl.read_parquet(second / "region" / "truth" / "truth.parquet")
    plan = plan_folds(judged, 5, 0)
    rows: Rows = []
    for subject, (old, new) in pairs.items():
        told = Bundle(old, learnt).predict(new.assign_coords(time=old["time"]))
        rows += _years(f"{name}, {subject}", told, new, judged, plan, truth, second)
    return rows


def thermal_pair(first: Path, second: Path) -> tuple[xr.Dataset, xr.Dataset]:
    """Bring the observations of both runs onto steps of equal degree days, and fill them."""
    pair = []
    for folder in (first, second):
        dekads = read_series(folder / "series.nc")
        days = dekads["time"].values.astype("datetime64[D]").astype(object)
        series = build_series(
            read_observations(folder / "observations"),
            dekads["parcel"].values.astype(str).tolist(),
            SeriesOptions(calendar="thermal"),
            days[0],
            days[-1] + timedelta(days=10),
            weather=pl.read_csv(folder / "region" / "weather.csv", try_parse_dates=True),
        )
        pair.append(gapfill_series(series, GapfillOptions()).load())
    return pair[0], pair[1]


class Bundle:
    """A forest of one season, and the classes it knows."""

    def __init__(self, series: xr.Dataset, declarations: gpd.GeoDataFrame) -> None:
        labels = declarations.set_index("parcel_id").loc[series["parcel"].values.astype(str), "crop_class"]
        known = labels.notna().to_numpy()
        self.model = build("forest", trees=200, seed=0, threads=1)
        self.model.fit(series.isel(parcel=known), labels[known].to_numpy().astype(str))
        self.classes = [str(name) for name in self.model.classes_]

    def predict(self, series: xr.Dataset) -> pl.DataFrame:
        """Return `parcel_id` and a column a class."""
        told = dict(zip(self.classes, self.model.predict_proba(series).T, strict=True))
        return pl.DataFrame({"parcel_id": series["parcel"].values.astype(str).tolist(), **told})


def _years(
    work: str,
    told: pl.DataFrame,
    series: xr.Dataset,
    declared: gpd.GeoDataFrame,
    plan: Any,
    truth: pl.DataFrame,
    folder: Path,
) -> Rows:
    classes = [name for name in told.columns if name != "parcel_id"]
    folds = pl.DataFrame(
        {"parcel_id": declared["parcel_id"].tolist(), "fold": plan.fold, "group": plan.group}
    )
    table = told.join(folds, on="parcel_id").join(truth, on="parcel_id")
    code = {name: index for index, name in enumerate(classes)}
    true = np.array([code.get(name, -1) for name in table["true_class"].to_list()])
    known, group = true >= 0, table["group"].to_numpy()
    predicted = table.select(classes).to_numpy().argmax(1)
    drawn = multiplicities(group[known], np.random.default_rng(0))
    whole = float(macro_f1(confusion(true[known], predicted[known], len(classes))))
    spread = macro_f1(resampled_confusions(true[known], predicted[known], group[known], len(classes), drawn))
    rows = [row(work, "forest", "macro_f1_next_season", estimate(whole, spread, int(known.sum())))]
    verdicts = judge(
        told.join(folds.drop("group"), on="parcel_id"),
        pl.from_pandas(declared.drop(columns="geometry")),
        pl.read_parquet(folder / "parcels.parquet"),
        series_quality(series),
        JudgeOptions(),
        model_id="benchmark",
    ).verdicts.join(truth.select("parcel_id", "misdeclared"), on="parcel_id")
    judged = verdicts.filter(pl.col("verdict").is_in(["confirmed", "contradicted", "inconclusive"]))
    wrong, flagged = judged["misdeclared"].to_numpy(), (judged["verdict"] == "contradicted").to_numpy()
    for metric, hit in {"false_alarm_rate": flagged[~wrong], "miss_rate": ~flagged[wrong]}.items():
        resampled = np.random.default_rng(0).binomial(len(hit), hit.mean(), 1000) / len(hit)
        rows.append(row(work, "cropcheck", metric, estimate(float(hit.mean()), resampled, len(hit))))
    return rows
