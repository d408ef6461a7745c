"""Parcels in a PostGIS table: the wanted columns as text-safe values, geometry with its EPSG."""

import hashlib
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely

from features.declarations.formats.request import Request
from features.errors import DeclarationError
from features.messages.listed import listed
from features.messages.suggestions import did_you_mean
from features.storage.database import connect, safe_url

FETCHED = 20_000


def read_postgis(url: str, request: Request) -> gpd.GeoDataFrame:
    """Read a table of parcels, in the order of its first column that has no repeats, else as stored.

    Parameters
    ----------
    url
        `postgresql://user@host:port/database`; the password comes from the environment or `~/.pgpass`.
    request
        `layer` names the table: `schema.table`, or a table of the search path.

    Raises
    ------
    DeclarationError
        Where no table is named, or it has no geometry column or several.
    DatabaseError
        Where the database cannot be read.
    """
    from psycopg import sql

    schema, table = _table(url, request.layer)
    name = sql.Identifier(*(part for part in (schema, table) if part))
    at = Path(f"{safe_url(url)} {request.layer}")
    with connect(url) as connection:
        names, geometry = _columns(connection, schema, table, url)
        wanted = request.found_in([known for known in names if known != geometry], at)
        count = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(name)).fetchone()
        request.allow(int(count[0]) if count else 0, at)
        query = sql.SQL("SELECT {}, ST_AsEWKB({}) FROM {}").format(
            sql.SQL(", ").join(map(sql.Identifier, wanted)), sql.Identifier(geometry), name
        )
        if not wanted:
            query = sql.SQL("SELECT NULL, ST_AsEWKB({}) FROM {}").format(sql.Identifier(geometry), name)
        rows: list[tuple[Any, ...]] = []
        with connection.cursor("parcels") as cursor:
            cursor.itersize = FETCHED
            cursor.execute(query)
            rows.extend(cursor)
    shapes = shapely.from_wkb([row[-1] for row in rows])
    frame = pd.DataFrame([row[: len(wanted)] for row in rows], columns=wanted, dtype=object).infer_objects()
    srids = {int(number) for number in shapely.get_srid(shapes[~shapely.is_missing(shapes)])} - {0}
    if len(srids) > 1:
        raise DeclarationError(
            f"{at} mixes the coordinate systems {listed(sorted(srids))}; transform them to one."
        )
    crs = f"EPSG:{srids.pop()}" if srids else None
    parcels = gpd.GeoDataFrame(frame, geometry=gpd.GeoSeries(shapes, index=frame.index), crs=crs)
    return request.with_feature_ids(parcels, [str(number) for number in range(len(parcels))])


def table_digest(url: str, layer: str | None) -> str:
    """Return a hash of a table's rows, whatever their order: another content, another hash."""
    from psycopg import sql

    schema, table = _table(url, layer)
    name = sql.Identifier(*(part for part in (schema, table) if part))
    query = sql.SQL("SELECT count(*), sum(('x' || md5(t::text))::bit(64)::bigint::numeric) FROM {} t")
    with connect(url) as connection:
        row = connection.execute(query.format(name)).fetchone()
    return hashlib.sha256(repr([layer, *(row or ())]).encode()).hexdigest()


def _table(url: str, layer: str | None) -> tuple[str | None, str]:
    if not layer:
        raise DeclarationError(
            f"{safe_url(url)} is a database; name its table in `declarations.layer`, as schema.table."
        )
    schema, dot, table = layer.partition(".")
    return (schema, table) if dot else (None, layer)


def _columns(connection: Any, schema: str | None, table: str, url: str) -> tuple[list[str], str]:
    """Return the table's columns and the one that holds geometry."""
    found = connection.execute(
        "SELECT a.attname, t.typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
        "JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped "
        "AND (n.nspname = %s OR (%s::text IS NULL AND pg_table_is_visible(c.oid))) ORDER BY a.attnum",
        (table, schema, schema),
    ).fetchall()
    if not found:
        tables = [
            f"{row[0]}.{row[1]}"
            for row in connection.execute(
                "SELECT f_table_schema, f_table_name FROM geometry_columns ORDER BY 1, 2 LIMIT 50"
            )
        ]
        near = did_you_mean(f"{schema}.{table}" if schema else table, tables)
        raise DeclarationError(
            f"{safe_url(url)} has no table {table!r}.{near} Tables with geometry: {listed(tables)}."
        )
    geometry = [name for name, kind in found if kind == "geometry"]
    if len(geometry) != 1:
        raise DeclarationError(
            f"The table {table} has {len(geometry)} geometry columns ({listed(geometry)}); make a view "
            "that has one."
        )
    return [name for name, _ in found], geometry[0]
