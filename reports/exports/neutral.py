"""Cells that a spreadsheet would run as a formula become text; numbers stay numbers."""

import re

import polars as pl

# what Excel, LibreOffice and Sheets take for a formula (OWASP, CSV Injection), full-width signs too
FORMULA = re.compile(r"^\s*[=+\-@＝＋－＠|%]|^[\t\r\n]")
NUMBER = re.compile(r"^[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?$")


def neutral(cell: str | None) -> str | None:
    """Put an apostrophe before a cell that begins like a formula and is no number.

    Examples
    --------
    >>> [neutral(cell) for cell in ("=1+1", "-5", "-5+cmd|' /C calc'!A0", "wheat", None)]
    ["'=1+1", '-5', "'-5+cmd|' /C calc'!A0", 'wheat', None]
    """
    if cell is None or NUMBER.match(cell) or not FORMULA.match(cell):
        return cell
    return f"'{cell}"


def neutral_table(table: pl.DataFrame) -> pl.DataFrame:
    """Neutralise every text column of a table."""
    columns = [name for name, kind in table.schema.items() if kind == pl.String]
    return table.with_columns(pl.col(name).map_elements(neutral, return_dtype=pl.String) for name in columns)
