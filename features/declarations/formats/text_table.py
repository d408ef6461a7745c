"""Tables of text: CSV files as spreadsheets and databases write them, every cell left as it is."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from features.declarations.cells.spelling import SPACES
from features.declarations.formats.dbf import named_encoding
from features.errors import DeclarationError

DELIMITERS = ",;\t|"
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # Excel's own first line
LONGEST_CELL = 2**24
QUOTE = '"'
AS_TEXT = re.compile(r'="(.*)"')  # how spreadsheets are kept from taking 001 for a number
Rows = list[list[str]]


def read_text_table(path: Path, encoding: str | None = None) -> pl.DataFrame:
    """Read a CSV whose cells all stay text: "001", "1.0", "NO" and "NA" are codes, no numbers or gaps.

    Comma, semicolon, tab or bar, whichever the heading has most of; UTF-8 with or without a byte order mark,
    UTF-16 with one, else `encoding`; only CR and LF end a row; lines that begin with `#` before the heading
    are comments. White space of any kind, as in-cell line breaks, is one space. A cell `="001"` is 001. Empty
    cells are null.

    Raises
    ------
    DeclarationError
        Where the file is missing, in another encoding, or a row is longer or shorter than the heading.
    """
    text = _without_comments(_decoded(path, encoding))
    separator = SEPARATOR_LINE.match(text)
    if separator:
        text = text[separator.end() :]
    if not text.strip():
        raise DeclarationError(f"The table {path} is empty; it needs a heading and rows.")
    heading, rows = _parsed(text, separator[1] if separator else _delimiter(text), path)
    names = [_cell(name) for name in heading]
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise DeclarationError(f"The table {path} has two columns {repeated[0]!r}; rename one of them.")
    columns = {name: [_cell(row[at]) or None for row in rows] for at, name in enumerate(names) if name}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def _cell(text: str) -> str:
    plain = SPACES.sub(" ", text).strip()
    as_text = AS_TEXT.fullmatch(plain)
    return as_text[1].strip() if as_text else plain


def _decoded(path: Path, encoding: str | None) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DeclarationError(
            f"The table {path} cannot be read: {error.strerror or error}. Check `declarations.crops.tables`."
        ) from error
    if content.startswith(b"PK\x03\x04"):
        raise DeclarationError(f"The table {path} is a spreadsheet or archive; save it as a CSV in UTF-8.")
    marked = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), None)
    wanted = marked or named_encoding(encoding or "utf-8", "declarations.crops.encoding")
    try:
        return content.decode(wanted).removeprefix("\ufeff")
    except UnicodeError as error:
        raise DeclarationError(
            f"The table {path} cannot be read as {wanted}: {error}. Save it as a CSV in UTF-8, or name its "
            "encoding in `declarations.crops.encoding`, for example CP1250 or CP1252."
        ) from error


def _without_comments(text: str) -> str:
    """Drop empty lines and comments before the heading."""
    start = re.match(r"(?:[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n))*", text)
    return text[start.end() :] if start else text


def _delimiter(text: str) -> str:
    """Return the mark that parts the heading into most cells, marks inside quotes left out."""
    return max(DELIMITERS, key=lambda mark: len(next(iter(_rows(text, mark, strict=False)), [])))


def _rows(text: str, delimiter: str, strict: bool, quoted: bool = True) -> Iterator[list[str]]:
    csv.field_size_limit(LONGEST_CELL)
    quoting: Any = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict, quoting=quoting)


def _parsed(text: str, delimiter: str, path: Path) -> tuple[list[str], Rows]:
    """Return the heading and the rows that are not blank, each as wide as the heading.

    Quotes inside a cell, as in `"barley "two-row""`, are part of it where the rows are whole that way.
    """
    try:
        parsed = [row for row in _rows(text, delimiter, strict=True) if any(cell.strip() for cell in row)]
        return _even(parsed, path)
    except (csv.Error, DeclarationError) as error:
        try:
            rows = _rows(text, delimiter, strict=False, quoted=False)
            plain = [[_unquoted(cell) for cell in row] for row in rows]
            return _even([row for row in plain if any(cell.strip() for cell in row)], path)
        except (csv.Error, DeclarationError):
            if isinstance(error, DeclarationError):
                raise error from None
            raise DeclarationError(
                f"The table {path} cannot be read: {error}. Close every quote; double those inside cells."
            ) from error


def _even(parsed: Rows, path: Path) -> tuple[list[str], Rows]:
    """Return heading and rows where all are as wide as the heading, blank cells beyond it dropped."""
    heading, *rows = parsed
    width = max((at for at, name in enumerate(heading, start=1) if name.strip()), default=0)
    cut = [row[:width] if not any(cell.strip() for cell in row[width:]) else row for row in rows]
    ragged = [number for number, row in enumerate(cut, start=1) if len(row) != width]
    if ragged:
        raise DeclarationError(
            f"{len(ragged)} rows of {path} do not have the heading's {width} cells, "
            f"first row {ragged[0]}; put quotes around cells that hold the delimiter."
        )
    return heading[:width], cut


def _unquoted(cell: str) -> str:
    bare = cell.strip()
    whole = len(bare) > 1 and bare.startswith(QUOTE) and bare.endswith(QUOTE)
    return bare[1:-1].replace(QUOTE * 2, QUOTE) if whole else cell
