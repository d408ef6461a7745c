"""How strong the evidence of the imagery against a declaration is: one word, and the numbers behind it."""

from typing import Any

import numpy as np
import polars as pl

from features.schema import Row
from models.verdicts.follow_up import chance_right

# highest chance that the declaration is right, by the model, for each word
STRENGTHS = {"strong": 0.2, "medium": 0.5, "weak": 1.0}
DOUBTED = "contradicted"


def with_strength(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table of verdicts with `likely_right` and `strength`.

    `likely_right` is the parcel's own chance that its declaration is right, null where it has none;
    `strength` is strong, medium or weak for a parcel that looks different or is likelier wrong than right,
    else null.

    Examples
    --------
    >>> rows = {"q_value": [0.1, 0.3, None], "verdict": ["contradicted", "confirmed", "no_data"]}
    >>> with_strength(pl.DataFrame(rows)).select("likely_right", "strength").rows()
    [(0.1, 'strong'), (0.5, 'medium'), (None, None)]
    """
    q = table["q_value"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    right = pl.Series("likely_right", chance_right(q).round(6)).fill_nan(None)
    word = [
        strength(verdict, chance)
        for verdict, chance in zip(table["verdict"].to_list(), right.to_list(), strict=True)
    ]
    return table.with_columns(right, pl.Series("strength", word, dtype=pl.String))


def strength(verdict: str, right: float | None) -> str | None:
    """Return the word of one parcel."""
    if right is None or (verdict != DOUBTED and right > STRENGTHS["medium"]):
        return None
    return next(word for word, most in STRENGTHS.items() if right <= most)


def numbers(row: Row, text: Any) -> list[tuple[str, str]]:
    """Return (what it is, value) of the numbers behind the word, each explained."""
    shown = [
        ("evidence.right", row.get("likely_right")),
        ("evidence.fits", row.get("probability")),
        ("evidence.list", row.get("q_value")),
    ]
    return [(text(key), text.percent(value)) for key, value in shown if value is not None]
