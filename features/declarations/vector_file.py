"""Parcel files: known by their first bytes, opened by an allow-listed reader, never by a URL."""

import json
import logging
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.parsers import expat

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pyproj
import shapely

from features.declarations.archive import unpack
from features.declarations.geometry import parse_crs
from features.errors import DeclarationError
from features.suggestions import did_you_mean

logger = logging.getLogger(__name__)

Columns = Sequence[str]
FEATURE_ID = "__feature_id"
FORMATS = "GeoPackage, Shapefile, GeoJSON, GML, GeoParquet, or a zip of one of these"
HEAD_BYTES = 64 * 1024
ARCHIVES = {b"Rar!": "RAR", b"7z\xbc\xaf": "7-Zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
MAGIC = {
    b"SQLite format 3\0": "GPKG",
    b"PK\x03\x04": "zip",
    b"\x00\x00\x27\x0a": "ESRI Shapefile",
    b"PAR1": "parquet",
}
# descriptions that send the reader to another source instead of holding parcels
REDIRECTIONS = re.compile(rb"<OGR\w*DataSource|<OGRVRT|<VRTDataset|gdal_streamed_alg")
# every GML attribute stays text ("001"), nothing is fetched and nothing is written beside the file
GML_SETTINGS = {
    "GML_FIELDTYPES": "ALWAYS_STRING",
    "GML_DOWNLOAD_SCHEMA": "NO",
    "GML_SKIP_RESOLVE_ELEMS": "ALL",
}
GML_OPTIONS = {
    "DOWNLOAD_SCHEMA": "NO",
    "WRITE_GFS": "NO",
    "FORCE_SRS_DETECTION": "YES",
    "EXPOSE_GML_ID": "YES",
}


def local_file(path: str) -> Path:
    """Return the path of a file on this machine.

    Raises
    ------
    DeclarationError
        Where the text is a URL or a GDAL virtual path, or names no readable file.

    Examples
    --------
    >>> local_file("s3://bucket/a.gpkg")
    Traceback (most recent call last):
    ...
    features.errors.DeclarationError: 's3://bucket/a.gpkg' is not on this machine; download it first.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", path) or path.lstrip("/\\").lower().startswith("vsi"):
        raise DeclarationError(f"{path!r} is not on this machine; download it first.")
    found = Path(path).expanduser()
    if not found.is_file():
        what = (
            "is a folder; name the file inside it"
            if found.is_dir()
            else "does not exist; check `declarations.path`"
        )
        raise DeclarationError(f"The parcel file {path!r} {what}.")
    return found


def kind_of(path: Path) -> str:
    """Return GPKG, ESRI Shapefile, GeoJSON, GML, parquet or zip by the first bytes of the file.

    Raises
    ------
    DeclarationError
        Where the file is of no such format, or holds a description of another source.
    """
    try:
        with path.open("rb") as handle:
            head = handle.read(HEAD_BYTES)
    except OSError as error:
        raise DeclarationError(f"The parcel file {path} cannot be read: {error.strerror}.") from error
    for magic, name in ARCHIVES.items():
        if head.startswith(magic):
            raise DeclarationError(
                f"The parcel file {path} is a {name} archive, which is not opened here; unpack it, or zip it."
            )
    found = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None) or _text_kind(head)
    if found is None:
        raise DeclarationError(f"The parcel file {path} is of no known format; give {FORMATS}.")
    if found in ("GeoJSON", "GML") and REDIRECTIONS.search(head):
        raise DeclarationError(
            f"The parcel file {path} only points to another source; name the file that holds the parcels."
        )
    return found


def _text_kind(head: bytes) -> str | None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return {b"{": "GeoJSON", b"<": "GML"}.get(start)


def read_vector(
    path: str, columns: Columns, layer: str | None = None, member: str | None = None, most_gib: float = 16.0
) -> gpd.GeoDataFrame:
    """Read the named columns, the feature id (`FEATURE_ID`, string) and 2-D geometry of a parcel file.

    Parameters
    ----------
    layer
        Layer of a GeoPackage or GML that holds several.
    member
        File of a zip that holds several.
    most_gib
        What a zip may unpack to.

    Raises
    ------
    DeclarationError
        Where the file cannot be read, lacks a column, or holds several layers and `layer` does not choose.
    """
    found = local_file(path)
    with tempfile.TemporaryDirectory(prefix="cropcheck-") as folder:
        if kind_of(found) == "zip":
            found = unpack(found, member, Path(folder), most_gib)
        reader = READERS.get(kind_of(found))
        if reader is None:
            raise DeclarationError(
                f"The archive {path} holds another archive; unpack it and name the file inside."
            )
        frame = reader(found, columns, layer)
    return frame.set_geometry(shapely.force_2d(frame.geometry.array))


def check_wanted(wanted: Columns, found: Columns, path: Path) -> None:
    """Raise a DeclarationError that offers the nearest name where a wanted column is not in the file."""
    for name in wanted:
        if name not in found:
            raise DeclarationError(
                f"{path.name} has no column {name!r}.{did_you_mean(name, found)} It has {sorted(found)}."
            )


def _choose_layer(path: Path, layer: str | None) -> str:
    names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    if layer is not None and layer not in names:
        raise DeclarationError(
            f"{path.name} has no layer {layer!r}.{did_you_mean(layer, names)} It has {names}."
        )
    if layer is None and len(names) != 1:
        raise DeclarationError(
            f"{path.name} has {len(names)} layers with geometry; set `layer` to one of {names}."
        )
    return layer or names[0]


def _read_ogr(
    path: Path, columns: Columns, layer: str | None, driver: str, **options: str
) -> gpd.GeoDataFrame:
    with _told_plainly(path):
        layer = _choose_layer(path, layer)
        info = pyogrio.read_info(path, layer=layer, **options)
        if info["driver"] != driver:
            raise DeclarationError(
                f"{path.name} is opened by {info['driver']}, not {driver}; give {FORMATS}."
            )
        check_wanted(columns, list(info["fields"]), path)
        frame = pyogrio.read_dataframe(
            path, layer=layer, columns=list(dict.fromkeys(columns)), fid_as_index=True, on_invalid="fix",
            datetime_as_string=True, **options,
        )  # fmt: skip
    return frame.assign(**{FEATURE_ID: frame.index.astype(str)}).reset_index(drop=True)


@contextmanager
def _told_plainly(path: Path) -> Iterator[None]:
    """Turn the reader's failures into a DeclarationError and its warnings into log lines."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except (
            pyogrio.errors.DataSourceError,
            pyogrio.errors.DataLayerError,
            OSError,
            ValueError,
            RuntimeError,
        ) as error:
            raise DeclarationError(
                f"The parcel file {path} cannot be read: {error}. Export it again."
            ) from error
    for warning in {str(warning.message) for warning in caught}:
        logger.warning("%s: %s", path.name, warning)


