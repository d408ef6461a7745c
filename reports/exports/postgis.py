"""A run's tables in PostGIS: in a schema of their own, in one transaction, the same after a second export."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import polars as pl
import shapely

from features.storage.database import DatabaseError, connect, safe_url

if TYPE_CHECKING:
    import psycopg

OURS = "written by cropcheck export"
CHUNK = 10_000
NAME = re.compile(r"^[a-z_][a-z0-9_]{0,62}$")
TYPES: Mapping[type, str] = {
    pl.String: "text", pl.Boolean: "boolean", pl.Date: "date", pl.Datetime: "timestamp",
    pl.Int8: "smallint", pl.Int16: "smallint", pl.Int32: "integer", pl.Int64: "bigint",
    pl.UInt8: "smallint", pl.UInt16: "integer", pl.UInt32: "bigint", pl.UInt64: "numeric",
    pl.Float32: "real", pl.Float64: "double precision", pl.List: "jsonb", pl.Struct: "jsonb", pl.Null: "text",
}  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """A table to write.

    Attributes
    ----------
    name
        In the schema.
    table
        Its columns.
    key
        Primary key; empty: none.
    indexes
        Columns that are looked up by.
    shapes
        Geometry of each row, which becomes the column `geometry` with an index; None: none.
    parent
        Table whose `parcel_id` this one's refers to.
    """

    name: str
    table: pl.DataFrame
    key: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    shapes: gpd.GeoSeries | None = None
    parent: str | None = None


def export_postgis(tables: list[Exported], url: str, schema: str) -> dict[str, int]:
    """Write tables into a schema, all or none; return how many rows each has.

    Tables of an earlier export are emptied and filled again where their columns are the same, so that views
    on them stay, and are made anew where they changed. A schema that was not made by an export is refused.

    Raises
    ------
    DatabaseError
        Where the database cannot be reached or written; nothing has changed then.
    """
    if not NAME.match(schema):
        raise DatabaseError(
            f"--schema {schema!r}: use small letters, digits and underscores, 63 at most.",
            reason="schema_name",
        )
    with connect(url) as connection:
        _prepare(connection, schema, url)
        wanted = {table.name: _definition(table) for table in tables}
        there = _there(connection, schema)
        same = {name: there.get(name) for name in wanted} == wanted and not set(there) - set(wanted)
        if same:
            connection.execute(_sql("TRUNCATE {}", _list(_name(schema, name) for name in wanted)))
        else:
            if there:
                connection.execute(_sql("DROP TABLE {}", _list(_name(schema, name) for name in there)))
            for table in tables:
                _create(connection, schema, table, wanted[table.name])
        for table in tables:
            _fill(connection, schema, table)
            if not same:
                _index(connection, schema, table)
    return {table.name: table.table.height for table in tables}


def _prepare(connection: "psycopg.Connection[Any]", schema: str, url: str) -> None:
    """Take the lock of exports, and make the schema where there is none."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('cropcheck export'))")
    connection.execute("CREATE EXTENSION IF NOT EXISTS postgis")
    row = connection.execute(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", (schema,)
    ).fetchone()
    if row is not None and row[0] != OURS:
        raise DatabaseError(
            f"{safe_url(url)} has a schema {schema!r} that no export made; name another with --schema.",
            reason="foreign_schema",
        )
    if row is None:
        connection.execute(_sql("CREATE SCHEMA {}", _name(schema)))
        connection.execute(_sql("COMMENT ON SCHEMA {} IS {}", _name(schema), _literal(OURS)))


def _there(connection: "psycopg.Connection[Any]", schema: str) -> dict[str, list[tuple[str, str]]]:
    """Return name -> columns and types of the tables that the schema has."""
    rows = connection.execute(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a "
        "JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped "
        "ORDER BY c.relname, a.attnum",
        (schema,),
    )
    found: dict[str, list[tuple[str, str]]] = {}
    for name, column, kind in rows:
        found.setdefault(name, []).append((column, kind.replace(" without time zone", "")))
    return found


def _definition(table: Exported) -> list[tuple[str, str]]:
    columns = [(name, TYPES[type(kind)]) for name, kind in table.table.schema.items()]
    if table.shapes is None:
        return columns
    return [*columns, ("geometry", f"geometry(MultiPolygon,{_srid(table.shapes)})")]


def _srid(shapes: gpd.GeoSeries) -> int:
    code = shapes.crs.to_epsg() if shapes.crs is not None else None
    if code is None:
        raise DatabaseError(
            "The declarations' coordinate system has no EPSG code; set `declarations.metric_crs` to one that "
            "has, and run again.",
            reason="no_epsg",
        )
    return int(code)


def _create(
    connection: "psycopg.Connection[Any]", schema: str, table: Exported, columns: list[tuple[str, str]]
) -> None:
    parts = [_sql("{} " + kind, _name(name)) for name, kind in columns]  # types are our own constants
    if table.key:
        parts.append(_sql("PRIMARY KEY ({})", _list(map(_name, table.key))))
    if table.parent:
        parts.append(_sql("FOREIGN KEY (parcel_id) REFERENCES {} (parcel_id)", _name(schema, table.parent)))
    connection.execute(_sql("CREATE TABLE {} ({})", _name(schema, table.name), _list(parts)))


def _fill(connection: "psycopg.Connection[Any]", schema: str, table: Exported) -> None:
    columns = [name for name, _ in _definition(table)]
    copy = _sql("COPY {} ({}) FROM STDIN", _name(schema, table.name), _list(map(_name, columns)))
    with connection.cursor() as cursor, cursor.copy(copy) as writer:
        for row in _rows(table):
            writer.write_row(row)


def _rows(table: Exported) -> Iterator[tuple[Any, ...]]:
    """Yield rows in chunks, geometry as hexadecimal EWKB, lists as JSON."""
    nested = [place for place, kind in enumerate(table.table.dtypes) if isinstance(kind, pl.List | pl.Struct)]
    for start in range(0, table.table.height, CHUNK):
        part = table.table[start : start + CHUNK]
        shapes = None if table.shapes is None else _hex(table.shapes.iloc[start : start + CHUNK])
        for place, row in enumerate(part.iter_rows()):
            values = list(row)
            for at in nested:
                values[at] = None if values[at] is None else json.dumps(values[at])
            yield tuple(values if shapes is None else [*values, shapes[place]])


def _hex(shapes: gpd.GeoSeries) -> list[str]:
    multi = [
        shapely.multipolygons([shape]) if shape.geom_type == "Polygon" and not shape.is_empty else shape
        for shape in shapes
    ]
    whole = [shape if shape.geom_type == "MultiPolygon" else shapely.MultiPolygon() for shape in multi]
    return list(shapely.to_wkb(shapely.set_srid(whole, _srid(shapes)), hex=True, include_srid=True))


def _index(connection: "psycopg.Connection[Any]", schema: str, table: Exported) -> None:
    for column in table.indexes:
        connection.execute(_sql("CREATE INDEX ON {} ({})", _name(schema, table.name), _name(column)))
    if table.shapes is not None:
        connection.execute(_sql("CREATE INDEX ON {} USING gist (geometry)", _name(schema, table.name)))


def _sql(text: str, *parts: Any) -> Any:
    from psycopg import sql

    return sql.SQL(text).format(*parts)


def _name(*parts: str) -> Any:
    from psycopg import sql

    return sql.Identifier(*parts)


def _literal(text: str) -> Any:
    from psycopg import sql

    return sql.Literal(text)


def _list(parts: Iterable[Any]) -> Any:
    from psycopg import sql

    return sql.SQL(", ").join(parts)
