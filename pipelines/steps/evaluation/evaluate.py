"""How good a run is: against the hidden truth of a simulated region, else against the declarations."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from features.context.history import likeliest_before
from features.declarations.crop_codes import read_crop_table
from features.files import read_parquet, scan_parquet
from features.schema import ENSEMBLE
from models.assessment.field_results import corrected_rates
from models.evaluation.composition_scores import SCORE_NAMES, score_composition, true_shares
from models.evaluation.metrics import (
    METRICS,
    calibration_error,
    class_scores,
    confusion,
    confusion_table,
    macro_f1,
    paired_difference,
    score_model,
    standing_alone,
)
from models.evaluation.rotation import flags_by_rotation, rotation_of
from models.evaluation.verdict_scores import (
    PROMISE_NAMES,
    RATE_NAMES,
    follow_up_scores,
    kept_promises,
    verdict_rates,
)
from models.probability.calibration import reliability
from models.verdicts.rule import spread_deviation
from pipelines.config import RunConfig
from pipelines.inputs.crop_tables import crop_options
from pipelines.tables import read_facts
from pipelines.workspace import Workspace

FOLLOW_UP_RATES = (0.05, 0.1, 0.2, 0.3)
FOLLOW_UP_PROMISED = 0.2  # the rate at which the list is broken down
BREAKDOWNS = ("crop_class", "size_bin", "observations")
Tables = dict[str, pl.DataFrame]


def evaluate(
    config: RunConfig,
    workspace: Workspace,
    verdicts: pl.DataFrame,
    calibrated: pl.DataFrame,
    settled: pl.DataFrame,
) -> tuple[dict[str, Any], Tables]:
    """Return what `metrics.json` holds, and the evaluation tables by name.

    Parameters
    ----------
    verdicts
        What imagery said: scored against the truth, which the field's own results would only repeat.
    calibrated
        The ensemble's probabilities after calibration: `parcel_id, fold`, a column a class.
    settled
        The verdicts with what the field found: counted, not scored.
    """
    probabilities = scan_parquet(workspace.probabilities)
    folds = read_parquet(workspace.table("folds")).filter(pl.col("group") >= 0)  # others stand alone
    truth = read_truth(config, workspace)
    reference = _reference(verdicts, truth, folds)
    models, model_tables = _score_models(probabilities, reference, config.seed)
    metrics: dict[str, Any] = {
        "reference": "truth" if truth is not None else "declared",
        "models": models,
        "calibration": _calibration(probabilities, calibrated, reference, config.seed),
        "promised": _promised(config, workspace),
        "verdicts": {"by_verdict": _by_verdict(settled)},
    }
    tables = model_tables
    if truth is None and config.history:
        tables["rotation"] = _rotation(config, workspace, verdicts, folds, None)
    if truth is not None:
        rates, tables["verdict_rates"] = _rates(verdicts, truth, folds, config.seed)
        metrics["verdicts"].update(rates)
        metrics["rates"] = dict(RATE_NAMES)
        metrics["follow_up"] = _follow_up(verdicts, truth, folds, config.seed)
        tables["kept_promises"] = _kept(config, verdicts, truth, folds)
        metrics["kept"] = tables["kept_promises"].filter(pl.col("by") == "all").drop("by", "level").to_dicts()
        metrics["promises"] = dict(PROMISE_NAMES)
        if config.history:
            truly = truth.select("parcel_id", "misdeclared")
            tables["rotation"] = _rotation(config, workspace, verdicts, folds, truly)
        if config.patches.method != "none":
            tables["composition_scores"] = _composition(config, workspace, verdicts, folds)
            metrics["composition"] = tables["composition_scores"].to_dicts()
            metrics["composition_names"] = dict(SCORE_NAMES)
    if "rotation" in tables:
        metrics["rotation"] = tables["rotation"].to_dicts()
    return metrics, tables


def _rotation(
    config: RunConfig,
    workspace: Workspace,
    verdicts: pl.DataFrame,
    folds: pl.DataFrame,
    truth: pl.DataFrame | None,
) -> pl.DataFrame:
    """Return how often farmers who changed their rotation are contradicted, beside the others."""
    history = read_parquet(workspace.context)
    table = verdicts.select("parcel_id", "crop_class").join(
        history.select("parcel_id", before=likeliest_before(history)), on="parcel_id", how="left",
        maintain_order="left",
    )  # fmt: skip
    table = table.with_columns(rotation=rotation_of(table["crop_class"], table["before"]))
    for other in (folds.select("parcel_id", "group"), truth):
        if other is not None:
            table = table.join(other, on="parcel_id", how="left", maintain_order="left")
    group = pl.Series(standing_alone(table["group"].fill_null(-1).to_numpy()))
    return flags_by_rotation(verdicts, table.with_columns(group=group), np.random.default_rng(config.seed))


def _composition(
    config: RunConfig, workspace: Workspace, verdicts: pl.DataFrame, folds: pl.DataFrame
) -> pl.DataFrame:
    """Score the compositions against the truth, beside the rule on the spread of NDVI alone."""
    crops = read_crop_table(crop_options(config, workspace))
    class_of = dict(crops.select("code", "crop_class").iter_rows())
    seconds = read_facts(workspace).select("parcel_id", "declared_second")
    spread = read_parquet(workspace.table("quality")).select("parcel_id", "ndvi_spread")
    table = verdicts.select("parcel_id", "crop_class")
    for other in (seconds, spread, folds.select("parcel_id", "group")):
        table = table.join(other, on="parcel_id", how="left", validate="1:1", maintain_order="left")
    deviation = spread_deviation(table["ndvi_spread"].to_numpy(), table["crop_class"].to_numpy())
    second = pl.col("declared_second").replace_strict(class_of, default=None, return_dtype=pl.String)
    declared = table.with_columns(
        second_class=second,
        by_spread=pl.Series(deviation > config.judge.max_spread),
        group=pl.Series(standing_alone(table["group"].fill_null(-1).to_numpy())),
    )
    covers = true_shares(read_parquet(workspace.truth_composition), class_of)
    return score_composition(
        read_parquet(workspace.composition),
        read_parquet(workspace.composition_findings),
        covers,
        declared,
        np.random.default_rng(config.seed),
    )


def _calibration(
    probabilities: pl.LazyFrame, calibrated: pl.DataFrame, reference: pl.DataFrame, seed: int
) -> dict[str, Any]:
    """Return the ensemble's expected calibration error before and after, on the same parcels."""
    classes = _classes(probabilities)
    codes = {name: index for index, name in enumerate(classes)}
    code = pl.col("reference").replace_strict(codes, default=-1, return_dtype=pl.Int64).alias("code")
    found = {}
    raw = probabilities.filter(pl.col("model") == ENSEMBLE)
    for name, table in {"ece_before": raw, "ece_after": calibrated.lazy()}.items():
        joined = table.select("parcel_id", *classes).collect().sort("parcel_id")
        joined = joined.join(reference, on="parcel_id")
        values, truth, group = _arrays(joined.with_columns(code), classes)
        found[name] = calibration_error(values, truth, group, np.random.default_rng(seed)).to_dict()
    return found


