"""Parcel geometry: a metric CRS, repair, areas and the inner buffer."""

import geopandas as gpd
import numpy as np
import pyproj
import shapely

from features.errors import DeclarationError

LAEA_EUROPE = "EPSG:3035"
EQUAL_AREA = "EPSG:6933"  # EASE-Grid 2.0, cylindrical and equal in area on the WGS 84 ellipsoid
# a UTM zone is 6 degrees wide; beyond two of them its scale is wrong by half a percent and more
WIDEST_UTM_DEGREES = 12.0
# of an area: systems of countries are true to half of it, those of continents and of the world may not be
LARGEST_DISTORTION = 0.01
NO_POLYGON = " is no polygon"
POLYGON, MULTIPOLYGON, COLLECTION = 3, 6, 7


def measures(crs: pyproj.CRS, geometries: gpd.GeoSeries) -> bool:
    """Say whether areas of geometries can be measured in a CRS: projected, in metres, and true to 1% where
    these lie. Mercator's metres are none away from the equator.

    Examples
    --------
    >>> belgian = gpd.GeoSeries([shapely.box(4, 50, 5, 51)], crs=4326)
    >>> [measures(pyproj.CRS(code), belgian) for code in (31370, 3035, 4326, 3857, 3395, 3034)]
    [True, True, False, False, False, False]
    """
    if not (crs.is_projected and all(axis.unit_conversion_factor == 1.0 for axis in crs.axis_info[:2])):
        return False
    west, south, east, north = geometries.total_bounds
    to_degrees = pyproj.Transformer.from_crs(geometries.crs, crs.geodetic_crs, always_xy=True)
    middle = to_degrees.transform((west + east) / 2, (south + north) / 2)
    if not np.isfinite(middle).all():  # nothing lies anywhere
        return True
    return bool(abs(pyproj.Proj(crs).get_factors(*middle).areal_scale - 1) <= LARGEST_DISTORTION)


def horizontal(crs: pyproj.CRS, path: str) -> pyproj.CRS:
    """Return the horizontal part of a CRS: of a compound one, or of one with heights.

    Raises
    ------
    DeclarationError
        Where it has none with a place on the globe: local, vertical, geocentric or undefined systems.

    Examples
    --------
    >>> horizontal(pyproj.CRS(7415), "a.gpkg").to_epsg(), horizontal(pyproj.CRS(4979), "a.gpkg").to_epsg()
    (28992, 4326)
    """
    flat = crs
    while flat.is_compound:
        flat = flat.sub_crs_list[0]
    if len(flat.axis_info) > 2 and not flat.is_geocentric:
        flat = flat.to_2d()
    undefined = flat.name.lower().startswith(("undefined", "unknown engineering"))
    if undefined or not (flat.is_projected or flat.is_geographic):
        raise DeclarationError(
            f"The coordinate system of {path}, {crs.name!r} ({crs.type_name}), has no place on the globe; "
            "set `crs` to the one that the coordinates are in, for example EPSG:28992."
        )
    return flat


def to_metric(geometries: gpd.GeoSeries, crs: str | None = None) -> gpd.GeoSeries:
    """Reproject to a metric CRS: `crs` where given, else its own if metric, else UTM, else LAEA Europe.

    Raises
    ------
    DeclarationError
        Where `crs` is unknown or areas cannot be measured in it.
    """
    if crs is not None:
        return geometries.to_crs(_metric_crs(crs, geometries))
    if measures(geometries.crs, geometries):
        return geometries
    filled = geometries[~(geometries.is_empty | geometries.isna())]
    if filled.empty:
        return geometries.to_crs(LAEA_EUROPE)
    west, east, north = _extent(filled)
    if east - west > WIDEST_UTM_DEGREES:
        return geometries.to_crs(LAEA_EUROPE)
    beyond = east > 180  # on both sides of the antimeridian, of which GeoPandas would take the middle at 0
    zone = _utm_zone((west + east) / 2, north) if beyond else filled.estimate_utm_crs()
    return geometries.to_crs(zone)


def _extent(geometries: gpd.GeoSeries) -> tuple[float, float, float]:
    """Return west, east and the middle latitude, degrees; east is beyond 180 across the antimeridian."""
    bounds = geometries.to_crs("EPSG:4326").bounds
    longitudes = np.sort((bounds["minx"] + bounds["maxx"]).to_numpy() / 2 % 360)
    gaps = np.diff(longitudes, append=longitudes[0] + 360)
    start = (int(gaps.argmax()) + 1) % len(longitudes)
    west, width = float(longitudes[start]), 360.0 - float(gaps.max())
    west = west if west + width > 180 > west else (west + 180) % 360 - 180
    return west, west + width, float((bounds["miny"].min() + bounds["maxy"].max()) / 2)


