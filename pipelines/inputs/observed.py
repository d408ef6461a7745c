"""Observations of a run's parcels, some parcels at a time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from features.extraction.observations import read_observations, split_observations
from features.files import read_parquet
from features.series.chunks import chunks_of
from features.storage.scratch import scratch_folder
from pipelines.workspace import Workspace

STATISTICS = ("mean", "std")


@dataclass(frozen=True)
class Observed:
    """Observations in chunks of parcels.

    Attributes
    ----------
    chunks
        Positions of the parcels of each chunk.
    read
        Returns the observations of the chunk of a number, rows as `features.schema.OBSERVATIONS`, without
        statistics other than means and standard deviations.
    scan
        Those of all parcels, lazily.
    """

    chunks: list[slice]
    read: Callable[[int], pl.DataFrame]
    scan: pl.LazyFrame


@contextmanager
def observed(
    workspace: Workspace, parcel_ids: Sequence[str], features: Sequence[str], size: int
) -> Iterator[Observed]:
    """Yield the observations of `features`, `size` parcels at a time; few parcels are read at once."""
    chunks = chunks_of(len(parcel_ids), size)
    if len(chunks) == 1:
        table = read_observations(workspace.observations, features, STATISTICS)
        yield Observed(chunks, lambda number: table, table.lazy())
        return
    with scratch_folder(workspace.folder) as folder:
        ids = [parcel_ids[chunk] for chunk in chunks]
        paths = split_observations(workspace.observations, ids, folder, features, STATISTICS)
        yield Observed(chunks, lambda number: read_parquet(paths[number]), pl.scan_parquet(paths, glob=False))
