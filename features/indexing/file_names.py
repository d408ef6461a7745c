"""What the name of a file, and of the folders that it lies in, says of its imagery."""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from features.catalog.bands import BANDS, band_of
from features.catalog.mission import absolute_orbit, relative_orbit

_ESA_PRODUCT = re.compile(
    r"(?P<platform>S2[A-D])_MSIL2A_(?P<taken>\d{8}T\d{6})_N(?P<major>\d{2})(?P<minor>\d{2})_"
    r"R(?P<orbit>\d{3})_T(?P<tile>\d{2}[A-Z]{3})"
)
_S1_PRODUCT = re.compile(
    r"(?P<platform>S1[A-D])_(?:IW|EW|SM)\w*?_(?P<taken>\d{8}T\d{6})(?:_\d{8}T\d{6}_(?P<absolute>\d{6}))?"
)
_GRANULE = re.compile(r"T(?P<tile>\d{2}[A-Z]{3})_(?P<taken>\d{8}T\d{6})")
# Earth Engine's index: start of the datatake, processing, tile.
_EARTH_ENGINE = re.compile(r"(?P<taken>\d{8}T\d{6})_\d{8}T\d{6}_T(?P<tile>\d{2}[A-Z]{3})")
_DAY = r"20\d{2}[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[01]\d|2[0-3])[:-]?[0-5]\d[:-]?[0-5]\d"
# Two days are a period; the second is never taken for a time of day.
_PERIOD = re.compile(
    rf"(?<!\d)(?P<day>{_DAY})(?:_to_|_-_|[-_/ .]|--|T0{{6}}_)(?P<end>{_DAY})(?:T\d{{6}})?(?!\d)"
)
_MOMENT = re.compile(rf"(?<!\d)(?P<day>{_DAY})(?:[T_ -]?(?P<time>{_TIME}))?(?!\d)")
_WEEK = re.compile(r"(?<!\d)(?P<year>20\d{2})[-_]?W(?P<week>[0-5]\d)(?!\d)", re.IGNORECASE)
_DAY_OF_YEAR = re.compile(r"(?<!\d)(?P<year>20\d{2})[-_]?(?P<day>[0-3]\d{2})(?!\d)")
_MONTH = re.compile(r"(?<!\d)(?P<year>20\d{2})[-_.](?P<month>0[1-9]|1[0-2])(?![-_.]?\d)")
_TILE = re.compile(r"(?<![A-Za-z0-9])T?(?P<tile>\d{2}[C-HJ-NP-X][A-HJ-NP-Z]{2})(?![A-Za-z0-9])")
_STATE = re.compile(r"(?<![a-z])(?P<state>asc|desc)(?:ending)?(?![a-z])", re.IGNORECASE)
_RESOLUTION = re.compile(r"\d+m", re.IGNORECASE)

DATE_CURE = (
    "the date must stand in the file's name, in the name of a folder it lies in (20240501, 2024-05-01, "
    "20240501T104031, a period 2024-05-01_2024-05-07, a day of the year 2024122, a week 2024-W18, a month "
    "2024-05), in nested folders 2024/05/01, or in its tag ACQUISITION_DATE"
)


@dataclass(frozen=True)
class Said:
    """What a name says: when an image was taken or its period began, and what else it holds."""

    taken: datetime
    end: datetime | None = None  # of a period, its last moment
    platform: str | None = None
    baseline: str | None = None
    orbit: int | None = None
    tile: str | None = None
    state: str | None = None


def read_name(name: str) -> Said | None:
    """Return what a name says; None where it holds no date.

    Examples
    --------
    >>> read_name("S2A_MSIL2A_20220613T103031_N0400_R108_T32TLT_20220613T235021.SAFE.tif").baseline
    '04.00'
    >>> read_name("openEO_2021-05-01Z.tif").taken
    datetime.datetime(2021, 5, 1, 0, 0)
    >>> found = read_name("s1_asc_2024-03-04_2024-03-10_vv.tif")
    >>> str(found.taken), str(found.end), found.state
    ('2024-03-04 00:00:00', '2024-03-10 23:59:59', 'ascending')
    """
    return _product(name) or _plain(name)


def read_path(path: Path, root: Path) -> Said | None:
    """Return what a file's name says, else the nearest folder's or three nested ones', up to `root`."""
    inside = path.relative_to(root).parts if path.is_relative_to(root) else (path.name,)
    whole = " ".join(inside)
    for part in (*reversed(inside), *_nested_days(inside), root.name):
        if said := read_name(part):
            lacking = {"tile": said.tile or _tile(whole), "state": said.state or _state(whole)}
            return Said(**{**vars(said), **lacking})
    return None


