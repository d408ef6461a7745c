"""GeoPackages, written whole or not at all."""

import errno
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import shapely
from pyogrio import set_gdal_config_options
from pyogrio.raw import write_arrow

from features.errors import CropcheckError

log = logging.getLogger(__name__)
ATTEMPTS = 3
LEAST_FREE = 1 << 20  # bytes: with less, SQLite's own journal may not find room
BYTES_A_POINT = 16
POLYGON = 3  # shapely's type id
# An index made in a thread of its own is lost now and then (https://github.com/OSGeo/gdal/pull/9685).
SETTINGS = {"OGR_GPKG_ALLOW_THREADED_RTREE": False}


class IncompleteFileError(CropcheckError):
    """A file lacks something of what was written to it."""


def write_geopackage(frame: gpd.GeoDataFrame, path: Path, layer: str, *, multi: bool = True) -> None:
    """Write a layer, and read back that all of it is there.

    GDAL writes a GeoPackage's index and contents while it closes the file, and drops what fails then: on a
    full disk it would leave a broken file and say nothing. Where something is missing on a disk with room,
    the layer is written again, twice at most.

    Parameters
    ----------
    multi
        Whether polygons are written as multipolygons, as programs want where both stand in one layer.

    Raises
    ------
    OSError
        ENOSPC where the disk is full.
    IncompleteFileError
        Where the file is not whole for another reason.
    """

    def write(written: _Written) -> None:
        written.add(frame)
        frame.to_file(path, driver="GPKG", layer=layer, engine="pyogrio", promote_to_multi=multi)

    _until_whole(write, path, layer)


def write_geopackage_parts(parts: Callable[[], Iterable[gpd.GeoDataFrame]], path: Path, layer: str) -> None:
    """Write a layer of polygons that comes some rows at a time, as multipolygons; see `write_geopackage`.

    Parameters
    ----------
    parts
        Returns the same parts whenever it is called: one at least; alike in columns, types and coordinate
        system.
    """

    def write(written: _Written) -> None:
        rest = iter(parts())
        first = next(rest)
        schema = _arrow(first).schema

        def batches() -> Iterator[pa.RecordBatch]:
            for part in chain([first], rest):
                written.add(part)
                yield from _arrow(part).cast(schema).to_batches()

        write_arrow(
            pa.RecordBatchReader.from_batches(schema, batches()),
            path,
            layer=layer,
            driver="GPKG",
            geometry_name=first.geometry.name,
            geometry_type="MultiPolygon",
            crs=first.crs.to_wkt(),
        )

    _until_whole(write, path, layer)


def _arrow(part: gpd.GeoDataFrame) -> pa.Table:
    shapes = part.geometry.to_numpy().copy()
    single = np.flatnonzero(shapely.get_type_id(shapes) == POLYGON)
    shapes[single] = shapely.multipolygons(shapes[single], indices=np.arange(len(single)))
    return pa.table(part.set_geometry(shapes, crs=part.crs).to_arrow(index=False, geometry_encoding="WKB"))


@dataclass
class _Written:
    """What was handed to GDAL: rows, those with a shape, and the shapes' bytes."""

    rows: int = 0
    placed: int = 0
    size: int = 0

    def add(self, part: gpd.GeoDataFrame) -> None:
        shapes = part.geometry.to_numpy()
        self.rows += len(part)
        self.placed += int((~shapely.is_missing(shapes) & ~shapely.is_empty(shapes)).sum())
        self.size += BYTES_A_POINT * int(shapely.get_num_coordinates(shapes).sum())


def _until_whole(write: Callable[[_Written], None], path: Path, layer: str) -> None:
    """Write a layer until it is whole, and name a full disk as such."""
    set_gdal_config_options(SETTINGS)
    for left in reversed(range(ATTEMPTS)):
        written = _Written()
        try:
            write(written)
        except Exception as error:
            if _is_full(path.parent, written):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path.parent)) from error
            raise
        fault = _fault(path, layer, written)
        if fault is None:
            return
        if _is_full(path.parent, written):
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {fault}", str(path.parent))
        if left:
            log.warning("The layer %s is not whole (%s); it is written again.", layer, fault)
            path.unlink(missing_ok=True)
    raise IncompleteFileError(
        f"The layer {layer} in {path.parent} is not whole, though it was written {ATTEMPTS} times ({fault}); "
        "check the disk and try again."
    )


def _fault(path: Path, layer: str, written: _Written) -> str | None:
    """Return what is missing of a GeoPackage, or None where it is whole."""
    quoted = layer.replace('"', '""')
    checks = {
        "the file is damaged": ("PRAGMA quick_check", "ok"),
        "rows are missing": (f'SELECT count(*) FROM "{quoted}"', written.rows),
        "the index is not whole": (f'SELECT count(*) FROM "rtree_{quoted}_geom"', written.placed),
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


def _is_full(folder: Path, written: _Written) -> bool:
    """Whether a layer might not have found room: after a failure SQLite has given back what it took."""
    return shutil.disk_usage(folder).free < LEAST_FREE + 2 * written.size
