"""Which satellite, processing level and orbit an item is of, as the item itself says."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from features.schema import RADAR_BANDS

Properties = Mapping[str, Any]

ORBITS = 175  # relative orbits of Sentinel-1 in a repeat cycle of 12 days
# Relative orbit = (absolute orbit - shift) mod 175 + 1. SentiWiki, "S1 Products", SAR naming convention
# (https://sentiwiki.copernicus.eu/web/s1-products); Sentinel-1C flies another phase since its manoeuvre of
# June 2026, whose first absolute orbit is 8019 (isce-framework/isce2, pull request 28130).
ORBIT_SHIFT = {"sentinel-1a": 73, "sentinel-1b": 27, "sentinel-1c": 172, "sentinel-1d": 42}
S1C_MOVED, S1C_MOVED_SHIFT = 8018, 99

_SENTINEL = re.compile(
    r"(?<![a-z0-9])s(?:entinel)?[-_ ]?(?P<number>[123456])[-_ ]?(?P<unit>[a-d])?(?![a-z0-9])"
)
_VAGUE = {"", "unknown", "none", "null", "n/a", "various", "multiple", "composite", "simulated", "sentinel"}
_OTHER_INSTRUMENTS = {"oli", "tirs", "etm", "etm+", "tm", "mss", "modis", "viirs", "olci", "slstr", "palsar"}
_OTHERS = re.compile(
    r"landsat|(?<![a-z0-9])l[cetmo]0[4-9](?![0-9])|hls[._]?l30|modis|(?<![a-z])m[oy]d(?:09|13|11)|viirs|vnp\d\d"
    r"|sentinel[-_ ]?[356]|(?<![a-z0-9])s[356][abp]_|planetscope|psscene|rapideye"
    r"|_3b_(?:analyticms|udm)"
)
_NAMED = re.compile(r"(?<![a-z0-9])s(?P<number>[12])(?P<unit>[a-d])[-_]|sentinel[-_]?(?P<long>[12])")
# After the times of a Sentinel-1 product's name. Where one time stands alone, the data take in hexadecimal
# digits must follow: six digits might be a time of day (ESA's products, their measurements, and the
# Normalised Radar Backscatter of CEOS).
_ABSOLUTE = re.compile(
    r"(?<![a-z0-9])s1[a-d][-_][\w-]*?\d{8}t\d{6}"
    r"(?:[-_]\d{8}t\d{6}[-_](\d{6})(?!\d)|[-_](\d{6})[-_][0-9a-f]{6}(?![0-9a-f]))",
    re.IGNORECASE,
)
# The relative orbit in a Sentinel-2 product's name, and in that of a burst of OPERA's RTC-S1.
_RELATIVE = re.compile(
    r"s2[a-d]_msil\d\w_\w*_r(\d{3})_|(?<![a-z0-9])t(\d{3})-\d{6}-(?:iw|ew)\d", re.IGNORECASE
)
_LEVEL_2 = re.compile(r"(?:^|[^a-z0-9])(?:level[-_ ]?|l)2[a]?(?![a-z0-9])|msil?2a", re.IGNORECASE)
_LEVEL_1 = re.compile(r"(?:^|[^a-z0-9])(?:level[-_ ]?|l)[01][abc]?(?![a-z0-9])|msil?1[abc]", re.IGNORECASE)

_NAMED_LEVEL = re.compile(
    r"(?:^|[^a-z0-9])(?:level[-_ ]?|l|s2[a-d]?[-_ ]?msi[-_ ]?l?)(?P<level>1c|2a)(?![a-z0-9])", re.IGNORECASE
)

_PRODUCT_NAMES = ("s2:product_uri", "sentinel:product_id", "s1:product_identifier", "title")
_LEVELS = ("processing:level", "s2:product_type", "product:type", "s2:processing_level")
# As STAC names them, then openEO and Sentinel Hub, Earth Engine, the Copernicus hubs, and the Alaska
# Satellite Facility.
_STATES = (
    "sat:orbit_state", "orbit_state", "s1:orbit_direction", "orbitProperties_pass", "SENSING_ORBIT_DIRECTION",
    "orbitDirection", "orbitdirection", "flightDirection",
)  # fmt: skip
_RELATIVE_ORBITS = (
    "sat:relative_orbit", "relative_orbit", "relativeOrbitNumber_start", "SENSING_ORBIT_NUMBER",
    "relativeOrbitNumber", "relativeorbitnumber", "pathNumber",
)  # fmt: skip
_ABSOLUTE_ORBITS = (
    "sat:absolute_orbit", "absolute_orbit", "orbitNumber_start", "orbitNumber", "orbitnumber",
)  # fmt: skip
_ASCENDING, _DESCENDING = re.compile(r"a|asc(?:ending)?"), re.compile(r"d|desc(?:ending)?")
Level = Literal["L2A", "L1C"]  # of optical imagery
INFERRED = "cropcheck:relative_orbit_inferred"


@dataclass(frozen=True)
class Mission:
    """What made an item's pixels: `sensor` is s1 or s2."""

    sensor: str
    platform: str | None
    orbit_state: str | None
    relative_orbit: int | None
    orbit_is_derived: bool = False  # from the absolute orbit


