"""Daily land-surface products of EUMETSAT's LSA SAF, as they are delivered, read onto any grid.

Known are MDMETv3 (evapotranspiration, `ET`), MDIDSSF (down-welling shortwave flux, `DSSF`) and MNSLF (net
surface longwave flux). NetCDF4 files lie on a regular grid of latitude and longitude of 0.05 degrees, with
fill value, scale and unit as the CF conventions have them. Older HDF5 files, often packed with bzip2, lie on
the geostationary disk of Meteosat, with SCALING_FACTOR, OFFSET, MISSING_VALUE and the disk's CFAC, LFAC, COFF
and LOFF (LSA SAF product user manuals; CGMS 03, LRIT/HRIT global specification, section 4.4). Both are HDF5
inside, so that one library reads them. Written from that documentation: no delivered file was at hand.
"""

import bz2
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from features.context.options import Aggregation
from features.errors import ImageryError
from features.limits import DEFAULT_LIMITS, MIB, MILLION, LimitOptions
from features.storage.hdf5 import check_hdf5

# product in a file's name, and the variables that hold its value
VARIABLES = {
    "DMET": ("ET",), "DMETv3": ("ET",), "MDMETv3": ("ET",), "MDMET": ("ET",),
    "DIDSSF": ("DSSF", "DIDSSF"), "MDIDSSF": ("DSSF", "DIDSSF"),
    "MNSLF": ("NSLF", "MNSLF", "SNLF"), "DNSLF": ("NSLF", "DNSLF"), "MDNSLF": ("NSLF", "MDNSLF"),
}  # fmt: skip
NAME = re.compile(
    r"^(?:NETCDF4|HDF5)_LSASAF_MSG(?:-IODC)?_(?P<product>[A-Za-z0-9-]+)_(?:MSG|IODC)-Disk_"
    r"(?P<day>\d{8})(?:\d{4})?(?:\.nc|\.h5|\.hdf5|\.HDF)?(?P<packed>\.bz2)?$"
)
SATELLITE_METRES = 35_785_831.0  # above the equator (CGMS 03)
GEOSTATIONARY = "+proj=geos +h=35785831 +a=6378169 +b=6356583.8 +lon_0={} +units=m +no_defs"
LEAST_OF_PERIOD = 0.5  # share of a period's days below which its mean is unknown


@dataclass(frozen=True)
class SurfaceFile:
    """One day's file: `product` and `day` as its name says them."""

    path: Path
    product: str
    day: date
    limits: LimitOptions = DEFAULT_LIMITS


@dataclass(frozen=True)
class Surface:
    """A part of one day's map: `value (y, x)` float32 in `unit`, NaN where unknown, on `grid`, north up."""

    value: np.ndarray
    grid: GeoBox
    unit: str


@dataclass(frozen=True)
class Period:
    """Days that are averaged; `known_on` is the last of them, before which the mean is not known."""

    known_on: date
    files: tuple[SurfaceFile, ...]
    days: int


def files_in(folder: Path, limits: LimitOptions = DEFAULT_LIMITS) -> list[SurfaceFile]:
    """Return the products below a folder, by day.

    Raises
    ------
    ImageryError
        Where there is none, they are of several products, or a day comes twice.
    """
    found = [_named(path, limits) for path in sorted(folder.rglob("*")) if path.is_file()]
    files = sorted((file for file in found if file is not None), key=lambda file: file.day)
    if not files:
        raise ImageryError(
            f"{folder} holds no product of LSA SAF: its files are called "
            "NETCDF4_LSASAF_MSG_<product>_MSG-Disk_<YYYYMMDDhhmm>.nc or HDF5_LSASAF_...; correct the path."
        )
    products = sorted({file.product for file in files})
    if len(products) > 1:
        raise ImageryError(
            f"{folder} holds several products ({', '.join(products)}); give each its own folder."
        )
    if products[0] not in VARIABLES:
        raise ImageryError(
            f"{folder} holds the product {products[0]}, which is not read; these are: "
            f"{', '.join(sorted(VARIABLES))}."
        )
    days = [file.day for file in files]
    twice = next((day for day in days if days.count(day) > 1), None)
    if twice is not None:
        raise ImageryError(f"{folder} holds more than one file of {twice}; keep one.")
    return files


def periods_of(files: list[SurfaceFile], aggregate: Aggregation, until: date | None = None) -> list[Period]:
    """Return the periods that ended by a day, each with its files.

    A period that has not ended is left out: its mean would need days to come.
    """
    of: dict[tuple[date, date], list[SurfaceFile]] = {}
    for file in files:
        of.setdefault(_bounds(file.day, aggregate), []).append(file)
    return [
        Period(last, tuple(part), (last - first).days + 1)
        for (first, last), part in sorted(of.items())
        if until is None or last <= until
    ]


