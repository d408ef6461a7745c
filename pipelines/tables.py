"""The tables that stages hand to each other: read back, and written whole or not at all."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from features.catalog.access.hrefs import is_remote
from features.files import atomic_path, read_parquet, refuse_unvouched, scan_parquet, vouched_path
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    import geopandas as gpd

ROWS_PER_GROUP = 131_072
STAMPS = pl.Schema({"href": pl.String, "stamp": pl.String})
JOURNAL_CURE = (
    "take it from a backup, or delete it: what earlier runs reported as of earlier days is then not held to"
)


def read_declared(workspace: Workspace) -> "gpd.GeoDataFrame":
    """Read the declarations that the stage left."""
    import geopandas as gpd

    return gpd.read_parquet(workspace.declarations)


def read_facts(workspace: Workspace) -> pl.DataFrame:
    """Read the declarations without their outlines, which are the larger part."""
    names = scan_parquet(workspace.declarations).collect_schema().names()
    table = read_parquet(workspace.declarations, columns=[name for name in names if name != "geometry"])
    return table.with_columns(pl.col(pl.Null).cast(pl.String))  # a column that nobody filled


def read_event_journal(workspace: Workspace) -> pl.DataFrame:
    """Read what earlier runs of this folder reported of events, as of earlier days.

    Raises
    ------
    StageError
        Where it was altered since it was written.
    """
    return read_parquet(refuse_unvouched(workspace.event_journal, JOURNAL_CURE))


def read_acquired(workspace: Workspace) -> pl.DataFrame:
    """Read the acquisitions that `read` left (`features.schema.ACQUISITIONS`), every link as it opens."""
    return _with_hrefs(
        read_parquet(workspace.acquisitions), lambda href: _outwards(href, workspace.folder.resolve())
    )


def write_acquired(acquisitions: pl.DataFrame, workspace: Workspace) -> Path:
    """Write the acquisitions; links to files inside the run's folder hold wherever the folder is moved."""
    return write_table(relative_acquired(acquisitions, workspace), workspace.acquisitions)


def relative_acquired(acquisitions: pl.DataFrame, workspace: Workspace) -> pl.DataFrame:
    """Return acquisitions whose links to files inside the run's folder begin there."""
    return _with_hrefs(acquisitions, lambda href: _inwards(href, workspace.folder.resolve()))


def read_stamps(workspace: Workspace) -> dict[str, str]:
    """Return the stamps that `read` took of all assets, by link; nothing where it has not ended."""
    if not workspace.assets.is_file():
        return {}
    here = workspace.folder.resolve()
    rows = read_parquet(workspace.assets).select("href", "stamp").iter_rows()
    return {_outwards(href, here): stamp for href, stamp in rows}


def write_stamps(stamps: dict[str, str], workspace: Workspace) -> Path:
    """Write the stamps of all assets, in the order of their links."""
    here = workspace.folder.resolve()
    rows = sorted((_inwards(href, here), stamp) for href, stamp in stamps.items())
    return write_table(pl.DataFrame(rows, schema=STAMPS, orient="row"), workspace.assets)


def write_table(table: pl.DataFrame, path: Path) -> Path:
    """Write a Parquet table atomically."""
    with atomic_path(path) as partial:
        table.write_parquet(partial, compression="zstd", statistics=False)
    return path


def write_vouched(table: pl.DataFrame, path: Path) -> Path:
    """Write a table that later runs read and no receipt names (see `features.files.vouched_path`)."""
    with vouched_path(path) as partial:
        table.write_parquet(partial, compression="zstd", statistics=False)
    return path


def write_blocks(path: Path, blocks: Iterable[pl.DataFrame]) -> Path:
    """Write a Parquet table that comes in blocks, one at least, atomically.

    The row groups are of one size, however large the blocks are, and say which parcels they hold: a reader
    that wants some parcels skips the others.
    """
    rest = iter(blocks)
    first = next(rest)
    with block_writer(path, first.schema) as write:
        write(first)
        for block in rest:
            write(block)
    return path


@contextmanager
def block_writer(path: Path, schema: pl.Schema) -> Iterator[Callable[[pl.DataFrame], None]]:
    """Yield what writes a block of a table of this schema, as `write_blocks` does; the table is there at the
    end.
    """
    import pyarrow.parquet as pq

    waiting = schema.to_frame()
    arrow = waiting.to_arrow().schema
    known = [name for name in ("parcel_id",) if name in schema]
    with (
        atomic_path(path) as partial,
        pq.ParquetWriter(partial, arrow, compression="zstd", write_statistics=known) as writer,
    ):

        def write(block: pl.DataFrame) -> None:
            nonlocal waiting
            waiting = pl.concat([waiting, block])
            while len(waiting) >= ROWS_PER_GROUP:
                writer.write_table(waiting[:ROWS_PER_GROUP].rechunk().to_arrow().cast(arrow))
                waiting = waiting[ROWS_PER_GROUP:]

        yield write
        writer.write_table(waiting.rechunk().to_arrow().cast(arrow))


def hrefs_of(acquisitions: pl.DataFrame) -> list[str]:
    """Return the links of all assets, each once, in order."""
    return sorted(set(acquisitions["assets"].explode().struct.field("href").drop_nulls().to_list()))


def _with_hrefs(acquisitions: pl.DataFrame, change: Callable[[str], str]) -> pl.DataFrame:
    links = {href: change(href) for href in hrefs_of(acquisitions)}
    moved = pl.element().struct.with_fields(
        pl.element().struct.field("href").replace_strict(links, return_dtype=pl.String)
    )
    return acquisitions.with_columns(pl.col("assets").list.eval(moved)) if links else acquisitions


def _inwards(href: str, folder: Path) -> str:
    path = Path(href)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else href


def _outwards(href: str, folder: Path) -> str:
    inside = not (is_remote(href) or href.startswith("/"))
    return str(folder / href) if inside else href
