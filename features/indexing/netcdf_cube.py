"""NetCDF cubes, as openEO, xarray and others write them: imagery by date, daily weather, declared crops."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pyproj
import xarray as xr
from affine import Affine

from features.catalog.mission import sensor_of_bands
from features.errors import ImageryError
from features.indexing.cube_axes import TIMES, known_band
from features.indexing.dated_image import BandImage, DatedImage, describe_values, is_known, seen_polygon
from features.indexing.file_names import DATE_CURE, Said, label_of
from features.schema import SCENE_CLASS
from features.storage.hdf5 import MOST_VALUES, check_hdf5

KELVIN = 273.15
READ_AT_ONCE = 256 * 2**20
# AgERA5's names, what they become, and its unit where a file states none.
WEATHER = {
    "temperature_min": ("t_min_c", "K"),
    "temperature_max": ("t_max_c", "K"),
    "precipitation_flux": ("precipitation_mm", "mm"),
    "solar_radiation_flux": ("radiation_mj", "J m-2"),
}
# Factor and shift from a unit to ours: Celsius, mm and MJ m-2 a day. Spaces and "per day" are left out.
UNITS = {
    "t_min_c": {"k": (1.0, -KELVIN), "c": (1.0, 0.0)},
    "precipitation_mm": {"mm": (1.0, 0.0), "kgm-2": (1.0, 0.0), "m": (1e3, 0.0), "kgm-2s-1": (86_400.0, 0.0)},
    "radiation_mj": {"jm-2": (1e-6, 0.0), "kjm-2": (1e-3, 0.0), "mjm-2": (1.0, 0.0), "wm-2": (0.0864, 0.0)},
}
UNITS["t_max_c"] = UNITS["t_min_c"]
CELSIUS = (
    "celsius",
    "degc",
    "degreecelsius",
    "degree_celsius",
    "degreescelsius",
    "degrees_celsius",
    "\u00b0c",
)
UNIT_NAMES = {"kelvin": "k", "millimeter": "mm", "millimetre": "mm", **dict.fromkeys(CELSIUS, "c")}
_ANGLES = ("viewAzimuthMean",)
_DATES = ("time_coverage_start", "datetime", "acquisition_date", "date")
CROP_VARIABLES = ("CT", "crop_type", "croptype")


@contextmanager
def open_cube(path: Path, most_pixels: int = MOST_VALUES) -> Iterator[xr.Dataset]:
    """Open a NetCDF file with its raw values: a fill value on whole numbers must not turn them into floats.

    Raises
    ------
    ImageryError
        Where it is no NetCDF file, declares a map of more than `most_pixels`, or leads to other files.
    """
    try:
        with h5py.File(path, "r") as opened:
            check_hdf5(opened, str(path), most_pixels, "--most-megapixels")
        with xr.open_dataset(path, engine="h5netcdf", mask_and_scale=False) as cube:
            yield cube
    except (OSError, ValueError, KeyError) as error:
        raise ImageryError(f"{path} cannot be read as NetCDF ({error}); download it again.") from error


def kind_of(cube: xr.Dataset) -> str | None:
    """What a cube holds: `imagery`, `weather`, `crops`, or None.

    Examples
    --------
    >>> kind_of(xr.Dataset({"CT": (("y", "x"), np.ones((2, 2)))}))
    'crops'
    """
    dated = _time_of(cube) is not None
    names = [str(name) for name in cube.data_vars]
    if dated and any(_weather_name(name) for name in names):
        return "weather"
    if dated and any(_is_band(cube, name) for name in names):
        return "imagery"
    return "crops" if not dated and any(name in CROP_VARIABLES for name in names) else None


def _time_of(cube: xr.Dataset) -> str | None:
    return next((name for name in TIMES if name in cube.dims and name in cube.coords), None)


def _is_band(cube: xr.Dataset, name: str) -> bool:
    return known_band(name) is not None and {"x", "y"} <= set(cube[name].dims)


def has_bands(cube: xr.Dataset) -> bool:
    """Whether a cube with plain axes holds a known band on a grid, dated or not."""
    return any(_is_band(cube, str(name)) for name in cube.data_vars)


def with_date(cube: xr.Dataset, said: Said | None, path: Path) -> xr.Dataset:
    """The cube of one moment with that moment, which its attributes or its name state.

    Raises
    ------
    ImageryError
        With the reason `no_date` where nothing does.
    """
    stated = next((str(cube.attrs[name]) for name in _DATES if name in cube.attrs), "")
    known = re.match(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2})?", stated)
    if known is None and said is None:
        raise ImageryError(
            f"{path} has no time dimension and no date; {DATE_CURE}, or time_coverage_start.",
            reason="no_date",
        )
    moment = np.datetime64(known[0] if known else said.taken if said else "NaT", "ns")
    return cube.expand_dims(t=np.array([moment]))


def _weather_name(name: str) -> str | None:
    plain = name.lower().replace("-", "_")
    return plain if plain in WEATHER else None


def read_images(
    cube: xr.Dataset, path: Path, named: Mapping[str, Any]
) -> Iterator[tuple[list[DatedImage], list[str]]]:
    """Yield for each date its images, radar and optical apart, and the reason of every band set aside.

    Parameters
    ----------
    named
        Properties that the cube's name states of all its dates.

    Raises
    ------
    ImageryError
        Where the cube has no CRS or no regular grid.
    """
    time, names = str(_time_of(cube)), _bands(cube)
    on_grid = [name for name in cube.data_vars if {time, "x", "y"} <= set(cube[name].dims)]
    unknown = len(set(map(str, on_grid)) - {*names.values(), *_ANGLES})
    crs, transform, stated = crs_of(cube, path), transform_of(cube, path), _stated(cube, named)
    for moment, date in _dates(cube, time, [*names.values(), *_ANGLES]):
        read = [_band_image(date[name], band, crs, transform) for band, name in names.items()]
        lost = ["no_known_band"] * unknown + [band for band in read if isinstance(band, str)]
        usable = [band for band in read if isinstance(band, BandImage)]
        images = []
        for sensor in ("s1", "s2"):
            bands = tuple(band for band in usable if sensor_of_bands([band.band]) == sensor)
            if bands:
                azimuth = _azimuth(date) if sensor == "s2" else None
                images.append(DatedImage(moment, sensor, bands, stated, azimuth, path, label_of(path.name)))
        yield images, lost


def _bands(cube: xr.Dataset) -> dict[str, str]:
    """Variable names by our band name; of two variables of one band the first."""
    found: dict[str, str] = {}
    for name in map(str, cube.data_vars):
        if _is_band(cube, name) and (band := known_band(name)):
            found.setdefault(band, name)
    return found


def _dates(cube: xr.Dataset, time: str, names: list[str]) -> Iterator[tuple[datetime, xr.Dataset]]:
    """Yield each date of some variables; many dates are read at once, as far as memory is bounded."""
    held = cube[[name for name in names if name in cube.data_vars]]
    moments = np.asarray(cube[time].values).astype("datetime64[us]").tolist()
    step = max(1, int(READ_AT_ONCE * len(moments) / max(held.nbytes, 1)))
    for start in range(0, len(moments), step):
        block = held.isel({time: slice(start, start + step)}).load()
        for position, moment in enumerate(moments[start : start + step]):
            yield moment, block.isel({time: position})


def _azimuth(date: xr.Dataset) -> float | None:
    value = float(date["viewAzimuthMean"].mean()) if "viewAzimuthMean" in date else np.nan
    return value if np.isfinite(value) else None


def _stated(cube: xr.Dataset, named: Mapping[str, Any]) -> dict[str, Any]:
    """What the cube's attributes and its name say of all its dates."""
    tile = re.fullmatch(r"\d{2}[A-Z]{3}", str(cube.attrs.get("tile", "")))
    return {**named, **({"grid:code": f"MGRS-{tile[0]}"} if tile else {})}


