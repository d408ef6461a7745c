"""Tables with outlines that agencies give: a table of a GeoPackage, a Shapefile, or (Geo)Parquet."""

from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio

from features.declarations.formats.geopackage import plain_tables
from features.declarations.vector_file import kind_of
from features.errors import CropcheckError
from features.exchange.cells import ExchangeError
from features.limits import DEFAULT_LIMITS, refuse_large_tables

FORMATS = "GeoPackage, Shapefile or GeoParquet"


def read_layer_file(
    path: Path,
    layer: str | None = None,
    most_gib: float = DEFAULT_LIMITS.table_gib,
    setting: str = "limits.table_gib",
) -> pd.DataFrame:
    """Read a file as a frame, with geometry where it has one.

    Files are known by their first bytes: one that sends the reader to another source, or is packed, is
    refused. Of a GeoPackage tables are read, the first where none is named; queries are not run.

    Parameters
    ----------
    most_gib, setting
        What Parquet may unpack to, and what raises that, for the message.

    Raises
    ------
    CropcheckError
        Where it cannot be read.
    """
    try:
        kind = kind_of(path)
        if kind == "parquet":
            refuse_large_tables([path], most_gib, setting)
            return _read_parquet(path)
        if kind not in ("GPKG", "ESRI Shapefile"):
            raise ExchangeError(f"{path} is a {kind}; give a {FORMATS}.", "unreadable")
        frame: pd.DataFrame = pyogrio.read_dataframe(
            path, layer=_table(path, layer) if kind == "GPKG" else layer
        )
        return frame
    except CropcheckError:
        raise
    except Exception as error:
        raise ExchangeError(f"{path} cannot be read: {error}. Export it again.", "unreadable") from error


def _read_parquet(path: Path) -> pd.DataFrame:
    from pyarrow import parquet

    with_outlines = b"geo" in (parquet.read_schema(path).metadata or {})
    return gpd.read_parquet(path) if with_outlines else pd.read_parquet(path, dtype_backend="pyarrow")


def _table(path: Path, wanted: str | None) -> str:
    """Return the layer of a GeoPackage: a table, as a view would be computed as it is read."""
    tables, layers = plain_tables(path), [str(name) for name, _ in pyogrio.list_layers(path)]
    found = [name for name in layers if name in tables]
    if wanted is not None and wanted in layers and wanted not in found:
        raise ExchangeError(
            f"The layer {wanted!r} of {path} is a query, computed as it is read; save it as a table.",
            "unreadable",
        )
    if wanted is None and not found:
        raise ExchangeError(
            f"{path} holds no table, only queries ({', '.join(layers) or 'none'}); save it as a table.",
            "unreadable",
        )
    return wanted if wanted is not None else found[0]