def _kept(
    config: RunConfig, verdicts: pl.DataFrame, truth: pl.DataFrame, folds: pl.DataFrame
) -> pl.DataFrame:
    alpha = config.judge.alpha
    promised = {"p_value": alpha, "false_alarm_rate": alpha, "prediction_set": config.judge.set_level}
    return kept_promises(
        verdicts,
        truth.select("parcel_id", "misdeclared"),
        folds.select("parcel_id", "group"),
        np.random.default_rng(config.seed),
        promised={**promised, "follow_up": FOLLOW_UP_PROMISED},
        by=BREAKDOWNS,
    )


def _promised(config: RunConfig, workspace: Workspace) -> dict[str, Any]:
    """Return the promised rates, and what field results make of them where there are enough."""
    promised: dict[str, Any] = {"false_alarm_rate": config.judge.alpha}
    if workspace.assessment.is_file():
        promised["corrected"] = corrected_rates(promised, read_parquet(workspace.assessment))
    return promised


def read_truth(config: RunConfig, workspace: Workspace) -> pl.DataFrame | None:
    """Return `parcel_id, true_class, misdeclared` of a simulated region; None for a real region."""
    if config.simulate is None or not workspace.truth.is_file():
        return None
    truth = read_parquet(workspace.truth)
    crops = read_crop_table(crop_options(config, workspace))
    classes = dict(crops.select("code", "crop_class").iter_rows())
    own = pl.col("true_code").replace_strict(classes, default=None, return_dtype=pl.String)
    return truth.select("parcel_id", own.alias("true_class"), "misdeclared")


