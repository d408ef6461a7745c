"""What the name of a file, and of the folders that it lies in, says of its imagery."""

import re
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from pathlib import Path

from features.catalog.bands import BANDS, band_of
from features.catalog.mission import (
    ORBITS,
    Level,
    absolute_orbit,
    level_of_names,
    relative_orbit,
    stated_orbit,
)

_ESA_PRODUCT = re.compile(
    r"(?P<platform>S2[A-D])_MSIL(?:1C|2A)_(?P<taken>\d{8}T\d{6})_N(?P<major>\d{2})(?P<minor>\d{2})_"
    r"R(?P<orbit>\d{3})_T(?P<tile>\d{2}[A-Z]{3})"
)
# Also measurements within a product (s1a-iw-grd-vv-...), CEOS' backscatter, and pyroSAR's names, which hold
# the direction as a letter before the time.
_S1_PRODUCT = re.compile(
    r"(?<![a-z0-9])(?P<platform>S1[A-D])[-_]+(?:IW|EW|SM|S[1-6])\d?[\w-]*?[-_](?:(?P<node>[AD])_)?"
    r"(?P<taken>\d{8}T\d{6})(?!\d)",
    re.IGNORECASE,
)
_GRANULE = re.compile(r"T(?P<tile>\d{2}[A-Z]{3})_(?P<taken>\d{8}T\d{6})")
# Earth Engine's index: start of the datatake, processing, tile.
_EARTH_ENGINE = re.compile(r"(?P<taken>\d{8}T\d{6})_\d{8}T\d{6}_T(?P<tile>\d{2}[A-Z]{3})")


def _day_pattern(name: str) -> str:
    """A day, year first, its three parts joined by one sign or none."""
    return (
        rf"(?P<{name}>20\d{{2}}(?P<{name}_sign>[-_.]?)(?:0[1-9]|1[0-2])(?P={name}_sign)"
        r"(?:0[1-9]|[12]\d|3[01]))"
    )


