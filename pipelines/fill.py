"""Observations become series on a calendar; gaps are filled and marked."""

from pathlib import Path

import polars as pl

from features.accounting import tally
from features.gapfill import fill_series
from features.observations import read_observations
from features.series import build_series, write_series
from pipelines.config import RunConfig
from pipelines.read import read_declared
from pipelines.stage import Outcome, Progress, Stage
from pipelines.workspace import Workspace


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write `series.nc` (as observed) and `filled.nc`."""
    parcel_ids = read_declared(workspace)["parcel_id"].tolist()
    observations = read_observations(workspace.observations)
    season = config.season
    series = build_series(
        observations,
        parcel_ids,
        config.series,
        season.start,
        season.end,
        weather=weather_of(config, workspace),
        until=season.until,
    )
    progress(1, 3)
    filled = fill_series(series, config.fill)
    progress(2, 3)
    write_series(series, workspace.series)
    write_series(filled, workspace.filled)
    progress(3, 3)
    seen = series["observed"].any(("time", "feature")).to_numpy()
    reasons = [None if ok else "never_observed" for ok in seen]
    return Outcome([workspace.series, workspace.filled], [tally("fill", "parcels", reasons)])


def weather_of(config: RunConfig, workspace: Workspace) -> pl.DataFrame | None:
    """Return the region's daily weather where it has any."""
    path = workspace.region / "weather.csv" if config.simulate is not None else config.weather
    return pl.read_csv(path, try_parse_dates=True) if path and Path(path).is_file() else None


def _weather(config: RunConfig, workspace: Workspace) -> list[Path]:
    return [config.weather] if config.weather else []


STAGE = Stage(
    "fill", ("features",), ("season", "series", "fill", "weather"), ("read", "extract"), run, _weather
)
