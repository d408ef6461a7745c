"""The tables that stages hand to each other: read back, and written whole or not at all."""

from pathlib import Path

import geopandas as gpd
import polars as pl

from features.files import atomic_path
from pipelines.workspace import Workspace


def read_declared(workspace: Workspace) -> gpd.GeoDataFrame:
    """Read the declarations that the stage left."""
    return gpd.read_parquet(workspace.declarations)


def write_table(table: pl.DataFrame, path: Path) -> Path:
    """Write a Parquet table atomically."""
    with atomic_path(path) as partial:
        table.write_parquet(partial, compression="zstd", statistics=False)
    return path
