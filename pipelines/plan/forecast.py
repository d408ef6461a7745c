"""The stage that forecasts NDVI."""

from pathlib import Path

from features.code.imports import uncollected
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.inputs.named_files import SURFACE_OPTIONS, history_files, surface_files
from pipelines.inputs.pixels.context_files import region_files
from pipelines.record.inputs import Inputs, entries
from pipelines.record.stage import Outcome, Stage
from pipelines.steps.keeping.kept_note import CROP_MODELS, fitting_stands_on
from pipelines.workspace import Workspace


def stage(config: RunConfig) -> Stage:
    """Return the stage."""
    inputs = Inputs(
        options=(
            "seed",
            "season",
            "simulate",
            "forecast",
            "train.keep",
            "weather",
            "limits.table_gib",
            *SURFACE_OPTIONS,
        ),
        after={
            **region_files(config, "weather.csv", "earlier/*"),
            "read": ("declarations.parquet",),
            "extract": ("observations/parts.parquet", "observations/parts/*"),
            "fill": ("context.parquet",),
            "train": ("evaluation/folds.parquet", CROP_MODELS),
            "detect": ("events.parquet",),
        },
        files=_files,
    )

    def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        with uncollected():
            from pipelines.stages import forecast
        own = entries("forecast", __name__, inputs, config, workspace)
        until = config.forecast.from_day or config.season.until or config.season.end
        stands_on = fitting_stands_on("forecast", own, inputs, workspace, until, beside=("detect",))
        return forecast.run(config, workspace, progress, stands_on if config.train.keep.models else None)

    return Stage("forecast", __name__, inputs, run)


def _files(config: RunConfig, workspace: Workspace) -> dict[str, Path]:
    named = history_files(config)
    if config.weather is not None:
        named["weather"] = config.weather
    if config.forecast.from_run is not None:
        from models.forecast.bundle import forecaster_file

        named["forecast.from_run"] = forecaster_file(config.forecast.from_run).parent
    return named | (surface_files(config) if "surface" in config.forecast.inputs else {})
