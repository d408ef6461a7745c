"""The cells of an agency's columns as the text that the agency meant."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from decimal import Decimal

import numpy as np
import pandas as pd

from features.declarations.cells.spelling import plain_code
from features.errors import DeclarationError

LIST_MARK = ";"
LARGEST_EXACT = 2**53  # above, float64 does not tell neighbouring integers apart
# signs of text read in another encoding than it was written in: C1 controls, the replacement character
BROKEN_LETTERS = re.compile("[\u0080-\u009f\ufffd]")


def cell_text(value: object) -> str | None:  # noqa: PLR0911 (one return a kind of cell)
    """Return one cell as text: 120.0 as "120", "120.0" and "001" as they are, blanks and NaN as None.

    A list is its texts with ";" between; bytes that are no text, such as a UUID's, are written in
    hexadecimal; what text files cannot hold (NUL, half of a surrogate pair) is written as an escape.

    Examples
    --------
    >>> [cell_text(value) for value in (120.0, "1.0", "001", "NO", 0.5, " ", float("nan"), None)]
    ['120', '1.0', '001', 'NO', '0.5', None, None, None]
    >>> [cell_text(value) for value in (["110", "120"], [], {"code": "1"}, "A" + chr(0), True)]
    ['110;120', None, '{"code": "1"}', 'A\\\\x00', 'True']
    >>> cell_text(b"A1"), cell_text(bytes([32, 200, 9]))
    ('A1', '20c809')
    """
    if isinstance(value, str):
        return printable(value.strip()) or None
    if isinstance(value, (list, tuple, np.ndarray)):
        return LIST_MARK.join(list_texts(value)) or None
    if isinstance(value, dict):
        return printable(json.dumps(value, default=str, ensure_ascii=False))
    if isinstance(value, bytes):
        return _bytes_text(value)
    if value is None or value is pd.NaT or value is pd.NA or value != value:  # noqa: PLR0124 (NaN alone differs from itself)
        return None
    if isinstance(value, (float, np.floating, Decimal)) and np.isfinite(float(value)) and value == int(value):
        return str(int(value))
    return str(value)


def _bytes_text(value: bytes) -> str | None:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return value.hex()
    return value.hex() if any(unicodedata.category(sign) == "Cc" for sign in text) else text.strip() or None


def list_texts(cell: Iterable[object]) -> list[str]:
    """Return the texts of a list that stands in one cell, blanks dropped."""
    return [text for text in map(cell_text, cell) if text is not None]


def printable(text: str) -> str:
    """Return the text with NUL and lone surrogates written as escapes.

    Examples
    --------
    >>> printable("a" + chr(0xD800) + chr(0)) == r"a\\ud800\\x00", printable("Žito")
    (True, 'Žito')
    """
    return text.replace("\0", "\\x00").encode("utf-8", errors="backslashreplace").decode("utf-8")


def is_escaped(value: object) -> bool:
    """Say whether a cell holds what text files cannot, so that `cell_text` altered it."""
    return isinstance(value, str) and printable(value) != value


def text_column(column: pd.Series, render: Callable[[object], str | None] = cell_text) -> pd.Series:
    """Return a column as text, null where blank; each distinct value is rendered once."""
    if any(isinstance(value, (list, tuple, np.ndarray, dict)) for value in column.iloc[:1000]):
        return pd.Series([render(value) for value in column], index=column.index, dtype=object)
    try:
        keys, values = pd.factorize(column, use_na_sentinel=True)
    except (TypeError, UnicodeError):  # a list cannot be hashed, half of a surrogate pair not be stored
        return pd.Series([render(value) for value in column], index=column.index, dtype=object)
    texts = np.array([*(render(value) for value in values), None], dtype=object)
    return pd.Series(texts[keys], index=column.index, dtype=object)


def refuse_inexact(column: pd.Series, name: str, path: str) -> None:
    """Raise a DeclarationError where ids or codes came as floats above 2**53, whose last digits are lost."""
    if pd.api.types.is_float_dtype(column):
        large = np.abs(column.to_numpy(np.float64, na_value=np.nan)) >= LARGEST_EXACT
    elif column.dtype == object:
        large = np.array([isinstance(v, float) and abs(float(v)) >= LARGEST_EXACT for v in column])
    else:
        return
    if large.any():
        first = column[large].iloc[0]
        raise DeclarationError(
            f"The column {name!r} of {path} is one of decimals, and {int(large.sum())} of its values, such "
            f"as {first:.0f}, have more digits than a decimal number holds exactly: they are not what was "
            "written. Store the column as text or as integers."
        )


def code_text(value: object) -> str | None:
    """Return a code or a crop's name: Unicode composed (NFC), single spaces between words, nothing unseen.

    Examples
    --------
    >>> code_text(" Prosa\u00a0 zwyczajne ") == "Prosa zwyczajne", code_text("Z" + chr(0x30C)) == "Ž"
    (True, True)
    >>> code_text("\ufeff110\u200b")
    '110'
    """
    text = cell_text(value)
    return None if text is None else plain_code(text)


def split_codes(column: pd.Series, separator: str | None) -> tuple[pd.Series, pd.Series, int]:
    """Return the first and the second crop of each cell, and how many cells name a third.

    Lists are taken apart as they are, texts at `separator` where it is given.
    """
    parts = [_parts(value, separator) for value in column]
    first, second = (
        pd.Series([cell[at] if len(cell) > at else None for cell in parts], index=column.index, dtype=object)
        for at in (0, 1)
    )
    return first, second, sum(len(cell) > 2 for cell in parts)


def _parts(value: object, separator: str | None) -> list[str]:
    texts = list_texts(value) if isinstance(value, (list, tuple, np.ndarray)) else [cell_text(value) or ""]
    pieces = [piece for text in texts for piece in (text.split(separator) if separator else [text])]
    return [code for code in map(plain_code, pieces) if code]


def looks_broken(texts: Iterable[str]) -> tuple[str, str] | None:
    """Return a text that was read in a wrong encoding and what it may have been; None where none looks so.

    Examples
    --------
    >>> looks_broken(["wheat", "Žito".encode().decode("latin-1")])
    ('Å½ito', 'Žito')
    >>> looks_broken(["Žito", "é", "Gräser"]) is None
    True
    """
    for text in texts:
        if text.isascii():
            continue
        for encoding in ("latin-1", "cp1252"):
            try:
                return text, text.encode(encoding).decode("utf-8")
            except UnicodeError:
                continue
        if BROKEN_LETTERS.search(text):
            return text, ""
    return None
