"""Everything before becomes pages, exports, MLflow runs and a manifest."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from features.schema import ENSEMBLE
from features.workers import Progress
from models.clouds.removal.options import LEARNED
from models.crops.estimators.by_name import libraries_of
from models.registry import ModelRecord, RunRecord, Tracker
from pipelines.config import RunConfig
from pipelines.inputs.model_series import starting_bundle
from pipelines.record import audit
from pipelines.record.manifest import git_commit, page_hash, versions, write_manifest
from pipelines.record.receipt import read_receipt
from pipelines.record.stage import Outcome, Stage
from pipelines.stages.gather import BEFORE, gather, input_hashes
from pipelines.workspace import Workspace
from reports.exports.tables import write_exports, write_sample
from reports.pages.write import write_reports

SAMPLE = "exports/quality_sample.csv"


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write `reports/`, the exports, `manifest.json`, and the run's record in MLflow."""
    receipts = [receipt for name in BEFORE if (receipt := read_receipt(workspace, name))]
    inputs = input_hashes(config, workspace)
    tables = gather(config, workspace, receipts, inputs)
    exports = write_exports(
        tables.verdicts, tables.declarations, workspace.folder, crop_names=tables.crop_names
    )
    exports.append(write_sample(pl.read_parquet(workspace.sample), workspace.folder / SAMPLE))
    pages = write_reports(tables, workspace.reports, config.publish, progress)
    tracker, ids = _track(config, workspace, inputs)
    outputs = {
        name: digest for receipt in receipts for name, digest in receipt.outputs.items() if name not in inputs
    }
    weights = {name: digest for name, digest in outputs.items() if name.startswith(("models/", "clear/"))}
    written = {workspace.relative(path): page_hash(path) for path in [*exports, *pages]}
    content = {
        "name": config.name,
        "config": config.model_dump(mode="json"),
        "seed": config.seed,
        "git_commit": git_commit(),
        "versions": versions(),
        "model_id": tables.lineage["model_id"],
        "inputs": inputs,
        "models": weights,
        "outputs": {**{name: digest for name, digest in outputs.items() if name not in weights}, **written},
        "stages": tables.lineage["stages"],
        "runs": ids,
    }
    seal = write_manifest(workspace.manifest, content, [page for page in pages if page.suffix == ".html"])
    audit.append(workspace.audit, "manifest", manifest_hash=seal)
    if tracker is not None:
        top = [path for path in pages if path.parent == workspace.reports]
        tracker.close(ids["run"], [*top, workspace.manifest, workspace.metrics], {"manifest_sha256": seal})
    facts = {"manifest_hash": seal, "summary": _summary(tables.verdicts)}
    return Outcome([*exports, *pages, workspace.manifest], [], facts)


def _track(
    config: RunConfig, workspace: Workspace, inputs: dict[str, str]
) -> tuple[Tracker | None, dict[str, str]]:
    """Open the run in MLflow; return the tracker and the run ids, or nothing where tracking is off."""
    if not config.tracking.enabled:
        return None, {}
    tracker = Tracker(config.tracking.store, config.tracking.artifacts, config.tracking.experiment)
    metrics = json.loads(workspace.metrics.read_text(encoding="utf-8"))
    settings = config.model_dump(mode="json")
    scores = pl.read_parquet(workspace.table("class_scores"))
    folds = pl.read_parquet(workspace.table("fold_scores"))
    names = [name for name in metrics["models"] if name != ENSEMBLE]
    models = [_model_record(name, config, workspace, metrics, scores, folds) for name in names]
    record = RunRecord(
        name=config.name,
        parameters=settings,
        metrics={**_figures(metrics["models"][ENSEMBLE]), **_rates(metrics["verdicts"])},
        tags={"git_commit": git_commit() or "none", "season": str(config.season.year)},
        datasets=inputs,
        texts={"config.json": json.dumps(settings, indent=1, sort_keys=True)},
        models=(*models, *_cloud_records(config, workspace)),
    )
    return tracker, tracker.open(record)


def _model_record(
    name: str,
    config: RunConfig,
    workspace: Workspace,
    metrics: dict[str, Any],
    scores: pl.DataFrame,
    folds: pl.DataFrame,
) -> ModelRecord:
    by_class = scores.filter(pl.col("model") == name).drop_nulls("value")
    by_fold = folds.filter(pl.col("model") == name)
    figures = {
        **_figures(metrics["models"][name]),
        **{f"{row['metric']}.{row['crop_class']}": row["value"] for row in by_class.iter_rows(named=True)},
        **{f"{row['metric']}.fold_{row['fold']}": row["value"] for row in by_fold.iter_rows(named=True)},
    }
    start = starting_bundle(config.train.transfer)
    settings = dict((start.models if start else config.train.models)[name])
    libraries = libraries_of(str(settings.get("model", name)))
    return ModelRecord(name, settings, figures, [workspace.models / name], libraries)


def _cloud_records(config: RunConfig, workspace: Workspace) -> list[ModelRecord]:
    """What is kept of cloud removal, with its example picture; nothing where none was fitted."""
    folder = workspace.cloud_model
    if config.clear.method == "none" or not (folder / "model.json").is_file():
        return []
    members = json.loads((folder / "model.json").read_text(encoding="utf-8")).get("members", [])
    epochs = members[0]["history"] if members else []
    learned = ("keras", "tensorflow") if config.clear.method in LEARNED else ()
    settings = config.clear.model_dump(mode="json")
    last = epochs[-1] if epochs else {}
    return [ModelRecord(f"clear {config.clear.method}", settings, last, [folder], learned, epochs)]


def _figures(estimates: dict[str, Any]) -> dict[str, float]:
    return {name: estimate["value"] for name, estimate in estimates.items() if estimate["value"] is not None}


def _rates(verdicts: dict[str, Any]) -> dict[str, float]:
    units = {name: rate["count"] for name, rate in verdicts.items() if "count" in rate}
    return _figures(units)


def _summary(verdicts: pl.DataFrame) -> str:
    counts = dict(verdicts["verdict"].value_counts().sort("verdict").iter_rows())
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def _extras(config: RunConfig, workspace: Workspace) -> list[Path]:
    previous = [config.previous / "manifest.json"] if config.previous else []
    return [workspace.assessment, workspace.table("tuning"), *previous]


STAGE = Stage(
    "publish",
    ("features", "models", "reports", "pipelines"),
    ("publish", "tracking", "previous"),
    ("read", "extract", "fill", "train", "judge"),
    run,
    _extras,
)
