"""Tables of series divided by parcel, so that no more than a chunk of them is in memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from features.storage.scratch import scratch_folder
from features.tables.files import id_text, need, open_table
from features.tables.options import TableOptions
from features.tables.shapes import matched, wanted_columns

ROWS_AT_ONCE = 100_000  # of a table, while it is divided, at least
# of one chunk in a file, about: with few rows a file, files would grow in number with the square of the table
ROWS_PER_FILE = 4_000
MOST_ROWS_AT_ONCE = 2_000_000
ID, CHUNK = "id of cropcheck", "chunk of cropcheck"  # columns of the divided rows


@contextmanager
def chunks_of_parcels(
    tables: Sequence[TableOptions], chunk_of: pl.DataFrame, count: int
) -> Iterator[list[list[pl.LazyFrame]]]:
    """Yield `count` chunks, each the rows of some parcels in every table, in their order.

    One chunk stays where it is; for more, the rows are written anew, divided by parcel, to a temporary
    folder.

    Parameters
    ----------
    chunk_of
        As `chunk_numbers` returns it. Rows of other parcels are divided by a hash of their ids.
    """
    opened = [open_table(options.path) for options in tables]
    if count <= 1:
        yield [opened]
        return
    with scratch_folder() as folder:
        divided = [
            _divide(table, options, folder / str(number), chunk_of, count)
            for number, (table, options) in enumerate(zip(opened, tables, strict=True))
        ]
        yield [list(parts) for parts in zip(*divided, strict=True)]


def chunk_numbers(parcel_ids: pl.Series, count: int) -> pl.DataFrame:
    """Return `parcel_id, chunk`: parcels that follow each other share one of `count` chunks, about as large.

    Series are made of parcels in this order too: a chunk then meets few of theirs.

    Examples
    --------
    >>> chunk_numbers(pl.Series(["a", "b", "c", "d", "e"]), 2)["chunk"].to_list()
    [0, 0, 0, 1, 1]
    """
    chunk = pl.int_range(len(parcel_ids)) * count // max(len(parcel_ids), 1)
    return pl.select(parcel_id=parcel_ids.cast(pl.String), chunk=chunk.cast(pl.UInt64))


def values_of(tables: Sequence[TableOptions]) -> int:
    """Return how many values tables offer, empty ones counted."""
    return sum(_values(open_table(options.path), options) for options in tables)


def _values(table: pl.LazyFrame, options: TableOptions) -> int:
    rows = table.select(pl.len()).collect(engine="streaming").item()
    return int(rows) * len(_value_columns(table.collect_schema().names(), options))


def _value_columns(names: list[str], options: TableOptions) -> list[str]:
    if options.shape == "long":
        return [need(names, str(options.value), "values")]
    return wanted_columns(names, options) if options.shape == "wide" else list(matched(names, options))


def _divide(
    table: pl.LazyFrame, options: TableOptions, folder: Path, chunk_of: pl.DataFrame, count: int
) -> list[pl.LazyFrame]:
    """Write the columns that are read into `count` folders of Parquet, by parcel; return them, opened."""
    names = table.collect_schema().names()
    wanted = {options.parcel, options.date, options.feature, *options.keep, *_value_columns(names, options)}
    wanted |= {options.first} if isinstance(options.first, str) else set()
    ids = id_text(table, need(names, options.parcel, "parcel ids")).alias(ID)
    rows = table.select(*(name for name in names if name in wanted), ids)
    places, other = chunk_of.rename({"parcel_id": ID, "chunk": CHUNK}), pl.col(ID).hash() % count
    parts: list[list[Path]] = [[] for _ in range(count)]
    for number in range(count):
        (folder / str(number)).mkdir(parents=True)
    at_once = min(max(ROWS_AT_ONCE, count * ROWS_PER_FILE), MOST_ROWS_AT_ONCE)
    for turn, batch in enumerate(rows.collect_batches(chunk_size=at_once, maintain_order=True)):
        placed = batch.join(places, on=ID, how="left", maintain_order="left")
        numbered = placed.with_columns(pl.col(CHUNK).fill_null(other).fill_null(0)).drop(ID)
        for (key,), part in numbered.partition_by(CHUNK, as_dict=True, include_key=False).items():
            path = folder / str(key) / f"{turn:06d}.parquet"
            part.write_parquet(path, compression="lz4", statistics=False)
            parts[int(key)].append(path)
    empty = rows.drop(ID).clear()
    return [pl.scan_parquet(paths, glob=False) if paths else empty for paths in parts]
