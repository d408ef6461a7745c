"""Shapefiles: geometry by GDAL, attributes from the .dbf as they stand."""

from pathlib import Path

import geopandas as gpd
import numpy as np

from features.declarations.formats.dbf import AttributeTable
from features.declarations.formats.ogr import read_layer
from features.declarations.formats.request import FEATURE_ID, Request, told_plainly
from features.errors import DeclarationError

PARTS = (".dbf", ".shx")


def read_shapefile(path: Path, request: Request) -> gpd.GeoDataFrame:
    """Read a Shapefile whose length is the one that its header gives, in 16-bit words (ESRI 1998, page 4)."""
    with told_plainly(path), path.open("rb") as handle:
        promised = 2 * int.from_bytes(handle.read(28)[24:], "big")
    if path.stat().st_size < promised:
        raise DeclarationError(
            f"{path.name} cannot be read: it is cut short of its {promised} bytes. Copy it again."
        )
    _refuse_other_spelling(path)
    beside = _beside(path, ".dbf")
    if beside is None or _beside(path, ".shx") is None:
        lacking = "index (.shx)" if beside else "table (.dbf), which holds the ids and codes"
        raise DeclarationError(
            f"The parcel file {path} cannot be read without its {lacking}. A Shapefile is several files of "
            "one name: copy all of them, or zip them."
        )
    with told_plainly(beside):
        table = AttributeTable(beside, request.encoding)
    wanted = list(table.fields) if request.columns is None else list(dict.fromkeys(request.columns))
    own = [name for name in wanted if name in table.fields]
    rest = Request([name for name in wanted if name not in own], request.layer, None, request.most_parcels)
    frame = read_layer(path, rest, "ESRI Shapefile", ENCODING=table.encoding.upper())
    rows = frame[FEATURE_ID].astype(np.int64).to_numpy()  # deleted records have no feature
    if len(rows) and rows.max() >= len(table):
        raise DeclarationError(f"{path.name} has more shapes than {beside.name} has rows; copy both again.")
    return frame.assign(**{name: table.column(name)[rows] for name in own})


def _refuse_other_spelling(path: Path) -> None:
    """Raise a DeclarationError where a part that is missing is there in other capitals."""
    named = {f"{path.stem}{form}" for ending in PARTS for form in (ending, ending.upper())}
    alike = {name.lower() for name in named}
    other = sorted(part.name for part in path.parent.iterdir() if part.name.lower() in alike)
    other = [name for name in other if name not in named]
    if other and any(_beside(path, ending) is None for ending in PARTS):
        raise DeclarationError(
            f"{path.name} and {', '.join(other)} are spelled differently; give all files of the Shapefile "
            f"{path} one name, capitals alike."
        )


def _beside(path: Path, ending: str) -> Path | None:
    """Return the file of a Shapefile with an ending, in small or capital letters."""
    named = (path.with_suffix(ending), path.with_suffix(ending.upper()))
    return next((found for found in named if found.is_file()), None)
