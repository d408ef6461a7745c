"""One STAC item to one row of the acquisitions table, or the reason why it is set aside; pure."""

import json
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import shapely

from features.catalog import radiometry
from features.catalog.access.hrefs import admit, is_remote, is_signed, resolve, without_secrets
from features.catalog.access.reach import Reach
from features.catalog.access.stac import Item, Query
from features.catalog.bands import OF_LEVEL_1C, pick_assets
from features.catalog.mission import Properties, mission_of, whole_number
from features.catalog.options import ImageryOptions, RadarOptions
from features.catalog.place import Bounds, flat_box, footprint_of, grid_bounds, overlaps
from features.errors import CatalogError
from features.schema import ATMOSPHERE_BANDS, OPTICAL_BANDS, RADAR_BANDS, SCENE_CLASS, Row

log = logging.getLogger(__name__)

LARGEST = 9999
DAY = timedelta(days=1)
# Start of a datastrip's sensing, in its name and in a granule's.
_DATASTRIP = re.compile(r"_S(\d{8}T\d{6})_")
_TILE_IN_NAME = re.compile(r"^S2[A-D]_(?:\w+_)?T?(\d{1,2}[C-X][A-Z]{2})_")
_RADAR_KEYS = frozenset(RADAR_BANDS)
REFLECTANCES = frozenset((*OPTICAL_BANDS, *ATMOSPHERE_BANDS))

# What the items of these collections do not say of themselves: quantity and unit of backscatter.
_PRODUCTS = {"sentinel-1-rtc": ("gamma0", "linear")}


def row_of(item: Item, location: str, options: ImageryOptions, query: Query) -> Row | str:
    """Return one row, or the reason why the item is set aside.

    Parameters
    ----------
    item, location
        STAC JSON and the path or URL it came from, which its relative links are resolved against.

    Returns
    -------
    dict or str
        The columns of `features.schema.ACQUISITIONS`, with `tile` None where the item states none; beside
        them what tells duplicates and products apart: `collection`, `bbox`, `extent` (of the rasters),
        `ground` (footprint, shapely, degrees), `datastrip` (start of sensing), `processed`, `quantity`,
        `coherence_days`, and `orbit_is_derived`; and in `lost` why bands that it lists are left out.
    """
    properties, assets = _mapping(item.get("properties")), _mapping(item.get("assets"))
    known = {key: asset for key, asset in assets.items() if isinstance(asset, Mapping)}
    item = {**item, "properties": properties, "assets": known}
    bbox, ground = flat_box(item.get("bbox")), footprint_of(item.get("geometry"))
    place = bbox or (ground.bounds if ground is not None else None)
    taken = _admitted(item, place, options, query)
    if isinstance(taken, str):
        return taken
    more = OF_LEVEL_1C if options.level == "L1C" else {}
    keys = pick_assets(known, {**more, **options.bands})
    mission = mission_of(item, keys, options.level) if keys else "no_known_band"
    if isinstance(mission, str):
        return mission
    quantity, days = _quantity(item), _coherence_days(properties)
    chosen = _wanted(_of_sensor(keys, mission.sensor), options.radar, quantity, days)
    lost: dict[str, str] = {}
    usable = chosen if isinstance(chosen, str) else _assets(item, chosen, location, options, lost)
    if isinstance(chosen, str) or isinstance(usable, str):
        return str(usable)
    row = {
        "item_id": str(item.get("id")),
        "datetime": taken,
        "sensor": mission.sensor,
        "orbit_state": mission.orbit_state,
        "relative_orbit": mission.relative_orbit,
        "platform": mission.platform,
        "processing_baseline": radiometry.baseline_of(item),
        "tile": _tile(item),
        "epsg": _epsg(item, chosen.values()),
        "footprint": None if ground is None else shapely.to_wkt(ground, rounding_precision=6),
        "assets": usable,
        "collection": _text(item.get("collection")),
        "bbox": place,
        "extent": _extent(item, chosen.values()),
        "ground": ground,
        "datastrip": _datastrip(properties),
        "orbit_is_derived": mission.orbit_is_derived,
        "processed": _processed(properties),
        "lost": lost,
        "quantity": quantity if {"vv", "vh"} & chosen.keys() else None,
        "coherence_days": days if {"cohvv", "cohvh"} & chosen.keys() else None,
    }
    return row if _is_storable(row) else "unreadable_text"


