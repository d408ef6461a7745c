"""Parcels that cannot lie where the file says: at 0, 0, with swapped axes, or far from all others."""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pyproj

EARTH_KM = 6371.0
LARGEST_KM = 100.0  # no parcel is as long; a polygon with one vertex at 0, 0 is
CELL_DEGREES = 1.0
# parcels apart by more cells than this are of another region: overseas, or in the wrong place
GAP_CELLS = 2
# an overseas region has more parcels than mistakes have
STRAY_SHARE, STRAY_COUNT = 0.01, 100
# area of use of ETRS89, the European datum (EPSG:4258)
EUROPE = (-16.1, 32.88, 40.18, 84.73)
MARGIN = 2.0  # degrees: agencies use their zone some way beyond its border
NULL_DEGREES, NULL_METRES = 1.0, 1000.0


def misplaced(geometries: gpd.GeoSeries, farthest_km: float | None) -> np.ndarray:
    """Say of each geometry why it cannot lie where it is, "" where it can or is empty.

    A region is a set of parcels with no gap of some 200 km; the largest is taken as right. A parcel outside
    it is misplaced where it lies at the origin, where its axes swapped lie inside, or where it is one of few
    (1%, at most 100) that lie more than `farthest_km` away.

    Parameters
    ----------
    geometries
        In the file's own CRS, which has a place on the globe.
    farthest_km
        None keeps parcels at any distance.

    Returns
    -------
    np.ndarray
        Text, `(n,)`.
    """
    why = np.full(len(geometries), "", dtype=object)
    bounds = geometries.bounds.to_numpy(np.float64)
    there = np.isfinite(bounds).all(axis=1)
    if not there.any():
        return why
    centre = (bounds[:, :2] + bounds[:, 2:]) / 2
    to_degrees = pyproj.Transformer.from_crs(geometries.crs, "EPSG:4326", always_xy=True)
    low, high, middle = (_degrees(to_degrees, points) for points in (bounds[:, :2], bounds[:, 2:], centre))
    on_globe = (
        there & np.isfinite(low).all(axis=1) & np.isfinite(high).all(axis=1) & np.isfinite(middle).all(axis=1)
    )
    why[there & ~on_globe] = "outside of the coordinate system"
    if on_globe.sum() <= there.sum() / 2:  # then the coordinate system is wrong, which others say
        return np.full(len(geometries), "", dtype=object)
    span = np.where(on_globe, _distance_km(low, high), 0)
    why[span > LARGEST_KM] = [f"spans {km:,.0f} km" for km in span[span > LARGEST_KM]]
    inside = np.flatnonzero(there & (why == ""))
    if len(inside):
        why[inside] = _strays(centre[inside], middle[inside], farthest_km, geometries.crs.is_geographic)
    return why


def share_on_globe(geometries: gpd.GeoSeries) -> float:
    """Return the share of geometries that have a place on the globe; 1 where none has a place at all."""
    bounds = geometries.bounds.to_numpy(np.float64)
    bounds = bounds[np.isfinite(bounds).all(axis=1)]
    if not len(bounds):
        return 1.0
    to_degrees = pyproj.Transformer.from_crs(geometries.crs, "EPSG:4326", always_xy=True)
    return float(np.isfinite(_degrees(to_degrees, bounds[:, :2])).all(axis=1).mean())


@dataclass(frozen=True)
class Swapped:
    """Axes that look swapped: whether that is sure, and where the parcels lie and would lie."""

    is_sure: bool
    detail: str


def swapped_axes(geometries: gpd.GeoSeries) -> Swapped | None:
    """Say whether the axes of all geometries are swapped; None where there is no sign of it.

    Where the coordinate system is one of a part of the world, they are where the parcels lie outside of that
    part, and inside with their axes swapped. A system of the whole world tells nothing; then parcels outside
    of Europe that would lie in Europe may be swapped.

    Parameters
    ----------
    geometries
        In the file's own CRS, which has a place on the globe.
    """
    crs = pyproj.CRS(geometries.crs)
    bounds = geometries.bounds.to_numpy(np.float64)
    bounds = bounds[np.isfinite(bounds).all(axis=1)]
    if not len(bounds) or crs.area_of_use is None:
        return None
    centre = np.median((bounds[:, :2] + bounds[:, 2:]) / 2, axis=0)[None]
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    here, there = (_degrees(to_degrees, points)[0] for points in (centre, centre[:, ::-1]))
    area = np.array(crs.area_of_use.bounds)
    is_world = bool(area[2] - area[0] > 350 and crs.is_geographic)
    part = np.array(EUROPE) if is_world else area + MARGIN * np.array([-1, -1, 1, 1])
    if _inside(here, part) or not _inside(there, part):
        return None
    name = "Europe" if is_world else f"the area of {crs.name}"
    return Swapped(
        not is_world,
        f"the parcels lie at {_place(here)}, outside of {name}, and with x and y swapped at {_place(there)}, "
        "inside of it.",
    )


