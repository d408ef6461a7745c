"""How well a run's events agree with what is known to have been done."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from models.events.kinds import EVENTS
from models.events.scoring import counts_of, names_of, score_counts
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
DRAWS = 200
EVERY_DAY = (-np.inf, np.inf)  # a season may begin in October and cross New Year
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
    names, parts = names_of(units, groups), list(_parts(units, levels))
    for event in EVENTS:
        found, expected = _days(seen, event, "date"), _days(known, event, "first")
        if not expected:
            continue
        counts = counts_of(found, expected, units, season=EVERY_DAY)
        for by, level, chosen in parts:
            scores = score_counts(counts[chosen], names[chosen], draws=DRAWS)
            rows += [(event, by, level, s.metric, s.value, s.low, s.high, s.n, s.unit) for s in scores]
    return pl.DataFrame(rows, schema=SCORES, orient="row")


def _parts(
    units: Sequence[str], levels: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield all units, then those of each level that has enough: breakdown, level, and `(unit,)` bool."""
    yield "all", "all", np.ones(len(units), bool)
    for by, level_of in levels.items():
        own = np.array([level_of.get(unit, "") for unit in units], dtype=str)
        for level in sorted({level_of[unit] for unit in units if unit in level_of}):
            if (own == level).sum() >= LEAST:
                yield by, level, own == level


def _days(table: pl.DataFrame, event: str, column: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for parcel, day in table.filter(pl.col("event") == event).select("parcel_id", column).iter_rows():
        found.setdefault(parcel, []).append(float(day.toordinal()))
    return found