def _is_storable(row: Row) -> bool:
    """Whether files and tables can hold the texts of a row: no NUL in its names, no half of a letter (a lone
    surrogate, which JSON can escape).
    """
    try:
        json.dumps({**row, "ground": None}, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return not any("\0" in str(row[name]) for name in ("item_id", "tile", "collection"))


def _extent(item: Item, keys: Iterable[str]) -> Bounds | None:
    """Bounds of the rasters in degrees, where the item states their grid (projection extension)."""
    code = _epsg(item, keys)
    for place in (item["properties"], *(item["assets"][key] for key in keys)):
        corners, shape = place.get("proj:transform"), place.get("proj:shape")
        if code and isinstance(corners, list) and isinstance(shape, list) and len(shape) == 2:
            numbers = [radiometry.number(value) for value in (*corners[:6], *shape)]
            if len(corners) >= 6 and None not in numbers:
                return grid_bounds(code, tuple(float(value) for value in numbers if value is not None))
    return None


def _of_sensor(keys: dict[str, str], sensor: str) -> dict[str, str]:
    return {band: key for band, key in keys.items() if (band in _RADAR_KEYS) == (sensor == "s1")}


def _datastrip(properties: Properties) -> datetime | None:
    found = _DATASTRIP.search(str(properties.get("s2:datastrip_id") or ""))
    return _instant(found[1]) if found else None


def _processed(properties: Properties) -> str:
    names = ("s2:generation_time", "processing:datetime", "created", "updated")
    return next((str(properties[name]) for name in names if properties.get(name)), "")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _admitted(item: Item, bbox: Bounds | None, options: ImageryOptions, query: Query) -> datetime | str:
    """When an item was taken, or why it is set aside before its assets are looked at."""
    properties = item["properties"]
    taken = _moment(properties)
    cloud_cover = radiometry.number(properties.get("eo:cloud_cover"))
    if not item.get("id"):
        return "no_id"
    if taken is None:
        return "no_datetime"
    if not query.start <= taken.date() <= query.end or _ends_later(properties, taken, query):
        return "outside_season"
    if bbox is not None and not overlaps(bbox, query.bounds):
        return "outside_region"
    return "too_cloudy" if cloud_cover is not None and cloud_cover > options.max_cloud_cover else taken


def _ends_later(properties: Properties, taken: datetime, query: Query) -> bool:
    """Whether a composite of several days holds images of after the last day that may be looked at."""
    end = _instant(properties.get("end_datetime"))
    return end is not None and end - taken >= DAY and (end - timedelta(microseconds=1)).date() > query.end


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


def _moment(properties: Properties) -> datetime | None:
    """Time of sensing in UTC, without zone."""
    return _instant(properties.get("datetime") or properties.get("start_datetime"))


def _instant(text: Any) -> datetime | None:
    """A moment in UTC; RFC 3339 lets `t` and `z` be small, and seconds count to 60."""
    plain = re.sub(r"(:\d\d:)60", r"\g<1>59", str(text).strip().upper())
    try:
        moment = datetime.fromisoformat(plain)
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return None


def _tile(item: Item) -> str | None:
    """MGRS tile or other grid code; None where a product has none (Sentinel-1 slices, chips)."""
    properties = item["properties"]
    code = properties.get("grid:code") or properties.get("s2:mgrs_tile") or _mgrs(properties)
    if code:
        return str(code).removeprefix("MGRS-")
    names = (str(item.get("id")), str(properties.get("s2:product_uri")))
    return next((found[1].zfill(5) for name in names if (found := _TILE_IN_NAME.search(name))), None)


def _mgrs(properties: Properties) -> str | None:
    for prefix in ("mgrs", "sentinel"):
        zone = whole_number(properties.get(f"{prefix}:utm_zone"))
        band = _text(properties.get(f"{prefix}:latitude_band"))
        square = _text(properties.get(f"{prefix}:grid_square"))
        if zone is not None and band is not None and square is not None:
            return f"{zone:02d}{band}{square}"
    return None


def _epsg(item: Item, keys: Iterable[str]) -> int | None:
    """EPSG code as the item or its first band states it; the grid itself is read from the raster."""
    for place in (item["properties"], *(item["assets"][key] for key in keys)):
        code = str(place.get("proj:code") or place.get("proj:epsg") or "").removeprefix("EPSG:")
        if code.isdecimal() and len(code) <= len(str(LARGEST)) + 2:
            return int(code)
    return None


def _assets(
    item: Item, keys: Mapping[str, str], location: str, options: ImageryOptions, lost: dict[str, str]
) -> list[dict[str, Any]] | str:
    """The item's usable assets, or the commonest reason why there are none; the others go to `lost`."""
    hrefs = [href for key in keys.values() if (href := item["assets"][key].get("href")) is not None]
    if len(set(map(str, hrefs))) < len(hrefs):  # of a file of several bands, the first would be read for each
        return "several_bands"
    found = {band: _asset(item, band, item["assets"][key], location, options) for band, key in keys.items()}
    lost |= {band: asset for band, asset in found.items() if isinstance(asset, str)}
    usable = [asset for asset in found.values() if not isinstance(asset, str)]
    if not usable or (lost and {asset["band"] for asset in usable} == {SCENE_CLASS}):
        return Counter(lost.values()).most_common(1)[0][0] if lost else "no_known_band"
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
        href = _href(str(asset["href"]), location, options)
    except (CatalogError, ValueError, OSError) as refusal:
        log.warning("%s: %s", item.get("id"), without_secrets(str(refusal)))
        return "refused_href"
    if is_signed(href):
        return "signed_href"
    silent = [] if _states(asset, "nodata") else ["nodata"]
    assumed = [*silent, *scaling.pop("assumed", ())]
    version = _version(item["properties"], asset)
    nodata = _nodata(asset, band)
    return {"band": band, "href": href, "nodata": nodata, **scaling, "assumed": assumed, "version": version}


def _version(properties: Properties, asset: Mapping[str, Any]) -> str | None:
    """What tells an asset's content from another under the same link, as the item states it: the checksum
    (STAC file extension), else when asset or item were last updated (common metadata)."""
    stated = (asset.get("file:checksum"), asset.get("updated"), properties.get("updated"))
    return next((text for text in map(_text, stated) if text), None)


def _href(href: str, location: str, options: ImageryOptions) -> str:
    """Return the path or URL of an asset, as far as the catalog and the options may lead there.

    A signature that we make anew at every opening is taken off.
    """
    found = resolve(href, location)
    if not is_remote(found):
        found = _as_it_lies(found)
    if options.signing_wanted != "none" and is_remote(found):
        found = found.partition("?")[0]
    reach = _reach(options.address, options.hosts, options.allow_remote)
    may_lead = options.allow_remote or is_remote(location)
    return admit(
        found,
        local=not is_remote(location),
        remote=may_lead and is_remote(found) and reach.allows_host(found),
        object_storage=options.allow_object_storage,
    )


def _as_it_lies(path: str) -> str:
    """A local path as it is, else as an address writes it (%20) or Windows does, where only that is there."""
    forms = (path, unquote(path), path.replace("\\", "/"))
    return next((form for form in forms if os.path.isfile(form)), path)  # noqa: PTH113 - may be no path at all


@lru_cache(maxsize=16)
def _reach(address: str, hosts: tuple[str, ...], others: bool) -> Reach:
    return Reach.of(address, hosts, others=others)


def _is_float(asset: Mapping[str, Any]) -> bool:
    return str(radiometry.stated(asset, "data_type") or "").startswith("float")


def _states(asset: Mapping[str, Any], name: str) -> bool:
    return radiometry.number(radiometry.stated(asset, name)) is not None


def _nodata(asset: Mapping[str, Any], band: str) -> float | None:
    value = radiometry.number(radiometry.stated(asset, "nodata"))
    if value is not None:
        return value
    return 0.0 if band in REFLECTANCES or band == SCENE_CLASS else None


def _scaling(
    item: Item, asset: Mapping[str, Any], band: str, options: ImageryOptions
) -> dict[str, Any] | str:
    """Scale, offset and unit of one asset, or the reason why they cannot be known."""
    if band == SCENE_CLASS:
        return {"scale": 1.0, "offset": 0.0, "unit": "class"}
    if band in REFLECTANCES:
        return _reflectance(item, asset, options)
    scale, offset = radiometry.stated_scaling(asset)
    if band not in {"vv", "vh"}:
        return _radar_scaling(scale, offset, "coherence")
    unit = _radar_unit(item, asset, options.radar)
    if unit is None and _is_in_radar_geometry(item):
        return "not_geocoded"
    scale = scale if options.radar.scale is None else options.radar.scale
    offset = offset if options.radar.offset is None else options.radar.offset
    return _radar_scaling(scale, offset, unit or "unknown")


def _is_in_radar_geometry(item: Item) -> bool:
    """Whether an item is ground-range detected radar of which no map grid is stated, as ESA publishes it."""
    properties = item["properties"]
    kind = f"{properties.get('sar:product_type')} {properties.get('product:type')}".upper()
    grids = ("proj:transform", "proj:code", "proj:epsg", "proj:wkt2")
    places = (properties, *item["assets"].values())
    return "GRD" in kind and not any(place.get(name) for place in places for name in grids)


def _radar_scaling(scale: float | None, offset: float | None, unit: str) -> dict[str, Any]:
    """1 and 0 where nothing is stated; what then is only assumed, the file's own tags may say."""
    assumed = [name for name, value in (("scale", scale), ("offset", offset)) if value is None]
    return {
        "scale": 1.0 if scale is None else scale, "offset": offset or 0.0, "unit": unit, "assumed": assumed
    }  # fmt: skip


def _reflectance(item: Item, asset: Mapping[str, Any], options: ImageryOptions) -> dict[str, Any]:
    decided = radiometry.decide_reflectance(item, asset, options.offsets.get(str(item.get("id"))))
    if decided is None and options.default_offset is not None:
        decided = radiometry.decide_reflectance(item, asset, options.default_offset)
    assumed = [] if _states(asset, "scale") or _is_float(asset) else ["scale"]
    if decided is None:
        scale = radiometry.stated_scaling(asset)[0] or radiometry.usual_scale(asset)
        assumed += ["offset", "offset_unknown"]
        return {"scale": scale, "offset": 0.0, "unit": "reflectance", "assumed": assumed}
    if decided.basis == "configuration" and assumed:
        assumed.append("offset_unit")
    if decided.basis in radiometry.ASSUMED and not _states(asset, "offset"):
        assumed.append("offset")
    return {"scale": decided.scale, "offset": decided.offset, "unit": "reflectance", "assumed": assumed}


def _radar_unit(item: Item, asset: Mapping[str, Any], radar: RadarOptions) -> str | None:
    if radar.unit != "stated":
        return radar.unit
    said = str(radiometry.stated(asset, "unit") or item["properties"].get("unit") or "")
    return radiometry.radar_unit(said) or _PRODUCTS.get(str(item.get("collection")), (None, None))[1]


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


def _coherence_days(properties: Properties) -> int | None:
    for name in ("coherence_days", "sar:coherence_days", "temporal_baseline_days"):
        if (days := whole_number(properties.get(name), LARGEST)) is not None:
            return days
    return None
