"""Tables of series that others extracted become observations, in the place of imagery."""

from collections.abc import Mapping
from pathlib import Path

import geopandas as gpd
import polars as pl

from features.extraction.observations import Remarks, write_part
from features.schema import PARCELS
from features.tables.reader import read_tables
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.inputs.points import table_files
from pipelines.record.inputs import Inputs
from pipelines.record.stage import Outcome, Stage
from pipelines.stages.extract import dates_of
from pipelines.tables import read_declared, write_table
from pipelines.workspace import Workspace

PART = "parts/tables.parquet"
TILE = "tables"


def stage(config: RunConfig) -> Stage:
    """Return the stage that stands where imagery would be extracted."""
    inputs = Inputs(
        options=("series.tables", "season"), after={"read": ("declarations.parquet",)}, files=_files
    )
    return Stage("extract", __name__, inputs, run)


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write the same tables as extraction does; what a table cannot say (pixels, shares) is null."""
    declarations, season = read_declared(workspace), config.season
    usable = declarations[declarations["reason"].isna()]["parcel_id"].tolist()
    last = min(season.end, season.until or season.end)
    found = read_tables(config.series.tables, usable, season.start, last)
    progress(1, 2)
    write_part(workspace.observations / PART, found.observations, Remarks())
    write_table(_index(found.observations), workspace.observations / "parts.parquet")
    write_table(found.context, workspace.observations / "context.parquet")
    write_table(_parcels(declarations, found.observations), workspace.parcels)
    write_table(dates_of(found.observations), workspace.table("dates"))
    write_table(found.features, workspace.table("series_tables"))
    progress(2, 2)
    outputs = [workspace.parcels, workspace.table("dates"), workspace.table("series_tables")]
    outputs += [workspace.observations / name for name in (PART, "parts.parquet", "context.parquet")]
    return Outcome(outputs, [found.tally])


def _files(config: RunConfig, workspace: Workspace) -> Mapping[str, Path]:
    return table_files(config)


def _index(observations: pl.DataFrame) -> pl.DataFrame:
    """Return the index of the one part, as `read_observations` reads it: one row, alone in its pass."""
    first = observations["datetime"].min()
    row = {"datetime": [first], "item_id": [TILE], "tile": [TILE], "part": [PART], "pass": [0], "rank": [0]}
    return pl.DataFrame(row)


def _parcels(declarations: gpd.GeoDataFrame, observations: pl.DataFrame) -> pl.DataFrame:
    """Return PARCELS of those that the tables hold; what a grid would leave of them is unknown."""
    seen = set(observations["parcel_id"].unique())
    rows = [
        (name, TILE, area, None, None, None)
        for name, area in zip(declarations["parcel_id"], declarations["area_ha"], strict=True)
        if name in seen
    ]
    return pl.DataFrame(rows, schema=PARCELS, orient="row")