def _read_gpkg(path: Path, columns: Columns, layer: str | None) -> gpd.GeoDataFrame:
    return _read_ogr(path, columns, layer, "GPKG")


def _read_shapefile(path: Path, columns: Columns, layer: str | None) -> gpd.GeoDataFrame:
    """Read a Shapefile whose length is the one that its header gives, in 16-bit words (ESRI 1998, page 4)."""
    with path.open("rb") as handle:
        promised = 2 * int.from_bytes(handle.read(28)[24:], "big")
    if path.stat().st_size < promised:
        raise DeclarationError(
            f"{path.name} cannot be read: it is cut short of its {promised} bytes. Copy it again."
        )
    return _read_ogr(path, columns, layer, "ESRI Shapefile")


def _read_gml(path: Path, columns: Columns, layer: str | None) -> gpd.GeoDataFrame:
    """Read a GML away from its sidecar files, whose guessed types would turn "001" into 1."""
    _check_xml(path)
    with tempfile.TemporaryDirectory(prefix="cropcheck-") as folder, _gdal_settings(GML_SETTINGS):
        alone = Path(folder) / f"{path.stem}.gml"
        alone.symlink_to(path.resolve())
        return _read_ogr(alone, columns, layer, "GML", **GML_OPTIONS)


@contextmanager
def _gdal_settings(settings: dict[str, str]) -> Iterator[None]:
    before = {name: pyogrio.get_gdal_config_option(name) for name in settings}
    pyogrio.set_gdal_config_options(settings)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


