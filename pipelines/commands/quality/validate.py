"""The tables of the QUAP exchange are checked before they are delivered."""

from pathlib import Path

import polars as pl

from features.exchange.quap.checks import check_relations, check_table
from features.exchange.quap.findings import summary
from features.exchange.quap.geometry import check_geometry
from features.exchange.quap.reader import quap_files, read_quap
from features.exchange.quap.tables import TABLES
from features.exchange.quap.writer import write_quap
from features.files import atomic_path, refuse_overwriting
from features.limits import DEFAULT_LIMITS
from reports.exports.neutral import neutral_table

BY_NAME = {table.name: table for table in TABLES}


def validate_tables(
    paths: list[Path],
    out: Path | None = None,
    write: Path | None = None,
    most_gib: float = DEFAULT_LIMITS.table_gib,
) -> tuple[str, int]:
    """Check a folder or files of the exchange; return what was found in words, and how many findings.

    Parameters
    ----------
    out
        CSV that every finding is written to.
    write
        Folder that the tables are written to as the platform takes them.
    most_gib
        What a table in Parquet may unpack to.

    Raises
    ------
    ExchangeError
        Where no table is found, or a file cannot be read at all.
    ConfigError
        Where what is written would take the place of what is read.
    """
    given = quap_files(paths)
    made = [write / f"{name}{ending}" for name in given for ending in (".csv", ".gpkg")] if write else []
    refuse_overwriting([*made, *([out] if out else [])], given.values())
    files = {name: read_quap(path, BY_NAME[name], most_gib) for name, path in given.items()}
    found = pl.concat(
        [*(check_table(file) for file in files.values()), check_relations(files), check_geometry(files)]
    )
    rows = sum(file.cells.height for file in files.values())
    absent = [name for name in BY_NAME if name not in files]
    lines = [f"{len(files)} tables, {rows} rows: {found.height} findings."]
    if absent:
        lines.append(f"Not given, so not checked: {', '.join(absent)}.")
    lines += summary(found)
    if out is not None:
        with atomic_path(out) as partial:
            neutral_table(found).write_csv(partial)
        lines.append(f"Every finding: {out}")
    if write is not None:
        written = [write_quap(file, write).name for file in files.values()]
        lines.append(f"Written to {write}: {', '.join(written)}")
    return "\n".join(lines), found.height
