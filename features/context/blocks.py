"""What is known of a block of ground beside its imagery: maps, daily weather, which pixels lie in parcels.

Held as paths, so that it travels with work units; a block's own part is read with the block.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from features.context.lsa_saf import Period, files_in, mean_surface, periods_of, read_surface
from features.context.maps import check_map, lay_on, read_map
from features.context.options import LandSurfaceOptions
from features.context.weather import read_weather
from features.errors import ConfigError, ImageryError
from features.indexing.file_names import read_name
from features.limits import DEFAULT_LIMITS, LimitOptions
from features.messages.listed import listed

RASTERS = (".tif", ".tiff")
# a pixel anywhere: reading it shows that a file is whole and is what it is called
CHECKED = GeoBox((1, 1), Affine(0.05, 0, 4.0, 0, -0.05, 50.0), "EPSG:4326")
WEATHER_DAYS = 30  # averaging window of a frame, its own day included


@dataclass(frozen=True)
class Channel:
    """One quantity, as a map or as dated maps.

    Attributes
    ----------
    name
        As the config has it.
    paths, days
        GeoTIFFs; where dated, the day of each, ascending. Without days there is one path, for all times.
    smooth
        Whether values between the map's pixels are interpolated; false for classes. The pixels of
        land-surface products are 4 to 8 km wide: a block then holds a few of them, and little more than their
        mean is known of it.
    periods, most_missing
        Of a land-surface product, the days behind each map, known from the day in `days` on; and the share of
        slots, percent, of which a day may lack.
    """

    name: str
    paths: tuple[Path, ...]
    days: tuple[date, ...] = ()
    smooth: bool = True
    periods: tuple[Period, ...] = ()
    most_missing: float = 20.0

    @classmethod
    def of_surface(
        cls, name: str, options: LandSurfaceOptions, limits: LimitOptions = DEFAULT_LIMITS
    ) -> "Channel":
        """Return the channel of a folder of LSA SAF products.

        Raises
        ------
        ConfigError
            As `features.context.lsa_saf.files_in`.
        """
        try:
            periods = tuple(periods_of(files_in(options.path.absolute(), limits), options.aggregate))
        except ImageryError as error:
            raise _unusable(name, error) from error
        paths = tuple(period.files[0].path for period in periods)
        known = tuple(period.known_on for period in periods)
        return cls(name, paths, known, True, periods, options.most_missing)

    @classmethod
    def of(cls, name: str, path: Path, smooth: bool = True) -> "Channel":
        """Return the channel of a GeoTIFF, or of a folder of GeoTIFFs with a date in their names.

        Raises
        ------
        ConfigError
            Where there is neither, a file's name holds no date, or a date comes twice.
        """
        path = path.absolute()
        if path.is_file():
            return cls(name, (path,), smooth=smooth)
        found = rasters_in(path)
        if not found:
            raise ConfigError(
                f"{name}: {path} is neither a GeoTIFF nor a folder of GeoTIFFs (.tif); correct the path."
            )
        days = [_day_of(name, file) for file in found]
        repeated = next((day for day in days if days.count(day) > 1), None)
        if repeated is not None:
            raise ConfigError(f"{name}: {path} holds more than one map of {repeated}; merge them into one.")
        order = np.argsort(np.array(days))
        return cls(name, tuple(found[k] for k in order), tuple(days[k] for k in order), smooth)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that it is read from."""
        return tuple(file.path for period in self.periods for file in period.files) or self.paths

    def until(self, day: date) -> "Channel":
        """Return the channel without maps of later days.

        Raises
        ------
        ConfigError
            Where it is dated and none is left.
        """
        if not self.days:
            return self
        kept = sum(known <= day for known in self.days)
        if not kept:
            raise ConfigError(
                f"{self.name}: the first map is of {self.days[0]}, after season.until {day}; add an earlier "
                "one, or leave it out of clear.context."
            )
        return replace(self, paths=self.paths[:kept], days=self.days[:kept], periods=self.periods[:kept])

    def check(self) -> None:
        """Open every header; raise a ConfigError where a map cannot be used."""
        try:
            for period in self.periods:
                for file in period.files:
                    read_surface(file, CHECKED)
            for path in () if self.periods else self.paths:
                check_map(path)
        except ImageryError as error:
            raise _unusable(self.name, error) from error

    def read(self, grid: GeoBox, path: Path) -> np.ndarray:
        """Return one of the maps on a grid, `(y, x)` float32, NaN where unknown."""
        try:
            return read_map(path, grid, self.smooth)
        except ImageryError as error:
            raise _unusable(self.name, error) from error

    def at_frames(self, grid: GeoBox, times: np.ndarray) -> np.ndarray:
        """Return `(time, y, x)`: of each frame the latest map on or before its day (UTC), else the first."""
        days = np.array(self.days, "datetime64[D]")
        if self.periods:
            return self._surfaces(grid, _last_by(days, times))
        which = _last_by(days, times)
        which = np.maximum(which, 0)
        maps = {int(k): self.read(grid, self.paths[k]) for k in np.unique(which)}
        return np.array([maps[k] for k in which.tolist()], np.float32).reshape(-1, *grid.shape)

    def _surfaces(self, grid: GeoBox, which: np.ndarray) -> np.ndarray:
        """Return `(time, y, x)`: of each frame the last mean that was known by its day; NaN before the first.

        A period of which too many days lack too much is passed over for the one before.
        """
        found: dict[int, np.ndarray] = {-1: np.full(grid.shape, np.nan, np.float32)}

        def known(k: int) -> np.ndarray:
            if k not in found:
                surface = self._mean(self.periods[k], grid)
                found[k] = known(k - 1) if surface is None else surface
            return found[k]

        return np.array([known(int(k)) for k in which], np.float32).reshape(-1, *grid.shape)

    def _mean(self, period: Period, grid: GeoBox) -> np.ndarray | None:
        try:
            surface = mean_surface(period, self.most_missing, grid)
        except ImageryError as error:
            raise _unusable(self.name, error) from error
        if surface is None:
            return None
        value = surface.value
        return lay_on(lambda a, b, c, d: value[a:b, c:d], surface.grid, grid, self.smooth)


