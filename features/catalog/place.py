"""Where an item lies: boxes and footprints in degrees, the antimeridian, names of places without tiles."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import pyproj
import shapely
from shapely.geometry import shape

from features.catalog.radiometry import number

Bounds = tuple[float, float, float, float]

UNTILED = "untiled"
WORLD: Bounds = (-180.0, -90.0, 180.0, 90.0)
# Two boxes are one place where they share this part of what they cover together: the 10 m and 20 m bands of a
# chip differ by a pixel, two neighbouring chips by far more.
SAME_PLACE = 0.8


def boxes_of(bounds: Bounds) -> tuple[Bounds, ...]:
    """Return bounds as boxes whose west lies west of their east: two where they cross the antimeridian.

    West beyond east says that they do (GeoJSON, RFC 7946, section 5.2).

    Examples
    --------
    >>> boxes_of((177.0, -19.0, -179.0, -16.0))
    ((177.0, -19.0, 180.0, -16.0), (-180.0, -19.0, -179.0, -16.0))
    """
    west, south, east, north = bounds
    if west <= east:
        return (bounds,)
    return ((west, south, 180.0, north), (-180.0, south, east, north))


def bounds_of_points(longitude: np.ndarray, latitude: np.ndarray) -> Bounds:
    """Return the smallest bounds around points `(point,)` in degrees; west lies beyond east where they cross
    the antimeridian.

    The widest gap between neighbouring longitudes, around the whole circle, is what the bounds leave out.

    Examples
    --------
    >>> bounds_of_points(np.array([179.0, -179.5, 178.0]), np.array([-17.0, -18.0, -17.5]))
    (178.0, -18.0, -179.5, -17.0)
    """
    around = np.unique(longitude)
    gaps = np.diff(np.append(around, around[0] + 360))
    widest = int(np.argmax(gaps))
    west, east = around[(widest + 1) % len(around)], around[widest]
    return float(west), float(latitude.min()), float(east), float(latitude.max())


def flat_box(bbox: object) -> Bounds | None:
    """Return an item's bbox of four or six numbers as west, south, east, north; None for anything else."""
    values = list(bbox) if isinstance(bbox, list | tuple) else []
    if len(values) not in {4, 6} or any(number(value) is None for value in values):
        return None
    half = len(values) // 2
    return (float(values[0]), float(values[1]), float(values[half]), float(values[half + 1]))


@lru_cache(maxsize=4096)
def grid_bounds(epsg: int, grid: tuple[float, ...]) -> Bounds | None:
    """Return the bounds in degrees of a grid: six numbers of its affine transform, height, width; None where
    the code is unknown or the grid is not on Earth."""
    a, b, c, d, e, f, height, width = grid
    corners = [(a * x + b * y + c, d * x + e * y + f) for x in (0, width) for y in (0, height)]
    try:
        change = pyproj.Transformer.from_crs(epsg, 4326, always_xy=True)
        longitude, latitude = change.transform(*np.array(corners).T)
    except pyproj.exceptions.ProjError:
        return None
    found = np.concatenate([longitude, latitude])
    return bounds_of_points(np.asarray(longitude), np.asarray(latitude)) if np.isfinite(found).all() else None


def overlaps(one: Bounds, other: Bounds) -> bool:
    """Whether two bounds share a point; each may cross the antimeridian."""
    return any(
        a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
        for a in boxes_of(one)
        for b in boxes_of(other)
    )


def footprint_of(geometry: object) -> shapely.Geometry | None:
    """Return an item's geometry as a valid (multi)polygon in degrees, cut at the antimeridian; None where it
    is none.
    """
    try:
        found = shape(geometry) if isinstance(geometry, Mapping) else None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, shapely.errors.ShapelyError):
        return None
    if found is None or found.is_empty or found.geom_type not in {"Polygon", "MultiPolygon"}:
        return None
    found = shapely.force_2d(found)
    if not np.isfinite(shapely.get_coordinates(found)).all():
        return None
    whole = _cut_at_antimeridian(found)
    return None if whole.is_empty else whole


def _cut_at_antimeridian(polygon: shapely.Geometry) -> shapely.Geometry:
    """Rings whose neighbouring vertices lie over 180 degrees apart cross the antimeridian: cut there."""
    west, _, east, _ = polygon.bounds
    if east - west <= 180 and east <= 180:
        return shapely.make_valid(polygon)
    parts = []
    for part in shapely.get_parts(polygon):
        low, _, high, _ = part.bounds
        if high - low > 180:
            part = shapely.transform(part, _eastwards)  # noqa: PLW2901 - the same ring, unrolled
        part = shapely.make_valid(part)  # noqa: PLW2901
        beyond = shapely.intersection(part, shapely.box(180, -90, 540, 90))
        parts += [
            shapely.intersection(part, shapely.box(-180, -90, 180, 90)),
            shapely.transform(beyond, lambda points: points - (360, 0)),
        ]
    return shapely.union_all([part for part in parts if part.area > 0])


def _eastwards(points: np.ndarray) -> np.ndarray:
    return np.column_stack([np.where(points[:, 0] < 0, points[:, 0] + 360, points[:, 0]), points[:, 1]])


def box_polygon(bounds: Bounds) -> shapely.Geometry:
    """Return bounds as a polygon, or two where they cross the antimeridian."""
    return shapely.union_all([shapely.box(*box) for box in boxes_of(bounds)])


def name_places(boxes: Sequence[Bounds | None], prefix: str = UNTILED) -> list[str]:
    """Name the place of each box: a prefix and its middle; boxes that share most of their extent share it.

    Examples
    --------
    >>> name_places([(4.0, 50.0, 4.1, 50.1), None, (4.0, 50.0, 4.1, 50.101), (5.0, 50.0, 5.1, 50.1)])
    ['untiled_50.0500_4.0500', 'untiled', 'untiled_50.0500_4.0500', 'untiled_50.0500_5.0500']
    """
    first: list[Bounds] = []
    names = []
    for box in boxes:
        if box is None or box[0] > box[2]:
            names.append(prefix)
            continue
        same = np.flatnonzero(shared_extent(box, first) >= SAME_PLACE)
        if not len(same):
            first.append(box)
        middle = first[int(same[0])] if len(same) else box
        names.append(f"{prefix}_{(middle[1] + middle[3]) / 2:.4f}_{(middle[0] + middle[2]) / 2:.4f}")
    return names


def shared_extent(box: Bounds, others: Iterable[Bounds]) -> np.ndarray:
    """Area that a box shares with each of some others, over the area both cover; float (box,), 0 to 1."""
    held = np.array(list(others), float).reshape(-1, 4)
    width = np.minimum(box[2], held[:, 2]) - np.maximum(box[0], held[:, 0])
    height = np.minimum(box[3], held[:, 3]) - np.maximum(box[1], held[:, 1])
    common = np.clip(width, 0, None) * np.clip(height, 0, None)
    own = (box[2] - box[0]) * (box[3] - box[1])
    total = own + (held[:, 2] - held[:, 0]) * (held[:, 3] - held[:, 1]) - common
    return np.asarray(np.divide(common, total, out=np.zeros(len(held)), where=total > 0))