def _inside(place: np.ndarray, box: np.ndarray) -> bool:
    return bool((place >= box[:2]).all() and (place <= box[2:]).all())


def _place(place: np.ndarray) -> str:
    """Return a place as people write it; infinite degrees are nowhere."""
    if not np.isfinite(place).all():
        return "no place on the globe"
    return f"{place[0]:.2f} degrees east, {place[1]:.2f} north"


def _strays(own: np.ndarray, degrees: np.ndarray, farthest_km: float | None, in_degrees: bool) -> np.ndarray:
    """Say of centres `(n, 2)` in the file's coordinates and in degrees why they are misplaced."""
    region = _regions(degrees)
    sizes = np.bincount(region)
    main = region == sizes.argmax()
    why = np.full(len(own), "", dtype=object)
    if main.all():
        return why
    from scipy.spatial import cKDTree

    km = _arc_km(cKDTree(_on_sphere(degrees[main])).query(_on_sphere(degrees))[0])
    few = sizes[region] <= max(1, min(STRAY_COUNT, STRAY_SHARE * len(own)))
    if farthest_km is not None and sizes.max() > 1:
        far = ~main & few & (km > farthest_km)
        why[far] = [f"{one:,.0f} km from the others" for one in km[far]]
    margin = CELL_DEGREES if in_degrees else 100_000.0
    lower, upper = own[main].min(axis=0) - margin, own[main].max(axis=0) + margin
    swapped = ~main & ((own[:, ::-1] >= lower) & (own[:, ::-1] <= upper)).all(axis=1)
    why[swapped] = "latitude and longitude are swapped" if in_degrees else "x and y are swapped"
    at_origin = (np.abs(degrees) < NULL_DEGREES).all(axis=1) | (
        (np.abs(own) < (NULL_DEGREES if in_degrees else NULL_METRES)).all(axis=1)
    )
    why[~main & at_origin] = "lies at 0, 0"
    return why


def _regions(degrees: np.ndarray) -> np.ndarray:
    """Number the regions of points: cells of one degree that touch or nearly touch are one."""
    around = np.column_stack([degrees[:, 0] % 360, degrees[:, 1]])  # -179 and 179 are neighbours
    cells, cell_of = np.unique(np.floor(around / CELL_DEGREES), axis=0, return_inverse=True)
    if len(cells) == 1:
        return np.zeros(len(degrees), int)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    pairs = cKDTree(cells, boxsize=[360 / CELL_DEGREES, 0]).query_pairs(
        GAP_CELLS + 0.5, p=np.inf, output_type="ndarray"
    )
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(cells), len(cells)))
    return np.asarray(connected_components(links, directed=False)[1])[cell_of.ravel()]


def _degrees(transformer: pyproj.Transformer, points: np.ndarray) -> np.ndarray:
    """Return longitude and latitude, `(n, 2)`; infinite where there is no such place."""
    degrees = np.column_stack(transformer.transform(points[:, 0], points[:, 1]))
    degrees[(np.abs(degrees) > (360, 90)).any(axis=1)] = np.inf
    return degrees


def _on_sphere(degrees: np.ndarray) -> np.ndarray:
    """Return unit vectors, `(n, 3)`."""
    east, north = np.radians(degrees.T)
    return np.column_stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)])


def _distance_km(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the great circles between points in degrees, in km; 0 where a point is nowhere."""
    finite = np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1)
    chord = _on_sphere(np.where(finite[:, None], one, 0)) - _on_sphere(np.where(finite[:, None], other, 0))
    return _arc_km(np.linalg.norm(chord, axis=1))


def _arc_km(chord: np.ndarray) -> np.ndarray:
    return np.asarray(2 * EARTH_KM * np.arcsin(np.clip(chord / 2, 0, 1)))
