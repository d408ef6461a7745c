"""Declarations that stand in a table of series itself: points with a crop code, one a parcel."""

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import polars as pl
import shapely

from features.errors import DeclarationError
from features.tables.files import id_text, need, open_table
from features.tables.options import LabelOptions, TableOptions
from features.tables.places import columns_of_places, degrees_of

COLUMNS = ("code", "holding", "intervention", "region")


def read_points(tables: Sequence[TableOptions], labels: LabelOptions) -> gpd.GeoDataFrame:
    """Return one row a parcel of the tables: `parcel_id, code, …` and a square of `pixel_m` about its point.

    Raises
    ------
    DeclarationError
        Where a parcel has two codes or two places, or none has a place.
    """
    wanted = {name: getattr(labels, name) for name in COLUMNS}
    parts = []
    for options in tables:
        table = open_table(options.path)
        names = table.collect_schema().names()
        columns = [
            pl.col(need(names, column, f"series.labels.{role}")).cast(pl.String, strict=False).alias(role)
            for role, column in wanted.items()
            if column is not None
        ]  # fmt: skip
        ids = id_text(table, need(names, options.parcel, "parcel ids")).alias("parcel_id")
        places = columns_of_places(names, labels)
        held = table.select(ids, *columns, *(pl.col(name).alias(f"place {name}") for name in places)).unique()
        found = held.collect(engine="streaming")
        degrees = degrees_of(found.select(pl.col("^place .*$").name.map(lambda name: name[6:])), options.path)
        parts.append(
            found.select(
                "parcel_id", *(role for role, column in wanted.items() if column is not None)
            ).with_columns(longitude=pl.Series(degrees[:, 0]), latitude=pl.Series(degrees[:, 1]))
        )
    rows = pl.concat(parts).unique().drop_nulls("parcel_id").sort("parcel_id")
    twice = rows.filter(pl.col("parcel_id").is_duplicated())["parcel_id"]
    if len(twice):
        raise DeclarationError(
            f"series.labels: {twice.n_unique()} parcels have several codes or places, first {twice[0]!r}; "
            "give each one, or name a column that tells them apart as `parcel`."
        )
    return _squares(rows, labels.pixel_m)


def _squares(rows: pl.DataFrame, side: float) -> gpd.GeoDataFrame:
    """Points as squares in the UTM zone of their middle; a point without a place has an empty geometry."""
    longitude, latitude = (rows[name].to_numpy().astype(float) for name in ("longitude", "latitude"))
    known = np.isfinite(longitude) & np.isfinite(latitude) & (np.abs(latitude) <= 90)
    if not known.any():
        raise DeclarationError(
            "series.labels: no parcel has a longitude and latitude; check the columns' names."
        )
    points = gpd.GeoSeries(gpd.points_from_xy(longitude[known], latitude[known]), crs=4326)
    metric = points.to_crs(points.estimate_utm_crs())
    shapes = np.full(len(rows), shapely.Polygon(), object)
    half = side / 2
    shapes[known] = shapely.box(metric.x - half, metric.y - half, metric.x + half, metric.y + half)
    columns = rows.drop("longitude", "latitude").to_pandas()
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=metric.crs)