@dataclass(frozen=True)
class BlockContext:
    """Which maps, and which table of daily weather, come with every block; nothing by default."""

    channels: tuple[Channel, ...] = ()
    weather: Path | None = None

    @property
    def files(self) -> list[Path]:
        """Every file that is read from."""
        weather = [self.weather] if self.weather else []
        return [path for channel in self.channels for path in channel.files] + weather

    @property
    def key(self) -> list[Any]:
        """What the channels depend on: names, dates, and each file's name, size and time; JSON-ready."""
        said = [[c.name, c.smooth, [str(day) for day in c.days], len(c.paths)] for c in self.channels]
        stats = [(path, path.stat()) for path in self.files]
        return [said, [[path.name, stat.st_size, stat.st_mtime_ns] for path, stat in stats]]

    def check(self, times: np.ndarray | None = None) -> None:
        """Open every map's header, and check that the weather holds all days that frames at `times (time,)`
        need.

        Raises
        ------
        ConfigError
            Naming the file and the cure.
        """
        for channel in self.channels:
            channel.check()
        if self.weather is not None and times is not None and len(times):
            read_days(self.weather, times)

    def laid_on(self, stack: xr.Dataset, grid: GeoBox) -> xr.Dataset:
        """Return a pixel stack with what is known of its block.

        Returns
        -------
        xr.Dataset
            The stack with `context (channel, y, x)`, `dated_context (dated_channel, time, y, x)`, both
            float32, NaN where unknown, and `weather (day, variable)`; each where there is any.

        Raises
        ------
        ConfigError
            As `check`, and where pixels cannot be decoded.
        """
        times = stack["time"].values
        constant = {c.name: c.read(grid, c.paths[0]) for c in self.channels if not c.days}
        dated = {c.name: c.at_frames(grid, times) for c in self.channels if c.days}
        if constant:
            values = np.stack(list(constant.values()))
            stack = stack.assign(context=(("channel", "y", "x"), values))
            stack = stack.assign_coords(channel=list(constant))
        if dated:
            values = np.stack(list(dated.values()))
            stack = stack.assign(dated_context=(("dated_channel", "time", "y", "x"), values))
            stack = stack.assign_coords(dated_channel=list(dated))
        if self.weather is not None and len(times):
            stack = stack.assign(weather=read_days(self.weather, times))
        return stack


