"""GML: every element and attribute as text, away from sidecar files that guess types."""

from pathlib import Path
from xml.parsers import expat

import geopandas as gpd

from features.declarations.formats.ogr import gdal_settings, read_layer
from features.declarations.formats.request import FORMATS, Request
from features.errors import DeclarationError
from features.storage.scratch import scratch_folder

# every field stays text ("001"); INSPIRE themes carry values in attributes (crop xlink:title="...", read as
# `crop_title`); nothing is fetched and nothing is written beside the file
GML_SETTINGS = {
    "GML_FIELDTYPES": "ALWAYS_STRING",
    "GML_ATTRIBUTES_TO_OGR_FIELDS": "YES",
    "GML_DOWNLOAD_SCHEMA": "NO",
    "GML_SKIP_RESOLVE_ELEMS": "ALL",
}
GML_OPTIONS = {
    "DOWNLOAD_SCHEMA": "NO",
    "WRITE_GFS": "NO",
    "FORCE_SRS_DETECTION": "YES",
    "EXPOSE_GML_ID": "YES",
}


def read_gml(path: Path, request: Request) -> gpd.GeoDataFrame:
    """Read a GML away from its sidecar files, whose guessed types would turn "001" into 1."""
    _check_xml(path)
    with scratch_folder() as folder, gdal_settings(GML_SETTINGS):
        alone = folder / f"{path.stem}.gml"
        alone.symlink_to(path.resolve())
        return read_layer(alone, request, "GML", None, **GML_OPTIONS)


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
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise DeclarationError(f"The parcel file {path} is broken XML: {error}. Export it again.") from error
    if not root[0].lower().endswith(("collection", "dataset")):
        raise DeclarationError(
            f"The parcel file {path} is XML but no GML feature collection; give {FORMATS}."
        )
