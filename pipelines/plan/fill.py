"""The stage that makes series of observations and fills their gaps."""

from pathlib import Path

from features.code.imports import uncollected
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.inputs.crop_tables import crop_files
from pipelines.inputs.named_files import SURFACE_OPTIONS, surface_files
from pipelines.inputs.pixels.context_files import NAMES, context_file, region_files
from pipelines.record.inputs import Inputs
from pipelines.record.stage import Outcome, Stage
from pipelines.workspace import Workspace


def stage(config: RunConfig) -> Stage:
    """Return the stage."""
    codes = ("declarations.fields", "declarations.crops") if config.history else ()
    inputs = Inputs(
        options=(
            *(
                "season",
                "series",
                "fill",
                "simulate",
                "weather",
                "soil",
                "elevation",
                "embeddings",
                "limits.table_gib",
                "history",
                *SURFACE_OPTIONS,
            ),
            *codes,
        ),
        after={
            **region_files(config, *NAMES.values(), *(("crops.csv",) if config.history else ())),
            "read": ("declarations.parquet",),
            "extract": ("observations/parts.parquet", "observations/parts/*", "observations/context.parquet"),
        },
        files=_files,
    )
    return Stage("fill", __name__, inputs, _run)


def _run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    with uncollected():
        from pipelines.stages import fill
    return fill.run(config, workspace, progress)


def _files(config: RunConfig, workspace: Workspace) -> dict[str, Path]:
    found = {name: context_file(config, workspace, name) for name in NAMES}
    vectors = {"embeddings": config.embeddings.path} if config.embeddings else {}
    before = {f"history {source.year}": source.path for source in config.history}
    codes = crop_files(config, workspace) if config.history else {}
    given = {name: path for name, path in found.items() if path}
    return given | vectors | before | codes | surface_files(config)
