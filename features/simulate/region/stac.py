"""The static STAC catalog that agencies would publish beside the imagery."""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Protocol

from features.files import write_json
from features.simulate.grid import PIXEL, Grid

VERSION = "1.0.0"
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
RASTER = "https://stac-extensions.github.io/raster/v1.1.0/schema.json"
EO = "https://stac-extensions.github.io/eo/v1.1.0/schema.json"
SAT = "https://stac-extensions.github.io/sat/v1.0.0/schema.json"
VIEW = "https://stac-extensions.github.io/view/v1.0.0/schema.json"
SAR = "https://stac-extensions.github.io/sar/v1.0.0/schema.json"
GRID = "https://stac-extensions.github.io/grid/v1.1.0/schema.json"
COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
OPTICAL, RADAR = "sentinel-2-l2a", "sentinel-1-sigma0"
COLLECTIONS = {
    OPTICAL: "Simulated Sentinel-2 Level-2A surface reflectance, 10 m grid",
    RADAR: "Simulated Sentinel-1 sigma0 in dB, terrain-corrected, and 6-day coherence, 10 m grid",
}
# processing baseline 04.00 moved the zero of reflectance to digital number 1000 (ESA, from 25 January 2022)
OFFSET_SINCE = date(2022, 1, 25)


class Scene(Protocol):
    """What the catalog needs to know of a scene."""

    @property
    def collection(self) -> str:
        """Name of its collection."""

    @property
    def item_id(self) -> str:
        """Its id."""

    @property
    def when(self) -> datetime:
        """Its time, UTC."""


def baseline_of(day: date) -> tuple[str, int]:
    """Return the processing baseline of an acquisition day and the offset of its digital numbers."""
    return ("05.09", 1000) if day >= OFFSET_SINCE else ("03.01", 0)


def raster_asset(
    href: str, encoding: dict[str, object], grid: Grid, band: str | None = None
) -> dict[str, object]:
    """Return one COG asset with its value encoding and, where it is spectral, its band name."""
    named = {"eo:bands": [{"name": band}]} if band else {}
    return {
        "href": href,
        "type": COG_TYPE,
        "roles": ["data"],
        "raster:bands": [encoding],
        "proj:shape": list(grid.shape),
        "proj:transform": [*grid.transform][:6],
        **named,
    }


def make_item(scene: Scene, grid: Grid, properties: dict[str, Any], assets: dict[str, Any]) -> dict[str, Any]:
    """Return the STAC item of a scene, in the folder `<collection>/<item>/` below the catalog."""
    ring = grid.ring_wgs84
    longitudes, latitudes = zip(*ring, strict=True)
    return {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": [PROJECTION, RASTER, SAT, GRID, VIEW, EO if scene.collection == OPTICAL else SAR],
        "id": scene.item_id,
        "collection": scene.collection,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
        "properties": {
            "datetime": _stamp(scene.when),
            "gsd": PIXEL,
            "proj:code": f"EPSG:{grid.epsg}",
            "proj:shape": list(grid.shape),
            "proj:transform": [*grid.transform][:6],
            "grid:code": f"MGRS-{grid.tile}",
            **properties,
        },
        "links": [
            _link("root", "../../catalog.json"),
            _link("parent", "../collection.json"),
            _link("collection", "../collection.json"),
        ],
        "assets": assets,
    }


def write_catalog(folder: Path, grid: Grid, scenes: Sequence[Scene]) -> Path:
    """Write the collections of the scenes and, last of all, the catalog."""
    used = [name for name in COLLECTIONS if any(scene.collection == name for scene in scenes)]
    for name in used:
        members = [scene for scene in scenes if scene.collection == name]
        write_json(folder / name / "collection.json", _collection(name, grid, members))
    children = [_link("child", f"./{name}/collection.json") for name in used]
    catalog = {
        "type": "Catalog",
        "stac_version": VERSION,
        "id": "simulated-region",
        "description": "Imagery of a simulated region.",
        "links": [_link("root", "./catalog.json"), *children],
    }
    return write_json(folder / "catalog.json", catalog)


def _collection(name: str, grid: Grid, members: list[Scene]) -> dict[str, object]:
    longitudes, latitudes = zip(*grid.ring_wgs84, strict=True)
    times = [_stamp(scene.when) for scene in members]
    items = [_link("item", f"./{scene.item_id}/{scene.item_id}.json") for scene in members]
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
        "links": [_link("root", "../catalog.json"), _link("parent", "../catalog.json"), *items],
    }


def _link(relation: str, href: str) -> dict[str, str]:
    return {
        "rel": relation,
        "href": href,
        "type": "application/geo+json" if relation == "item" else "application/json",
    }


def _stamp(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"