def missing_percent(file: SurfaceFile) -> float:
    """Return the share of a day's slots that its sum lacks, percent, over what was seen; 0 where not said."""
    with _opened(file) as opened:
        for name in ("missing_values_percent", "MISSING_VALUES_PERCENT"):
            if name in opened:
                value, _ = _physical(opened[name], np.s_[...])
                known = value[np.isfinite(value)]
                return float(np.median(known)) if known.size else 100.0
            if name in opened.attrs:
                return float(np.ravel(opened.attrs[name])[0])
    return 0.0


def read_surface(file: SurfaceFile, around: GeoBox | None = None) -> Surface:
    """Read a day's map, or the part of it around a grid.

    Returns
    -------
    Surface
        North up, whatever the file's order of latitude; on longitude and latitude, or on the geostationary
        disk where the file has it.

    Raises
    ------
    ImageryError
        Where the file is damaged, lacks its variable, or says of no grid where it lies.
    """
    with _opened(file) as opened:
        stored = _variable(opened, file)
        if {"lat", "lon"} <= set(opened) or {"latitude", "longitude"} <= set(opened):
            return _regular(opened, stored, around, file)
        if "CFAC" in opened.attrs:
            return _geostationary(opened, stored, around, file)
    raise ImageryError(
        f"{file.path} has neither coordinates (lat, lon) nor the geostationary disk's CFAC, LFAC, COFF and "
        "LOFF; download the product on its regular grid."
    )


def mean_surface(period: Period, most_missing: float, around: GeoBox | None = None) -> Surface | None:
    """Return the mean of a period's days; None where fewer than half of them can be used.

    Days with too many missing slots are set aside. A pixel's mean is over the days that know it, at least
    half of the period.
    """
    kept = [file for file in period.files if missing_percent(file) <= most_missing]
    if len(kept) < LEAST_OF_PERIOD * period.days:
        return None
    maps = [read_surface(file, around) for file in kept]
    if any(one.grid != maps[0].grid or one.unit != maps[0].unit for one in maps):
        raise ImageryError(
            f"The files from {kept[0].path.name} to {kept[-1].path.name} differ in grid or unit; give one "
            "kind."
        )
    stack = np.stack([one.value for one in maps])
    known = np.isfinite(stack)
    n = known.sum(0)
    mean = np.where(known, stack, 0).sum(0) / np.maximum(n, 1)
    enough = n >= max(LEAST_OF_PERIOD * period.days, 1)
    return Surface(np.where(enough, mean, np.nan).astype(np.float32), maps[0].grid, maps[0].unit)


def _named(path: Path, limits: LimitOptions) -> SurfaceFile | None:
    said = NAME.match(path.name)
    if said is None:
        return None
    try:
        text = said["day"]
        day = date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None
    return SurfaceFile(path, said["product"], day, limits)


