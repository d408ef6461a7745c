"""The stage that finds dated events of every parcel."""

from pathlib import Path

import polars as pl

from features.code.imports import uncollected
from features.files import fingerprint
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.inputs.pixels.context_files import region_files
from pipelines.record.inputs import Inputs, entries
from pipelines.record.stage import Outcome, Stage
from pipelines.steps.evaluation.truth import TRUTH_EVENTS
from pipelines.steps.keeping.kept_note import CROP_MODELS, fitting_stands_on
from pipelines.tables import read_event_journal
from pipelines.workspace import Workspace


def stage(config: RunConfig) -> Stage:
    """Return the stage."""
    inputs = Inputs(
        options=("seed", "season", "simulate", "events", "train.keep", "limits.table_gib"),
        after={
            **region_files(config, "field_records.csv", TRUTH_EVENTS),
            "read": ("declarations.parquet",),
            "extract": ("observations/parts.parquet", "observations/parts/*"),
            "train": ("evaluation/folds.parquet", CROP_MODELS),
        },
        files=_files,
        other=_reported_before,
    )

    def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        with uncollected():
            from pipelines.stages import detect
        own = entries("detect", __name__, inputs, config, workspace)
        until = config.season.until or config.season.end
        stands_on = fitting_stands_on("detect", own, inputs, workspace, until)
        return detect.run(config, workspace, progress, stands_on if config.train.keep.models else None)

    return Stage("detect", __name__, inputs, run)


def _files(config: RunConfig, workspace: Workspace) -> dict[str, Path]:
    named: dict[str, Path] = {}
    if config.events.labels is not None:
        named["events.labels"] = config.events.labels
    if config.events.from_run is not None:
        from models.events.learning.bundle import detector_file

        named["events.from_run"] = detector_file(config.events.from_run).parent
    return named


def _reported_before(config: RunConfig, workspace: Workspace) -> dict[str, str]:
    """Return the hash of what earlier runs of this folder reported, as of earlier days."""
    if not workspace.event_journal.is_file():
        return {}
    until = config.season.until or config.season.end
    before = read_event_journal(workspace).filter(pl.col("as_of") < until)
    return {"reported before": fingerprint(before.drop("sensors").rows())} if len(before) else {}
