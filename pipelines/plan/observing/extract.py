"""The stage that extracts observations from imagery."""

from features.code.imports import uncollected
from features.workers import Executor, Progress, lent
from pipelines.config import RunConfig
from pipelines.inputs.pixels.channel_files import CONTEXT_OPTIONS, channel_files
from pipelines.inputs.pixels.context_files import region_files
from pipelines.record.inputs import Inputs
from pipelines.record.stage import Outcome, Stage
from pipelines.workspace import Workspace


def stage(config: RunConfig, executor: Executor | None = None) -> Stage:
    """Return the stage; it reads what `clear` fitted where clouds are removed, and may run anywhere."""

    def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        with uncollected():
            from pipelines.stages.observing import extract
        with lent(executor) as units:
            return extract.run(config, workspace, progress, units)

    outputs: tuple[str, ...] = () if config.clear.mask.as_delivered else ("masks/*",)
    if config.clear.method != "none":
        outputs += ("clear/*", "!clear/example.png", "!clear/fitted.json")
    inputs = Inputs(
        options=("extract", "clear.mask", *CONTEXT_OPTIONS),
        after={
            **region_files(config, "catalog/*", "*.csv", "*.tif"),
            "read": ("declarations.parquet", "acquisitions.parquet", "assets.parquet"),
            **({"clear": outputs} if outputs else {}),
        },
        files=channel_files,
    )
    # units that have ended are kept, so that running again tries those that were set aside and no others
    return Stage("extract", __name__, inputs, run, try_again=lambda config, workspace: True)
