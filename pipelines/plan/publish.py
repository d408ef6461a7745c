"""The stage that writes pages, exports, MLflow runs and the manifest."""

from collections.abc import Sequence
from pathlib import Path

from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.inputs.named_files import previous_files
from pipelines.memory import uncollected
from pipelines.record.inputs import EVERYTHING, Inputs
from pipelines.record.receipt import read_receipt
from pipelines.record.stage import Outcome, Stage
from pipelines.workspace import Workspace


def stage(config: RunConfig, earlier: Sequence[Stage]) -> Stage:
    """Return the stage; it reads all that the earlier ones wrote, and how they came to it."""

    def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        with uncollected():
            from pipelines.stages import publish
        return publish.run(config, workspace, progress, earlier)

    def records(config: RunConfig, workspace: Workspace) -> dict[str, str]:
        receipts = {stage.name: read_receipt(workspace, stage.name) for stage in earlier}
        return {f"record of {name}": receipt.key for name, receipt in receipts.items() if receipt}

    after = {stage.name: EVERYTHING for stage in earlier}
    return Stage("publish", __name__, Inputs(EVERYTHING, after, _files, records), run)


def _files(config: RunConfig, workspace: Workspace) -> dict[str, Path]:
    before = previous_files(config.previous) if config.previous else {}
    tuned = {"tuned": workspace.tuned, "tuning": workspace.table("tuning")}
    named = {"lpis": config.publish.lpis, "interventions": config.publish.interventions}
    exchange = {name: options.path for name, options in named.items() if options is not None}
    return before | tuned | exchange | {"field": workspace.field_results.parent}
