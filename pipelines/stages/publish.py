"""Everything before becomes pages, exports, MLflow runs and a manifest."""

from pathlib import Path

import polars as pl

from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.record import audit
from pipelines.record.manifest import git_commit, page_hash, versions, write_manifest
from pipelines.record.receipt import read_receipt
from pipelines.record.stage import Outcome, Stage
from pipelines.stages import tracking
from pipelines.stages.gather import BEFORE, gather, input_hashes
from pipelines.workspace import Workspace
from reports.exports.assessment import write_assessment
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
    exports += write_assessment(tables, workspace.folder / "exports", pl.read_parquet(workspace.design))
    pages = write_reports(tables, workspace.reports, config.publish, progress)
    tracked = tracking.begin(config, workspace, inputs)
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
        "runs": tracked.ids,
    }
    seal = write_manifest(workspace.manifest, content, [page for page in pages if page.suffix == ".html"])
    audit.append(workspace.audit, "manifest", manifest_hash=seal)
    tracking.end(tracked, workspace, seal)
    facts = {"manifest_hash": seal, "summary": _summary(tables.verdicts)}
    return Outcome([*exports, *pages, workspace.manifest], [], facts)


def _summary(verdicts: pl.DataFrame) -> str:
    counts = dict(verdicts["verdict"].value_counts().sort("verdict").iter_rows())
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def _extras(config: RunConfig, workspace: Workspace) -> list[Path]:
    previous = [config.previous / "manifest.json"] if config.previous else []
    field = [workspace.field_journal, workspace.assessment, workspace.by_stratum, workspace.assisted]
    return [*field, workspace.table("tuning"), *previous]


STAGE = Stage(
    "publish",
    ("features", "models", "reports", "pipelines"),
    ("publish", "tracking", "previous"),
    ("read", "extract", "fill", "train", "judge"),
    run,
    _extras,
)
