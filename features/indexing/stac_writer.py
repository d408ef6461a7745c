"""Scenes of a folder written as a static STAC catalog: COGs, items, the catalog itself last."""

import os
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import array_bounds
from rasterio.warp import transform_bounds

from features.files import atomic_path, write_json
from features.indexing.dated_scene import Layer, Scene

STAC_VERSION = "1.1.0"
EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/sat/v1.1.0/schema.json",
    "https://stac-extensions.github.io/grid/v1.1.0/schema.json",
]
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
# A raster up to this many pixels a side is a single block and needs no overviews to be cloud-optimised.
SINGLE_BLOCK = 512


def write_cog(layer: Layer, path: Path) -> Path:
    """Write a layer's raw values as a cloud-optimised GeoTIFF (deflate), atomically."""
    values = np.asarray(layer.values)
    small = max(values.shape) <= SINGLE_BLOCK
    profile = {
        "driver": "GTiff" if small else "COG",
        "height": values.shape[0],
        "width": values.shape[1],
        "count": 1,
        "dtype": values.dtype,
        "crs": layer.crs,
        "transform": layer.transform,
        "nodata": layer.nodata,
        "compress": "deflate",
    }
    with atomic_path(path) as partial, rasterio.open(partial, "w", **profile) as raster:
        raster.write(values, 1)
    return path


def bounds_wgs84(layer: Layer) -> list[float]:
    """West, south, east, north of a layer in degrees."""
    west, south, east, north = array_bounds(*layer.shape, layer.transform)
    return [round(value, 7) for value in transform_bounds(layer.crs, "OGC:CRS84", west, south, east, north)]


def item_of(scene: Scene, item_id: str, place: Path) -> dict[str, Any]:
    """Return a scene as a STAC item whose JSON will lie at `place`; every layer has its file."""
    boxes = np.array([bounds_wgs84(layer) for layer in scene.layers])
    west, south = map(float, boxes[:, :2].min(axis=0))
    east, north = map(float, boxes[:, 2:].max(axis=0))
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    root = "../../catalog.json"
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": EXTENSIONS,
        "id": item_id,
        "bbox": [west, south, east, north],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": _properties(scene),
        "links": [{"rel": relation, "href": root} for relation in ("root", "parent")],
        "assets": {layer.band: _asset(layer, place) for layer in scene.layers},
    }


def _properties(scene: Scene) -> dict[str, Any]:
    crs = scene.layers[0].crs
    return {
        "datetime": scene.taken.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z"),
        "constellation": f"sentinel-{scene.sensor[1]}",
        **({"proj:code": crs} if crs.startswith("EPSG:") else {"proj:code": None, "proj:wkt2": crs}),
        **scene.properties,
    }


def _asset(layer: Layer, place: Path) -> dict[str, Any]:
    stated = {
        "nodata": layer.nodata,
        "unit": layer.unit,
        "data_type": layer.data_type,
        "raster:scale": layer.scale,
        "raster:offset": layer.offset,
    }
    return {
        "href": os.path.relpath(str(layer.file), place.parent) if layer.written else str(layer.file),
        "type": COG,
        "roles": ["data"],
        "proj:shape": list(layer.shape),
        "proj:transform": list(layer.transform)[:6],
        **{name: value for name, value in stated.items() if value is not None},
    }


def write_items(scenes: Sequence[Scene], out: Path) -> list[str]:
    """Write one item a scene under `out/items` and return their ids."""
    ids: list[str] = []
    for scene in scenes:
        tile = str(scene.properties.get("grid:code", "")).removeprefix("MGRS-")
        name = "_".join(part for part in (scene.sensor.upper(), tile, f"{scene.taken:%Y%m%dT%H%M%S}") if part)
        item_id = name if name not in ids else f"{name}_{len(ids)}"
        place = out / "items" / item_id / "item.json"
        write_json(place, item_of(scene, item_id, place))
        ids.append(item_id)
    return ids


def write_catalog(out: Path, ids: Sequence[str], description: str) -> Path:
    """Write the catalog that links the items."""
    links = [{"rel": "root", "href": "./catalog.json"}]
    links += [{"rel": "item", "href": f"./items/{item_id}/item.json"} for item_id in ids]
    catalog = {
        "type": "Catalog",
        "id": out.absolute().name,
        "stac_version": STAC_VERSION,
        "description": description,
        "links": links,
    }
    return write_json(out / "catalog.json", catalog)