def _band_image(values: xr.DataArray, band: str, crs: str, transform: Affine) -> BandImage | str:
    raw = north_up(values)
    fill = values.attrs.get("_FillValue", values.encoding.get("_FillValue"))
    nodata = None if fill is None or not np.isfinite(float(fill)) else float(fill)
    is_packed = bool({"scale_factor", "add_offset"} & values.attrs.keys())
    said = describe_values(band, raw, nodata, is_scaled=is_packed)
    if isinstance(said, str):
        return said
    if is_packed:
        said |= {"scale": _packing(values, "scale_factor", 1), "offset": _packing(values, "add_offset", 0)}
    seen = None if band == SCENE_CLASS else seen_polygon(is_known(raw, nodata), transform, crs)
    return BandImage(band, transform, crs, raw.shape, values=raw, nodata=nodata, seen=seen, **said)


def north_up(values: xr.DataArray) -> np.ndarray:
    """Return the raw values (y, x), the first row northernmost."""
    ordered, y = values.transpose("y", "x").values, values["y"].values
    return np.asarray(ordered if y[0] >= y[-1] else ordered[::-1])


def transform_of(cube: xr.Dataset, path: Path) -> Affine:
    """Return the affine transform of a cube's pixels, north up, from the centres in its coordinates."""
    x, y = np.asarray(cube["x"].values, float), np.sort(np.asarray(cube["y"].values, float))[::-1]
    if min(len(x), len(y)) < 2:
        raise ImageryError(
            f"{path} has fewer than 2 x 2 pixels; its resolution cannot be told.", reason="too_small"
        )
    dx, dy = np.diff(x), np.diff(y)
    if not (np.allclose(dx, dx[0]) and np.allclose(dy, dy[0]) and dx[0] > 0):
        raise ImageryError(
            f"{path} has no regular grid: its steps differ; resample it first.", reason="uneven_grid"
        )
    return Affine(dx[0], 0, x[0] - dx[0] / 2, 0, dy[0], y[0] - dy[0] / 2)


