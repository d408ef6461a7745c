"""Unit amounts of the exchange: what parcels are claimed under, and the agency's list of them."""

from collections.abc import Iterable

import polars as pl

from features.declarations.schemes import SEVERAL
from features.exchange.cells import ExchangeError, need_columns, read_cells
from features.exchange.options import InterventionOptions
from features.exchange.quap.findings import FINDINGS
from features.exchange.quap.reader import QuapFile
from features.exchange.quap.tables import INTERVENTIONS
from features.messages.listed import listed
from features.messages.suggestions import did_you_mean

YES, NO = ("1", "true", "t", "yes", "y", "ja", "j", "1.0"), ("0", "false", "f", "no", "n", "nein", "0.0")


def unit_amounts(claimed: str | None) -> list[str]:
    """Return the unit amounts that a cell names: each stands in a row of its own in the exchange.

    Examples
    --------
    >>> unit_amounts("ECO_hay; BISS"), unit_amounts(None)
    (['ECO_hay', 'BISS'], [])
    """
    return list(dict.fromkeys(name.strip() for name in SEVERAL.split(claimed or "") if name.strip()))


def interventions_of(claimed: Iterable[str | None], options: InterventionOptions | None) -> QuapFile:
    """Return `interventions`: the agency's list, and behind it each unit amount claimed that it lacks.

    What is not stated, such as group, level and type where no list is given, stays empty, for `cropcheck
    validate` to list: unknown is not zero.

    Raises
    ------
    ExchangeError
        Where the list cannot be read, or lacks a column that was named.
    """
    given = pl.DataFrame(schema=dict.fromkeys(INTERVENTIONS.columns, pl.String))
    if options is not None:
        given = _given(options)
    known = set(given["ua"].to_list())
    cells_claimed = {cell for cell in claimed if isinstance(cell, str)}
    named = {name for cell in cells_claimed for name in unit_amounts(cell)}
    more = pl.DataFrame({"ua": sorted(named - known)}, schema={"ua": pl.String})
    cells = pl.concat([given, more], how="diagonal").select(INTERVENTIONS.columns.keys())
    return QuapFile(INTERVENTIONS, cells, None, None, pl.DataFrame(schema=FINDINGS))


def flag(text: str | None) -> str | None:
    """Return yes or no as 1 or 0, in the spellings people use; another text stays, for the check to find.

    Examples
    --------
    >>> [flag(text) for text in ("Ja", "0", "ekologisch", None)]
    ['1', '0', 'ekologisch', None]
    """
    word = (text or "").strip().lower()
    return "1" if word in YES else "0" if word in NO else text


def _given(options: InterventionOptions) -> pl.DataFrame:
    unknown = [name for name in options.columns if name not in INTERVENTIONS.columns]
    if unknown:
        near = did_you_mean(unknown[0], list(INTERVENTIONS.columns))
        raise ExchangeError(
            f"publish.interventions.columns: {listed(unknown)} are no columns of the exchange.{near}",
            "columns",
        )
    cells = read_cells(options.path)
    names = {wanted: options.columns.get(wanted, wanted) for wanted in INTERVENTIONS.columns}
    need_columns(cells, (names["ua"], *options.columns.values()), options.path)
    found = cells.select(
        (pl.col(name) if name in cells.columns else pl.lit(None, pl.String)).alias(wanted)
        for wanted, name in names.items()
    )
    return found.filter(pl.col("ua").is_not_null())