def sensor_of_bands(bands: Iterable[str]) -> str:
    """`s1` where all bands are radar's, else `s2`.

    Examples
    --------
    >>> sensor_of_bands(["vv", "vh"]), sensor_of_bands(["B04", "scl"])
    ('s1', 's2')
    """
    return "s1" if set(bands) <= set(RADAR_BANDS) else "s2"


def mission_of(item: Mapping[str, Any], bands: Iterable[str], level: Level = "L2A") -> Mission | str:
    """Return what an item was made by, or why it is set aside: `other_satellite` or `other_level`.

    What the item states of platform, constellation and instruments decides; where it states nothing, the
    names of its collection, product and id do; then its bands. Top-of-atmosphere reflectance (level 1C) and
    radar before its projection to the ground (SLC, RAW) are other levels than those that are compared; so is
    surface reflectance where `level` asks for L1C. Optical items that say nothing are of the level asked for.

    Examples
    --------
    >>> mission_of({"id": "x", "properties": {"platform": "landsat-8"}}, ["B04"])
    'other_satellite'
    >>> mission_of({"id": "a", "properties": {"platform": "S1A", "sat:absolute_orbit": 8018}}, ["vv"])
    Mission(sensor='s1', platform='sentinel-1a', orbit_state=None, relative_orbit=71, orbit_is_derived=True)
    """
    properties = _with_those_of_assets(item)
    names = [str(value) for value in (item.get("id"), *(properties.get(n) for n in _PRODUCT_NAMES)) if value]
    found = _satellite(properties, [*names, str(item.get("collection") or "")])
    if found == "other":
        return "other_satellite"
    sensor, platform = (found[:2], found) if found else (sensor_of_bands(bands), "")
    if _is_other_level(sensor, item, names, level):
        return "other_level"
    named = f"sentinel-{platform[1:]}" if len(platform) == 3 else _text(properties.get("platform"))
    stated = None if sensor == "s1" and properties.get(INFERRED) else stated_orbit(properties, names)
    orbit = relative_orbit(named, absolute_orbit(properties, names)) if stated is None else stated
    return Mission(sensor, named, _orbit_state(properties), orbit, stated is None and orbit is not None)


def is_of_another_satellite(names: Iterable[str]) -> bool:
    """Whether a file's name, else the nearest folder's, is that of a product of neither Sentinel-1 nor -2.

    Examples
    --------
    >>> [is_of_another_satellite([f"HLS.{product}.T31UFS.2024123.B05.tif"]) for product in ("L30", "S30")]
    [True, False]
    >>> is_of_another_satellite(["S2A_31UFS_20240501_B05.tif", "landsat_and_sentinel"])
    False
    """
    for name in names:
        plain = name.lower()
        if _OTHERS.search(plain):
            return True
        if _NAMED.search(plain) or _SENTINEL.search(plain):
            return False
    return False


def level_of_names(names: Iterable[str]) -> Level | None:
    """Return the level of Sentinel-2 that a file's name, else the nearest folder's, states.

    Examples
    --------
    >>> level_of_names(["T31UFS_20240501T105031_B04.jp2", "IMG_DATA", "L1C_T31UFS_A046", "mine_l2a"])
    'L1C'
    >>> level_of_names(["S2B_MSIL2A_20240501T105031_N0510_R051_T31UFS.tif"]), level_of_names(["l1cubes"])
    ('L2A', None)
    """
    found = (_NAMED_LEVEL.search(name.replace("_", " ")) for name in names)
    level = next((match["level"].upper() for match in found if match), None)
    return None if level is None else "L1C" if level == "1C" else "L2A"


