"""One date of imagery that lies in a folder: its layers, and how its files' names and values are read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from features.catalog.bands import BANDS, band_of
from features.schema import OPTICAL_BANDS, RADAR_BANDS, SCENE_CLASS

# Orbits told apart by their times only are numbered from here: Sentinel-1 has 175 relative orbits and
# Sentinel-2 143, so no inferred number can be taken for a real one.
INFERRED_ORBIT = 901
# Neighbouring orbits pass a place some eight minutes apart in local time; one orbit keeps its time within a
# minute.
SAME_ORBIT = timedelta(minutes=3)
DAY = timedelta(days=1)

# Several writers fill float rasters with 1e20.
HUGE = 1e20
# Backscatter in decibels in whole numbers is stored times a power of ten; the median of land tells which.
WHOLE_DECIBELS = (1e-4, 1e-3, 1e-2, 1e-1)
USUAL_DECIBELS = (-35.0, -3.6)

_ESA_PRODUCT = re.compile(
    r"(?P<platform>S2[A-D])_MSIL2A_(?P<taken>\d{8}T\d{6})_N(?P<major>\d{2})(?P<minor>\d{2})_"
    r"R(?P<orbit>\d{3})_T(?P<tile>\d{2}[A-Z]{3})"
)
_GRANULE = re.compile(r"T(?P<tile>\d{2}[A-Z]{3})_(?P<taken>\d{8}T\d{6})")
_S1_PRODUCT = re.compile(r"(?P<platform>S1[A-D])_(?:IW|EW|SM)\w*?_(?P<taken>\d{8}T\d{6})")
_DATE = re.compile(
    r"(?<!\d)(?P<day>20\d{2}[-_]?[01]\d[-_]?[0-3]\d)"
    r"(?:[T_ -]?(?P<time>[0-2]\d[:-]?[0-5]\d[:-]?[0-5]\d))?(?!\d)"
)


@dataclass(frozen=True)
class Layer:
    """One band of one date: raw values, or the file that holds just them (`written` by us, or found)."""

    band: str
    transform: Affine
    crs: str
    shape: tuple[int, int]
    values: np.ndarray | None = None
    file: Path | None = None
    written: bool = False
    data_type: str | None = None
    nodata: float | None = None
    scale: float = 1.0
    offset: float | None = 0.0
    unit: str = "reflectance"


@dataclass(frozen=True)
class Scene:
    """One acquisition: what is known of it, and its layers."""

    taken: datetime
    sensor: str
    layers: tuple[Layer, ...]
    properties: Mapping[str, Any] = field(default_factory=dict)
    view_azimuth: float | None = None


def sensor_of_bands(bands: Sequence[str]) -> str:
    """`s1` where all bands are radar's, else `s2`.

    Examples
    --------
    >>> sensor_of_bands(["vv", "vh"]), sensor_of_bands(["B04", "scl"])
    ('s1', 's2')
    """
    return "s1" if set(bands) <= set(RADAR_BANDS) else "s2"


def read_name(name: str) -> dict[str, Any] | None:
    """Return what a file's name says: `taken`, and `platform`, `baseline`, `orbit` and `tile` where it does.

    Returns
    -------
    dict or None
        None where the name holds no date.

    Examples
    --------
    >>> read_name("S2A_MSIL2A_20220613T103031_N0400_R108_T32TLT_20220613T235021.SAFE.tif")["baseline"]
    '04.00'
    >>> read_name("openEO_2021-05-01Z.tif")["taken"]
    datetime.datetime(2021, 5, 1, 0, 0)
    """
    for pattern in (_ESA_PRODUCT, _S1_PRODUCT, _GRANULE):
        if found := pattern.search(name):
            said = found.groupdict()
            known = {"taken": datetime.strptime(said["taken"], "%Y%m%dT%H%M%S"), "tile": said.get("tile")}
            if platform := said.get("platform"):
                known["platform"] = f"sentinel-{platform[1:].lower()}"
            if "orbit" in said:
                known |= {"orbit": int(said["orbit"]), "baseline": f"{said['major']}.{said['minor']}"}
            return known
    return _plain_date(name)


def _plain_date(name: str) -> dict[str, Any] | None:
    for found in _DATE.finditer(name):
        digits = re.sub(r"\D", "", found["day"] + (found["time"] or "000000"))
        try:
            return {"taken": datetime.strptime(digits, "%Y%m%d%H%M%S")}
        except ValueError:
            continue
    return None


def band_in_name(name: str) -> str | None:
    """Return the band that a file's name ends with or holds as a word of its own.

    Examples
    --------
    >>> band_in_name("T31TCK_20211012T105011_B04_10m.tif"), band_in_name("vh_2021-05-01.tif")
    ('B04', 'vh')
    """
    words = re.split(r"[^0-9A-Za-z]+", Path(name).stem)
    held = [band_of(word) for word in reversed(words)]
    return next((band for found in held if found for band in found[:1] if band in BANDS), None)


def known_values(values: np.ndarray, nodata: float | None) -> np.ndarray:
    """Values that are neither nodata, infinite, NaN nor a fill of 1e20 and above, flat.

    Examples
    --------
    >>> known_values(np.array([0.0, 0.2, 1e20, np.nan]), nodata=0)
    array([0.2])
    """
    with np.errstate(invalid="ignore"):
        known = np.abs(values) < HUGE
    return np.asarray(values[known if nodata is None else known & (values != nodata)])


def describe_values(band: str, values: np.ndarray, nodata: float | None) -> dict[str, Any] | str:
    """Return scale, offset and unit of a band that states none, or the reason why they cannot be told.

    Reflectance in whole numbers is times 10,000, as every producer writes it; so is reflectance in floating
    point whose median exceeds 2. Backscatter below zero is in decibels, times a power of ten where in
    whole numbers; above zero it is linear.
    """
    known = known_values(values, nodata)
    if not known.size:
        return "nothing_but_nodata"
    if band == SCENE_CLASS:
        return {"scale": 1.0, "unit": "class"}
    middle = float(np.median(known))
    whole = values.dtype.kind in "iu"
    if band in OPTICAL_BANDS:
        return {"scale": 1e-4 if whole or middle > 2 else 1.0, "unit": "reflectance"}
    if band.startswith("coh"):
        return {"scale": 1.0, "unit": "coherence"} if middle <= 1 else "unknown_coherence_scale"
    if not whole and middle != 0:
        return {"scale": 1.0, "unit": "linear" if middle > 0 else "db"}
    scales = [scale for scale in WHOLE_DECIBELS if USUAL_DECIBELS[0] <= middle * scale <= USUAL_DECIBELS[1]]
    return {"scale": scales[0], "unit": "db"} if scales else "unknown_radar_scale"


def infer_orbits(scenes: Sequence[Scene]) -> list[Scene]:
    """Number the orbits of scenes that state none: radar by the time of day, optics by the direction of view.

    Scenes of one sensor whose times of day lie within three minutes of each other come from one relative
    orbit; optical scenes, whose published times are less regular, are split by view azimuth instead where it
    is known (two orbits see a place from opposite sides) and stay without orbit where it is not. Numbers
    start at 901, in order of time of day, and the items say `cropcheck:relative_orbit_inferred`.
    """
    orbits: dict[int, int] = {}
    unknown = [k for k, scene in enumerate(scenes) if scene.properties.get("sat:relative_orbit") is None]
    radar = [k for k in unknown if scenes[k].sensor == "s1"]
    optical = [k for k in unknown if scenes[k].sensor == "s2" and scenes[k].view_azimuth is not None]
    orbits |= _clusters(radar, [_time_of_day(scenes[k].taken) for k in radar], SAME_ORBIT / DAY)
    orbits |= _clusters(optical, [float(scenes[k].view_azimuth or 0) / 360 for k in optical], 60 / 360)
    return [_with_orbit(scene, orbits.get(k)) for k, scene in enumerate(scenes)]


def _with_orbit(scene: Scene, orbit: int | None) -> Scene:
    if orbit is None:
        return scene
    inferred = {"sat:relative_orbit": orbit, "cropcheck:relative_orbit_inferred": True}
    return replace(scene, properties={**scene.properties, **inferred})


def _time_of_day(moment: datetime) -> float:
    return (moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)) / DAY


def _clusters(positions: Sequence[int], angles: Sequence[float], gap: float) -> dict[int, int]:
    """Number groups of values on a circle of length 1 that a gap parts, in order from the first gap on."""
    if not positions:
        return {}
    order = np.argsort(angles)
    turned = np.asarray(angles)[order]
    steps = np.diff(np.append(turned, turned[0] + 1))
    start = (int(np.argmax(steps)) + 1) % len(order)
    rolled, before = np.roll(order, -start), np.roll(steps, 1 - start)
    numbers = INFERRED_ORBIT + np.cumsum(np.append(0, before[1:] > gap))
    return {positions[int(k)]: int(number) for k, number in zip(rolled, numbers, strict=True)}
