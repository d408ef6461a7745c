"""What a raster's file says of itself before any pixel is read: grid, type, nodata, scale, offset, mask."""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.exceptions import CRSError
from rasterio.enums import MaskFlags

from features.errors import ImageryError
from features.imagery.rasters.opening import FAULTS, open_raster
from features.imagery.rasters.tiff import Layout, read_layout
from features.storage.siblings import beside_raster

if TYPE_CHECKING:
    import rasterio

BASELINE_TAGS = ("processing_baseline", "s2:processing_baseline", "processing:version")


@dataclass(frozen=True)
class Header:
    """See the module.

    Attributes
    ----------
    nodata, scale, offset
        As the file's own tags state them; None where it is silent.
    unit, baseline
        Unit of the first band, and the processing baseline, as the file's tags state them; None where silent.
    masked
        Whether the file has a mask or an alpha band: only GDAL lays it over the pixels.
    layout
        How to decode the file without GDAL; None where it is remote, masked or of another make.
    """

    grid: GeoBox
    dtype: np.dtype
    nodata: float | None
    scale: float | None
    offset: float | None
    masked: bool
    layout: Layout | None
    unit: str | None = None
    baseline: str | None = None


def header_of(href: str) -> Header:
    """Read the header of a file or address; kept until a local file changes.

    Raises
    ------
    ImageryError
        Where it cannot be opened, has no coordinate system, or one that parcels cannot be laid on.
    """
    return _header_of(href, _stamp(href))


def layout_of(href: str) -> Layout | None:
    """How to decode a local file without GDAL; None where it is remote or of another make."""
    return header_of(href).layout


def _stamp(href: str) -> tuple[int, ...]:
    stats = [path.stat() if path.is_file() else None for path in (Path(href), *beside_raster(href))]
    return tuple(0 if stat is None else stat.st_mtime_ns ^ stat.st_size for stat in stats)


@lru_cache(maxsize=8192)
def _header_of(href: str, stamp: tuple[int, ...]) -> Header:
    layout = read_layout(href) if stamp[0] else None
    if layout is not None and layout.grid is not None and layout.plain and not any(stamp[1:]):
        return Header(layout.grid, layout.dtype, layout.nodata, None, None, masked=False, layout=layout)
    with open_raster(href) as raster:
        masked = bool({MaskFlags.per_dataset, MaskFlags.alpha} & set(raster.mask_flag_enums[0]))
        known = layout is not None and not masked and layout.shape == raster.shape
        return Header(
            _grid(href, raster),
            np.dtype(raster.dtypes[0]),
            None if raster.nodatavals[0] is None else float(raster.nodatavals[0]),
            *_scaling(raster),
            masked=masked,
            layout=layout if known else None,
            unit=_unit(raster),
            baseline=_baseline(raster),
        )


def _unit(raster: "rasterio.DatasetReader") -> str | None:
    """Unit of the first band: GDAL's own field, else a tag of the band or file."""
    tags = {key.lower(): value for key, value in {**raster.tags(), **raster.tags(1)}.items()}
    said = raster.units[0] or tags.get("units") or tags.get("unit") or tags.get("unittype")
    return str(said) if said else None


def _baseline(raster: "rasterio.DatasetReader") -> str | None:
    """Processing baseline of a Sentinel-2 product, as GDAL's reader of products names the tag."""
    tags = {key.lower(): value for key, value in raster.tags().items()}
    found = next((tags[name] for name in BASELINE_TAGS if tags.get(name)), None)
    return str(found) if found else None


def _scaling(raster: "rasterio.DatasetReader") -> tuple[float | None, float | None]:
    """Scale and offset of the first band; GDAL gives 1 and 0 where a file states none."""
    scale, offset = float(raster.scales[0]), float(raster.offsets[0])
    if (scale, offset) == (1.0, 0.0) or not (math.isfinite(scale) and math.isfinite(offset) and scale):
        return None, None
    return scale, offset


def _grid(href: str, raster: "rasterio.DatasetReader") -> GeoBox:
    transform = raster.transform
    numbers = list(transform)[:6]
    if not all(math.isfinite(number) for number in numbers) or transform.determinant == 0:
        raise ImageryError(f"{href} has no usable grid ({numbers}); write one into it (gdal_edit -a_ullr).")
    return GeoBox(raster.shape, transform, _flat_crs(href, raster))


def _flat_crs(href: str, raster: "rasterio.DatasetReader") -> str:
    """The horizontal coordinate system of a raster, without heights."""
    if raster.crs is None or not raster.crs.to_wkt():
        raise ImageryError(
            f"{href} has no coordinate system; write one into it (gdal_edit -a_srs).", reason="no_crs"
        )
    try:
        crs = CRS.from_wkt(raster.crs.to_wkt())
        crs = crs.source_crs if crs.is_bound and crs.source_crs else crs
        crs = crs.sub_crs_list[0] if crs.is_compound else crs
        crs = crs.to_2d()
        usable = crs.is_projected or (crs.is_geographic and len(crs.axis_info) == 2)
        epsg = crs.to_epsg() if usable else None
    except (CRSError, *FAULTS) as error:
        raise ImageryError(
            f"{href} has a coordinate system that is not known ({error}); write one into it "
            "(gdal_edit -a_srs).",
            reason="no_crs",
        ) from error
    if not usable:
        raise ImageryError(
            f"{href} is in {crs.name!r}, a local or vertical system that parcels cannot be laid on; write "
            "the projected one into it (gdal_edit -a_srs).",
            reason="no_crs",
        )
    return f"EPSG:{epsg}" if epsg else str(crs.to_wkt())