def _nested_days(parts: tuple[str, ...]) -> Iterator[str]:
    """Yield the days that three nested folders name, year above month above day, as catalogs lay them."""
    for year, month, day in reversed(list(zip(parts, parts[1:], parts[2:], strict=False))):
        if re.fullmatch(r"20\d{2}", year) and month.isdecimal() and day.isdecimal():
            yield f"{year}-{month:0>2}-{day:0>2}"


def place_words(path: Path, root: Path) -> dict[str, str]:
    """Return the tile and the direction of flight that the names of a file or its folders hold, dated or not.

    Examples
    --------
    >>> place_words(Path("S1_GRD-ASCENDING_31UFS.nc"), Path("."))
    {'grid:code': 'MGRS-31UFS', 'sat:orbit_state': 'ascending'}
    """
    inside = path.relative_to(root).parts if path.is_relative_to(root) else (path.name,)
    whole = " ".join(inside).replace(path.suffix, " ")
    tile, state = _tile(whole), _state(whole)
    return {
        **({"grid:code": f"MGRS-{tile}"} if tile else {}),
        **({"sat:orbit_state": state} if state else {}),
    }


def _product(name: str) -> Said | None:
    for pattern in (_ESA_PRODUCT, _S1_PRODUCT, _EARTH_ENGINE, _GRANULE):
        if not (found := pattern.search(name)):
            continue
        held = found.groupdict()
        platform = f"sentinel-{held['platform'][1:].lower()}" if held.get("platform") else None
        orbit = int(held["orbit"]) if held.get("orbit") else None
        if held.get("absolute"):
            orbit = relative_orbit(platform, absolute_orbit({}, [name]) or int(held["absolute"]))
        baseline = f"{held['major']}.{held['minor']}" if held.get("major") else None
        try:
            taken = datetime.strptime(held["taken"], "%Y%m%dT%H%M%S")
        except ValueError:
            continue
        return Said(taken, None, platform, baseline, orbit, held.get("tile"), _state(name))
    return None


def _plain(name: str) -> Said | None:
    for taken, end in _dates(name):
        return Said(taken, end, tile=_tile(name), state=_state(name))
    return None


def _dates(name: str) -> Iterator[tuple[datetime, datetime | None]]:
    """Yield the dates that may be meant, the surest first: a period, a day, a week, a month."""
    for found in _PERIOD.finditer(name):
        first, last = _day(found["day"]), _day(found["end"])
        if first and last and first <= last:
            yield first, _last_second(last)
    for found in _MOMENT.finditer(name):
        if day := _day(found["day"]):
            yield datetime.strptime(f"{day:%Y%m%d}{re.sub(r'[^0-9]', '', found['time'] or '000000')}",
                                    "%Y%m%d%H%M%S"), None  # fmt: skip
    for found in _DAY_OF_YEAR.finditer(name):
        first, number = datetime(int(found["year"]), 1, 1), int(found["day"])
        if number and (taken := first + timedelta(days=number - 1)).year == first.year:
            yield taken, None
    for found in _WEEK.finditer(name):
        try:
            monday = datetime.fromisocalendar(int(found["year"]), int(found["week"]), 1)
        except ValueError:
            continue
        yield monday, _last_second(monday + timedelta(days=6))
    for found in _MONTH.finditer(name):
        year, month = int(found["year"]), int(found["month"])
        yield datetime(year, month, 1), _last_second(datetime(year, month, monthrange(year, month)[1]))


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(re.sub(r"\D", "", text), "%Y%m%d")
    except ValueError:
        return None


def _last_second(day: datetime) -> datetime:
    return day + timedelta(days=1) - timedelta(seconds=1)


def _tile(name: str) -> str | None:
    found = _TILE.search(name.replace("_", " "))
    return found["tile"] if found else None


def _state(name: str) -> str | None:
    found = _STATE.search(name.replace("_", " "))
    return f"{found['state'].lower()}ending" if found else None


def band_in_name(name: str) -> str | None:
    """Return the band that a file's name ends with or holds as a word of its own.

    Examples
    --------
    >>> band_in_name("T31TCK_20211012T105011_B04_10m.tif"), band_in_name("vh_2021-05-01.tif")
    ('B04', 'vh')
    """
    held = [band_of(word) for word in reversed(_words(name))]
    return next((band for found in held if found for band in found[:1] if band in BANDS), None)


def label_of(name: str) -> str:
    """Return a file's name without the words that name a band or a resolution: what its bands share.

    Examples
    --------
    >>> label_of("west_20240501_B04_10m.tif") == label_of("west_20240501_SCL_20m.tif")
    True
    """
    words = [word for word in _words(name) if band_of(word) is None and not _RESOLUTION.fullmatch(word)]
    return " ".join(words)


def _words(name: str) -> list[str]:
    return re.split(r"[^0-9A-Za-z]+", Path(name).stem)
