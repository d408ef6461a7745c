"""The stage that makes a simulated region."""

from collections.abc import Iterable

from features.code.imports import uncollected
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.record.inputs import Inputs
from pipelines.record.stage import Outcome, Stage
from pipelines.workspace import Workspace


def stage(config: RunConfig) -> Stage:
    """Return the stage."""
    return Stage("synthesise", __name__, Inputs(("seed", "season.year", "simulate")), _run, discard=_discard)


def _run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    with uncollected():
        from pipelines.stages import synthesise
    return synthesise.run(config, workspace, progress)


def _discard(workspace: Workspace, names: Iterable[str]) -> None:
    if not (damaged := list(names)):
        return
    from pipelines.stages import synthesise

    synthesise.discard(workspace, damaged)
