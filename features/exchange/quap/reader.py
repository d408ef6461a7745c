"""QUAP tables as files: CSV with semicolons, GeoPackage, Shapefile or Parquet; cells stay text."""

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import polars as pl
import shapely

from features.exchange.cells import ExchangeError, delimiter_of, read_cells
from features.exchange.layers import read_layer_file
from features.exchange.quap.findings import FINDINGS, findings
from features.exchange.quap.tables import EPSG, Table, table_called
from features.limits import DEFAULT_LIMITS

ENDINGS = (".csv", ".gpkg", ".shp", ".parquet", ".geoparquet")
GEOMETRY_NAMES = ("geometry", "geom", "wkt", "gsa_geom", "lpis_geom", "the_geom")


@dataclass(frozen=True)
class QuapFile:
    """A table as read.

    Attributes
    ----------
    table
        Which one it is.
    cells
        Columns in small letters, all text; geometry apart.
    shapes
        Geometry of each row, None where missing; None where the file has no geometry at all.
    epsg
        Of the geometry; None where the file does not say.
    found
        What was found while reading; schema FINDINGS.
    """

    table: Table
    cells: pl.DataFrame
    shapes: np.ndarray | None
    epsg: int | None
    found: pl.DataFrame


def quap_files(paths: list[Path]) -> dict[str, Path]:
    """Return table name -> file of a folder, or of files.

    Raises
    ------
    ExchangeError
        Where nothing is found, a file's name says no table, or two files are the same table.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += [
                file
                for file in sorted(path.iterdir())
                if file.suffix.lower() in ENDINGS and table_called(file.stem) is not None
            ]
        else:
            files.append(path)
    found: dict[str, Path] = {}
    for file in files:
        table = table_called(file.stem)
        if table is None:
            raise ExchangeError(
                f"{file.name} says no table of the exchange by its name; call it gsa_population, "
                "lpis_population, gsa_lpis_relationship, gsa_ua_claimed or interventions.",
                "unknown_table",
            )
        if table.name in found:
            raise ExchangeError(
                f"{found[table.name]} and {file} are both {table.name}; keep one.", "two_files"
            )
        found[table.name] = file
    if not found:
        raise ExchangeError(f"No table of the exchange in {', '.join(map(str, paths))}.", "no_table")
    return found


def read_quap(path: Path, table: Table, most_gib: float = DEFAULT_LIMITS.table_gib) -> QuapFile:
    """Read one table.

    Parameters
    ----------
    most_gib
        What a table in Parquet may unpack to.

    Raises
    ------
    ExchangeError
        Where the file cannot be read at all.
    """
    if path.suffix.lower() == ".csv":
        return _read_csv(path, table)
    return _from_frame(read_layer_file(path, None, most_gib, "--most-gib"), table)


def _read_csv(path: Path, table: Table) -> QuapFile:
    cells = read_cells(path)
    cells = cells.rename({name: name.lower() for name in cells.columns})
    with path.open(encoding="utf-8-sig") as file:
        heading = file.readline()
    found = pl.DataFrame(schema=FINDINGS)
    if len(cells.columns) > 1 and delimiter_of(heading) != ";":
        found = findings(table.name, "delimiter", "The platform wants semicolons (;) between cells.")
    name = next((column for column in GEOMETRY_NAMES if column in cells.columns), None)
    if name is None:
        return QuapFile(table, cells, None, None, found)
    texts = cells[name].fill_null("").to_numpy().astype(object)
    shapes = shapely.from_wkt(texts, on_invalid="ignore")
    shapes = np.asarray(shapes, dtype=object)
    shapes[texts == ""] = None
    broken = np.flatnonzero(np.array([shape is None for shape in shapes]) & (texts != ""))
    rows = cells.drop(name)
    if len(broken):
        cure = "Write geometry as WKT: MULTIPOLYGON (((...)))."
        ids = [row_id(rows, table, int(row)) for row in broken]
        found = pl.concat([found, findings(table.name, "geometry_unreadable", cure, ids, column=name)])
    return QuapFile(table, rows, shapes, EPSG, found)  # WKT says no EPSG: the exchange's own is meant


def _from_frame(frame: pd.DataFrame, table: Table) -> QuapFile:
    plain = frame.drop(columns=frame.geometry.name) if isinstance(frame, gpd.GeoDataFrame) else frame
    cells = _texts(pl.from_pandas(plain))
    if not isinstance(frame, gpd.GeoDataFrame):
        return QuapFile(table, cells, None, None, pl.DataFrame(schema=FINDINGS))
    epsg = frame.crs.to_epsg() if frame.crs is not None else None
    return QuapFile(table, cells, frame.geometry.to_numpy(), epsg, pl.DataFrame(schema=FINDINGS))


def _texts(cells: pl.DataFrame) -> pl.DataFrame:
    return cells.select(pl.col(name).cast(pl.String).alias(name.lower()) for name in cells.columns)


def row_id(cells: pl.DataFrame, table: Table, row: int) -> str:
    """Return the key of a row, parts joined by |; the row's number where it has none."""
    parts = [cells[name][row] for name in table.key if name in cells.columns]
    return "|".join(str(part) for part in parts) if parts and None not in parts else f"row {row + 2}"
