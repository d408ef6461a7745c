"""Land-surface products day by day where the parcels lie, as forecasts read them."""

from datetime import date, timedelta
from pathlib import Path

import geopandas as gpd
import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from features.context.blocks import Channel
from features.context.options import LandSurfaceOptions
from models.forecast.history import Daily
from pipelines.config import RunConfig

CELL = 0.05  # degrees: the products' own pixel; parcels of one cell share its values
OPTIONS = ("rasters", "limits.document_mib", "limits.map_megavalues")


def surface_channels(config: RunConfig) -> tuple[Channel, ...]:
    """Return the land-surface products that forecasts are to read, as known on the season's day.

    Raises
    ------
    ConfigError
        Where a folder holds no such product.
    """
    if "surface" not in config.forecast.inputs:
        return ()
    named = {name: one for name, one in config.rasters.items() if isinstance(one, LandSurfaceOptions)}
    channels = [Channel.of_surface(name, one, config.limits) for name, one in sorted(named.items())]
    until = config.season.until
    return tuple(channel.until(until) if until else channel for channel in channels)


def surface_files(config: RunConfig) -> dict[str, Path]:
    """Return every file that they are read from, by its role."""
    return {
        f"forecast surface {channel.name} {path.name}": path
        for channel in surface_channels(config)
        for path in channel.files
    }


def daily_surface(channels: tuple[Channel, ...], parcels: gpd.GeoDataFrame, origin: date) -> Daily | None:
    """Return what was known of each product by the end of every day; None where there is none.

    A day has the mean of the last day, dekad or month that had ended by then. Values between the products'
    pixels are interpolated. A parcel without a place lies in the middle of the others.
    """
    if not channels or not len(parcels):
        return None
    middle = gpd.GeoSeries(parcels.geometry, crs=parcels.crs).centroid.to_crs("EPSG:4326")
    x, y = (np.nan_to_num(axis.to_numpy(), nan=float(axis.median())) for axis in (middle.x, middle.y))
    column, row = np.floor(x / CELL).astype(int), np.floor(y / CELL).astype(int)
    left, top = int(column.min()), int(row.max()) + 1
    shape = (top - int(row.min()), int(column.max()) - left + 1)
    grid = GeoBox(shape, Affine(CELL, 0, left * CELL, 0, -CELL, top * CELL), "EPSG:4326")
    first = min(channel.days[0] for channel in channels)
    last = max(channel.days[-1] for channel in channels)
    days = [first + timedelta(days=k) for k in range((last - first).days + 1)]
    times = np.array(days, "datetime64[ns]")
    cells, place = np.unique((top - 1 - row) * shape[1] + (column - left), return_inverse=True)
    value = np.stack(
        [channel.at_frames(grid, times).reshape(len(days), -1)[:, cells].T for channel in channels], axis=2
    )
    return Daily(tuple(c.name for c in channels), (first - origin).days, value.astype(np.float32), place)
