"""Areas as agencies write them: "12.675,00", "1 234.5", "1'234,50 ha" are read, or named as unread."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

NOT_DIGITS = re.compile(r"[\s\u00a0\u202f\u2009'’`_]")  # spaces and apostrophes between thousands
PLAIN = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
GROUPED = re.compile(r"[-+]?[0-9]{1,3}(?:[.,][0-9]{3})+")
UNIT = re.compile(r"\s*(?:ha|m2|m²|qm|are|a)\.?$", re.IGNORECASE)
NO_VALUE = ("nan", "na", "n/a", "null", "none")  # how programs write that nothing is known, in small letters
SPELLINGS = {"ha": ("ha",), "m2": ("m2", "m²", "qm"), "are": ("a", "are")}


@dataclass(frozen=True)
class Numbers:
    """A column read as numbers.

    Attributes
    ----------
    values
        float64, `(n,)`; NaN where the cell is blank or no number.
    unread
        The text of each cell that is not blank and no number, "" elsewhere, `(n,)`.
    """

    values: np.ndarray
    unread: np.ndarray


def read_numbers(column: pd.Series, unit: str = "ha") -> Numbers:
    """Read a column as float64, each cell by its own marks, and one that is ambiguous by the column's.

    Of two marks the last is the decimal mark, a mark that stands twice parts thousands, and a mark that is
    not followed by three digits is a decimal mark. "1.234" can be either: it is read as the other cells are,
    as a decimal point (or, in a column without points, a decimal comma) where they do not tell, and is
    unread where they contradict each other. So is a cell with another unit than `unit`.

    Examples
    --------
    >>> read_numbers(pd.Series(["12.675,00", "0,5", "1.234", None, "?"])).values.tolist()
    [12675.0, 0.5, 1234.0, nan, nan]
    >>> read_numbers(pd.Series(["1.234", "0.5 ha", "3 m2"])).unread.tolist()
    ['', '', '3 m2']
    """
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        values = pd.to_numeric(column).to_numpy(np.float64, na_value=np.nan)
        infinite = np.isinf(values)
        return Numbers(np.where(infinite, np.nan, values), np.where(infinite, values.astype(str), ""))
    texts = [_text(cell) for cell in column]
    bare = [_without_unit(text, unit) for text in texts]
    shared = _mark_of_column(bare)
    values = np.array([_number(text, decimal_mark(text) or shared) for text in bare], np.float64)
    unread = [text if text and np.isnan(value) else "" for text, value in zip(texts, values, strict=True)]
    return Numbers(values, np.array(unread, dtype=object))


def decimal_mark(text: str) -> str | None:
    """Return the decimal mark of a cell, "." or ","; None where it has no mark, or one that is ambiguous.

    Examples
    --------
    >>> [decimal_mark(text) for text in ("1.234,5", "1,234.5", "1.5", "1,5", "1.234.567", "1.234")]
    [',', '.', '.', ',', ',', None]
    """
    point, comma = text.rfind("."), text.rfind(",")
    if point < 0 and comma < 0:
        return None
    last, other = (".", ",") if point > comma else (",", ".")
    if min(point, comma) >= 0:
        return last
    if text.count(last) > 1:
        return other
    return None if GROUPED.fullmatch(text) else last


def _mark_of_column(texts: Iterable[str]) -> str:
    """Return the mark by which ambiguous cells are read, "" where the cells contradict each other."""
    filled = [text for text in texts if text]
    told = {mark for mark in map(decimal_mark, filled) if mark}
    if told:
        return told.pop() if len(told) == 1 else ""
    return "." if any("." in text for text in filled) or not any("," in text for text in filled) else ","


def _text(cell: object) -> str:
    return "" if cell is None or cell is pd.NA or cell != cell else str(cell).strip()  # noqa: PLR0124


def _without_unit(text: str, unit: str) -> str:
    """Return a cell's digits and marks, "" where it is blank or names another unit."""
    named = UNIT.search(text)
    if named and named[0].strip(" .").lower() not in SPELLINGS[unit]:
        return ""
    return NOT_DIGITS.sub("", UNIT.sub("", text))


def _number(text: str, decimal: str) -> float:
    if not decimal:  # ambiguous where the column's cells contradict each other, unless it has no mark
        return _plain(text) if text.isdecimal() else np.nan
    whole, mark, rest = text.rpartition(decimal) if decimal in text else (text, "", "")
    thousands = "," if decimal == "." else "."
    if thousands in rest or decimal in whole or (thousands in whole and not GROUPED.fullmatch(whole)):
        return np.nan
    return _plain(whole.replace(thousands, "") + (f".{rest}" if mark else ""))


def _plain(text: str) -> float:
    return float(text) if PLAIN.fullmatch(text) and np.isfinite(float(text)) else np.nan
