"""Axes of NetCDF cubes as their many writers name them, brought to t, y, x and one variable a band."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from features.catalog.bands import band_of
from features.errors import ImageryError

TIMES = ("t", "time", "timestamp", "times", "date", "datetime", "temporal")
ROWS = ("y", "latitude", "lat", "northing", "ycoord")
COLUMNS = ("x", "longitude", "lon", "easting", "xcoord")
BAND_AXES = ("band", "bands", "spectral", "channel", "channels", "variable", "polarization", "polarisation")
DEGREES = {"latitude", "lat", "longitude", "lon"}


def plain_axes(cube: xr.Dataset, path: Path) -> xr.Dataset:
    """Return a cube with the dimensions `t`, `y` and `x` as far as it has them, and a variable for each band.

    Columns run from west to east. Latitude and longitude without a stated coordinate system are WGS 84.

    Raises
    ------
    ImageryError
        With the reason `unnamed_bands` where a band dimension has no names, `unreadable_times` where moments
        cannot be read.
    """
    degrees = bool(DEGREES & {str(name).lower() for name in cube.dims})
    for plain, names in (("t", TIMES), ("y", ROWS), ("x", COLUMNS)):
        held = [str(name) for name in (*cube.dims, *cube.coords) if str(name).lower() in names]
        if plain not in held and held:
            cube = cube.rename({held[0]: plain})
    cube = _one_variable_a_band(cube, path)
    if "t" in cube.coords:
        cube = _with_moments(cube, path)
    if "x" in cube.coords and cube["x"].ndim == 1 and cube.sizes["x"] > 1 and cube["x"][0] > cube["x"][-1]:
        cube = cube.isel(x=slice(None, None, -1))
    return cube.assign_attrs(crs_of_axes="EPSG:4326") if degrees else cube


def _one_variable_a_band(cube: xr.Dataset, path: Path) -> xr.Dataset:
    axis = next((str(name) for name in cube.dims if str(name).lower() in BAND_AXES), None)
    if axis is None:
        return cube
    parted = {}
    for name in [str(name) for name in cube.data_vars if axis in cube[str(name)].dims]:
        names = _band_names(cube, name, axis)
        if names is None:
            raise ImageryError(
                f"{path} holds {name} with {cube.sizes[axis]} bands along {axis}, but not their names; write "
                f"them into the coordinate {axis}, such as B04, B08, SCL.",
                reason="unnamed_bands",
            )
        for position, band in enumerate(names):
            parted[band if band not in parted else f"{name}_{band}"] = cube[name].isel({axis: position})
        cube = cube.drop_vars(name)
    return cube.drop_vars(axis, errors="ignore").assign(
        {band: values.drop_vars(axis, errors="ignore") for band, values in parted.items()}
    )


def _band_names(cube: xr.Dataset, name: str, axis: str) -> list[str] | None:
    """Names along a band axis: of its coordinate, else of the variable's long_name, where one is known."""
    candidates: list[list[Any]] = [cube[axis].values.tolist()] if axis in cube.coords else []
    stated = cube[name].attrs.get("long_name")
    candidates += [list(stated)] if isinstance(stated, list | tuple | np.ndarray) else []
    for found in candidates:
        names = [text.decode() if isinstance(text, bytes) else str(text) for text in found]
        if len(names) == cube.sizes[axis] and any(known_band(text) for text in names):
            return names
    return None


def known_band(name: str) -> str | None:
    """Return our name of the band that a variable holds, `s2_B04` and `S1_VV` included.

    Examples
    --------
    >>> known_band("s2_B04"), known_band("VV"), known_band("s2_dlmask")
    ('B04', 'vv', None)
    """
    plain = name[3:] if name[:3].lower() in {"s1_", "s2_"} else name
    found = band_of(plain)
    return found[0] if found else None


def _with_moments(cube: xr.Dataset, path: Path) -> xr.Dataset:
    """The cube with `t` as a dimension of datetime64, whatever its moments were written as."""
    if cube["t"].ndim == 0:
        cube = cube.expand_dims("t")
    moments = np.asarray(cube["t"].values)
    if moments.dtype.kind != "M":
        try:
            moments = np.array([_moment(value) for value in moments.tolist()], dtype="datetime64[ns]")
        except (ValueError, TypeError, OverflowError) as error:
            raise ImageryError(
                f"{path} has moments such as {moments.ravel()[0]} that are no dates; write them as CF "
                "conventions ask (units such as 'days since 2024-01-01').",
                reason="unreadable_times",
            ) from error
        cube = cube.assign_coords(t=moments)
    return cube


def _moment(value: Any) -> datetime:
    """A date as text, or of another calendar (cftime), as a datetime without zone."""
    if isinstance(value, bytes | str):
        text = value.decode() if isinstance(value, bytes) else value
        return datetime.fromisoformat(text.strip().replace("Z", "+00:00")).replace(tzinfo=None)
    if hasattr(value, "calendar"):
        return datetime(value.year, value.month, value.day, value.hour, value.minute, value.second)
    raise TypeError(f"{value!r} is no date")
