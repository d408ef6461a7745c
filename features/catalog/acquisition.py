"""One STAC item to one row of the acquisitions table, or the reason why it is set aside; pure."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from features.catalog import radiometry
from features.catalog.bands import pick_assets
from features.catalog.hrefs import admit, is_remote, resolve
from features.catalog.options import ImageryOptions, RadarOptions
from features.catalog.stac import Bounds, Item, Query
from features.errors import CatalogError
from features.schema import OPTICAL_BANDS, RADAR_BANDS, SCENE_CLASS

log = logging.getLogger(__name__)

UNTILED = "untiled"
LARGEST = 9999
_ORBIT = re.compile(r"S2[A-D]_MSIL2A_\w*_R(\d{3})_")

# What the items of these collections do not say of themselves: quantity and unit of backscatter.
_PRODUCTS = {"sentinel-1-rtc": ("gamma0", "linear")}
_UNITS = {
    "db": "db",
    "decibel": "db",
    "linear": "linear",
    "1": "linear",
    "power": "linear",
    "m2/m2": "linear",
}


def row_of(item: Item, location: str, options: ImageryOptions, query: Query) -> dict[str, Any] | str:
    """Return one row, or the reason why the item is set aside.

    Parameters
    ----------
    item, location
        STAC JSON and the path or URL it came from, which its relative links are resolved against.

    Returns
    -------
    dict or str
        The columns of `features.schema.ACQUISITIONS`, and `bbox`, `quantity` and `coherence_days` beside
        them.
    """
    properties, assets = _mapping(item.get("properties")), _mapping(item.get("assets"))
    known = {key: asset for key, asset in assets.items() if isinstance(asset, Mapping)}
    item = {**item, "properties": properties, "assets": known}
    taken, bbox = _moment(properties), _flat(item.get("bbox"))
    if not item.get("id"):
        return "no_id"
    if taken is None:
        return "no_datetime"
    if reason := _outside(properties, taken, bbox, options, query):
        return reason
    quantity, days = _quantity(item), _coherence_days(properties)
    keys = _wanted(pick_assets(known, options.bands), options.radar, quantity, days)
    if isinstance(keys, str):
        return keys
    usable = _assets(item, keys, location, options)
    if isinstance(usable, str):
        return usable
    return {
        "item_id": str(item.get("id")),
        "datetime": taken,
        "sensor": "s1" if {asset["band"] for asset in usable} <= set(RADAR_BANDS) else "s2",
        "orbit_state": _text(properties.get("sat:orbit_state")),
        "relative_orbit": _orbit(item),
        "platform": _text(properties.get("platform")),
        "processing_baseline": radiometry.baseline_of(item),
        "tile": _tile(properties),
        "epsg": _epsg(item, keys.values()),
        "assets": usable,
        "bbox": bbox,
        "quantity": quantity if {"vv", "vh"} & keys.keys() else None,
        "coherence_days": days if {"cohvv", "cohvh"} & keys.keys() else None,
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _outside(
    properties: Mapping[str, Any], taken: datetime, bbox: Bounds | None, options: ImageryOptions, query: Query
) -> str | None:
    if not query.start <= taken.date() <= query.end:
        return "outside_season"
    if bbox is not None and not _overlap(bbox, query.bounds):
        return "outside_region"
    cloud_cover = radiometry.number(properties.get("eo:cloud_cover"))
    return "too_cloudy" if cloud_cover is not None and cloud_cover > options.max_cloud_cover else None


def _wanted(
    keys: dict[str, str], radar: RadarOptions, quantity: str | None, days: int | None
) -> dict[str, str] | str:
    """Leave out the radar bands of another product than the configuration asks for."""
    if not keys:
        return "no_known_band"
    if radar.quantity != "stated" and quantity not in {None, radar.quantity}:
        keys = {band: key for band, key in keys.items() if band not in {"vv", "vh"}}
    if radar.coherence_days != "stated" and days not in {None, radar.coherence_days}:
        keys = {band: key for band, key in keys.items() if band not in {"cohvv", "cohvh"}}
    return keys or "other_radar_product"


def _moment(properties: Mapping[str, Any]) -> datetime | None:
    """Time of sensing in UTC, without zone."""
    text = properties.get("datetime") or properties.get("start_datetime")
    try:
        moment = datetime.fromisoformat(str(text))
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return None


def _flat(bbox: Any) -> Bounds | None:
    corners = [radiometry.number(value) for value in bbox] if isinstance(bbox, list | tuple) else []
    numbers = [value for value in corners if value is not None]
    half = len(corners) // 2
    if len(corners) not in {4, 6} or len(numbers) != len(corners):
        return None
    return (numbers[0], numbers[1], numbers[half], numbers[half + 1])


def _overlap(one: Bounds, other: Bounds) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _whole(value: Any) -> int | None:
    """A whole number that an orbit or an interval of days may be, also where it is written as text."""
    number = radiometry.number(int(value) if isinstance(value, str) and value.isdecimal() else value)
    return int(number) if number is not None and 0 <= number <= LARGEST and number == int(number) else None


def _orbit(item: Item) -> int | None:
    """Relative orbit as stated, else as a Sentinel-2 product's name has it."""
    properties = item["properties"]
    stated = _whole(properties.get("sat:relative_orbit"))
    names = [str(value) for value in (item.get("id"), properties.get("s2:product_uri"))]
    named = next((found for name in names if (found := _ORBIT.search(name))), None)
    return int(named[1]) if stated is None and named else stated


