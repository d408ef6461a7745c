"""The stage that compares a run with the one before in the same folder."""

from features.code.imports import uncollected
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.record.inputs import Inputs
from pipelines.record.stage import Outcome, Stage
from pipelines.steps.compared_runs import READ, runs_of
from pipelines.workspace import Workspace


def stage(config: RunConfig) -> Stage:
    """Return the stage."""
    return Stage("compare", __name__, Inputs(after=READ, other=_compared_with), _run)


def _run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    with uncollected():
        from pipelines.stages import compare
    return compare.run(config, workspace, progress)


def _compared_with(config: RunConfig, workspace: Workspace) -> dict[str, str]:
    before = runs_of(workspace).before
    return {"compared with": before} if before else {}
