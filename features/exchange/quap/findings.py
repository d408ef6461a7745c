"""Findings of a check: what is wrong, with which ids, and the cure."""

from collections.abc import Sequence

import polars as pl

SHOWN_IDS = 5
FINDINGS = pl.Schema(
    {
        "table": pl.String,
        "check": pl.String,  # a short code
        "column": pl.String,  # or null
        "id": pl.String,  # key of the row, parts joined by |; null where the finding is of the whole table
        "detail": pl.String,  # the value, or the other row
        "cure": pl.String,
    }
)


def findings(
    table: str,
    check: str,
    cure: str,
    ids: Sequence[str | None] | pl.Series = (None,),
    details: Sequence[str | None] | pl.Series | None = None,
    column: str | None = None,
) -> pl.DataFrame:
    """Return one finding an id; schema FINDINGS."""
    rows = len(ids)
    return pl.DataFrame(
        {
            "table": [table] * rows,
            "check": [check] * rows,
            "column": [column] * rows,
            "id": ids,
            "detail": [None] * rows if details is None else details,
            "cure": [cure] * rows,
        },
        schema=FINDINGS,
    )


def summary(found: pl.DataFrame) -> list[str]:
    """Return a line for each kind of finding: how many, the first ids, and the cure."""
    if found.is_empty():
        return []
    kinds = found.group_by("table", "check", "column", "cure", maintain_order=True).agg(
        pl.len(), pl.col("id").drop_nulls().head(SHOWN_IDS), pl.col("detail").drop_nulls().head(1)
    )
    lines = []
    for table, check, column, cure, count, ids, detail in kinds.iter_rows():
        named = f" ({', '.join(ids)}{', ...' if count > len(ids) else ''})" if ids else ""
        where = f"{table}.{column}" if column else table
        example = f", for example {detail}" if detail else ""
        lines.append(f"{where}: {check.replace('_', ' ')}, {count}{named}{example}. {cure}")
    return lines
