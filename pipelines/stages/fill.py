"""Observations become series on a calendar, gaps filled and marked; beside them what else is known."""

from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import geopandas as gpd
import polars as pl
import xarray as xr

from features.accounting import tally
from features.context.parcels import parcel_context
from features.context.weather import read_weather, weather_before
from features.extraction.observations import read_observations
from features.files import read_parquet
from features.series.gapfill import gapfill_series
from features.series.parcel_series import build_series, write_series
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.inputs.context_files import context_file, region_files
from pipelines.record.inputs import Inputs
from pipelines.record.stage import Outcome, Stage
from pipelines.tables import read_declared, write_table
from pipelines.workspace import Workspace

MAPS: tuple[Literal["soil", "elevation"], ...] = ("soil", "elevation")
WEATHER: Literal["weather"] = "weather"
WEATHER_DAYS = 10  # before a step, that are averaged and summed


def stage(config: RunConfig) -> Stage:
    """Return the stage."""
    inputs = Inputs(
        options=("season", "series", "fill", "simulate", "weather", "soil", "elevation"),
        after={
            **region_files(config, "*.csv", "*.tif"),
            "read": ("declarations.parquet",),
            "extract": ("observations/parts.parquet", "observations/parts/*", "observations/context.parquet"),
        },
        files=_files,
    )
    return Stage("fill", __name__, inputs, run)


def _files(config: RunConfig, workspace: Workspace) -> dict[str, Path]:
    named = {name: context_file(config, workspace, name) for name in (*MAPS, WEATHER)}
    return {name: path for name, path in named.items() if path}


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write `series.nc` (as observed) and `filled.nc`, and context from maps and weather."""
    declarations, weather = read_declared(workspace), weather_of(config, workspace)
    parcel_ids = declarations["parcel_id"].tolist()
    observations = read_observations(workspace.observations)
    season = config.season
    series = build_series(
        observations,
        parcel_ids,
        config.series,
        season.start,
        _last_day(config),
        weather=weather,
        until=season.until,
    )
    progress(1, 4)
    filled = gapfill_series(series, config.fill)
    progress(2, 4)
    write_series(series, workspace.series)
    write_series(filled, workspace.filled)
    progress(3, 4)
    beside = _maps(config, workspace, declarations) + _weather(config, workspace, weather, filled)
    progress(4, 4)
    seen = series["observed"].any(("time", "feature")).to_numpy()
    reasons = [None if ok else "never_observed" for ok in seen]
    return Outcome([workspace.series, workspace.filled, *beside], [tally("fill", "parcels", reasons)])


def _last_day(config: RunConfig) -> date:
    """Return the day that the calendar ends on: degree days are known no further than the weather."""
    season = config.season
    if config.series.calendar != "thermal" or season.until is None:
        return season.end
    return min(season.end, season.until)


def weather_of(config: RunConfig, workspace: Workspace) -> pl.DataFrame | None:
    """Return the region's daily weather, where it has any, of the days that may be looked at."""
    path, until = context_file(config, workspace, WEATHER), config.season.until
    weather = read_weather(path) if path else None
    return weather if weather is None or until is None else weather.filter(pl.col("date") <= until)


def _maps(config: RunConfig, workspace: Workspace, declarations: gpd.GeoDataFrame) -> list[Path]:
    """Write soil and elevation of each parcel, from maps."""
    soil, elevation = (context_file(config, workspace, name) for name in MAPS)
    workspace.context.unlink(missing_ok=True)
    tables = [parcel_context(declarations, soil, elevation)] if soil or elevation else []
    beside = workspace.observations / "context.parquet"  # numbers that tables of series hold beside values
    if config.series.tables and beside.is_file():
        tables.append(read_parquet(beside))
    if not tables or all(table.width == 1 for table in tables):
        return []
    return [write_table(_side_by_side(tables), workspace.context)]


def _side_by_side(tables: list[pl.DataFrame]) -> pl.DataFrame:
    """Join tables of one row a parcel; a name that two give keeps its first."""
    first, *others = tables
    for other in others:
        new = ["parcel_id", *(name for name in other.columns if name not in first.columns)]
        first = first.join(other.select(new), on="parcel_id", how="left", maintain_order="left")
    return first


def _weather(
    config: RunConfig, workspace: Workspace, weather: pl.DataFrame | None, series: xr.Dataset
) -> list[Path]:
    """Write the weather before each step; degree days count from the season's start."""
    workspace.weather.unlink(missing_ok=True)
    if weather is None:
        return []
    since = weather.filter(pl.col("date") >= config.season.start - timedelta(days=WEATHER_DAYS))
    before = weather_before(since, series["time"].values, WEATHER_DAYS)
    return [write_table(before, workspace.weather)]
