"""Imagery of one moment that lies in a folder: its bands, how their values are read, and what they cover."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from affine import Affine
from rasterio.transform import array_bounds
from rasterio.warp import transform_bounds

from features.catalog.mission import INFERRED
from features.catalog.orbits import INFERRED_ORBIT, group_on_circle
from features.catalog.place import Bounds
from features.schema import OPTICAL_BANDS, SCENE_CLASS

# Several writers fill float rasters with 1e20.
HUGE = 1e20
# Backscatter in decibels in whole numbers is stored times a power of ten; the median of land tells which.
WHOLE_DECIBELS = (1e-4, 1e-3, 1e-2, 1e-1)
USUAL_DECIBELS = (-35.0, -3.6)


@dataclass(frozen=True)
class BandImage:
    """One band of one moment: raw values, or the file that holds just them (`written` by us, or found).

    `seen` is what is not nodata, as a polygon in degrees; None where all of the raster may be.
    """

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
    seen: shapely.Geometry | None = None

    @property
    def bounds_wgs84(self) -> Bounds:
        """West, south, east, north of the raster in degrees."""
        return _degrees(self.crs, array_bounds(*self.shape, self.transform))


@lru_cache(maxsize=4096)
def _degrees(crs: str, bounds: Bounds) -> Bounds:
    west, south, east, north = transform_bounds(crs, "OGC:CRS84", *bounds)
    return round(west, 7), round(south, 7), round(east, 7), round(north, 7)


@dataclass(frozen=True)
class DatedImage:
    """One acquisition: what is known of it, its bands, and the file and words that it was found by."""

    taken: datetime
    sensor: str
    bands: tuple[BandImage, ...]
    properties: Mapping[str, Any] = field(default_factory=dict)
    view_azimuth: float | None = None
    source: Path = Path()
    label: str = ""


def known_values(values: np.ndarray, nodata: float | None) -> np.ndarray:
    """Values of any shape that are neither nodata, infinite, NaN nor a fill of 1e20 and above: `(known)`.

    Examples
    --------
    >>> known_values(np.array([0.0, 0.2, 1e20, np.nan]), nodata=0)
    array([0.2])
    """
    return np.asarray(values[is_known(values, nodata)])


def is_known(values: np.ndarray, nodata: float | None) -> np.ndarray:
    """Which values are data, as `known_values`; bool of the same shape."""
    with np.errstate(invalid="ignore"):
        known = np.abs(values) < HUGE
    return np.asarray(known if nodata is None else known & (values != nodata))


def seen_polygon(known: np.ndarray, transform: Affine, crs: str) -> shapely.Geometry | None:
    """Return the convex hull of known pixels (y, x) in degrees; None where all or none are known.

    Parameters
    ----------
    transform
        From the mask's own columns and rows to the CRS: of a thinned sample, that of its larger pixels.
    """
    if known.all() or not known.any():
        return None
    rows = np.flatnonzero(known.any(axis=1))
    first, last = known[rows].argmax(axis=1), known.shape[1] - known[rows][:, ::-1].argmax(axis=1)
    corners = [(column, row + down) for row, *ends in zip(rows, first, last, strict=True)
               for column in ends for down in (0, 1)]  # fmt: skip
    hull = shapely.convex_hull(shapely.MultiPoint(np.array(corners, float)))
    points = shapely.get_coordinates(hull)
    x, y = transform @ (points[:, 0], points[:, 1])
    longitude, latitude = _to_degrees(crs).transform(x, y)
    found = shapely.Polygon(np.column_stack([longitude, latitude]))
    return found if found.is_valid and np.isfinite(found.bounds).all() else None


@lru_cache(maxsize=64)
def _to_degrees(crs: str) -> Any:
    return pyproj.Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)


def describe_values(
    band: str, values: np.ndarray, nodata: float | None, *, is_scaled: bool = False
) -> dict[str, Any] | str:
    """Return scale, offset and unit of a band that states none, or the reason why they cannot be told.

    Reflectance in whole numbers of two bytes and more is times 10,000, as every producer writes it; so is
    reflectance in floating point whose median exceeds 100. Between 2 and 100 it may be percent, and bytes may
    be percent or a picture's brightness: these are not guessed. Backscatter below zero is in decibels, times
    a power of ten where in whole numbers; above zero it is linear.

    Parameters
    ----------
    values
        Some of its pixels, of any shape.
    is_scaled
        Whether the file states a scale of its own, which then need not be told.
    """
    known = known_values(values, nodata)
    if not known.size:
        return "nothing_but_nodata"
    if band == SCENE_CLASS:
        return {"scale": 1.0, "unit": "class"}
    middle = float(np.median(known))
    whole = values.dtype.kind in "iu"
    if band in OPTICAL_BANDS:
        unclear = not is_scaled and (values.dtype.itemsize == 1 or (not whole and 2 < middle <= 100))
        scale = 1e-4 if whole or middle > 2 else 1.0
        return "unknown_reflectance_scale" if unclear else {"scale": scale, "unit": "reflectance"}
    if band.startswith("coh"):
        return {"scale": 1.0, "unit": "coherence"} if middle <= 1 else "unknown_coherence_scale"
    if not whole and middle != 0:
        return {"scale": 1.0, "unit": "linear" if middle > 0 else "db"}
    scales = [scale for scale in WHOLE_DECIBELS if USUAL_DECIBELS[0] <= middle * scale <= USUAL_DECIBELS[1]]
    return {"scale": scales[0], "unit": "db"} if scales else "unknown_radar_scale"


def infer_orbits(images: Sequence[DatedImage]) -> list[DatedImage]:
    """Number the orbits of optical images of one place that state none, by the direction of view.

    Two orbits see a place from opposite sides; images whose view azimuth is not known stay without orbit.
    Numbers start at 901, and the items say `cropcheck:relative_orbit_inferred`. Radar is numbered when the
    catalog is read, over all places (`features.catalog.orbits`).
    """
    unknown = [k for k, image in enumerate(images) if image.properties.get("sat:relative_orbit") is None]
    optical = [k for k in unknown if images[k].sensor == "s2" and images[k].view_azimuth is not None]
    views = group_on_circle([float(images[k].view_azimuth or 0) / 360 for k in optical], 60 / 360)
    orbits = {k: INFERRED_ORBIT + int(group) for k, group in zip(optical, views, strict=True)}
    return [_with_orbit(image, orbits.get(k)) for k, image in enumerate(images)]


def _with_orbit(image: DatedImage, orbit: int | None) -> DatedImage:
    if orbit is None:
        return image
    inferred = {"sat:relative_orbit": orbit, INFERRED: True}
    return replace(image, properties={**image.properties, **inferred})
