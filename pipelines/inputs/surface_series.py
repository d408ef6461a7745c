"""Land-surface products where the parcels lie: day by day, as forecasts read them, and by month."""

from datetime import date, timedelta
from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
from affine import Affine
from odc.geo.geobox import GeoBox

from features.context.blocks import Channel
from features.context.daily import Daily
from features.context.options import LandSurfaceOptions
from pipelines.config import RunConfig

CELL = 0.05  # degrees: the products' own pixel; parcels of one cell share its values
MOST_MONTHS = 24  # of a season


def surface_channels(config: RunConfig) -> tuple[Channel, ...]:
    """Return the land-surface products under `rasters`, as known on the season's day.

    Raises
    ------
    ConfigError
        Where a folder holds no such product.
    """
    named = {name: one for name, one in config.rasters.items() if isinstance(one, LandSurfaceOptions)}
    channels = [Channel.of_surface(name, one, config.limits) for name, one in sorted(named.items())]
    until = config.season.until
    return tuple(channel.until(until) if until else channel for channel in channels)


def files_of_channels(config: RunConfig) -> dict[str, Path]:
    """Return every file that they are read from, by its role."""
    return {
        f"surface {channel.name} {path.name}": path
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


def monthly_surface(
    channels: tuple[Channel, ...], parcels: gpd.GeoDataFrame, start: date, end: date
) -> pl.DataFrame | None:
    """Return the mean of each product in every month of a season, one row a parcel, in their order.

    Columns are `surface_NAME_01` for the month of the season's first day, and so on: those of another season
    of the same length have the same names. Of a month of which nothing was known they are null. None where
    there is no product.
    """
    daily = daily_surface(channels, parcels, start)
    if daily is None:
        return None
    columns: dict[str, pl.Series] = {"parcel_id": pl.Series(parcels["parcel_id"].tolist(), dtype=pl.String)}
    months = [start.year * 12 + start.month - 1 + k for k in range(MOST_MONTHS)]
    months = [month for month in months if date(month // 12, month % 12 + 1, 1) <= end]
    days = daily.start + np.arange(daily.value.shape[1])
    month_of = np.array([(at := start + timedelta(days=int(day))).year * 12 + at.month - 1 for day in days])
    for k, name in enumerate(daily.names):
        for number, month in enumerate(months, start=1):
            some = daily.value[:, month_of == month, k]
            known = np.isfinite(some)
            total, n = np.where(known, some, 0).sum(1), known.sum(1)
            mean = np.divide(total, n, out=np.full(len(some), np.nan, np.float32), where=n > 0)
            columns[f"surface_{name}_{number:02d}"] = pl.Series(mean[daily.place]).fill_nan(None)
    return pl.DataFrame(columns)
