"""Everything before becomes pages, exports, MLflow runs and a manifest."""

from collections.abc import Sequence
from concurrent.futures import Future

import polars as pl

from features.files import read_parquet
from features.workers import Progress
from models.registry import Tracker
from pipelines.config import RunConfig
from pipelines.record.audit import chain
from pipelines.record.audit.manifest import git_commit, versions, write_manifest
from pipelines.record.receipt import read_receipt
from pipelines.record.stage import Outcome, Stage
from pipelines.steps import tracking
from pipelines.steps.gather import gather, input_hashes
from pipelines.workspace import Workspace
from reports.composition import composition_columns
from reports.exports.assessment import write_assessment
from reports.exports.tables import write_exports, write_lpis, write_sample
from reports.pages.write import write_reports

SAMPLE = "exports/quality_sample.csv"


def run(config: RunConfig, workspace: Workspace, progress: Progress, earlier: Sequence[Stage]) -> Outcome:
    """Write `reports/`, the exports, `manifest.json`, and the run's record in MLflow."""
    with tracking.connecting(config) as tracker:
        return _publish(config, workspace, progress, earlier, tracker)


def _publish(
    config: RunConfig,
    workspace: Workspace,
    progress: Progress,
    earlier: Sequence[Stage],
    tracker: "Future[Tracker] | None",
) -> Outcome:
    receipts = [receipt for stage in earlier if (receipt := read_receipt(workspace, stage.name))]
    inputs = input_hashes(config, workspace, earlier)
    tables = gather(config, workspace, receipts, inputs)
    exports = write_exports(
        tables.verdicts,
        tables.declarations,
        workspace.folder,
        crop_names=tables.crop_names,
        agency=config.publish.gsa_code,
        composition=composition_columns(tables),
        interventions=config.publish.interventions,
    )
    if config.publish.lpis:
        folder, most = workspace.folder / "exports", config.limits.table_gib
        exports += write_lpis(tables.declarations, config.publish.lpis, folder, most)
    exports.append(write_sample(read_parquet(workspace.sample), workspace.folder / SAMPLE))
    exports += write_assessment(tables, workspace.folder / "exports", read_parquet(workspace.design))
    pages = write_reports(tables, workspace.reports, config.publish, progress)
    tracked = tracking.begin(config, workspace, inputs, tracker)
    content = {
        "name": config.name,
        "config": config.model_dump(mode="json"),
        "seed": config.seed,
        "git_commit": git_commit(),
        "versions": versions(),
        "model_id": tables.lineage["model_id"],
        "stages": tables.lineage["stages"],
        "public_sets": tables.lineage["folds"].get("sets", []),
        "fit": tables.lineage["folds"].get("fit", {}),
        "runs": tracked.ids,
    }
    seal = write_manifest(workspace, content, inputs, receipts)
    chain.append(workspace.audit, "manifest", manifest_hash=seal)
    tracking.end(tracked, workspace, seal)
    facts = {"manifest_hash": seal, "summary": _summary(tables.verdicts)}
    return Outcome([*exports, *pages, workspace.manifest], [], facts)


def _summary(verdicts: pl.DataFrame) -> str:
    counts = dict(verdicts["verdict"].value_counts().sort("verdict").iter_rows())
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