def _reference(verdicts: pl.DataFrame, truth: pl.DataFrame | None, folds: pl.DataFrame) -> pl.DataFrame:
    """Return `parcel_id, reference, area_ha, group`: the class each parcel is scored against."""
    table = verdicts.select("parcel_id", "crop_class", pl.col("area_ha").cast(pl.Float64))
    table = table.join(folds.select("parcel_id", "group"), on="parcel_id", how="left", validate="1:1")
    if truth is None:
        return table.rename({"crop_class": "reference"})
    known = truth.select("parcel_id", reference="true_class")
    return table.drop("crop_class").join(known, on="parcel_id", how="left", validate="1:1")


def _classes(probabilities: pl.LazyFrame) -> list[str]:
    names = probabilities.collect_schema().names()
    return [name for name in names if name not in ("parcel_id", "model", "fold")]


def _score_models(
    probabilities: pl.LazyFrame, reference: pl.DataFrame, seed: int
) -> tuple[dict[str, dict[str, Any]], Tables]:
    """Return the scores of every model; one model's probabilities are in memory at a time."""
    classes = _classes(probabilities)
    code = pl.col("reference").replace_strict(
        {name: index for index, name in enumerate(classes)}, default=-1, return_dtype=pl.Int64
    )

    def of(name: str) -> pl.DataFrame:
        rows = probabilities.filter(pl.col("model") == name).collect()
        return rows.join(reference, on="parcel_id", how="left", maintain_order="left").with_columns(code=code)

    models, tables, differences = {}, list[Tables](), []
    best = of(ENSEMBLE).select(classes).to_numpy().argmax(1)
    for name in probabilities.select(pl.col("model").unique(maintain_order=True)).collect()["model"]:
        part, rng = of(name), np.random.default_rng(seed)
        values, truth, group = _arrays(part, classes)
        found = score_model(values, truth, group, rng)
        models[name] = {metric: estimate.to_dict() for metric, estimate in found.items()}
        tables.append(_tables_of(name, part, classes, rng))
        if name != ENSEMBLE:
            difference = paired_difference(best, values.argmax(1), truth, group, rng, metric=macro_f1)
            differences.append(
                {"model": name, "against": ENSEMBLE, "metric": "macro_f1", **difference.to_dict()}
            )
        else:
            confused = _confusion(part, classes)
    together = {name: pl.concat(table[name] for table in tables) for name in tables[0]}
    return models, {**together, "confusion": confused, "model_differences": pl.DataFrame(differences)}


def _tables_of(name: str, part: pl.DataFrame, classes: list[str], rng: np.random.Generator) -> Tables:
    """Return one model's scores by class and fold, and how reliable its probabilities are."""
    values, truth, group = _arrays(part, classes)
    known = truth >= 0
    scores = class_scores(truth[known], values[known].argmax(1), group[known], classes, rng)
    return {
        "class_scores": scores.with_columns(model=pl.lit(name)),
        "fold_scores": _fold_scores(name, part, classes),
        "reliability": _reliability_table(values[known], truth[known], name),
    }