def _tile(properties: Mapping[str, Any]) -> str:
    """MGRS tile or other grid code; `untiled` where a product has none (Sentinel-1 slices)."""
    code = properties.get("grid:code") or properties.get("s2:mgrs_tile") or _mgrs(properties)
    return str(code).removeprefix("MGRS-") if code else UNTILED


def _mgrs(properties: Mapping[str, Any]) -> str | None:
    zone = _whole(properties.get("mgrs:utm_zone"))
    band, square = (_text(properties.get(f"mgrs:{name}")) for name in ("latitude_band", "grid_square"))
    return None if zone is None or band is None or square is None else f"{zone:02d}{band}{square}"


def _epsg(item: Item, keys: Iterable[str]) -> int | None:
    """EPSG code as the item or its first band states it; the grid itself is read from the raster."""
    for place in (item["properties"], *(item["assets"][key] for key in keys)):
        code = str(place.get("proj:code") or place.get("proj:epsg") or "").removeprefix("EPSG:")
        if code.isdecimal() and len(code) <= len(str(LARGEST)) + 2:
            return int(code)
    return None


def _assets(
    item: Item, keys: Mapping[str, str], location: str, options: ImageryOptions
) -> list[dict[str, Any]] | str:
    """The item's usable assets, or the commonest reason why there are none (scene classes alone are none)."""
    found = [_asset(item, band, item["assets"][key], location, options) for band, key in keys.items()]
    reasons = Counter(asset for asset in found if isinstance(asset, str))
    for reason, count in reasons.items():
        log.debug("%s: %d assets left out, %s", item.get("id"), count, reason)
    usable = [asset for asset in found if not isinstance(asset, str)]
    if {asset["band"] for asset in usable} <= {SCENE_CLASS}:
        return reasons.most_common(1)[0][0] if reasons else "no_known_band"
    return usable


def _asset(
    item: Item, band: str, asset: Mapping[str, Any], location: str, options: ImageryOptions
) -> dict[str, Any] | str:
    if not _text(asset.get("href")):
        return "no_href"
    scaling = _scaling(item, asset, band, options)
    if isinstance(scaling, str):
        return scaling
    try:
        href = admit(
            resolve(str(asset["href"]), location),
            local=not is_remote(location),
            remote=is_remote(location) or options.allow_remote,
            object_storage=options.allow_object_storage,
        )
    except (CatalogError, ValueError) as refusal:
        log.warning("%s: %s", item.get("id"), refusal)
        return "refused_href"
    return {"band": band, "href": href, "nodata": _nodata(asset, band), **scaling}


def _nodata(asset: Mapping[str, Any], band: str) -> float | None:
    value = radiometry.number(radiometry.stated(asset, "nodata"))
    if value is not None:
        return value
    return 0.0 if band in OPTICAL_BANDS or band == SCENE_CLASS else None


def _scaling(
    item: Item, asset: Mapping[str, Any], band: str, options: ImageryOptions
) -> dict[str, Any] | str:
    """Scale, offset and unit of one asset, or the reason why they cannot be known."""
    if band == SCENE_CLASS:
        return {"scale": 1.0, "offset": 0.0, "unit": "class"}
    if band in OPTICAL_BANDS:
        return _reflectance(item, asset, options)
    scale, offset = radiometry.stated_scaling(asset)
    if band not in {"vv", "vh"}:
        return {"scale": 1.0 if scale is None else scale, "offset": offset or 0.0, "unit": "coherence"}
    unit = _radar_unit(item, asset, options.radar)
    if unit is None:
        return "unknown_radar_unit"
    scale = scale if options.radar.scale is None else options.radar.scale
    offset = offset if options.radar.offset is None else options.radar.offset
    return {"scale": 1.0 if scale is None else scale, "offset": offset or 0.0, "unit": unit}


def _reflectance(item: Item, asset: Mapping[str, Any], options: ImageryOptions) -> dict[str, Any] | str:
    decided = radiometry.decide_reflectance(item, asset, options.offsets.get(str(item.get("id"))))
    if decided is None and options.default_offset is not None:
        decided = radiometry.decide_reflectance(item, asset, options.default_offset)
    if decided is None:
        return "unknown_offset"
    return {"scale": decided.scale, "offset": decided.offset, "unit": "reflectance"}


def _radar_unit(item: Item, asset: Mapping[str, Any], radar: RadarOptions) -> str | None:
    if radar.unit != "stated":
        return radar.unit
    said = str(radiometry.stated(asset, "unit") or item["properties"].get("unit") or "").lower()
    return _UNITS.get(said) or _PRODUCTS.get(str(item.get("collection")), (None, None))[1]


def _quantity(item: Item) -> str | None:
    """sigma0 or gamma0, as the item, its radar assets or its collection say; None where nothing does."""
    assets = item["assets"]
    radar = [assets[key] for band, key in pick_assets(assets).items() if band in {"vv", "vh"}]
    places = [item["properties"], *radar]
    text = " ".join(
        str(value) for place in places for value in place.values() if isinstance(value, str)
    ).lower()
    for quantity in ("sigma0", "gamma0"):
        if quantity in text:
            return quantity
    return _PRODUCTS.get(str(item.get("collection")), (None, None))[0]


def _coherence_days(properties: Mapping[str, Any]) -> int | None:
    for name in ("coherence_days", "sar:coherence_days", "temporal_baseline_days"):
        if (days := _whole(properties.get(name))) is not None:
            return days
    return None