def _with_those_of_assets(item: Mapping[str, Any]) -> Properties:
    """Return what an item states, and what it leaves to its assets where these agree: platform and orbit."""
    properties = item.get("properties") or {}
    assets = [asset for asset in (item.get("assets") or {}).values() if isinstance(asset, Mapping)]
    found = {}
    for name in ("platform", "constellation", *_STATES, *_RELATIVE_ORBITS, *_ABSOLUTE_ORBITS):
        said = {str(asset[name]) for asset in assets if asset.get(name) is not None}
        if len(said) == 1 and properties.get(name) is None:
            found[name] = said.pop()
    return {**properties, **found}


def _satellite(properties: Properties, names: list[str]) -> str | None:
    """`s1`, `s2`, with the unit where known (`s2a`); `other`; or None where nothing says."""
    stated = [_text(properties.get(name)) or "" for name in ("platform", "constellation", "mission")]
    instruments = properties.get("instruments")
    instruments = [str(name).lower() for name in instruments] if isinstance(instruments, list) else []
    if _OTHER_INSTRUMENTS & set(instruments):
        return "other"
    said = [text.strip().lower() for text in stated if text.strip().lower() not in _VAGUE]
    found = [match for text in said if (match := _SENTINEL.search(text))]
    if said and (not found or any(match["number"] not in "12" for match in found)):
        return "other"
    whole = " ".join(names).lower()
    if found:
        known = f"s{found[0]['number']}"
        units = {match["unit"] for match in found if match["unit"]}
        named = _NAMED.search(whole)
        unit = units.pop() if len(units) == 1 else named["unit"] if named and not units else None
        return known + (unit or "")
    if _OTHERS.search(whole):
        return "other"
    named = _NAMED.search(whole)
    return f"s{named['number'] or named['long']}{named['unit'] or ''}" if named else None


def _is_other_level(sensor: str, item: Mapping[str, Any], names: list[str], level: Level) -> bool:
    properties = item.get("properties") or {}
    if sensor == "s1":
        return str(properties.get("sar:product_type")).upper() in {"SLC", "RAW", "OCN"}
    stated = " ".join(str(properties[name]) for name in _LEVELS if properties.get(name))
    stated = stated or " ".join([*names, str(item.get("collection") or "")]).replace("_", " ")
    return bool((_LEVEL_2 if level == "L1C" else _LEVEL_1).search(stated))


def _orbit_state(properties: Properties) -> str | None:
    for name in _STATES:
        state = str(properties.get(name) or "").strip().lower()
        if _ASCENDING.fullmatch(state):
            return "ascending"
        if _DESCENDING.fullmatch(state):
            return "descending"
    return None


def stated_orbit(properties: Properties, names: Iterable[str]) -> int | None:
    """Return the relative orbit as stated, else as the name of a Sentinel-2 product or an OPERA burst has it.

    What is no number from 1 to 175 states nothing, but for the numbers that our own index gives.
    """
    stated = (whole_number(properties.get(name)) for name in _RELATIVE_ORBITS)
    named = (int(found[1] or found[2]) for name in names if (found := _RELATIVE.search(name)))
    whole = bool(properties.get(INFERRED))
    return next((orbit for orbit in (*stated, *named) if orbit and (whole or orbit <= ORBITS)), None)


def absolute_orbit(properties: Properties, names: Iterable[str]) -> int | None:
    """Return the absolute orbit as stated, else as a Sentinel-1 product's name has it."""
    stated = (whole_number(properties.get(name)) for name in _ABSOLUTE_ORBITS)
    named = (int(found[1] or found[2]) for name in names if (found := _ABSOLUTE.search(name)))
    return next((orbit for orbit in (*stated, *named) if orbit), None)


def relative_orbit(platform: str | None, absolute: int | None) -> int | None:
    """Return the relative orbit, 1 to 175, of an absolute orbit of a Sentinel-1 satellite; None for others.

    Examples
    --------
    >>> relative_orbit("sentinel-1a", 18302), relative_orbit("sentinel-1b", 7231)
    (30, 30)
    >>> relative_orbit("sentinel-1c", 8018), relative_orbit("sentinel-1c", 8019)
    (147, 46)
    """
    shift = ORBIT_SHIFT.get(platform or "")
    if shift is None or absolute is None:
        return None
    if platform == "sentinel-1c" and absolute > S1C_MOVED:
        shift = S1C_MOVED_SHIFT
    return (absolute - shift) % ORBITS + 1


def whole_number(value: Any, largest: int = 999_999) -> int | None:
    """A whole number that an orbit or an interval of days may be, also where it is written as text."""
    if isinstance(value, str):
        value = int(value) if value.isdecimal() and len(value) <= 6 else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= largest:
        return None
    return int(value) if value == int(value) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
