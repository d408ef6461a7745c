"""QUAP tables written as the platform takes them: CSV with semicolons, geometry as GeoPackage, EPSG:4326."""

from pathlib import Path

import geopandas as gpd
import polars as pl
import shapely

from features.exchange.quap.reader import QuapFile
from features.exchange.quap.tables import AREA, EPSG, Table
from features.files import atomic_path
from features.storage.geopackage import write_geopackage

DECIMALS = 4  # of hectares


def write_quap(file: QuapFile, folder: Path) -> Path:
    """Write one table under its own name; ids stay text, hectares get four decimals.

    What is no number stays as it is, for the check to find. Geometry is transformed, never repaired.

    Returns
    -------
    Path
        `<table>.gpkg` where the table has geometry, else `<table>.csv`.
    """
    cells = _cells(file.cells, file.table)
    if file.shapes is None:
        path = folder / f"{file.table.name}.csv"
        with atomic_path(path) as partial:
            cells.write_csv(partial, separator=";")
        return path
    shapes = gpd.GeoSeries(shapely.force_2d(file.shapes), crs=file.epsg or EPSG).to_crs(EPSG)
    frame = gpd.GeoDataFrame(cells.to_pandas(), geometry=shapes)
    path = folder / f"{file.table.name}.gpkg"
    with atomic_path(path) as partial:
        write_geopackage(frame, partial, file.table.name)
    return path


def _cells(cells: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Put the table's columns first and round its areas."""
    ordered = [name for name in table.columns if name in cells.columns]
    others = [name for name in cells.columns if name not in table.columns]
    areas = [name for name in ordered if table.columns[name] == AREA]
    rounded = [
        pl.col(name).cast(pl.Float64, strict=False).round(DECIMALS).cast(pl.String).fill_null(pl.col(name))
        for name in areas
    ]
    return cells.select(*ordered, *others).with_columns(rounded)