def _utm_zone(longitude: float, latitude: float) -> str:
    """Return the UTM zone of a place.

    Examples
    --------
    >>> _utm_zone(4.7, 50.9), _utm_zone(180.5, -17.0)
    ('EPSG:32631', 'EPSG:32701')
    """
    number = int(((longitude + 180) % 360) // 6) + 1
    return f"EPSG:{(32700 if latitude < 0 else 32600) + number}"


def _metric_crs(crs: str, geometries: gpd.GeoSeries) -> pyproj.CRS:
    found = horizontal(parse_crs(crs, "metric_crs"), "metric_crs")
    if not measures(found, geometries):
        raise DeclarationError(
            f"metric_crs {crs} has no metres where the parcels lie; name a projected CRS such as EPSG:3035, "
            "or a UTM zone."
        )
    return found


def parse_crs(crs: str, key: str) -> pyproj.CRS:
    """Return the CRS that a text names.

    Raises
    ------
    DeclarationError
        Where it names none.
    """
    try:
        return pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise DeclarationError(
            f"{key} {crs!r} names no coordinate system; write it like EPSG:28992."
        ) from error


def repair(geometries: gpd.GeoSeries) -> tuple[gpd.GeoSeries, np.ndarray]:
    """Make polygons valid, keeping their polygonal part.

    Returns
    -------
    gpd.GeoSeries
        (Multi)polygons; empty where nothing with an area was left, or a coordinate was not finite.
    np.ndarray
        `(geometry)`, texts: why it was invalid, "" where it was valid.
    """
    shapes = np.array(geometries.array, dtype=object)
    shapes[shapely.is_missing(shapes)] = shapely.Polygon()
    kinds = shapely.get_type_id(shapes)
    faults = np.where(shapely.is_valid(shapes), "", shapely.is_valid_reason(shapes)).astype(object)
    areal = np.isin(kinds, (POLYGON, MULTIPOLYGON))
    other = ~areal & ~shapely.is_empty(shapes)
    faults[other] = [f"{shape.geom_type}{NO_POLYGON}" for shape in shapes[other]]
    broken = faults != ""
    shapes[broken] = [_polygonal(shape) for shape in shapes[broken]]
    return gpd.GeoSeries(shapes, index=geometries.index, crs=geometries.crs), faults


def _polygonal(shape: shapely.Geometry) -> shapely.Geometry:
    """Return the polygonal part of a geometry made valid (structure method: holes stay holes)."""
    if not np.isfinite(shapely.get_coordinates(shape)).all():
        return shapely.Polygon()
    valid = shapely.make_valid(shape, method="structure", keep_collapsed=False)
    parts = [part for part in shapely.get_parts(shapely.get_parts([valid])) if part.geom_type == "Polygon"]
    return parts[0] if len(parts) == 1 else shapely.union_all(parts) if parts else shapely.Polygon()


def area_ha(geometries: gpd.GeoSeries) -> np.ndarray:
    """Return planar areas in hectares, `(geometry)`; 0 where empty."""
    return np.asarray(shapely.area(np.asarray(geometries.array)) / 10_000.0)


def surveyed_area_ha(geometries: gpd.GeoSeries, own: pyproj.CRS) -> np.ndarray:
    """Return areas in hectares, `(geometry)`, as the agency measures them: in its own CRS if that is metric,
    else geodesic.

    A UTM zone alone is up to 0.1% wrong within itself, and more beside it; a system of the continent up to 8%
    (EPSG:3034), which no agency measures by. Geodesic areas are taken in an equal-area projection; for
    parcels they differ from integrals along geodesics by less than 1e-5.

    Parameters
    ----------
    geometries
        In any CRS.
    own
        The CRS of the agency's file.
    """
    return area_ha(geometries.to_crs(own if measures(own, geometries) else EQUAL_AREA))


def inner_buffer(geometries: gpd.GeoSeries, metres: float) -> gpd.GeoSeries:
    """Shrink parcels by `metres` from every border, so that mixed border pixels fall away.

    Examples
    --------
    >>> field = gpd.GeoSeries([shapely.box(0, 0, 40, 30)], crs="EPSG:3035")
    >>> inner_buffer(field, 5).area.item()
    600.0

    Raises
    ------
    ValueError
        Where `metres` is negative.
    """
    if metres < 0:
        raise ValueError(f"An inner buffer of {metres} m would grow the parcels; give 0 or more.")
    if metres == 0:
        return geometries
    shrunk = shapely.buffer(np.asarray(geometries.array), -metres, quad_segs=4)
    return gpd.GeoSeries(shrunk, index=geometries.index, crs=geometries.crs)
