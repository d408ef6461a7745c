"""The stage that looks at the pixels inside parcels."""

from features.code.imports import uncollected
from features.workers import Executor, Progress, lent
from pipelines.config import RunConfig
from pipelines.inputs.crop_tables import crop_files
from pipelines.inputs.pixels.context_files import region_files
from pipelines.record.inputs import Inputs
from pipelines.record.stage import Outcome, Stage
from pipelines.workspace import Workspace


def stage(config: RunConfig, executor: Executor | None = None) -> Stage:
    """Return the stage; its units may run anywhere."""

    def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        with uncollected():
            from pipelines.stages import compose
        with lent(executor) as units:
            return compose.run(config, workspace, progress, units)

    masks: dict[str, tuple[str, ...]] = {} if config.clear.mask.as_delivered else {"clear": ("masks/*",)}
    inputs = Inputs(
        options=("seed", "season", "extract", "clear.mask", "patches", "simulate", "declarations.crops"),
        after={
            **region_files(config, "catalog/*", "crops.csv"),
            "read": ("declarations.parquet", "acquisitions.parquet", "assets.parquet"),
            **masks,
            "extract": ("parcels.parquet", "observations/set_aside.parquet"),
            "train": ("evaluation/folds.parquet",),
        },
        files=crop_files,
    )
    return Stage("compose", __name__, inputs, run)
