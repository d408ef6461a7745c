"""Images of a folder written as a static STAC catalog: COGs, items, the catalog itself last."""

import os
from collections import Counter
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely

from features.files import atomic_path, write_json
from features.indexing.dated_image import BandImage, DatedImage
from features.schema import SCENE_CLASS

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


def write_cog(band: BandImage, path: Path) -> Path:
    """Write a band's raw values as a cloud-optimised GeoTIFF (deflate), atomically."""
    values = np.asarray(band.values)
    small = max(values.shape) <= SINGLE_BLOCK
    profile = {
        "driver": "GTiff" if small else "COG",
        "height": values.shape[0],
        "width": values.shape[1],
        "count": 1,
        "dtype": values.dtype,
        "crs": band.crs,
        "transform": band.transform,
        "nodata": band.nodata,
        "compress": "deflate",
    }
    with atomic_path(path) as partial, rasterio.open(partial, "w", **profile) as raster:
        raster.write(values, 1)
    return path


def item_of(image: DatedImage, item_id: str, place: Path) -> dict[str, object]:
    """Return an image as a STAC item whose JSON will lie at `place`; every band has its file.

    The box is that of the rasters; the geometry is what is not nodata in any band.
    """
    boxes = np.array([band.bounds_wgs84 for band in image.bands])
    west, south = map(float, boxes[:, :2].min(axis=0))
    east, north = map(float, boxes[:, 2:].max(axis=0))
    root = "../../catalog.json"
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": EXTENSIONS,
        "id": item_id,
        "bbox": [west, south, east, north],
        "geometry": _geometry(image, shapely.box(west, south, east, north)),
        "properties": _properties(image),
        "links": [{"rel": relation, "href": root} for relation in ("root", "parent")],
        "assets": {band.band: _asset(band, place) for band in image.bands},
    }


def _geometry(image: DatedImage, whole: shapely.Geometry) -> dict[str, object]:
    parts = [whole if band.seen is None else band.seen for band in image.bands if band.band != SCENE_CLASS]
    seen = shapely.convex_hull(shapely.union_all(parts)) if parts else whole
    geometry: dict[str, Any] = shapely.geometry.mapping(shapely.set_precision(seen, 1e-7))
    return geometry


def _properties(image: DatedImage) -> dict[str, object]:
    crs = image.bands[0].crs
    return {
        "datetime": image.taken.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z"),
        "constellation": f"sentinel-{image.sensor[1]}",
        **({"proj:code": crs} if crs.startswith("EPSG:") else {"proj:code": None, "proj:wkt2": crs}),
        **image.properties,
    }


def _asset(band: BandImage, place: Path) -> dict[str, Any]:
    stated = {
        "nodata": band.nodata,
        "unit": band.unit,
        "data_type": band.data_type,
        "raster:scale": band.scale,
        "raster:offset": band.offset,
    }
    return {
        "href": os.path.relpath(str(band.file), place.parent) if band.written else str(band.file),
        "type": COG,
        "roles": ["data"],
        "proj:shape": list(band.shape),
        "proj:transform": list(band.transform)[:6],
        **{name: value for name, value in stated.items() if value is not None},
    }


def write_items(images: Sequence[DatedImage], out: Path) -> list[str]:
    """Write one item an image under `out/items` and return their ids.

    Ids name sensor, tile and moment; where several images share these, a number follows, in their order.
    """
    ids: list[str] = []
    met: Counter[str] = Counter()
    for image in images:
        tile = str(image.properties.get("grid:code", "")).removeprefix("MGRS-")
        parts = (image.sensor.upper(), tile, f"{image.taken:%Y%m%dT%H%M%S}")
        name = "_".join(part for part in parts if part)
        met[name] += 1
        item_id = name if met[name] == 1 else f"{name}_{met[name]}"
        place = out / "items" / item_id / "item.json"
        write_json(place, item_of(image, item_id, place))
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
