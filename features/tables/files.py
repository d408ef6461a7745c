"""Table files opened lazily: Parquet, partitioned folders of it, and CSV, by pattern; ids stay text."""

from pathlib import Path

import polars as pl

from features.errors import ConfigError
from features.limits import refuse_packed
from features.messages.suggestions import did_you_mean

EXACT = 2**53  # beyond it a float64 no longer tells whole numbers apart
PARQUET = (".parquet", ".geoparquet", ".pq")
TEXT = (".csv", ".txt", ".tsv")


def files_of(path: str) -> list[Path]:
    """Return the files that a path, pattern or folder names, sorted.

    Raises
    ------
    ConfigError
        Where it names none, or files of other kinds.
    """
    there = Path(path)
    if there.is_dir():
        found = sorted(file for file in there.rglob("*") if file.suffix.lower() in (*PARQUET, *TEXT))
    elif there.is_file():
        found = [there]
    else:
        found = _matching(there)
    if not found:
        raise ConfigError(
            f"series.tables: {path} names no table; give a Parquet or CSV file, folder or pattern."
        )
    odd = [file for file in found if file.suffix.lower() not in (*PARQUET, *TEXT)]
    if odd:
        raise ConfigError(f"series.tables: {odd[0]} is neither Parquet nor CSV, by its name; convert it.")
    return found


def _matching(pattern: Path) -> list[Path]:
    """Return the files that a pattern such as `data/*/part-*.csv` names, sorted."""
    magic = [index for index, part in enumerate(pattern.parts) if set(part) & set("*?[")]
    if not magic:
        return []
    root = Path(*pattern.parts[: magic[0]])
    return sorted(file for file in root.glob(str(Path(*pattern.parts[magic[0] :]))) if file.is_file())


def open_table(path: str) -> pl.LazyFrame:
    """Open a table lazily; text files come as text, their separator (comma, semicolon or tab) found.

    Raises
    ------
    ConfigError
        Where a file is no such table.
    """
    files = files_of(path)
    try:
        if files[0].suffix.lower() in PARQUET:
            root = path if Path(path).is_dir() else files
            table = pl.scan_parquet(
                root, hive_partitioning=Path(path).is_dir(), missing_columns="insert", glob=False
            )
        else:
            for file in files:
                refuse_packed(file)
            table = pl.scan_csv(files, infer_schema=False, separator=separator_of(files[0]), glob=False)
        table.collect_schema()
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"series.tables: {path} cannot be read as a table ({error}).") from error
    return table


def separator_of(file: Path) -> str:
    """Return what parts the cells of a text file: of comma, semicolon and tab the commonest in line one."""
    with file.open(encoding="utf-8", errors="replace") as handle:
        head = handle.readline()
    return max((",", ";", "\t"), key=head.count)


def need(columns: list[str], name: str, role: str) -> str:
    """Return the name of a column that must be there; else a ConfigError with the nearest one."""
    if name not in columns:
        shown = ", ".join(columns[:30]) + (" …" if len(columns) > 30 else "")
        raise ConfigError(
            f"series.tables: there is no column {name!r} ({role}).{did_you_mean(name, columns)} "
            f"The table has {shown}."
        )
    return name


def id_text(table: pl.LazyFrame, column: str) -> pl.Expr:
    """Return an expression for parcel ids as text.

    Raises
    ------
    ConfigError
        Where ids are stored as fractions, or as float64 beyond 2^53, where they are no longer exact.
    """
    kind = table.collect_schema()[column]
    if not kind.is_float():
        return pl.col(column).cast(pl.String).str.strip_chars()
    ids = pl.col(column)
    found = table.select(broken=(ids != ids.round(0)).any(), largest=ids.abs().max()).collect().row(0)
    if found[0] or (found[1] or 0) >= EXACT:
        raise ConfigError(
            f"series.tables: the parcel ids in {column!r} are floating-point numbers that have lost digits; "
            "export the column as text."
        )
    return ids.cast(pl.Int64).cast(pl.String)
