"""Counts and hectares by verdict and by any other column of the verdict table."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from features.schema import VERDICTS_OF
from reports.embed import clean


@dataclass(frozen=True)
class Amount:
    """How many parcels, and how many hectares."""

    parcels: int
    hectares: float


@dataclass(frozen=True)
class Row:
    """One group of parcels, split by verdict."""

    name: str
    total: Amount
    by_verdict: dict[str, Amount]
    key: str | None = None  # the value that its parcels share

    @property
    def parts(self) -> list[tuple[str, float, float]]:
        """Return (verdict, start, width) of the group's bar, in percent of its parcels."""
        start, parts = 0.0, []
        for verdict, amount in self.by_verdict.items():
            width = 100 * amount.parcels / max(1, self.total.parcels)
            if amount.parcels:
                parts.append((verdict, round(start, 2), round(width, 2)))
            start += width
        return parts


def amount(table: pl.DataFrame) -> Amount:
    """Return the parcels and hectares of a part of the verdict table."""
    return Amount(len(table), float(table["area_ha"].cast(pl.Float64).fill_nan(0).sum()))


def split(table: pl.DataFrame, name: str = "", key: str | None = None) -> Row:
    """Return a part of the verdict table as one row, split by verdict."""
    by_verdict = {verdict: amount(table.filter(pl.col("verdict") == verdict)) for verdict in VERDICTS_OF}
    return Row(name, amount(table), by_verdict, key)


def group(table: pl.DataFrame, column: str, label: Callable[[str], str], absent: str) -> list[Row]:
    """Return one row per value of a column, largest first; parcels without a value stand under `absent`."""
    parts = table.partition_by(column, as_dict=True, maintain_order=True)
    rows = [
        split(part, absent, None) if key[0] is None else split(part, label(str(key[0])), clean(key[0]))
        for key, part in parts.items()
    ]
    return sorted(rows, key=lambda row: (-row.total.parcels, row.name))
