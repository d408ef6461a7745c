"""The stage that fits the crop models."""

from collections.abc import Iterable
from pathlib import Path

from features.code.imports import uncollected
from features.workers import Executor, Progress, lent
from pipelines.config import RunConfig
from pipelines.record.inputs import Inputs, entries
from pipelines.record.stage import Outcome, Stage
from pipelines.steps.keeping.stands_on import made_with
from pipelines.workspace import Workspace

JOB = "job.json"  # as `models.crops.fitting.fits` names it


def stage(config: RunConfig, executor: Executor | None = None) -> Stage:
    """Return the stage; its units may run anywhere."""
    inputs = Inputs(
        options=("seed", "folds", "train"),
        after={
            "read": ("declarations.parquet", *(("holdings.json",) if config.train.transfer.runs else ())),
            **({} if config.series.tables else {"clear": ()}),  # how series are made decides on kept models
            "extract": ("evaluation/dates.parquet",),
            "fill": ("filled.nc", "context.parquet", "weather.parquet"),
        },
        files=_files,
    )

    def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        with uncollected():
            from pipelines.stages import train
        own = entries("train", __name__, inputs, config, workspace)
        stands_on = {**made_with(inputs, workspace), "train": own}
        with lent(executor) as units:
            return train.run(config, workspace, progress, stands_on, units)

    return Stage("train", __name__, inputs, run, discard=_discard)


def _discard(workspace: Workspace, names: Iterable[str]) -> None:
    """Delete damaged files, and the note that a fit has ended of which one is damaged."""
    for name in names:
        path = workspace.folder / name
        path.unlink(missing_ok=True)
        (path.parent / JOB).unlink(missing_ok=True)


def _files(config: RunConfig, workspace: Workspace) -> dict[str, Path]:
    if not config.train.transfer.runs:
        return {}
    from pipelines.inputs.model_series import transferred_files

    return transferred_files(config.train.transfer)
