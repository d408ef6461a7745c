"""GeoPackages, written whole or not at all."""

import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import shapely

LEAST_FREE = 1 << 20  # bytes: with less, SQLite's own journal may not find room


def write_geopackage(frame: gpd.GeoDataFrame, path: Path, layer: str, *, multi: bool = True) -> None:
    """Write a layer, and read back that all of it is there.

    GDAL writes a GeoPackage's index and contents while it closes the file, and drops what fails then: on a
    full disk it would leave a broken file and say nothing.

    Parameters
    ----------
    multi
        Whether polygons are written as multipolygons, as programs want where both stand in one layer.

    Raises
    ------
    OSError
        ENOSPC where the disk is full; EIO where the file is not whole for another reason.
    """
    try:
        frame.to_file(path, driver="GPKG", layer=layer, engine="pyogrio", promote_to_multi=multi)
    except Exception as error:
        if _is_full(path.parent, frame):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path.parent)) from error
        raise
    shapes = frame.geometry.to_numpy()
    placed = int((~shapely.is_missing(shapes) & ~shapely.is_empty(shapes)).sum())
    fault = _fault(path, layer, len(frame), placed)
    if fault:
        code = errno.ENOSPC if _is_full(path.parent, frame) else errno.EIO
        raise OSError(code, f"{os.strerror(code)}: {fault}", str(path.parent))


def _fault(path: Path, layer: str, rows: int, placed: int) -> str | None:
    """Return what is missing of a GeoPackage, or None where it is whole."""
    quoted = layer.replace('"', '""')
    checks = {
        "the file is damaged": ("PRAGMA quick_check", "ok"),
        "rows are missing": (f'SELECT count(*) FROM "{quoted}"', rows),
        "the index is not whole": (f'SELECT count(*) FROM "rtree_{quoted}_geom"', placed),
        "the layer is not listed": (
            "SELECT count(*) FROM gpkg_contents JOIN gpkg_geometry_columns USING (table_name)", 1,
        ),
    }  # fmt: skip
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            for said, (query, wanted) in checks.items():
                if database.execute(query).fetchone()[0] != wanted:
                    return said
    except sqlite3.Error as error:
        return str(error)
    return None


def _is_full(folder: Path, frame: gpd.GeoDataFrame) -> bool:
    """Whether a layer might not have found room: after a failure SQLite has given back what it took."""
    shapes = sum(map(len, frame.geometry.to_wkb()))
    return shutil.disk_usage(folder).free < LEAST_FREE + 2 * shapes