def _bounds(day: date, aggregate: Aggregation) -> tuple[date, date]:
    if aggregate == "day":
        return day, day
    following = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    if aggregate == "month":
        return day.replace(day=1), following - timedelta(days=1)
    first = min((day.day - 1) // 10, 2) * 10 + 1
    last = following - timedelta(days=1) if first == 21 else day.replace(day=first + 9)
    return day.replace(day=first), last


@contextmanager
def _opened(file: SurfaceFile) -> Iterator[h5py.File]:
    """Open a file, unpacked in memory where it is packed."""
    try:
        source: Any = _unpacked(file) if file.path.suffix == ".bz2" else str(file.path)
        with h5py.File(source, "r") as opened:
            check_hdf5(opened, str(file.path), int(file.limits.map_megavalues * MILLION))
            yield opened
    except (OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, ArithmeticError) as error:
        raise ImageryError(f"{file.path} cannot be read ({error}); download it again.") from error


def _unpacked(file: SurfaceFile) -> io.BytesIO:
    unpacker, out = bz2.BZ2Decompressor(), io.BytesIO()
    with file.path.open("rb") as packed:
        while not unpacker.eof:
            part = b"" if not unpacker.needs_input else packed.read(1 << 20)
            if unpacker.needs_input and not part:
                raise EOFError("the packed file ends too early")
            out.write(unpacker.decompress(part, max_length=16 << 20))
            if out.tell() > file.limits.document_mib * MIB:
                raise OSError(f"it unpacks to more than {file.limits.document_mib} MiB (limits.document_mib)")
    return out


def _variable(opened: h5py.File, file: SurfaceFile) -> h5py.Dataset:
    for name in VARIABLES.get(file.product, ()):
        if isinstance(opened.get(name), h5py.Dataset):
            return opened[name]
    maps = [name for name, one in opened.items() if isinstance(one, h5py.Dataset) and one.ndim >= 2]
    raise ImageryError(
        f"{file.path} has no variable {' or '.join(VARIABLES.get(file.product, ('?',)))} (it has "
        f"{', '.join(maps) or 'no map'}): it is of another product or version than {file.product}."
    )


def _physical(stored: h5py.Dataset, part: object) -> tuple[np.ndarray, str]:
    """Return physical values of a part, NaN where unknown, and their unit, by the file's own words."""
    raw, said = np.asarray(stored[part]), stored.attrs
    value = raw.astype(np.float32)
    unknown = ~np.isfinite(value)
    for name in ("_FillValue", "missing_value", "MISSING_VALUE"):
        if name in said:
            unknown |= np.isin(raw, np.ravel(said[name]).astype(raw.dtype))
    if "SCALING_FACTOR" in said:
        factor = _number(said, "SCALING_FACTOR", 1.0)
        value = value / (factor if factor else 1.0) + _number(said, "OFFSET", 0.0)
    else:
        value = value * _number(said, "scale_factor", 1.0) + _number(said, "add_offset", 0.0)
    unit = said.get("units", said.get("UNITS", ""))
    unit = unit.decode("utf-8", "replace") if isinstance(unit, bytes) else str(unit)
    return np.where(unknown, np.nan, value).astype(np.float32), unit.strip()


def _number(said: Any, name: str, otherwise: float) -> float:
    return float(np.ravel(said[name])[0]) if name in said else otherwise


def _regular(opened: h5py.File, stored: h5py.Dataset, around: GeoBox | None, file: SurfaceFile) -> Surface:
    lat, lon = (
        np.asarray(opened[short if short in opened else long], float).ravel()
        for short, long in (("lat", "latitude"), ("lon", "longitude"))
    )
    if stored.shape[-2:] != (len(lat), len(lon)) or len(lat) < 2 or len(lon) < 2:
        raise ImageryError(
            f"{file.path}: {stored.name} has the shape {stored.shape}, its coordinates are {len(lat)} by "
            f"{len(lon)}; download it again."
        )
    down, right = (lat[-1] - lat[0]) / (len(lat) - 1), (lon[-1] - lon[0]) / (len(lon) - 1)
    if np.abs(np.diff(lat) - down).max() > 0.01 * abs(down) or np.abs(
        np.diff(lon) - right
    ).max() > 0.01 * abs(right):
        raise ImageryError(f"{file.path} is not on a regular grid of latitude and longitude.")
    affine = Affine(right, 0, lon[0] - right / 2, 0, down, lat[0] - down / 2)
    return _cut(stored, GeoBox((len(lat), len(lon)), affine, "EPSG:4326"), around)


def _geostationary(
    opened: h5py.File, stored: h5py.Dataset, around: GeoBox | None, file: SurfaceFile
) -> Surface:
    """Place a map of the disk: columns and lines count from 1 (CGMS 03), lines from the north."""
    said = opened.attrs
    lacking = [name for name in ("CFAC", "LFAC", "COFF", "LOFF") if name not in said]
    if lacking:
        raise ImageryError(
            f"{file.path} lacks {', '.join(lacking)}; download it again, or on a regular grid."
        )
    step_x, step_y = (
        np.radians(2**16 / _number(said, name, 1.0)) * SATELLITE_METRES for name in ("CFAC", "LFAC")
    )
    left = (0.5 - _number(said, "COFF", 0.0)) * step_x
    top = -(0.5 - _number(said, "LOFF", 0.0)) * step_y
    name = said.get("PROJECTION_NAME", b"GEOS(+000.0)")
    name = name.decode("ascii", "replace") if isinstance(name, bytes) else str(name)
    centre = re.search(r"([+-]?\d+(?:\.\d+)?)", name)
    crs = GEOSTATIONARY.format(float(centre[1]) if centre else 0.0)
    rows, columns = stored.shape[-2:]
    return _cut(stored, GeoBox((rows, columns), Affine(step_x, 0, left, 0, -step_y, top), crs), around)


def _cut(stored: h5py.Dataset, grid: GeoBox, around: GeoBox | None) -> Surface:
    """Read the rows and columns around a grid, with one pixel more on each side; north up."""
    top, bottom, left, right = 0, grid.shape[0], 0, grid.shape[1]
    if around is not None:
        box = around.footprint(str(grid.crs), buffer=0).boundingbox
        corners = [~grid.affine @ (x, y) for x in (box.left, box.right) for y in (box.bottom, box.top)]
        columns, rows = zip(*corners, strict=True)
        top, bottom = (int(np.clip(v, 0, bottom)) for v in (np.floor(min(rows)) - 1, np.ceil(max(rows)) + 1))
        left, right = (
            int(np.clip(v, 0, right)) for v in (np.floor(min(columns)) - 1, np.ceil(max(columns)) + 1)
        )
    part = (*(0,) * (stored.ndim - 2), slice(top, bottom), slice(left, right))
    value, unit = _physical(stored, part)
    affine = grid.affine @ Affine.translation(left, top)
    if affine.e > 0:  # latitude rises with the rows
        value, affine = value[::-1], affine @ Affine.translation(0, bottom - top) @ Affine.scale(1, -1)
    return Surface(np.ascontiguousarray(value), GeoBox(value.shape, affine, grid.crs), unit)
