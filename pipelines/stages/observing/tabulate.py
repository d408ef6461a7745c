"""Tables of series that others extracted become observations, in the place of imagery."""

from datetime import datetime
from pathlib import Path

import polars as pl

from features.extraction.observations import Remarks, each_pass, write_part
from features.files import read_parquet
from features.schema import PARCELS
from features.tables.reader import read_in_chunks
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.inputs.bounded_tables import refuse_large_series
from pipelines.record.stage import Outcome
from pipelines.stages.observing.extract import dates_of
from pipelines.tables import write_table
from pipelines.workspace import Workspace

TILE = "tables"


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write the same tables as extraction does; what a table cannot say (pixels, shares) is null."""
    refuse_large_series(config)
    declared = read_parquet(workspace.declarations, columns=["parcel_id", "area_ha", "reason"])
    usable, season = declared.filter(pl.col("reason").is_null())["parcel_id"], config.season
    last = min(season.end, season.until or season.end)
    parts = _Parts(workspace.observations)
    read = read_in_chunks(config.series.tables, usable, season.start, last, parts.take)
    progress(1, 2)
    write_table(parts.index(), workspace.observations / "parts.parquet")
    write_table(read.context, workspace.observations / "context.parquet")
    write_table(_parcels(declared, pl.concat(parts.seen)), workspace.parcels)
    write_table(dates_of(each_pass(workspace.observations)), workspace.table("dates"))
    write_table(read.features, workspace.table("series_tables"))
    progress(2, 2)
    outputs = [workspace.parcels, workspace.table("dates"), workspace.table("series_tables")]
    outputs += [workspace.observations / name for name in (*parts.names, "parts.parquet", "context.parquet")]
    return Outcome(outputs, [read.tally])


class _Parts:
    """The parts of the observations, one a chunk, and what their index needs of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []
        self.seen: list[pl.Series] = []  # of each part, its parcels
        self._first: list[datetime] = []

    def take(self, observations: pl.DataFrame) -> None:
        """Write the observations of one chunk."""
        name = f"parts/tables_{len(self.names):04d}.parquet"
        write_part(self.folder / name, observations, Remarks())
        self.names.append(name)
        self.seen.append(observations["parcel_id"].unique())
        self._first.append(observations["datetime"][0])

    def index(self) -> pl.DataFrame:
        """Return the index of the parts, as `read_observations` reads it: each alone in its pass."""
        count = len(self.names)
        return pl.DataFrame(
            {
                "datetime": self._first,
                "item_id": [TILE] * count,
                "tile": [TILE] * count,
                "part": self.names,
                "pass": range(count),
                "rank": [0] * count,
            }
        )


def _parcels(declared: pl.DataFrame, seen: pl.Series) -> pl.DataFrame:
    """Return PARCELS of those that the tables hold; what a grid would leave of them is unknown."""
    held = declared.filter(pl.col("parcel_id").is_in(seen.implode())).with_columns(tile=pl.lit(TILE))
    unknown = [name for name in PARCELS.names() if name not in held.columns]
    return held.with_columns(pl.lit(None).alias(name) for name in unknown).select(
        pl.col(name).cast(kind) for name, kind in PARCELS.items()
    )