_HOURS = r"(?:[01]\d|2[0-3])[:-]?[0-5]\d"
_TIME = rf"{_HOURS}[:-]?[0-5]\d"
_MIDNIGHT = r"(?:[T_ -]?00[:-]?00[:-]?00Z?)?"
_TO = r"(?:[-_. /]{1,3}|[-_. ]?to[-_. ]?)"
# No day of a date that is written day first (04-03-2024-10-03-2024) may join the next year to one.
_DAY_FIRST = r"(?<!(?:0[1-9]|[12]\d|3[01])[-.](?:0[1-9]|1[0-2])[-.])"
# Two days are a period; the second is never taken for a time of day.
_PERIOD = re.compile(
    rf"(?<!\d)(?<!v){_day_pattern('day')}{_MIDNIGHT}{_TO}{_day_pattern('end')}(?:[T_ -]{_TIME}Z?)?(?!\d)",
    re.IGNORECASE,
)
_MOMENT = re.compile(
    rf"(?<!\d)(?<!v){_DAY_FIRST}{_day_pattern('day')}(?!(?P=day_sign)20\d{{2}}(?!\d))"
    rf"(?:[T_ -]?(?P<time>{_TIME})|T(?P<hours>{_HOURS}))?(?!\d)",
    re.IGNORECASE,
)
_NAMES_OF_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# A day of a month that is named, as SNAP writes it: 04Mar2024.
_NAMED_DAY = re.compile(
    rf"(?<!\d)(?P<day>[0-3]\d)[-_. ]?(?P<month>{'|'.join(_NAMES_OF_MONTHS)})[-_. ]?(?P<year>20\d{{2}})(?!\d)",
    re.IGNORECASE,
)
_DAY_OF_YEAR = re.compile(
    rf"(?<!\d)(?P<year>20\d{{2}})(?P<sign>[-_]?)(?P<day>[0-3]\d{{2}})(?:T(?P<time>{_TIME}))?(?!\d)"
)
_W = r"(?:W|KW|wk|week)[-_]?"
_WEEK = re.compile(
    rf"(?<!\d)(?P<year>20\d{{2}})[-_]?{_W}(?P<week>[0-5]?\d)(?:-(?P<weekday>[1-7]))?(?!\d)"
    rf"|(?<![a-z]){_W}(?:(?P<week_2>[0-5]?\d)[-_](?P<year_2>20\d{{2}})|(?P<year_3>20\d{{2}})[-_]"
    r"(?P<week_3>[0-5]?\d))(?!\d)",
    re.IGNORECASE,
)
_MONTH = re.compile(
    r"(?<!\d)(?P<year>20\d{2})(?:[-_.]M?|M)(?P<month>0[1-9]|1[0-2])(?!\d|[-_.]\d{1,2}(?![0-9A-Za-z]))"
)
_TILE = re.compile(r"(?<![A-Za-z0-9])T?(?P<tile>\d{2}[C-HJ-NP-X][A-HJ-NP-Z]{2})(?![A-Za-z0-9])")
_STATE = re.compile(r"(?<![a-z])(?P<state>asc|desc)(?:ending)?(?![a-z])", re.IGNORECASE)
_ORBIT = re.compile(
    r"(?<![a-z0-9])(?:r|rel(?:ative)?[-_ ]?orb(?:it)?[-_ ]?|orb(?:it)?[-_ ]?|track[-_ ]?"
    r"|(?:asc|desc)(?:ending)?[-_ ]?)(?P<orbit>\d{3})(?![0-9a-z])",
    re.IGNORECASE,
)
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
    level: Level | None = None


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
            product = next(filter(None, map(_ESA_PRODUCT.search, reversed(inside))), None)
            above = _product(product[0]) if product else None
            lacking = {
                "platform": said.platform or (above.platform if above else None),
                "baseline": said.baseline or (above.baseline if above else None),
                "tile": said.tile or _tile(whole),
                "state": said.state or _state(whole),
                "orbit": said.orbit or _orbit(whole),
                "level": level_of_names([*reversed(inside), root.name]),
            }
            return Said(**{**vars(said), **lacking})
    return None


def _nested_days(parts: tuple[str, ...]) -> Iterator[str]:
    """Yield the days that three nested folders name, year above month above day, as catalogs lay them."""
    for year, month, day in reversed(list(zip(parts, parts[1:], parts[2:], strict=False))):
        if re.fullmatch(r"20\d{2}", year) and month.isdecimal() and day.isdecimal():
            yield f"{year}-{month:0>2}-{day:0>2}"


def place_words(path: Path, root: Path) -> dict[str, object]:
    """Return tile, direction, relative orbit and level as a file's name or its folders hold them, dated or
    not.

    Examples
    --------
    >>> place_words(Path("S1_GRD-ASCENDING_31UFS.nc"), Path("."))
    {'grid:code': 'MGRS-31UFS', 'sat:orbit_state': 'ascending'}
    """
    inside = path.relative_to(root).parts if path.is_relative_to(root) else (path.name,)
    whole = " ".join(inside).replace(path.suffix, " ")
    tile, state, orbit = _tile(whole), _state(whole), _orbit(whole)
    level = level_of_names([path.stem, *reversed(inside[:-1]), root.name])
    return {
        **({"grid:code": f"MGRS-{tile}"} if tile else {}),
        **({"sat:orbit_state": state} if state else {}),
        **({"sat:relative_orbit": orbit} if orbit else {}),
        **({"processing:level": level} if level else {}),
    }


def _product(name: str) -> Said | None:
    for pattern in (_ESA_PRODUCT, _S1_PRODUCT, _EARTH_ENGINE, _GRANULE):
        if not (found := pattern.search(name)):
            continue
        held = found.groupdict()
        platform = f"sentinel-{held['platform'][1:].lower()}" if held.get("platform") else None
        orbit = int(held["orbit"]) if held.get("orbit") else None
        if pattern is _S1_PRODUCT:
            orbit = relative_orbit(platform, absolute_orbit({}, [name]))
        baseline = f"{held['major']}.{held['minor']}" if held.get("major") else None
        try:
            taken = datetime.strptime(held["taken"].upper(), "%Y%m%dT%H%M%S")
        except ValueError:
            continue
        state = _NODES.get((held.get("node") or "").upper()) or _state(name)
        return Said(taken, None, platform, baseline, orbit or _orbit(name), held.get("tile"), state)
    return None