def _last_by(days: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return `(time,)` the number of the last of `days` on or before each moment; -1 before the first."""
    return np.asarray(np.searchsorted(days, times.astype("datetime64[D]"), side="right") - 1)


def rasters_in(folder: Path) -> list[Path]:
    """Return the GeoTIFFs of a folder by name, of a file itself, and none where there is neither."""
    if folder.is_file():
        return [folder]
    here = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in here if path.suffix.lower() in RASTERS and path.is_file()]


def _day_of(name: str, file: Path) -> date:
    said = read_name(file.name)
    if said is None:
        raise ConfigError(f"{name}: {file} has no date in its name; write it as 2024-05-01 or 20240501.")
    return said.taken.date()


def _unusable(name: str, error: ImageryError) -> ConfigError:
    return ConfigError(f"{name} cannot be used as a channel of cloud removal: {error}")


def read_days(path: Path, times: np.ndarray) -> xr.DataArray:
    """Read the daily weather that frames need.

    Parameters
    ----------
    times
        `datetime64 (time,)` of the frames, at least one.

    Returns
    -------
    xr.DataArray
        `(day, variable)` float64, in the table's units: every day from 29 before the first frame (or the
        table's first) to the last frame's.

    Raises
    ------
    ConfigError
        Where the table begins after the first frame, or a day or a value of one is missing.
    """
    table = read_weather(path)
    first, last = (moment.astype("datetime64[D]").item() for moment in (times.min(), times.max()))
    begins = table["date"].min()
    if not isinstance(begins, date) or begins > first:
        raise ConfigError(
            f"{path} begins on {begins!s}, after the first image of {first}; add the days before, or leave "
            "weather out of clear.context."
        )
    start = max(begins, first - timedelta(days=WEATHER_DAYS - 1))
    days = pl.DataFrame({"date": pl.date_range(start, last, eager=True)})
    daily = days.join(table, on="date", how="left", maintain_order="left")
    names = [name for name in table.columns if name != "date"]
    gaps = daily.filter(pl.any_horizontal(pl.col(names).is_null()))["date"]
    if len(gaps):
        raise ConfigError(
            f"{path} lacks one of {listed(names)} on {len(gaps)} days from {start} to {last}, first "
            f"{gaps[0]}; complete it, or leave weather out of clear.context."
        )
    coords = {"day": daily["date"].to_numpy().astype("datetime64[ns]"), "variable": names}
    return xr.DataArray(daily.select(names).to_numpy(), dims=("day", "variable"), coords=coords)


def pixels_in(shapes: gpd.GeoSeries, grid: GeoBox) -> np.ndarray:
    """Return bool `(y, x)`: the pixels whose centre lies in one of the shapes, of any coordinate system."""
    drawn = shapes[~(shapes.is_empty | shapes.isna())].to_crs(str(grid.crs))
    here: Sequence[Any] = drawn.iloc[drawn.sindex.query(grid.extent.geom)].tolist()
    if not here:
        return np.zeros(grid.shape, bool)
    drawing = rasterize(here, out_shape=grid.shape, transform=grid.affine, dtype="uint8")
    return np.asarray(drawing, bool)
