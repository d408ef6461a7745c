"""GeoTIFFs and JPEG2000 files with a date in their name, folder or tags, one band a file or several."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from features.catalog.bands import band_of
from features.catalog.mission import sensor_of_bands
from features.indexing.dated_image import BandImage, DatedImage, describe_values, is_known, seen_polygon
from features.indexing.file_names import Said, band_in_name, label_of, read_name, read_path
from features.schema import OPTICAL_BANDS, SCENE_CLASS

# Tags that state when a scene was taken, then when a file was written: the latter only where nothing else is
# known.
DATE_TAGS = ("ACQUISITION_DATE", "ACQUISITIONDATE", "datetime", "DATETIME", "TIFFTAG_DATETIME")
SCENE_CLASSES = 12
# The median of so many pixels tells how a band is scaled.
LARGEST_BLOCK = 1 << 28  # bytes of a block that is decoded at once
SAMPLE_PIXELS = 512


def read_raster(path: Path, root: Path, most_pixels: int) -> tuple[list[DatedImage], list[str]] | str:
    """Read one file, or say why it is set aside.

    A file of a single band is referred to where it lies; of a file of several bands each is read. Bands are
    known by their descriptions, else by the file's name. Radar and optical bands of one file are two images.

    Returns
    -------
    tuple or str
        The images, and the reason of every band that is set aside.
    """
    driver = "JP2OpenJPEG" if path.suffix.lower() == ".jp2" else "GTiff"
    try:
        with rasterio.open(path, driver=driver) as raster:
            if _is_too_large(raster, most_pixels):
                return "too_large"
            said = read_path(path, root) or _date_in_tags(raster)
            if said is None:
                return "no_date"
            if raster.crs is None:
                return "only_control_points" if raster.gcps[0] else "no_crs"
            bands = _bands(raster, path)
            read = [_band_image(raster, path, position, band) for position, band in bands.items()]
    except rasterio.errors.RasterioError:
        return "unreadable"
    lost = ["no_known_band"] * (raster.count - len(bands)) + [why for why in read if isinstance(why, str)]
    usable = [band for band in read if isinstance(band, BandImage)]
    return (_images(usable, said, path), lost) if usable else (lost[-1] if read else "no_known_band")


def _is_too_large(raster: "rasterio.DatasetReader", most_pixels: int) -> bool:
    """Whether a file declares more pixels, or larger blocks, than are read; it need not hold any of them."""
    blocks = [
        rows * columns * np.dtype(kind).itemsize
        for (rows, columns), kind in zip(raster.block_shapes, raster.dtypes, strict=True)
    ]
    return bool(raster.height * raster.width > most_pixels or max(blocks, default=0) > LARGEST_BLOCK)


def _images(bands: list[BandImage], said: Said, path: Path) -> list[DatedImage]:
    by_sensor: defaultdict[str, list[BandImage]] = defaultdict(list)
    for band in bands:
        by_sensor[sensor_of_bands([band.band])].append(band)
    return [
        DatedImage(said.taken, sensor, tuple(held), properties_of(said), None, path, label_of(path.name))
        for sensor, held in sorted(by_sensor.items())
    ]


def properties_of(said: Said) -> dict[str, Any]:
    """What a name says, as the properties of an item."""
    period = {"start_datetime": said.taken, "end_datetime": said.end} if said.end else {}
    stated = {
        "grid:code": f"MGRS-{said.tile}" if said.tile else None,
        "platform": said.platform,
        "sat:relative_orbit": said.orbit,
        "sat:orbit_state": said.state,
        "s2:processing_baseline": said.baseline,
        "processing:level": said.level,
        **{name: f"{moment:%Y-%m-%dT%H:%M:%SZ}" for name, moment in period.items()},
    }
    return {name: value for name, value in stated.items() if value is not None}


def _date_in_tags(raster: "rasterio.DatasetReader") -> Said | None:
    tags = raster.tags()
    for name in DATE_TAGS:
        if said := read_name(str(tags.get(name, "")).replace(":", "-", 2)):
            return said
    return None


def _bands(raster: "rasterio.DatasetReader", path: Path) -> dict[int, str]:
    """Our band names by position in the file, from 1."""
    described = {k: band_of(text) for k, text in enumerate(raster.descriptions, start=1) if text}
    known = {k: held[0] for k, held in described.items() if held}
    if not known and raster.count == 1 and (band := band_in_name(path.name)):
        known = {1: band}
    return known


def _band_image(raster: "rasterio.DatasetReader", path: Path, position: int, band: str) -> BandImage | str:
    step = max(1, max(raster.shape) // SAMPLE_PIXELS)
    size = (raster.height // step or 1, raster.width // step or 1)
    sample = raster.read(position, out_shape=size)
    nodata = raster.nodatavals[position - 1]
    nodata = None if nodata is None or not np.isfinite(nodata) else float(nodata)
    stated = {"scale": raster.scales[position - 1], "offset": raster.offsets[position - 1]}
    is_stated = stated != {"scale": 1.0, "offset": 0.0}
    said = describe_values(band, sample, nodata, is_scaled=is_stated)
    if isinstance(said, str):
        return said
    if is_stated:
        said |= stated
    elif band in OPTICAL_BANDS and np.dtype(raster.dtypes[position - 1]).kind in "iu":
        said |= {"offset": None}
    crs = f"EPSG:{raster.crs.to_epsg()}" if raster.crs.to_epsg() else raster.crs.to_wkt()
    larger = raster.transform @ Affine.scale(raster.width / size[1], raster.height / size[0])
    seen = None if band == SCENE_CLASS else seen_polygon(is_known(sample, nodata), larger, crs)
    found = BandImage(band, raster.transform, crs, raster.shape, nodata=nodata, seen=seen, **said)
    if raster.count == 1:
        return replace(found, file=path, data_type=raster.dtypes[0])
    values = raster.read(position)
    return replace(found, values=_classes(values) if band == SCENE_CLASS else values)


def _classes(values: np.ndarray) -> np.ndarray:
    """Scene classes as bytes; whatever is no class (fills such as NaN or 1e20) is class 0, no data."""
    with np.errstate(invalid="ignore"):
        known = (values >= 0) & (values < SCENE_CLASSES) & (values == np.floor(values))
    return np.where(known, values, 0).astype(np.uint8)
