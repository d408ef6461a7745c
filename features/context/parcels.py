"""Elevation and soil of each parcel, for the crop models."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl
import xarray as xr

from features.errors import ConfigError
from features.imagery.rasters.opening import open_raster
from features.schema import Row, check_columns


def parcel_context(
    declarations: gpd.GeoDataFrame, soil: Path | None = None, elevation: Path | None = None
) -> pl.DataFrame:
    """Return what maps say of each parcel.

    Parameters
    ----------
    declarations
        Geometry and `parcel_id`; empty geometries have no context.
    soil
        Raster of soil classes (whole numbers).
    elevation
        Raster of elevation in metres.

    Returns
    -------
    polars.DataFrame
        One row a parcel, in order: `parcel_id`; `elevation_m`, the mean, and `elevation_range_m`;
        `soil_<class>`, the share of the parcel's area in each class, 0 to 1. Null where the map does not
        reach.

    Raises
    ------
    ImageryError
        Where a raster cannot be read or has no coordinate system.
    """
    columns: dict[str, Any] = {"parcel_id": declarations["parcel_id"].to_list()}
    if elevation is not None:
        found = raster_statistics(declarations, elevation, ["mean", "min", "max"])
        columns["elevation_m"] = [row.get("mean") for row in found]
        columns["elevation_range_m"] = [_difference(row) for row in found]
    if soil is not None:
        shares = [_shares(row) for row in raster_statistics(declarations, soil, ["unique", "frac"])]
        for kind in sorted({kind for row in shares for kind in row}):
            columns[f"soil_{kind}"] = [row.get(kind, 0.0) if row else None for row in shares]
    schema = {name: pl.String if name == "parcel_id" else pl.Float64 for name in columns}
    return pl.DataFrame(columns, schema=schema).with_columns(pl.col(pl.Float64).fill_nan(None))


def _difference(row: Row) -> float | None:
    low, high = row.get("min"), row.get("max")
    return None if low is None or high is None else float(high) - float(low)


def _shares(row: Row) -> dict[int, float]:
    kinds, shares = row.get("unique"), row.get("frac")
    return (
        {} if kinds is None or shares is None else dict(zip(map(int, kinds), map(float, shares), strict=True))
    )


def raster_statistics(declarations: gpd.GeoDataFrame, path: Path, operations: list[str]) -> list[Row]:
    """Return coverage-weighted statistics of a raster, one dict a parcel: by operation, or by band and
    operation (`band_1_mean`) where there are several bands; an empty one where the parcel has no outline.
    """
    from exactextract import exact_extract

    usable = np.asarray(~(declarations.geometry.is_empty | declarations.geometry.isna()))
    with open_raster(str(path)) as raster:
        if raster.crs is None:
            raise ConfigError(f"{path} has no coordinate system; write one into it (gdal_edit -a_srs).")
        outlines = (
            declarations.loc[usable, ["geometry"]].to_crs(raster.crs).assign(row=np.flatnonzero(usable))
        )
        by_block = {"strategy": "raster-sequential", "include_cols": ["row"]}
        found = exact_extract(raster, outlines, operations, **by_block) if usable.any() else []
    rows: list[Row] = [{} for _ in range(len(declarations))]
    for properties in (dict(feature["properties"]) for feature in found):
        at = properties.pop("row")
        rows[at] = {name: value for name, value in properties.items() if value is not None}
    return rows


def attach_context(series: xr.Dataset, context: pl.DataFrame) -> xr.Dataset:
    """Return the ParcelSeries with `context (parcel, variable)`, float32, NaN where unknown.

    Raises
    ------
    SchemaError
        Where the table has no `parcel_id`.
    """
    check_columns(context.columns, ["parcel_id"], "The context table")
    ids = [str(parcel) for parcel in series["parcel"].values]
    wanted = pl.DataFrame({"parcel_id": ids}, schema={"parcel_id": pl.String})
    joined = wanted.join(context, on="parcel_id", how="left", validate="m:1", maintain_order="left")
    names = [name for name in context.columns if name != "parcel_id"]
    values = (
        joined.select(pl.col(names).cast(pl.Float32)).to_numpy() if names else np.empty((wanted.height, 0))
    )
    held = xr.DataArray(
        values.astype(np.float32),
        dims=("parcel", "variable"),
        coords={"variable": np.array(names, dtype=object)},
    )
    return series.assign(context=held)