def _confusion(part: pl.DataFrame, classes: list[str]) -> pl.DataFrame:
    values, truth, _ = _arrays(part, classes)
    known, area = truth >= 0, part["area_ha"].to_numpy()
    return confusion_table(truth[known], values[known].argmax(1), np.nan_to_num(area[known]), classes)


def _arrays(part: pl.DataFrame, classes: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return probabilities, truth and group of one model's rows; a parcel without a group stands alone."""
    group = standing_alone(part["group"].fill_null(-1).to_numpy())
    return part.select(classes).to_numpy(), part["code"].to_numpy(), group


def _fold_scores(name: str, part: pl.DataFrame, classes: list[str]) -> pl.DataFrame:
    rows = []
    for (fold,), block in sorted(
        part.filter((pl.col("code") >= 0) & (pl.col("fold") >= 0)).group_by("fold"), key=str
    ):
        matrix = confusion(block["code"].to_numpy(), block.select(classes).to_numpy().argmax(1), len(classes))
        rows += [(name, fold, metric, float(score(matrix)), len(block)) for metric, score in METRICS.items()]
    columns = {"model": pl.String, "fold": pl.Int32, "metric": pl.String, "value": pl.Float64, "n": pl.Int64}
    return pl.DataFrame(rows, schema=columns, orient="row")


def _reliability_table(values: np.ndarray, truth: np.ndarray, name: str) -> pl.DataFrame:
    table = reliability(values, truth)
    columns = {"parcels": table[:, 0].astype(int), "confidence": table[:, 1], "accuracy": table[:, 2]}
    return pl.DataFrame({"model": [name] * len(table), "bin": np.arange(len(table)), **columns})


def _rates(
    verdicts: pl.DataFrame, truth: pl.DataFrame, folds: pl.DataFrame, seed: int
) -> tuple[dict[str, dict[str, object]], pl.DataFrame]:
    groups = folds.select("parcel_id", "group")
    wrong = truth.select("parcel_id", "misdeclared")
    rng = np.random.default_rng(seed)
    tables = [verdict_rates(verdicts, wrong, groups, rng, by) for by in (None, *BREAKDOWNS)]
    overall: dict[str, dict[str, object]] = {}
    for row in tables[0].iter_rows(named=True):
        overall.setdefault(row["metric"], {})[row["unit"]] = {
            name: row[name] for name in ("value", "low", "high", "n")
        }
    return overall, pl.concat(tables)


def _follow_up(
    verdicts: pl.DataFrame, truth: pl.DataFrame, folds: pl.DataFrame, seed: int
) -> dict[str, dict[str, object]]:
    """Return how the list keeps its rate: by q, the share in order on it, and of the wrong ones found."""
    table = follow_up_scores(
        verdicts,
        truth.select("parcel_id", "misdeclared"),
        folds.select("parcel_id", "group"),
        np.random.default_rng(seed),
        FOLLOW_UP_RATES,
    )
    found: dict[str, dict[str, Any]] = {}
    for row in table.iter_rows(named=True):
        figures = {name: row[name] for name in ("value", "low", "high", "n")}
        found.setdefault(f"{row['q']:g}", {})[row["metric"]] = figures
    return found


def _by_verdict(verdicts: pl.DataFrame) -> dict[str, Mapping[str, float]]:
    counted = (
        verdicts.group_by("verdict")
        .agg(pl.len().alias("parcels"), pl.col("area_ha").cast(pl.Float64).sum())
        .sort("verdict")
    )
    return {
        row["verdict"]: {"parcels": row["parcels"], "hectares": round(row["area_ha"], 4)}
        for row in counted.iter_rows(named=True)
    }
