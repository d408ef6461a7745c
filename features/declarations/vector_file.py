"""Parcel files: known by their first bytes, opened by an allow-listed reader, never by a URL."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import geopandas as gpd
import shapely

from features.declarations.formats.archive import unpack
from features.declarations.formats.geojson import read_geojson
from features.declarations.formats.geopackage import read_geopackage
from features.declarations.formats.geoparquet import read_geoparquet
from features.declarations.formats.gml import read_gml
from features.declarations.formats.postgis import read_postgis
from features.declarations.formats.request import FEATURE_ID, FORMATS, Reader, Request
from features.declarations.formats.shapefile import read_shapefile
from features.errors import DeclarationError
from features.storage.database import is_database
from features.storage.scratch import scratch_folder

__all__ = ["FEATURE_ID", "Request", "kind_of", "local_file", "read_vector"]

HEAD_BYTES = 64 * 1024
ARCHIVES = {b"Rar!": "RAR", b"7z\xbc\xaf": "7-Zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
# what lies where a download went wrong
NO_FILES = {
    rb"\Z": "is empty; fetch it again",
    rb"\s*<(!doctype\s+)?html": "is a web page, perhaps one that asks for a login; fetch the file itself",
    rb"version https://git-lfs": "is a pointer of Git LFS; fetch what it stands for (git lfs pull)",
}
MAGIC = {
    b"SQLite format 3\0": "GPKG",
    b"PK\x03\x04": "zip",
    b"\x00\x00\x27\x0a": "ESRI Shapefile",
    b"PAR1": "parquet",
}
# descriptions that send the reader to another source instead of holding parcels
REDIRECTIONS = re.compile(rb"<OGR\w*DataSource|<OGRVRT|<VRTDataset|gdal_streamed_alg")
READERS: dict[str, Reader] = {
    "GPKG": read_geopackage,
    "ESRI Shapefile": read_shapefile,
    "GML": read_gml,
    "GeoJSON": read_geojson,
    "parquet": read_geoparquet,
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
    try:
        found = Path(path).expanduser()
        there, is_folder = found.is_file(), found.is_dir()
    except (OSError, ValueError, RuntimeError) as error:
        raise DeclarationError(f"The parcel file {path!r} cannot be looked up: {error}.") from error
    if is_folder and (found / "gdb").is_file():
        raise DeclarationError(
            f"{path!r} is a file geodatabase, which is not read here; export its layer as GeoPackage: "
            f"ogr2ogr parcels.gpkg {found.name} LAYER"
        )
    if not there:
        what = (
            "is a folder; name the file inside it"
            if is_folder
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
    for sign, what in NO_FILES.items():
        if re.match(sign, head, re.IGNORECASE):
            raise DeclarationError(f"The parcel file {path} {what}.")
    for magic, name in ARCHIVES.items():
        if head.startswith(magic):
            raise DeclarationError(
                f"The parcel file {path} is a {name} archive, which is not opened here; unpack it, or zip it."
            )
    found = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None) or _text_kind(head)
    if found is None:
        shapes = path.with_suffix(".shp")
        cure = f"name {shapes.name} beside it" if shapes.is_file() else f"give {FORMATS}"
        raise DeclarationError(f"The parcel file {path} is of no known format; {cure}.")
    if found in ("GeoJSON", "GML") and REDIRECTIONS.search(head):
        raise DeclarationError(
            f"The parcel file {path} only points to another source; name the file that holds the parcels."
        )
    return found


def _text_kind(head: bytes) -> str | None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\x1e \t\r\n")[:1]  # \x1e starts a text sequence
    return {b"{": "GeoJSON", b"<": "GML"}.get(start)


def read_vector(path: str, request: Request, member: str | None = None) -> gpd.GeoDataFrame:
    """Read the wanted columns, the feature id (`FEATURE_ID`, string) and 2-D geometry of a parcel file, or of
    a table in PostGIS.

    Parameters
    ----------
    member
        File of a zip that holds several.

    Raises
    ------
    DeclarationError
        Where the file cannot be read, lacks a column, or holds several layers and none is chosen.
    """
    if is_database(path):
        return _flat(read_postgis(path, request))
    found = local_file(path)
    with scratch_folder() as folder:
        if kind_of(found) == "zip":
            found = unpack(found, member, folder, request.most_gib)
        with _archive_named(folder, path):
            reader = READERS.get(kind_of(found))
            if reader is None:
                raise DeclarationError(
                    f"The archive {path} holds another archive; unpack it and name the file inside."
                )
            frame = reader(found, request)
    return _flat(frame)


@contextmanager
def _archive_named(folder: Path, path: str) -> Iterator[None]:
    """Name the archive in errors of a file that was unpacked, in place of the folder it was unpacked to."""
    try:
        yield
    except DeclarationError as error:
        raise DeclarationError(str(error).replace(f"{folder}/", f"{path}/")) from error


def _flat(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return frame.set_geometry(shapely.force_2d(frame.geometry.array))
