"""What cloud removal is told beside the imagery, by the config: its maps and weather, its parcels."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl

from features.context.blocks import BlockContext, Channel
from features.context.options import LandSurfaceOptions
from features.declarations.geometry.repair import inner_buffer
from features.errors import ConfigError
from models.clouds.removal.options import LEARNED
from pipelines.config import RunConfig, check_channels
from pipelines.inputs.pixels.context_files import context_file
from pipelines.workspace import Workspace

WEATHER = "weather"
CLASSES = ("soil",)


def clear_context(config: RunConfig, workspace: Workspace, method: str | None = None) -> BlockContext:
    """Return where the channels of `clear.context` are read from; only the networks read any.

    Parameters
    ----------
    method
        Where it is not the config's, as in tuning.

    Raises
    ------
    ConfigError
        Where the config gives no file for a name, the file is missing, or a folder's files have no dates.
    """
    check_channels(config)
    if (method or config.clear.method) not in LEARNED:
        return BlockContext()
    return _context_of(config.clear.context, config, workspace)


def check_rasters(config: RunConfig, workspace: Workspace) -> None:
    """Open the headers of the rasters that are channels; raise a ConfigError where one cannot be used."""
    names = config.clear.context if config.clear.method in LEARNED else ()
    _context_of(tuple(name for name in names if name in config.rasters), config, workspace).check()


def _context_of(names: tuple[str, ...], config: RunConfig, workspace: Workspace) -> BlockContext:
    surfaces = {
        name: one for name in names if isinstance(one := config.rasters.get(name), LandSurfaceOptions)
    }
    paths = {name: _path_of(name, config, workspace) for name in names if name not in surfaces}
    weather = paths.pop(WEATHER, None)
    read = {name: Channel.of(name, path, name not in CLASSES) for name, path in paths.items()}
    read |= {name: Channel.of_surface(name, options, config.limits) for name, options in surfaces.items()}
    channels = tuple(read[name] for name in names if name in read)
    if until := config.season.until:
        channels = tuple(channel.until(until) for channel in channels)
    return BlockContext(channels, weather and weather.absolute())


def _path_of(name: str, config: RunConfig, workspace: Workspace) -> Path:
    given = config.rasters.get(name)
    path = given if isinstance(given, Path) else context_file(config, workspace, name)  # type: ignore[arg-type]
    if path is None or not path.exists():
        raise ConfigError(
            f"clear.context names {name}, but there is no file {path or 'of it'}; mend its path or "
            "leave it out."
        )
    return path


def context_files(config: RunConfig, workspace: Workspace) -> dict[str, Path]:
    """Return every file that the configured channels are read from, by its role: what a stage depends on."""
    context = clear_context(config, workspace)
    channels = {
        f"clear.context {channel.name} {path.name}": path
        for channel in context.channels
        for path in channel.files
    }
    return channels | ({"clear.context weather": context.weather} if context.weather else {})


def frame_times(acquisitions: pl.DataFrame) -> np.ndarray:
    """Return the moments of the optical acquisitions, `datetime64 (time,)`."""
    return acquisitions.filter(pl.col("sensor") == "s2")["datetime"].to_numpy()


def farmed(config: RunConfig, declarations: gpd.GeoDataFrame, method: str) -> gpd.GeoSeries | None:
    """Return the parcels that NDVI is learnt on, shrunk as for extraction; None where it is on all pixels."""
    if not config.clear.agricultural_only or method not in LEARNED:
        return None
    return inner_buffer(declarations.geometry, config.extract.inner_buffer_m)