def crs_of(cube: xr.Dataset, path: Path) -> str:
    """Return a cube's CRS as `EPSG:…` where it has such a code, else as WKT.

    Raises
    ------
    ImageryError
        Where no variable or attribute states one.
    """
    for attributes in (*(cube[name].attrs for name in cube.variables), cube.attrs):
        for name in ("crs_wkt", "spatial_ref", "epsg", "crs"):
            if crs := _parsed(attributes.get(name)):
                code = crs.to_epsg()
                return f"EPSG:{code}" if code else str(crs.to_wkt())
    if "crs_of_axes" in cube.attrs:
        return str(cube.attrs["crs_of_axes"])
    raise ImageryError(
        f"{path} states no coordinate system; write a crs_wkt attribute, or the attribute crs: EPSG:32631, "
        "into it.",
        reason="no_crs",
    )


def _parsed(text: object) -> pyproj.CRS | None:
    plain = str(text or "").removeprefix("+init=")
    try:
        return pyproj.CRS.from_user_input(int(plain) if plain.isdigit() else plain) if plain else None
    except pyproj.exceptions.CRSError:
        return None


def read_weather(cube: xr.Dataset) -> pl.DataFrame:
    """Return daily weather, the mean over the cube's pixels.

    Columns date, t_min_c, t_max_c, precipitation_mm, radiation_mj, as far as the cube has them. Packed values
    are unpacked (CF conventions 1.11, section 8.1: `raw * scale_factor + add_offset`); fill values are nulls.
    Where a variable states no unit it is AgERA5's, but temperatures below 150 are degrees Celsius.

    Raises
    ------
    ImageryError
        Where a variable states a unit that is not known.
    """
    time = _time_of(cube)
    days = np.asarray(cube[time].values).astype("datetime64[D]")
    columns: dict[str, Any] = {"date": pl.Series(days.tolist(), dtype=pl.Date)}
    for name in cube.data_vars:
        if plain := _weather_name(str(name)):
            column, usual = WEATHER[plain]
            daily = _daily_mean(cube[name])
            factor, shift = UNITS[column][_unit_of(cube[name], column, usual, daily)]
            columns[column] = daily * factor + shift
    return pl.DataFrame(columns).with_columns(pl.col(pl.Float64).fill_nan(None)).sort("date")


def _unit_of(values: xr.DataArray, column: str, usual: str, daily: np.ndarray) -> str:
    """Key of UNITS: the unit a variable states, else AgERA5's, else Celsius where it can be no kelvin."""
    stated = str(values.attrs.get("units", values.attrs.get("unit", ""))).strip()
    if not stated:
        return "c" if usual == "K" and np.nanmedian(daily) < 150 else _plain_unit(usual)
    if (unit := _plain_unit(stated)) in UNITS[column]:
        return unit
    raise ImageryError(
        f"{values.name} is in {stated!r}; give it in one of {', '.join(UNITS[column])}, or leave it out."
    )


def _plain_unit(text: str) -> str:
    """Return a unit in lower case, without spaces, signs of powers, and "a day".

    Examples
    --------
    >>> [_plain_unit(unit) for unit in ("mm d-1", "J m**-2 day^-1", "degC", "kg m-2 s-1", "Celsius", "W/m2")]
    ['mm', 'jm-2', 'c', 'kgm-2s-1', 'c', 'wm-2']
    """
    plain = re.sub(r"[\s^*]", "", text.lower())
    plain = re.sub(r"/([a-z]+)(\d?)", lambda found: f"{found[1]}-{found[2] or 1}", plain)
    plain = re.sub(r"(?<=[m2])(d|day)-1$", "", plain)
    return UNIT_NAMES.get(plain, plain)


def _daily_mean(values: xr.DataArray) -> np.ndarray:
    """Mean over the pixels, of unpacked values without fill values, `(day,)`."""
    raw = values.astype("float64")
    for name in ("_FillValue", "missing_value"):
        fill = values.attrs.get(name, values.encoding.get(name))
        raw = raw if fill is None else raw.where(values != fill)
    scale, offset = (
        _packing(values, name, usual) for name, usual in (("scale_factor", 1), ("add_offset", 0))
    )
    physical = raw * scale + offset
    return np.asarray(physical.mean([dim for dim in values.dims if dim not in TIMES], skipna=True).values)


def _packing(values: xr.DataArray, name: str, usual: float) -> float:
    return float(values.attrs.get(name, values.encoding.get(name, usual)))
