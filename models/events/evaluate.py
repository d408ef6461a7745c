"""How well a run's events agree with what is known to have been done."""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

from models.events.kinds import EVENTS
from models.events.scoring import score_units
from models.events.table import SEEN

SCORES = pl.Schema(
    {
        "event": pl.String,
        "by": pl.String,  # all, gap, size, sensor
        "level": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
        "unit": pl.String,
    }
)
LEAST = 20  # parcels of a level below which nothing is scored


def event_scores(
    events: pl.DataFrame,
    known: pl.DataFrame,
    units: Sequence[str],
    groups: Mapping[str, str],
    levels: Mapping[str, Mapping[str, str]],
) -> pl.DataFrame:
    """Score the reported events of every kind: precision, recall, F1, date error, each with interval and n.

    Parameters
    ----------
    known
        `parcel_id, event, first`: what was done; on every parcel of `units`.
    groups
        Holding of each parcel, for the intervals.
    levels
        Breakdowns: by name, the level of each parcel.
    """
    seen = events.filter(pl.col("reason") == SEEN)
    rows: list[tuple] = []
    for event in EVENTS:
        found, expected = _days(seen, event, "date"), _days(known, event, "first")
        if not expected:
            continue
        rows += _scored(event, "all", "all", found, expected, units, groups)
        for by, level_of in levels.items():
            for level in sorted({level_of[unit] for unit in units if unit in level_of}):
                some = [unit for unit in units if level_of.get(unit) == level]
                if len(some) >= LEAST:
                    rows += _scored(event, by, level, found, expected, some, groups)
    return pl.DataFrame(rows, schema=SCORES, orient="row")


def _scored(
    event: str,
    by: str,
    level: str,
    found: dict[str, list[float]],
    expected: dict[str, list[float]],
    units: Sequence[str],
    groups: Mapping[str, str],
) -> list[tuple]:
    scores = score_units(found, expected, units, groups, draws=200)
    return [(event, by, level, s.metric, s.value, s.low, s.high, s.n, s.unit) for s in scores]


def _days(table: pl.DataFrame, event: str, column: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for parcel, day in table.filter(pl.col("event") == event).select("parcel_id", column).iter_rows():
        found.setdefault(parcel, []).append(_day_of_year(day))
    return found


def _day_of_year(day: date) -> float:
    return float(day.timetuple().tm_yday)
