"""Observations become series on a calendar, gaps filled and marked; beside them what else is known."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Literal

import geopandas as gpd
import polars as pl
import xarray as xr

from features.accounting import tally
from features.context.embeddings import parcel_embeddings
from features.context.history import parcel_history
from features.context.parcels import parcel_context
from features.context.weather import read_weather, weather_before
from features.declarations.crop_codes import read_crop_table
from features.extraction.observations import read_observations, split_observations
from features.files import read_parquet
from features.memory import fitting
from features.series.chunks import chunks_of, read_chunks, write_chunks
from features.series.gapfill import GapFiller
from features.series.parcel_series import build_series, features_of, read_series
from features.storage.scratch import scratch_folder
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.inputs.bounded_tables import refuse_large
from pipelines.inputs.crop_tables import crop_options
from pipelines.inputs.pixels.context_files import context_file
from pipelines.inputs.surface_series import monthly_surface, surface_channels
from pipelines.record.stage import Outcome
from pipelines.tables import read_declared, write_table
from pipelines.workspace import Workspace

MAPS: tuple[Literal["soil", "elevation"], ...] = ("soil", "elevation")
WEATHER: Literal["weather"] = "weather"
SHARE = 0.5  # of the memory that may be used
# measured: 20,000 parcels of 72 dates and 20 features in chunks of 5,000 took 0.9 GB beside the libraries
BYTES_A_PARCEL, BYTES_A_STATISTIC = 120e3, 60e3
LEAST_PARCELS = 500
WEATHER_DAYS = 10  # before a step, that are averaged and summed


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write `series.nc` (as observed) and `filled.nc`, and context from maps and weather."""
    declarations, weather = read_declared(workspace), weather_of(config, workspace)
    parcel_ids = declarations["parcel_id"].tolist()
    size, total = _at_once(config), len(parcel_ids)
    steps = 2 * len(chunks_of(total, size)) + 1
    done: Iterator[int] = count(1)
    seen: list[bool] = []

    def told(chunks: Iterable[xr.Dataset]) -> Iterator[xr.Dataset]:
        for chunk in chunks:
            yield chunk
            progress(next(done), steps)

    def observed(folder: Path) -> Iterator[xr.Dataset]:
        for chunk in _observed(config, workspace, parcel_ids, weather, folder):
            seen.extend(chunk["observed"].any(("time", "feature")).to_numpy().tolist())
            yield chunk

    with ThreadPoolExecutor(1) as pool:
        maps = pool.submit(_maps, config, workspace, declarations)
        with scratch_folder(workspace.folder) as folder:
            write_chunks(workspace.series, told(observed(folder)), total)
        filler = GapFiller.learn(config.fill, lambda: read_chunks(workspace.series, size))
        filled = (filler.fill(chunk) for chunk in read_chunks(workspace.series, size))
        write_chunks(workspace.filled, told(filled), total)
        beside = maps.result() + _weather(config, workspace, weather)
    progress(steps, steps)
    reasons = [None if ok else "never_observed" for ok in seen]
    return Outcome([workspace.series, workspace.filled, *beside], [tally("fill", "parcels", reasons)])


def _at_once(config: RunConfig) -> int:
    """Return how many parcels are worked on at a time: as the config says, or fewer where memory is short."""
    each = BYTES_A_PARCEL + BYTES_A_STATISTIC * len(config.series.statistics)
    return fitting(each, SHARE, min(LEAST_PARCELS, config.series.chunk_parcels), config.series.chunk_parcels)


def _observed(
    config: RunConfig, workspace: Workspace, parcel_ids: list[str], weather: pl.DataFrame | None, folder: Path
) -> Iterator[xr.Dataset]:
    """Yield the series of some parcels after others, as observed; `folder` holds their observations."""
    chunks = [parcel_ids[rows] for rows in chunks_of(len(parcel_ids), _at_once(config))]
    season, names, statistics = config.season, None, config.series.statistics
    if len(chunks) == 1:
        tables = iter([read_observations(workspace.observations, statistics=statistics).lazy()])
    else:
        paths = split_observations(workspace.observations, chunks, folder, statistics=statistics)
        days = (
            pl.col("datetime").dt.date().is_between(season.start, min(season.end, season.until or season.end))
        )
        names = features_of(pl.scan_parquet(paths, glob=False).filter(days), config.series)
        tables = (pl.scan_parquet(path, glob=False) for path in paths)
    for ids, table in zip(chunks, tables, strict=True):
        yield build_series(
            table,
            ids,
            config.series,
            season.start,
            season.end,
            weather=weather,
            until=season.until,
            names=names,
        )


def weather_of(config: RunConfig, workspace: Workspace) -> pl.DataFrame | None:
    """Return the region's daily weather, where it has any, of the days that may be looked at."""
    path, until = context_file(config, workspace, WEATHER), config.season.until
    weather = read_weather(path) if path else None
    return weather if weather is None or until is None else weather.filter(pl.col("date") <= until)


def _maps(config: RunConfig, workspace: Workspace, declarations: gpd.GeoDataFrame) -> list[Path]:
    """Write what is known once of each parcel: maps, embeddings, earlier declarations, tables' numbers, and
    land-surface products by month.
    """
    soil, elevation = (context_file(config, workspace, name) for name in MAPS)
    workspace.context.unlink(missing_ok=True)
    tables = [parcel_context(declarations, soil, elevation)] if soil or elevation else []
    beside = workspace.observations / "context.parquet"  # numbers that tables of series hold beside values
    if config.series.tables and beside.is_file():
        tables.append(read_parquet(beside))
    if config.embeddings is not None:
        refuse_large(config, config.embeddings.path)
        tables.append(parcel_embeddings(declarations, config.embeddings))
    if config.history:
        tables.append(_history(config, workspace, declarations))
    months = monthly_surface(surface_channels(config), declarations, config.season.start, config.season.end)
    if months is not None:
        tables.append(months)
    if not tables or all(table.width == 1 for table in tables):
        return []
    return [write_table(_side_by_side(tables), workspace.context)]


def _history(config: RunConfig, workspace: Workspace, declarations: gpd.GeoDataFrame) -> pl.DataFrame:
    """Return what the ground of each parcel was declared as before, by this run's crop tables."""
    crops = crop_options(config, workspace)
    known = dict(read_crop_table(crops).select("code", "crop_class").iter_rows())
    return parcel_history(
        declarations,
        config.history,
        config.season.year,
        lambda code: known.get(crops.spelled(code)),
        config.declarations.fields.code,
    )


def _side_by_side(tables: list[pl.DataFrame]) -> pl.DataFrame:
    """Join tables of one row a parcel; a name that two give keeps its first."""
    first, *others = tables
    for other in others:
        new = ["parcel_id", *(name for name in other.columns if name not in first.columns)]
        first = first.join(other.select(new), on="parcel_id", how="left", maintain_order="left")
    return first


def _weather(config: RunConfig, workspace: Workspace, weather: pl.DataFrame | None) -> list[Path]:
    """Write the weather before each step; degree days count from the season's start."""
    workspace.weather.unlink(missing_ok=True)
    if weather is None:
        return []
    since = weather.filter(pl.col("date") >= config.season.start - timedelta(days=WEATHER_DAYS))
    steps = read_series(workspace.filled, slice(0, 0))["time"].values
    before = weather_before(since, steps, WEATHER_DAYS)
    return [write_table(before, workspace.weather)]
