"""What a run reads beside declarations and imagery: files that the config names, weather, maps, labels."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import geopandas as gpd

from features.errors import ConfigError
from features.options import Options
from pipelines.commands.checks.findings import Findings
from pipelines.config import RunConfig

# Made by a run, or looked at by a check of its own.
NOT_HERE = ("tracking.artifacts", "declarations.", "embeddings.path", "judge.schemes")


def check_beside(config: RunConfig, declarations: gpd.GeoDataFrame | None, findings: Findings) -> None:
    """Note every file and folder that the config names and that is not there, and what cannot be read."""
    absent = set()
    for name, path in paths_of(config):
        if not name.startswith(NOT_HERE) and findings.of(partial(_there, path, name)) is None:
            absent.add(path)
    for table in (config.weather, config.forecast.weather_table):
        if table is not None and table not in absent:
            findings.of(partial(_weather, table))
    for raster in (config.soil, config.elevation):
        if raster is not None and raster not in absent:
            findings.of(partial(_map, raster))
    labels = config.events.labels
    if labels is not None and labels not in absent and declarations is not None:
        findings.of(partial(_labels, config, labels, declarations))


def paths_of(options: Options, under: str = "") -> Iterator[tuple[str, Path]]:
    """Yield every path in a group of options, those within it too, with the keys that lead there.

    Examples
    --------
    >>> from features.context.options import HistoryOptions
    >>> list(paths_of(HistoryOptions(year=2023, path="p.gpkg")))
    [('path', PosixPath('p.gpkg'))]
    """
    for name in type(options).model_fields:
        yield from _within(getattr(options, name), f"{under}.{name}".lstrip("."))


def _within(value: object, name: str) -> Iterator[tuple[str, Path]]:
    if isinstance(value, Path):
        yield name, value
    elif isinstance(value, Options):
        yield from paths_of(value, name)
    elif isinstance(value, dict):
        for key, held in value.items():
            yield from _within(held, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for position, held in enumerate(value):
            yield from _within(held, f"{name} {position}")


def _there(path: Path, name: str) -> Path:
    try:
        exists = path.exists()
    except ValueError:  # a NUL
        exists = False
    if not exists:
        raise ConfigError(f"{name} names {str(path)!r}, which does not exist; correct it or leave it out.")
    if not os.access(path, os.R_OK):
        raise ConfigError(f"{name} names {str(path)!r}, which you have no rights to read; change its rights.")
    return path


def _weather(path: Path) -> None:
    from features.context.weather import read_weather

    read_weather(path)


def _map(path: Path) -> None:
    from features.context.maps import check_map

    check_map(path)


def _labels(config: RunConfig, path: Path, declarations: gpd.GeoDataFrame) -> None:
    from models.events.labels import read_labels

    season = config.season
    read_labels(path, declarations["parcel_id"].tolist(), season.start, season.end, season.until)
