"""Where the points of a table lie: columns of longitude and latitude, or one of points."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from features.errors import DeclarationError
from features.tables.files import PARQUET, files_of, need
from features.tables.options import LabelOptions
from features.tables.shapes import number_of

USUAL = ("geometry", ".geo")  # of GeoParquet, and of what Earth Engine exports
WGS84 = "OGC:CRS84"


def columns_of_places(names: list[str], labels: LabelOptions) -> tuple[str, ...]:
    """Return the columns that say where a point lies: one of points, or longitude and latitude.

    Raises
    ------
    ConfigError
        Where there is neither.
    """
    if labels.geometry is not None:
        return (need(names, labels.geometry, "series.labels.geometry"),)
    usual = [name for name in USUAL if name in names]
    if labels.longitude not in names and usual:
        return (usual[0],)
    return tuple(
        need(names, getattr(labels, role), f"series.labels.{role}") for role in ("longitude", "latitude")
    )


def degrees_of(places: pl.DataFrame, path: str) -> np.ndarray:
    """Return `(point, 2)` longitude and latitude of what `columns_of_places` names; NaN where unknown.

    Points are WKB, as in GeoParquet, whose coordinate system is then that of the file, or text: WKT or
    GeoJSON in degrees.

    Raises
    ------
    DeclarationError
        Where they are other shapes than points, or in a coordinate system that the file does not name.
    """
    if places.width == 2:
        lazy = places.lazy()
        numbers = lazy.select(number_of(lazy, name).alias(name) for name in places.columns).collect()
        return numbers.fill_null(np.nan).to_numpy().astype(float)
    shapes = _shapes(places.to_series())
    kinds = set(shapely.get_type_id(shapes[~shapely.is_missing(shapes)]).tolist()) - {0}
    if kinds:
        raise DeclarationError(
            f"series.labels: {path} has other shapes than points in {places.columns[0]!r}; name it as "
            "declarations.path, and leave series.labels out."
        )
    missing = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    found = np.full((len(shapes), 2), np.nan)
    found[~missing] = shapely.get_coordinates(shapes[~missing])
    to_degrees = Transformer.from_crs(_crs(path, places.columns[0]), WGS84, always_xy=True)
    return np.column_stack(to_degrees.transform(found[:, 0], found[:, 1]))


def _shapes(values: pl.Series) -> np.ndarray:
    if isinstance(values.dtype, pl.BaseExtension):  # so Polars reads what a GeoParquet calls geometry
        values = values.ext.storage()
    if isinstance(values.dtype, pl.Struct):  # GeoParquet's own encoding of points
        x, y = (values.struct.field(name).cast(pl.Float64).to_numpy() for name in ("x", "y"))
        return np.asarray(shapely.points(x, y))
    if values.dtype == pl.Binary:
        return np.asarray(shapely.from_wkb(values.to_numpy().astype(object), on_invalid="ignore"))
    text = values.cast(pl.String)
    read = shapely.from_geojson if text.str.starts_with("{").any() else shapely.from_wkt
    return np.asarray(read(text.to_numpy().astype(object), on_invalid="ignore"))


def _crs(path: str, column: str) -> CRS:
    """Coordinate system of a GeoParquet column; degrees where the file is no GeoParquet or names none."""
    first = files_of(path)[0]
    said = _geo(first).get("columns", {}).get(column, {}) if first.suffix.lower() in PARQUET else {}
    named = said.get("crs", WGS84)
    try:
        if named is None:
            raise CRSError("it is null")
        return CRS.from_user_input(named)
    except CRSError as error:
        raise DeclarationError(
            f"series.labels: the coordinate system of {column!r} in {first} cannot be told ({error}); write "
            "it into the file, or give columns of longitude and latitude."
        ) from error


def _geo(file: Path) -> dict[str, dict[str, dict[str, object]]]:
    try:
        found = json.loads(pl.read_parquet_metadata(file).get("geo", "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
