"""A table's rows of one parcel, found without reading those of the others."""

import polars as pl

from features.schema import Row


class RowsByParcel:
    """A table sorted once by parcel, so that the rows of each lie together.

    Examples
    --------
    >>> table = pl.DataFrame({"parcel_id": ["b", "a", "b"], "n": [1, 2, 3]})
    >>> [row["n"] for row in RowsByParcel(table).of("b")], RowsByParcel(None).of("b")
    ([1, 3], [])
    """

    def __init__(self, table: pl.DataFrame | None) -> None:
        self._spans: dict[str, tuple[int, int]] = {}
        if table is None or table.is_empty():
            return
        self._table = table.sort("parcel_id", maintain_order=True)
        runs = self._table["parcel_id"].rle().struct.unnest()
        starts = runs["len"].cum_sum() - runs["len"]
        for name, start, count in zip(runs["value"], starts, runs["len"], strict=True):
            self._spans[name] = (start, count)

    def of(self, parcel_id: str) -> list[Row]:
        """Return a parcel's rows, in the table's order."""
        span = self._spans.get(parcel_id)
        return self._table.slice(*span).to_dicts() if span else []
