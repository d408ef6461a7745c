"""The stage that writes pages, exports, MLflow runs and the manifest."""

from collections.abc import Sequence
from pathlib import Path

from features.code.imports import uncollected
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.inputs.named_files import previous_files
from pipelines.record.hashes import file_hash
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
        """Return the hash of each receipt as it lies there, as the manifest will have it: a stage that went
        another way and back leaves the same outputs and another receipt.
        """
        there = [stage.name for stage in earlier if read_receipt(workspace, stage.name)]
        return {f"record of {name}": file_hash(workspace.receipts / f"{name}.json") for name in there}

    after = {stage.name: EVERYTHING for stage in earlier}
    return Stage("publish", __name__, Inputs(EVERYTHING, after, _files, records), run)


def _files(config: RunConfig, workspace: Workspace) -> dict[str, Path]:
    before = previous_files(config.previous) if config.previous else {}
    tuned = {"tuned": workspace.tuned, "tuning": workspace.table("tuning")}
    named = {"lpis": config.publish.lpis, "interventions": config.publish.interventions}
    exchange = {name: options.path for name, options in named.items() if options is not None}
    return before | tuned | exchange | {"field": workspace.field_results.parent}