def _plain(name: str) -> Said | None:
    for taken, end in _dates(name):
        return Said(taken, end, orbit=_orbit(name), tile=_tile(name), state=_state(name))
    return None


def _dates(name: str) -> Iterator[tuple[datetime, datetime | None]]:
    """Yield the dates that may be meant, the surest first."""
    for found in _PERIOD.finditer(name):
        first, last = _day(found["day"]), _day(found["end"])
        if first and last and first <= last:
            yield first, _last_second(last)
    for found in _MOMENT.finditer(name):
        if day := _day(found["day"]):
            yield day + _hours(found["time"] or found["hours"]), None
    for pattern, span_of in _SPANS:
        yield from _joined(
            [(found.span(), span) for found in pattern.finditer(name) if (span := span_of(found))], name
        )


def _joined(
    spans: Sequence[tuple[tuple[int, int], tuple[datetime, datetime | None]]], name: str
) -> Iterator[tuple[datetime, datetime | None]]:
    """Yield days, weeks or months, two that are joined as one period."""
    for (place, (first, end)), after in zip_longest(spans, spans[1:]):
        last = end
        if after is not None and re.fullmatch(_TO, name[place[1] : after[0][0]], re.IGNORECASE):
            later, its_end = after[1]
            last = (its_end or _last_second(later)) if first <= later else end
        yield first, last


def _named_day(found: re.Match[str]) -> tuple[datetime, datetime | None] | None:
    month = _NAMES_OF_MONTHS.index(found["month"].lower()) + 1
    day = _day(f"{found['year']}{month:02d}{found['day']}")
    return (day, None) if day else None


def _day_of_year(found: re.Match[str]) -> tuple[datetime, datetime | None] | None:
    """A day of the year; after a sign a letter may not follow, as in `2024_100m`."""
    follows = found.string[found.end() : found.end() + 1]
    first, number = datetime(int(found["year"]), 1, 1), int(found["day"])
    day = first + timedelta(days=number - 1)
    if number == 0 or day.year != first.year or (found["sign"] and follows.isalpha()):
        return None
    return day + _hours(found["time"]), None


def _week(found: re.Match[str]) -> tuple[datetime, datetime | None] | None:
    year = int(found["year"] or found["year_2"] or found["year_3"])
    week = int(found["week"] or found["week_2"] or found["week_3"])
    try:
        day = datetime.fromisocalendar(year, week, int(found["weekday"] or 1))
    except ValueError:
        return None
    return day, None if found["weekday"] else _last_second(day + timedelta(days=6))


def _month(found: re.Match[str]) -> tuple[datetime, datetime | None]:
    year, month = int(found["year"]), int(found["month"])
    return datetime(year, month, 1), _last_second(datetime(year, month, monthrange(year, month)[1]))


_SPANS = ((_NAMED_DAY, _named_day), (_DAY_OF_YEAR, _day_of_year), (_WEEK, _week), (_MONTH, _month))
_NODES = {"A": "ascending", "D": "descending"}


def _hours(text: str | None) -> timedelta:
    digits = re.sub(r"\D", "", text or "").ljust(6, "0")
    return timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]), seconds=int(digits[4:]))


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


def _orbit(name: str) -> int | None:
    """The relative orbit in a name: `r037`, `orbit037`, `desc_037`, or a burst's `T037-078083-IW2`."""
    found = _ORBIT.search(name.replace("_", " "))
    named = int(found["orbit"]) if found else None
    return named if named and named <= ORBITS else stated_orbit({}, [name])


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
