"""Parcel outlines small enough to travel inside a page: simplified, put on a grid, written as differences."""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely

_ALPHABET = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype="S1")
POLYGON = 3  # shapely's type id
# cells along the longer side of the map: one is below a screen pixel at a zoom of 30
GRID_CELLS = 60_000


@dataclass(frozen=True)
class Outlines:
    """Outlines as one string, and the grid they are on."""

    x: float
    y: float
    step: float
    code: str


def encode_outlines(geometries: gpd.GeoSeries, tolerance: float) -> Outlines:
    """Return outlines of parcels in the order given.

    Each parcel is: number of rings; per ring its number of points, then the points as differences from the
    point before (also across rings and parcels). Numbers are zigzag varints of 5 bits a character in the
    URL-safe base-64 alphabet, whose characters are harmless in HTML and JSON. A parcel without geometry has
    no ring.

    Parameters
    ----------
    geometries
        (Multi)polygons in a metric CRS.
    tolerance
        Metres by which an outline may move; a ring that would vanish keeps its envelope.
    """
    shapes = np.asarray(geometries.values, dtype=object)
    usable = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    simple = np.full(len(shapes), None, dtype=object)
    simple[usable] = shapely.simplify(shapes[usable], tolerance)
    gone = usable & (shapely.is_missing(simple) | shapely.is_empty(simple))
    simple[gone] = shapely.envelope(shapes[gone])
    x0, y0, x1, y1 = shapely.total_bounds(simple) if usable.any() else (0.0, 0.0, 1.0, 1.0)
    step = max(0.5, float(max(x1 - x0, y1 - y0)) / GRID_CELLS)
    return Outlines(round(float(x0), 2), round(float(y0), 2), round(step, 4), _encode(simple, x0, y0, step))


def _encode(shapes: np.ndarray, x0: float, y0: float, step: float) -> str:
    parts, part_of = shapely.get_parts(shapes, return_index=True)
    flat = shapely.get_type_id(parts) == POLYGON
    rings, ring_of = shapely.get_rings(parts[flat], return_index=True)
    parcel = part_of[flat][ring_of]
    points, of = shapely.get_coordinates(rings, return_index=True)
    inner = np.append(of[1:] == of[:-1], False)  # a ring's last point repeats its first
    grid = np.rint((points[inner] - (x0, y0)) / step).astype(np.int64)
    differences = _zigzag(np.diff(grid, axis=0, prepend=np.zeros((1, 2), np.int64)))
    sizes = np.bincount(of[inner], minlength=len(rings))
    return _varints(_interleave(differences, sizes, parcel, len(shapes)))


def _interleave(differences: np.ndarray, sizes: np.ndarray, parcel: np.ndarray, parcels: int) -> np.ndarray:
    """Put the number of rings before each parcel and the number of points before each ring."""
    rings = np.bincount(parcel, minlength=parcels)
    lengths = 1 + 2 * sizes
    starts = np.cumsum(lengths) - lengths + parcel + 1
    of_parcel = np.cumsum(np.bincount(parcel, lengths, parcels)).astype(np.int64)
    heads = np.arange(parcels) + np.append(0, of_parcel[:-1])[:parcels]
    numbers = np.full(parcels + int(lengths.sum()), -1, np.int64)
    numbers[heads], numbers[starts] = rings, sizes
    numbers[numbers < 0] = differences.ravel()
    return numbers


def _zigzag(values: np.ndarray) -> np.ndarray:
    return (values << 1) ^ (values >> 63)


def _varints(numbers: np.ndarray) -> str:
    """Write non-negative numbers, five bits a character, lowest first; 32 is added while more follow."""
    digits = np.stack([(numbers >> (5 * k)) & 31 for k in range(8)], axis=1)
    more = np.stack([(numbers >> (5 * (k + 1))) > 0 for k in range(8)], axis=1)
    used = np.hstack([np.ones((len(numbers), 1), bool), more[:, :-1]])
    return str(_ALPHABET[(digits + 32 * more)[used]].tobytes(), "ascii")


def tiles(geometries: gpd.GeoSeries, parts: int) -> np.ndarray:
    """Return the number of the part each parcel belongs to: halves of equal count along the longer side.

    Examples
    --------
    >>> points = gpd.GeoSeries(gpd.points_from_xy([0, 1, 2, 3], [0, 0, 0, 0]))
    >>> tiles(points, 2).tolist()
    [0, 0, 1, 1]
    """
    centres = _centres(geometries)
    labels = np.zeros(len(geometries), np.int64)
    for _ in range(int(np.ceil(np.log2(max(1, parts))))):
        halves = np.zeros_like(labels)
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            axis = int(np.argmax(np.ptp(centres[members], axis=0)))
            order = members[np.argsort(centres[members, axis], kind="stable")]
            halves[order[(len(order) + 1) // 2 :]] = 1
        labels = 2 * labels + halves
    return np.unique(labels, return_inverse=True)[1]


def _centres(geometries: gpd.GeoSeries) -> np.ndarray:
    """Return one point a parcel; one without geometry lies at the middle of the others."""
    points = shapely.centroid(np.asarray(geometries.values, dtype=object))
    xy = np.column_stack([shapely.get_x(points), shapely.get_y(points)])
    middle = np.nanmean(xy, axis=0) if np.isfinite(xy).any() else np.zeros(2)
    return np.where(np.isfinite(xy), xy, middle)
