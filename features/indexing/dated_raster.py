"""GeoTIFFs with a date in their name or tags, one band a file or several."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from features.catalog.bands import band_of
from features.indexing.dated_scene import (
    Layer,
    Scene,
    band_in_name,
    describe_values,
    read_name,
    sensor_of_bands,
)
from features.schema import OPTICAL_BANDS, SCENE_CLASS

# Tags that state when a scene was taken, then when a file was written: the latter only where nothing else is
# known.
DATE_TAGS = ("ACQUISITION_DATE", "ACQUISITIONDATE", "datetime", "DATETIME", "TIFFTAG_DATETIME")
SCENE_CLASSES = 12
# The median of so many pixels tells how a band is scaled.
SAMPLE_PIXELS = 512


@dataclass(frozen=True)
class Part:
    """The bands of one file, and what its name says."""

    layers: tuple[Layer, ...]
    said: dict[str, Any]


def read_part(path: Path) -> Part | str:
    """Read one file, or say why it is set aside.

    A file of a single band is referred to where it lies; of a file of several bands each is read. Bands are
    known by their descriptions, else by the file's name.
    """
    try:
        with rasterio.open(path, driver="GTiff") as raster:
            said = read_name(path.name) or _date_in_tags(raster)
            if said is None:
                return "no_date"
            if raster.crs is None:
                return "no_crs"
            layers = [_layer(raster, path, position, band) for position, band in _bands(raster, path).items()]
    except rasterio.errors.RasterioError:
        return "unreadable"
    usable = tuple(layer for layer in layers if isinstance(layer, Layer))
    return (
        Part(usable, said)
        if usable
        else next((why for why in layers if isinstance(why, str)), "no_known_band")
    )


def group_parts(parts: Iterable[Part]) -> list[Scene]:
    """Put the bands of one moment and sensor together; of a band that comes twice the first counts."""
    groups: defaultdict[tuple[Any, ...], list[Part]] = defaultdict(list)
    for part in parts:
        sensor = sensor_of_bands([layer.band for layer in part.layers])
        groups[part.said["taken"], sensor, part.said.get("tile"), part.said.get("baseline")].append(part)
    return [
        _scene(key[0], key[1], held) for key, held in sorted(groups.items(), key=lambda group: str(group[0]))
    ]


def _scene(taken: datetime, sensor: str, parts: list[Part]) -> Scene:
    layers = {layer.band: layer for part in reversed(parts) for layer in reversed(part.layers)}
    said = {name: value for part in parts for name, value in part.said.items() if value is not None}
    stated = {
        "grid:code": f"MGRS-{said['tile']}" if "tile" in said else None,
        "platform": said.get("platform"),
        "sat:relative_orbit": said.get("orbit"),
        "s2:processing_baseline": said.get("baseline"),
    }
    known = {name: value for name, value in stated.items() if value is not None}
    return Scene(taken, sensor, tuple(layers[band] for band in sorted(layers)), known)


def _date_in_tags(raster: Any) -> dict[str, Any] | None:
    tags = raster.tags()
    for name in DATE_TAGS:
        if said := read_name(str(tags.get(name, "")).replace(":", "-", 2)):
            return said
    return None


def _bands(raster: Any, path: Path) -> dict[int, str]:
    """Our band names by position in the file, from 1."""
    described = {k: band_of(text) for k, text in enumerate(raster.descriptions, start=1) if text}
    known = {k: held[0] for k, held in described.items() if held}
    if not known and raster.count == 1 and (band := band_in_name(path.name)):
        known = {1: band}
    return known


def _layer(raster: Any, path: Path, position: int, band: str) -> Layer | str:
    step = max(1, max(raster.shape) // SAMPLE_PIXELS)
    sample = raster.read(position, out_shape=(raster.height // step or 1, raster.width // step or 1))
    nodata = raster.nodatavals[position - 1]
    nodata = None if nodata is None or not np.isfinite(nodata) else float(nodata)
    said = describe_values(band, sample, nodata)
    if isinstance(said, str):
        return said
    if (raster.scales[position - 1], raster.offsets[position - 1]) != (1.0, 0.0):
        said |= {"scale": raster.scales[position - 1], "offset": raster.offsets[position - 1]}
    elif band in OPTICAL_BANDS and np.dtype(raster.dtypes[position - 1]).kind in "iu":
        said |= {"offset": None}
    crs = f"EPSG:{raster.crs.to_epsg()}" if raster.crs.to_epsg() else raster.crs.to_wkt()
    layer = Layer(band, raster.transform, crs, raster.shape, nodata=nodata, **said)
    if raster.count == 1:
        return replace(layer, file=path, data_type=raster.dtypes[0])
    values = raster.read(position)
    return replace(layer, values=_classes(values) if band == SCENE_CLASS else values)


def _classes(values: np.ndarray) -> np.ndarray:
    """Scene classes as bytes; whatever is no class (fills such as NaN or 1e20) is class 0, no data."""
    with np.errstate(invalid="ignore"):
        known = (values >= 0) & (values < SCENE_CLASSES) & (values == np.floor(values))
    return np.where(known, values, 0).astype(np.uint8)
