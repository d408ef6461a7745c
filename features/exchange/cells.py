"""CSV files from people and agencies, every cell as text, with what spreadsheets do to them undone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import csv

from features.errors import CropcheckError
from features.messages.listed import listed
from features.messages.suggestions import did_you_mean

SHOWN = 5
FLOATED = r"^\d+\.0+$"


class ExchangeError(CropcheckError):
    """A list or table that cannot be used; `reason` is a short code."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message, reason=reason)


@dataclass(frozen=True)
class Coded:
    """A column whose texts repeat.

    Attributes
    ----------
    texts
        Each text once, or null, in the order in which they first stand in the column.
    codes
        `(row)`: the place of each cell's text in `texts`.
    """

    texts: pl.Series
    codes: np.ndarray

    def rows(self, wanted: pl.Series) -> pl.Series:
        """Return the rows of some texts, given as one bool a text."""
        return pl.Series(np.flatnonzero(wanted.to_numpy()[self.codes]))

    def with_texts(self, texts: pl.Series) -> "Coded":
        """Return the column with other texts in place of these; equal ones become one."""
        if texts.n_unique() == len(texts):
            return Coded(texts, self.codes)
        distinct = coded(texts)
        return Coded(distinct.texts, distinct.codes[self.codes])

    def column(self, name: str) -> pl.Series:
        """Return the column as categories."""
        texts = pa.array(self.texts.to_list(), pa.string())
        return pl.Series(name, pa.DictionaryArray.from_arrays(pa.array(self.codes, pa.int32()), texts))


def read_cells(path: Path) -> pl.DataFrame:
    """Read a CSV whose cells all stay text, so that "007" keeps its zeros; empty cells are null.

    Comma, semicolon or tab, whichever the heading has most of; UTF-8 with or without a byte order mark.

    Raises
    ------
    ExchangeError
        Where the file is missing, empty, not UTF-8, repeats a column, or has rows longer than the heading.
    """
    delimiter, names = _heading(path)
    try:
        table = pl.read_csv(
            path, separator=delimiter, infer_schema=False, encoding="utf8", new_columns=names, glob=False
        )
    except pl.exceptions.PolarsError as error:
        said = str(error).splitlines()[0]
        raise ExchangeError(
            f"{path} is no CSV in UTF-8 with one cell a column: {said} Save it again as CSV in UTF-8, with "
            "quotes around cells that hold the delimiter.",
            "unreadable",
        ) from error
    return table.select(_stripped(pl.all()))


def read_coded(path: Path) -> dict[str, Coded]:
    """Read a CSV as `read_cells` does, each column as its distinct texts: for long lists that repeat ids.

    Raises
    ------
    ExchangeError
        As `read_cells`.
    """
    delimiter, names = _heading(path)
    text = pa.dictionary(pa.int32(), pa.string())
    try:
        table = csv.read_csv(
            path,
            csv.ReadOptions(column_names=names, skip_rows=1),
            csv.ParseOptions(delimiter=delimiter),
            csv.ConvertOptions(column_types=dict.fromkeys(names, text)),
        )
    except pa.ArrowInvalid:  # cells with line ends, short rows, or a fault that `read_cells` words
        cells = read_cells(path)
        return {name: coded(cells[name]) for name in names}
    return {name: _coded_cells(column) for name, column in zip(names, table.columns, strict=True)}


def _coded_cells(column: pa.ChunkedArray) -> Coded:
    whole = column.unify_dictionaries().combine_chunks()
    texts = pl.Series(whole.dictionary, dtype=pl.String)
    cleaned = pl.select(_stripped(pl.lit(texts))).to_series()
    return Coded(texts, np.asarray(whole.indices)).with_texts(cleaned)


def _heading(path: Path) -> tuple[str, list[str]]:
    """Return a file's delimiter and the names of its columns."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            heading = file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ExchangeError(
            f"{path} cannot be read: {error}. Save it as CSV in UTF-8.", "unreadable"
        ) from error
    if not heading.strip():
        raise ExchangeError(f"{path} is empty or begins with an empty line; it needs a heading.", "empty")
    delimiter = delimiter_of(heading)
    names = [name.strip().strip('"').strip() for name in heading.split(delimiter)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ExchangeError(
            f"{path} has the columns {listed(repeated)} twice; remove one of each.", "columns"
        )
    return delimiter, names


def _stripped(cells: pl.Expr) -> pl.Expr:
    stripped = cells.str.strip_chars()
    return pl.when(stripped.str.len_bytes() > 0).then(stripped)


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
            f"{path} lacks the columns {listed(missing)}; it has {listed(table.columns)}.{near}",
            "missing_column",
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
    """Number texts `(n)` from 0 in the order in which they first appear: `(n)`.

    Examples
    --------
    >>> codes(pl.Series(["b", "a", "b"])).tolist()
    [0, 1, 0]
    """
    return coded(values).codes


def coded(values: pl.Series) -> Coded:
    """Return a column as its distinct texts."""
    physical = values.cast(pl.Categorical).to_physical()
    absent = int(physical.max() or 0) + 1  # type: ignore[arg-type]
    number = physical.fill_null(absent).to_numpy()
    first = np.full(absent + 1, -1, dtype=np.int64)
    first[number[::-1]] = np.arange(len(number))[::-1]
    met = np.flatnonzero(first >= 0)
    order = met[np.argsort(first[met], kind="stable")]
    place = np.zeros(absent + 1, dtype=np.int32)
    place[order] = np.arange(len(order))
    return Coded(values.gather(first[order]).cast(pl.String), place[number])
