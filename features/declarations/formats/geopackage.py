"""GeoPackages: tables that hold what they show; queries stored in the file are never run."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import geopandas as gpd
import pandas as pd

from features.declarations.formats.ogr import read_layer
from features.declarations.formats.request import FEATURE_ID, Request, told_plainly
from features.errors import DeclarationError
from features.messages.listed import listed

NUMERIC = ("INT", "MEDIUM", "SMALL", "TINY", "REAL", "DOUBLE", "FLOAT")
VIRTUAL_COLUMN = 2  # `hidden` of a column computed when it is read, in PRAGMA table_xinfo


def read_geopackage(path: Path, request: Request) -> gpd.GeoDataFrame:
    """Read a table of a GeoPackage.

    Raises
    ------
    DeclarationError
        Where the layer is a view, a virtual table or has computed columns, which run code of the file; or
        where a column of numbers holds text, which would be read as 0.
    """
    with told_plainly(path), _opened(path) as database:
        kinds = _kinds(database, path)
        tables = [name for name, kind in kinds.items() if kind == "table"]
        if request.layer is not None and kinds.get(request.layer, "table") != "table":
            raise DeclarationError(
                f"The layer {request.layer!r} of {path.name} is a {kinds[request.layer]}, which is computed "
                "as it is read; save it as a table and name that."
            )
    frame = read_layer(path, request, "GPKG", tables)
    with told_plainly(path), _opened(path) as database:
        for table in [request.layer] if request.layer else tables:
            _refuse_text_in_numbers(database, table, frame, path)
            frame = _with_nul(database, table, frame)
    return frame


def plain_tables(path: Path) -> list[str]:
    """Return the tables of a GeoPackage that hold what they show: no view, virtual table or computed column.

    Raises
    ------
    DeclarationError
        Where it is no database, or a query stands in place of one of the package's own tables.
    """
    with told_plainly(path), _opened(path) as database:
        return [name for name, kind in _kinds(database, path).items() if kind == "table"]


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database so that nothing is written beside it."""
    unfinished = Path(f"{path}-wal").exists()  # then the log beside it belongs to the content
    uri = f"{path.resolve().as_uri()}?mode=ro{'' if unfinished else '&immutable=1'}"
    with closing(sqlite3.connect(uri, uri=True)) as database:
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2**27)
        yield database


def _kinds(database: sqlite3.Connection, path: Path) -> dict[str, str]:
    """Return what each table is: table, view, virtual table, or table with computed columns."""
    kinds = {}
    for name, kind, sql in database.execute("SELECT name, type, sql FROM sqlite_master"):
        if kind not in ("table", "view"):
            continue
        kinds[name] = "virtual table" if (sql or "").upper().startswith("CREATE VIRTUAL") else kind
        if kind == "view" and name.lower().startswith(("gpkg_", "sqlite_", "rtree_")):
            raise DeclarationError(
                f"{path.name} has a query in place of the table {name}; export it again as a GeoPackage."
            )
    for name in [name for name, kind in kinds.items() if kind == "table"]:
        columns = database.execute(f"PRAGMA table_xinfo({_quoted(name)})")
        if any(column[6] == VIRTUAL_COLUMN for column in columns):
            kinds[name] = "table with computed columns"
    return kinds


def _numeric_columns(database: sqlite3.Connection, table: str) -> set[str]:
    declared = database.execute(f"PRAGMA table_info({_quoted(table)})")
    return {
        name
        for _, name, kind, *_ in declared
        if kind.upper().startswith(("INT", "MEDIUM", "SMALL", "TINY", "REAL", "DOUBLE", "FLOAT"))
    }


def _refuse_text_in_numbers(
    database: sqlite3.Connection, table: str, frame: gpd.GeoDataFrame, path: Path
) -> None:
    """SQLite lets a column of integers hold "A7"; it would be read as 0."""
    for name in sorted(_numeric_columns(database, table) & set(frame.columns)):
        column = _quoted(name)
        query = f"SELECT {column} FROM {_quoted(table)} WHERE typeof({column}) IN ('text', 'blob') LIMIT 3"
        texts = [str(row[0])[:40] for row in database.execute(query)]
        if texts:
            raise DeclarationError(
                f"The column {name!r} of {path.name} is one of numbers but holds text, such as "
                f"{listed(texts)}, which would be read as 0; store it as a column of text."
            )


def _with_nul(database: sqlite3.Connection, table: str, frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Put back texts that hold a NUL: GDAL ends them there, so that two ids could become one."""
    feature_id = next(
        (
            name
            for _, name, kind, _, _, key in database.execute(f"PRAGMA table_info({_quoted(table)})")
            if key
        ),
        "rowid",
    )
    for name in [column for column in frame.columns if column not in (FEATURE_ID, frame.geometry.name)]:
        column = _quoted(name)
        found = database.execute(
            f"SELECT {_quoted(feature_id)}, {column} FROM {_quoted(table)} "
            f"WHERE typeof({column}) = 'text' AND instr(CAST({column} AS BLOB), x'00') > 0"
        ).fetchall()
        if found:
            whole = pd.Series({str(key): text for key, text in found}, dtype=object)
            texts = frame[name].astype(object)
            frame = frame.assign(
                **{name: frame[FEATURE_ID].map(whole).where(frame[FEATURE_ID].isin(whole.index), texts)}
            )
    return frame


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
