"""The static STAC catalog that agencies would publish beside the imagery."""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from features.files import write_json
from features.simulate.grid import PIXEL, Grid

VERSION = "1.0.0"
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
RASTER = "https://stac-extensions.github.io/raster/v1.1.0/schema.json"
EO = "https://stac-extensions.github.io/eo/v1.1.0/schema.json"
SAT = "https://stac-extensions.github.io/sat/v1.0.0/schema.json"
GRID = "https://stac-extensions.github.io/grid/v1.1.0/schema.json"
COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
COLLECTIONS = {
    "sentinel-2-l2a": "Simulated Sentinel-2 Level-2A surface reflectance, 10 m grid",
    "sentinel-1-sigma0": "Simulated Sentinel-1 sigma0 in dB, terrain-corrected, and 6-day coherence, 10 m grid",
}
# processing baseline 04.00 moved the zero of reflectance to digital number 1000 (ESA, from 25 January 2022)
OFFSET_SINCE = date(2022, 1, 25)


def baseline_of(day: date) -> tuple[str, int]:
    """Return the processing baseline of an acquisition day and the offset of its digital numbers."""
    return ("05.09", 1000) if day >= OFFSET_SINCE else ("03.01", 0)


def raster_asset(href: str, bands: dict[str, Any], grid: Grid, **more: Any) -> dict[str, Any]:
    """Return one COG asset with its value encoding."""
    return {
        "href": href,
        "type": COG_TYPE,
        "roles": ["data"],
        "raster:bands": [bands],
        "proj:shape": list(grid.shape),
        "proj:transform": [*grid.transform][:6],
        **more,
    }


def make_item(
    item_id: str,
    collection: str,
    when: datetime,
    grid: Grid,
    properties: dict[str, Any],
    assets: dict[str, Any],
) -> dict[str, Any]:
    """Return a STAC item in the folder `<collection>/<item>/` below the catalog."""
    ring = grid.ring_wgs84
    longitudes, latitudes = zip(*ring, strict=True)
    return {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": [PROJECTION, RASTER, SAT, GRID, *([EO] if "eo:cloud_cover" in properties else [])],
        "id": item_id,
        "collection": collection,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
        "properties": {
            "datetime": f"{when:%Y-%m-%dT%H:%M:%SZ}",
            "gsd": PIXEL,
            "proj:code": f"EPSG:{grid.epsg}",
            "proj:shape": list(grid.shape),
            "proj:transform": [*grid.transform][:6],
            "grid:code": f"MGRS-{grid.tile}",
            **properties,
        },
        "links": [
            {"rel": "root", "href": "../../catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "../collection.json", "type": "application/json"},
            {"rel": "collection", "href": "../collection.json", "type": "application/json"},
        ],
        "assets": assets,
    }


def write_catalog(folder: Path, grid: Grid, items: Sequence[tuple[str, str, datetime]]) -> Path:
    """Write the collections and, last of all, the catalog; `items` are (collection, item id, time)."""
    used = [name for name in COLLECTIONS if any(item[0] == name for item in items)]
    for name in used:
        members = [(item, when) for collection, item, when in items if collection == name]
        write_json(folder / name / "collection.json", _collection(name, grid, members))
    catalog = {
        "type": "Catalog",
        "stac_version": VERSION,
        "id": "simulated-region",
        "description": "Imagery of a simulated region.",
        "links": [
            {"rel": "root", "href": "./catalog.json", "type": "application/json"},
            *(
                {"rel": "child", "href": f"./{name}/collection.json", "type": "application/json"}
                for name in used
            ),
        ],
    }
    return write_json(folder / "catalog.json", catalog)


def _collection(name: str, grid: Grid, members: list[tuple[str, datetime]]) -> dict[str, Any]:
    longitudes, latitudes = zip(*grid.ring_wgs84, strict=True)
    times = [f"{when:%Y-%m-%dT%H:%M:%SZ}" for _, when in members]
    return {
        "type": "Collection",
        "stac_version": VERSION,
        "id": name,
        "description": COLLECTIONS[name],
        "license": "CC0-1.0",
        "extent": {
            "spatial": {"bbox": [[min(longitudes), min(latitudes), max(longitudes), max(latitudes)]]},
            "temporal": {"interval": [[min(times), max(times)]]},
        },
        "links": [
            {"rel": "root", "href": "../catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "../catalog.json", "type": "application/json"},
            *(
                {"rel": "item", "href": f"./{item}/{item}.json", "type": "application/geo+json"}
                for item, _ in members
            ),
        ],
    }
