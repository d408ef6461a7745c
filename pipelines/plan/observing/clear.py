"""The stage that masks clouds and fits cloud removal."""

from pathlib import Path

from features.code.imports import uncollected
from features.workers import Progress
from models.clouds.mask.options import FITTED
from pipelines.config import RunConfig
from pipelines.inputs.pixels.channel_files import CONTEXT_OPTIONS, channel_files
from pipelines.inputs.pixels.context_files import region_files
from pipelines.record.inputs import Inputs, entries
from pipelines.record.stage import Outcome, Stage
from pipelines.steps.keeping.stands_on import made_with, stands_on_of
from pipelines.workspace import Workspace


def stage(config: RunConfig) -> Stage:
    """Return the stage."""
    inputs = Inputs(
        options=(
            "seed",
            "clear",
            "imagery.level",
            "extract",
            "train.keep",
            "limits.tile_megavalues",
            *CONTEXT_OPTIONS,
        ),
        after={
            **region_files(config, "catalog/*", "*.csv", "*.tif"),
            "read": ("declarations.parquet", "acquisitions.parquet", "assets.parquet"),
        },
        files=lambda config, workspace: {
            **channel_files(config, workspace),
            **_mask_files(config),
        },
    )

    def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        with uncollected():
            from pipelines.stages.observing import clear
        own = entries("clear", __name__, inputs, config, workspace)
        made = stands_on_of({**made_with(inputs, workspace), "clear": own})
        stands_on = {**made, "until": str(config.season.until)}  # nothing later may be in the model
        return clear.run(config, workspace, progress, stands_on if config.train.keep.models else None)

    return Stage("clear", __name__, inputs, run, try_again=_mended)


def _mended(config: RunConfig, workspace: Workspace) -> bool:
    with uncollected():
        from pipelines.stages.observing import clear
    return clear.mended(config, workspace)


def _mask_files(config: RunConfig) -> dict[str, Path]:
    """Return what the mask learns from beside the imagery, by its role."""
    network = config.clear.mask.network
    if config.clear.mask.method not in FITTED:
        return {}
    files = {f"clear.mask.network.tiles {n}": tiles.path for n, tiles in enumerate(network.tiles)}
    return files | (
        {} if network.pretrained is None else {"clear.mask.network.pretrained": network.pretrained}
    )
