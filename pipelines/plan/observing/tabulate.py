"""The stage that stands where imagery would be extracted: it reads tables of series."""

from pathlib import Path

from features.code.imports import uncollected
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.record.inputs import Inputs
from pipelines.record.stage import Outcome, Stage
from pipelines.workspace import Workspace


def stage(config: RunConfig) -> Stage:
    """Return the stage."""
    inputs = Inputs(
        options=("series.tables", "season", "limits.series_gib"),
        after={"read": ("declarations.parquet",)},
        files=_files,
    )
    return Stage("extract", __name__, inputs, _run)


def _run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    with uncollected():
        from pipelines.stages.observing import tabulate
    return tabulate.run(config, workspace, progress)


def _files(config: RunConfig, workspace: Workspace) -> dict[str, Path]:
    from pipelines.inputs.points import table_files

    return table_files(config)
