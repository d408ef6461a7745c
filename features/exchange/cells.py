"""CSV files from people and agencies, every cell as text, with what spreadsheets do to them undone."""

from pathlib import Path

import numpy as np
import polars as pl

from features.errors import CropcheckError
from features.suggestions import did_you_mean

SHOWN = 5
FLOATED = r"^\d+\.0+$"


class ExchangeError(CropcheckError):
    """A list or table that cannot be used; `reason` is a short code."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message, reason=reason)


def read_cells(path: Path) -> pl.DataFrame:
    """Read a CSV whose cells all stay text, so that "007" keeps its zeros; empty cells are null.

    Comma, semicolon or tab, whichever the heading has most of; UTF-8 with or without a byte order mark.

    Raises
    ------
    ExchangeError
        Where the file is missing, empty, not UTF-8, repeats a column, or has rows longer than the heading.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            heading = file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ExchangeError(
            f"{path} cannot be read: {error}. Save it as CSV in UTF-8.", "unreadable"
        ) from error
    if not heading.strip():
        raise ExchangeError(f"{path} is empty or begins with an empty line; it needs a heading.", "empty")
    names = [name.strip().strip('"').strip() for name in heading.split(delimiter_of(heading))]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ExchangeError(f"{path} has the columns {repeated} twice; remove one of each.", "columns")
    try:
        table = pl.read_csv(
            path,
            separator=delimiter_of(heading),
            infer_schema=False,
            encoding="utf8",
            new_columns=names,
            glob=False,
        )
    except pl.exceptions.PolarsError as error:
        said = str(error).splitlines()[0]
        raise ExchangeError(
            f"{path} is no CSV in UTF-8 with one cell a column: {said} Save it again as CSV in UTF-8, with "
            "quotes around cells that hold the delimiter.",
            "unreadable",
        ) from error
    stripped = pl.all().str.strip_chars()
    return table.with_columns(pl.when(stripped.str.len_bytes() > 0).then(stripped))


def delimiter_of(heading: str) -> str:
    """Return the delimiter of a heading.

    Examples
    --------
    >>> delimiter_of("a;b,c;d")
    ';'
    """
    return max(",;\t", key=heading.count)


def need_columns(table: pl.DataFrame, names: tuple[str, ...], path: Path) -> None:
    """Raise an ExchangeError that names the missing columns and the nearest ones there are."""
    missing = [name for name in names if name not in table.columns]
    if missing:
        near = did_you_mean(missing[0], table.columns)
        raise ExchangeError(
            f"{path} lacks the columns {missing}; it has {table.columns}.{near}", "missing_column"
        )


def rows_shown(rows: pl.Series) -> str:
    """Return the first row numbers, as a spreadsheet counts them.

    Examples
    --------
    >>> rows_shown(pl.Series([0, 4]))
    'rows 2, 6'
    """
    shown = ", ".join(str(row + 2) for row in rows.head(SHOWN).to_list())
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"row{'s' if len(rows) > 1 else ''} {shown}{more}"


def unfloat(ids: pl.Series) -> tuple[pl.Series, bool]:
    """Return ids without the ".0" that a spreadsheet or program gave all of them, and whether it did.

    Examples
    --------
    >>> unfloat(pl.Series(["7.0", "12.0"]))[0].to_list(), unfloat(pl.Series(["7.0", "a"]))[0].to_list()
    (['7', '12'], ['7.0', 'a'])
    """
    known = ids.drop_nulls()
    floated = len(known) > 0 and bool(known.str.contains(FLOATED).all())
    return (ids.str.replace(r"\.0+$", "") if floated else ids), floated


def codes(values: pl.Series) -> np.ndarray:
    """Number texts from 0 in the order in which they first appear.

    Examples
    --------
    >>> codes(pl.Series(["b", "a", "b"])).tolist()
    [0, 1, 0]
    """
    return np.asarray(values.to_arrow().dictionary_encode().indices)
