"""The follow-up list: the parcels that a person should check, the most likely errors first."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from reports.embed import file_name
from reports.evidence import DOUBTED, STRENGTHS
from reports.options import PublishOptions
from reports.pages.sections.quality import Quality
from reports.run import RunTables

# how the reasons of parcels begin that a field visit settled (models.assessment.field_results.SETTLED)
SETTLED = "field_"
NORMAL_95 = 1.96


@dataclass(frozen=True)
class Recommendation:
    """The list that a run recommends.

    Attributes
    ----------
    rate
        Highest `q_value` on it; None where nothing is recommended.
    reason
        `asked`: the rate of the options. `likelier_wrong`: that list would be empty, so every parcel that is
        likelier wrong than right. `none`: there is no such parcel either.
    """

    rate: float | None
    reason: str


@dataclass(frozen=True)
class TurnOut:
    """Share of the contradicted parcels that turn out right: estimate, 95% interval, where it comes from."""

    value: float
    low: float | None
    high: float | None
    n: int
    source: str  # field, truth or model


def recommended(table: pl.DataFrame, asked: float) -> Recommendation:
    """Return the recommended list of a table with `q_value` and `likely_right` (`RunTables.table`).

    Examples
    --------
    >>> rows = pl.DataFrame({"q_value": [0.15, 0.3, 0.5], "likely_right": [0.15, 0.45, 0.9]})
    >>> recommended(rows, 0.2), recommended(rows, 0.1).rate
    (Recommendation(rate=0.2, reason='asked'), 0.3)
    """
    known = table.filter(pl.col("q_value").is_not_null())
    if len(known.filter(pl.col("q_value") <= asked)):
        return Recommendation(asked, "asked")
    likelier = known.filter(pl.col("likely_right") <= STRENGTHS["medium"])
    if not len(likelier):
        return Recommendation(None, "none")
    return Recommendation(
        _short(likelier["q_value"].cast(pl.Float64).max(), known["q_value"].cast(pl.Float64)),
        "likelier_wrong",
    )


def _short(rate: Any, rates: pl.Series) -> float:
    """Return the shortest number, of three decimals at least, up to which as many rates lie as up to `rate`.

    Examples
    --------
    >>> rates = pl.Series([0.1, 0.21182, 0.21195])
    >>> _short(0.21182, rates), _short(0.21182, rates[:2])
    (0.2119, 0.212)
    """
    uppers = (math.ceil(rate * 10**digits - 1e-9) / 10**digits for digits in (3, 4, 5))
    listed = (rates <= rate).sum()
    return next((upper for upper in uppers if (rates <= upper).sum() == listed), float(rate))


def candidates(run: RunTables, options: PublishOptions) -> pl.DataFrame:
    """Return every parcel that is given a sheet, in the list's order, with its `sheet` file name or null.

    Parcels whose stored `q_value` is at most `options.list_rate_limit`, all contradicted ones but those that
    a field visit settled, all whose predicted class is not the declared one, and all that grow more than one
    crop.
    """
    flagged = (pl.col("verdict") == DOUBTED) & ~pl.col("reason").str.starts_with(SETTLED)
    likely = (pl.col("q_value") <= options.list_rate_limit) | flagged
    listed = likely.fill_null(False)
    confused = (pl.col("predicted") != pl.col("crop_class")).fill_null(False)
    confused |= pl.col("reason") == "more_than_one_crop"
    rows = (
        run.table.filter(listed | confused)
        .with_columns(listed=listed)
        .sort(
            [~pl.col("listed"), "q_value", "probability", "parcel_id"],
            nulls_last=True,
            maintain_order=True,
        )
    )
    sheets = [file_name(parcel_id) for parcel_id in rows["parcel_id"].head(options.max_sheets)]
    return rows.with_columns(sheet=pl.Series(sheets + [None] * (len(rows) - len(sheets)), dtype=pl.String))


def turn_out(run: RunTables, quality: Quality) -> TurnOut | None:
    """Return how many of the contradicted parcels turn out right: by field visits, known truth or the model.

    The model's figure is the mean of the parcels' own chances; its interval adds the spread between
    holdings (bootstrap) and that of single outcomes, `p (1 - p) / n`. None where nothing is contradicted.
    """
    visited = _visited(run)
    if visited is not None:
        return visited
    measured = run.metrics.get("verdicts", {}).get("false_discovery_rate", {}).get("count")
    if run.metrics.get("reference") == "truth" and isinstance(measured, Mapping) and measured.get("n"):
        return _of(measured, "truth")
    flagged = (quality.table["verdict"] == DOUBTED) & quality.table["likely_right"].is_not_null()
    mask = flagged.cast(pl.Float64).to_numpy()
    if not mask.sum():
        return None
    right = quality.table["likely_right"].cast(pl.Float64).fill_null(0).to_numpy()
    share = quality.ratio("", right * mask, mask)
    single = NORMAL_95**2 * share.value * (1 - share.value) / share.n
    low, high = (share.value if bound is None else bound for bound in (share.low, share.high))
    below, above = (
        np.hypot(share.value - low, np.sqrt(single)),
        np.hypot(high - share.value, np.sqrt(single)),
    )
    low, high = max(0.0, float(share.value - below)), min(1.0, float(share.value + above))
    return TurnOut(share.value, low, high, share.n, "model")


def _visited(run: RunTables) -> TurnOut | None:
    if run.assessment is None or run.assessment.is_empty():
        return None
    rows = run.assessment.filter((pl.col("measure") == "commission") & (pl.col("unit") == "count"))
    row = rows.to_dicts()[0] if len(rows) else None
    known = row is not None and row["value"] is not None and row["value"] == row["value"] and row["n"]
    return _of(row, "field") if known and row is not None else None


def _of(estimate: Mapping[str, Any], source: str) -> TurnOut:
    return TurnOut(estimate["value"], estimate.get("low"), estimate.get("high"), estimate["n"], source)