def _check_xml(path: Path) -> None:
    """Refuse XML that is cut short, has a document type (entities), or is no feature collection."""
    root: list[str] = []
    parser = expat.ParserCreate()

    def enter(name: str, _: object) -> None:
        root.append(name)
        parser.StartElementHandler = None

    def refuse(*_: object) -> None:
        raise DeclarationError(
            f"The parcel file {path} declares a document type; export it again without one."
        )

    parser.StartElementHandler = enter
    parser.StartDoctypeDeclHandler = refuse
    try:
        with path.open("rb") as handle:
            parser.ParseFile(handle)
    except expat.ExpatError as error:
        raise DeclarationError(f"The parcel file {path} is broken XML: {error}. Export it again.") from error
    if not root[0].lower().endswith(("collection", "dataset")):
        raise DeclarationError(
            f"The parcel file {path} is XML but no GML feature collection; give {FORMATS}."
        )


def _read_geojson(path: Path, columns: Columns, layer: str | None) -> gpd.GeoDataFrame:
    """Read GeoJSON (RFC 7946, and the older `crs` member) without guessing types."""
    try:
        root = json.loads(path.read_bytes())
        features = [root] if root.get("type") == "Feature" else root["features"]
        properties = [feature.get("properties") or {} for feature in features]
        geometries = [feature.get("geometry") for feature in features]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DeclarationError(
            f"{path.name} is no GeoJSON feature collection ({error!r}); export it again."
        ) from error
    check_wanted(columns, sorted({name for row in properties for name in row}), path)
    texts = [json.dumps(geometry) if geometry else None for geometry in geometries]
    shapes = shapely.from_geojson(np.array(texts, dtype=object), on_invalid="ignore")
    data: dict[str, Any] = {
        name: pd.Series([row.get(name) for row in properties], dtype=object) for name in columns
    }
    data[FEATURE_ID] = [str(feature.get("id", number)) for number, feature in enumerate(features)]
    return gpd.GeoDataFrame(data, geometry=shapes, crs=_geojson_crs(root, path))


def _geojson_crs(root: dict[str, Any], path: Path) -> pyproj.CRS:
    try:
        named = (root.get("crs") or {}).get("properties", {}).get("name")
    except AttributeError as error:
        raise DeclarationError(
            f"{path.name} has a `crs` that is none of GeoJSON's; remove or mend it."
        ) from error
    return parse_crs(str(named or "OGC:CRS84"), f"{path.name}: crs")


def _read_parquet(path: Path, columns: Columns, layer: str | None) -> gpd.GeoDataFrame:
    import pyarrow
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
        if b"geo" not in (schema.metadata or {}):
            raise DeclarationError(
                f"{path.name} is Parquet without geometry metadata; export it as GeoParquet."
            )
        check_wanted(columns, schema.names, path)
        geometry = json.loads(schema.metadata[b"geo"])["primary_column"]
        frame = gpd.read_parquet(path, columns=list(dict.fromkeys([*columns, geometry])))
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        raise DeclarationError(f"The parcel file {path} cannot be read: {error}. Export it again.") from error
    return frame.assign(**{FEATURE_ID: [str(number) for number in range(len(frame))]})


READERS: dict[str, Callable[[Path, Columns, str | None], gpd.GeoDataFrame]] = {
    "GPKG": _read_gpkg,
    "ESRI Shapefile": _read_shapefile,
    "GML": _read_gml,
    "GeoJSON": _read_geojson,
    "parquet": _read_parquet,
}
