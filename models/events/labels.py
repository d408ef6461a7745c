"""Tables of what was done on parcels, as an agency has them: from records, visits or photographs."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from features.accounting import Tally, tally
from features.errors import ConfigError
from features.files import read_parquet
from features.limits import refuse_packed
from features.messages.listed import listed
from features.messages.suggestions import did_you_mean
from features.tables.files import separator_of
from models.events.intervals import Intervals
from models.events.kinds import EVENTS, kind_of
from models.events.series import EventSeries

log = logging.getLogger(__name__)
GREEN_COVER = "green_cover"  # a state that lasts; only markers read it
NOTHING = "none"  # a parcel that was watched and on which nothing was done
SCHEMA = {"parcel_id": pl.String, "event": pl.String, "first": pl.Date, "last": pl.Date, "exact": pl.Boolean}
VALID = (*EVENTS, GREEN_COVER, NOTHING)
LATER = "after_until"  # why a row is set aside that is of a day after the last that may be looked at
CLOSE_DAYS = 4  # an interval this close to a labelled day, beside the one that holds it, has weight 0


@dataclass(frozen=True)
class Labels:
    """What was done on the parcels that were watched.

    `events` has `parcel_id, event, first, last, exact`: the event happened (began, where it lasts) from
    `first` to `last`; `exact` where the day itself is known. `watched` are all parcels of the table, also
    those on which nothing was done; `kinds` the kinds of events that occur in the table.
    """

    events: pl.DataFrame
    watched: tuple[str, ...]
    kinds: tuple[str, ...]


def read_labels(
    path: Path, parcel_ids: Collection[str], start: date, end: date, until: date | None = None
) -> tuple[Labels, Tally]:
    """Read a table of labels: CSV (commas, semicolons or tabs) or Parquet with `parcel_id, event, date` and,
    for an interval, `until`.

    An event is one of `models.events.kinds`, `green_cover` (from `date` to `until`), or `none`: the parcel
    was watched and nothing was done (its date may be empty). Every kind that occurs in the table counts as
    watched on all of its parcels. Rows of unknown parcels, of days out of season and that say the same twice
    are set aside, and counted.

    Parameters
    ----------
    start, end
        First and last day of the season.
    until
        The day up to which may be looked: rows of later days are as if they were not there, and what lasts
        beyond it ends on it.

    Raises
    ------
    ConfigError
        Where the file or a column is missing, an event is unknown, a date cannot be read, or an interval is
        reversed.
    """
    table = _open(path)
    missing = [name for name in ("parcel_id", "event", "date") if name not in table.columns]
    if missing:
        raise ConfigError(
            f"The labels {path} lack the columns {listed(missing)}; they have {listed(table.columns)}. Write "
            "parcel_id, event and date, and until where only an interval is known."
        )
    if "until" not in table.columns:
        table = table.with_columns(until=pl.lit(None, pl.Date))
    table = table.with_columns(
        pl.col("parcel_id").cast(pl.String).str.strip_chars(),
        event=pl.col("event").cast(pl.String).str.strip_chars().str.to_lowercase(),
        first=_dates(table, "date"),
        last=_dates(table, "until"),
    )
    _refuse(table, path)
    table = table.with_columns(
        last=pl.coalesce("last", "first"), exact=pl.col("last").is_null() & pl.col("first").is_not_null()
    )
    later = pl.lit(value=False)
    if until is not None:
        lasting = pl.col("event").is_in([GREEN_COVER, *(name for name in EVENTS if kind_of(name).spell)])
        later = (pl.col("first") > until) | ((pl.col("last") > until) & ~lasting)
        table = table.with_columns(
            last=pl.when(lasting & ~later).then(pl.min_horizontal("last", pl.lit(until))).otherwise("last")
        )
    if table.is_empty():
        raise ConfigError(f"The labels {path} have no rows; write one for each event that was seen.")
    known = pl.col("parcel_id").is_in(list(parcel_ids))
    said = pl.struct("parcel_id", "event", "first", "last")
    outside = (pl.col("last") < start) | (pl.col("first") > end)
    reason = (
        pl.when(~known).then(pl.lit("unknown_parcel"))
        .when(later).then(pl.lit(LATER))
        .when(pl.col("event").ne(NOTHING) & outside).then(pl.lit("out_of_season"))
        .when(~said.is_first_distinct()).then(pl.lit("said_twice"))
    )  # fmt: skip
    judged = table.with_columns(reason=reason)
    kept = judged.filter(pl.col("reason").is_null())
    if kept.is_empty() and LATER not in judged["reason"]:
        strangers = judged["reason"].to_list().count("unknown_parcel")
        raise ConfigError(
            f"No row of the labels {path} can be used: of {len(table)}, {strangers} name parcels that are "
            f"not declared, the others lie outside {start} to {end}."
        )
    watched = judged.filter(pl.col("reason").is_null() | (pl.col("reason") == "out_of_season"))
    events = kept.filter(pl.col("event") != NOTHING)
    kinds = tuple(name for name in EVENTS if name in set(events["event"].to_list()))
    counted = tally("labels", "labels", judged["reason"].to_list())
    log.info("%s", counted)
    return Labels(
        events.select(*SCHEMA),
        tuple(sorted(set(watched["parcel_id"].to_list()))),
        kinds,
    ), counted


def _open(path: Path) -> pl.DataFrame:
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return read_parquet(path)
        file = refuse_packed(path)
        return pl.read_csv(file, infer_schema=False, glob=False, separator=separator_of(path))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigError(
            f"The labels {path} cannot be read: {error}. Write them as CSV or Parquet."
        ) from error


def _dates(table: pl.DataFrame, column: str) -> pl.Expr:
    text = pl.col(column)
    if table.schema[column] == pl.String:
        return text.str.strip_chars().str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
    return text.cast(pl.Date)


def _refuse(table: pl.DataFrame, path: Path) -> None:
    """Raise a ConfigError for what is certainly wrong, with the first rows of it."""
    unknown = [name for name in table["event"].unique().drop_nulls().sort() if name not in VALID]
    if unknown or table["event"].null_count():
        named = unknown[0] if unknown else "(empty)"
        near = did_you_mean(str(named), VALID)
        raise ConfigError(
            f"The labels {path} name the event {named!r}.{near} Events are {', '.join(VALID)}; `none` says "
            "that a parcel was watched and nothing was done."
        )
    undated = table.filter(pl.col("first").is_null() & (pl.col("event") != NOTHING))
    if len(undated):
        raise ConfigError(
            f"{len(undated)} labels of {path} have no date that can be read, first parcel "
            f"{undated['parcel_id'][0]} ({undated['date'][0]!r}); write dates as 2024-06-15."
        )
    if table.schema["until"] == pl.String:
        unread = table.filter(
            pl.col("last").is_null()
            & pl.col("until").str.strip_chars().ne("")
            & pl.col("until").is_not_null()
        )
        if len(unread):
            raise ConfigError(
                f"{len(unread)} labels of {path} have an `until` that cannot be read, first parcel "
                f"{unread['parcel_id'][0]} ({unread['until'][0]!r}); write dates as 2024-06-15."
            )
    reversed_ = table.filter(pl.col("last") < pl.col("first"))
    if len(reversed_):
        row = reversed_.row(0, named=True)
        raise ConfigError(
            f"{len(reversed_)} labels of {path} end before they begin, first parcel {row['parcel_id']} "
            f"({row['event']} from {row['first']} until {row['last']}); swap the two dates."
        )


def last_day(event: str, first: int, last: int) -> int:
    """Return the last day on which an event of a label can have happened: bare soil happens on its first day,
    however long it lies; grazing as long as it lasts.

    Examples
    --------
    >>> last_day("bare_soil", 10, 40), last_day("grazing", 10, 40), last_day("mowing", 10, 15)
    (10, 40, 15)
    """
    return first if kind_of(event).spell and event != "grazing" else last


def targets(
    intervals: Intervals, series: EventSeries, labels: Labels, event: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return `(interval,)` 1 where the event happened, and the training weight.

    An event that lasts marks every interval that it covers by half; one whose day is known, the interval that
    holds it; another, the interval that overlaps its days most. What lies within CLOSE_DAYS of it weighs 0.
    """
    y, weight = np.zeros(len(intervals), np.float32), np.ones(len(intervals), np.float32)
    first_of = np.searchsorted(intervals.row, np.arange(len(series) + 1))
    row_of = {name: row for row, name in enumerate(series.parcel_ids)}
    spell = event == "grazing"
    some = labels.events.filter(pl.col("event") == event)
    for name, first, last in some.select("parcel_id", "first", "last").iter_rows():
        row = row_of.get(name)
        if row is None:
            continue
        span = slice(first_of[row], first_of[row + 1])
        start, end = intervals.start[span], intervals.end[span]
        a = series.day(first)
        b = last_day(event, a, series.day(last))
        overlap = np.minimum(end, b) - np.maximum(start, a - 1)
        near = (start - CLOSE_DAYS <= b) & (end + CLOSE_DAYS >= a)
        held = overlap >= (np.minimum(end - start, b - a + 1) / 2 if spell else 1)
        if not held.any():
            weight[span] = np.where(near, 0, weight[span])
            continue
        if not spell:
            held &= overlap == overlap.max()
            held &= np.cumsum(held) == 1
        weight[span] = np.where(near & ~held & (y[span] == 0), 0, weight[span])
        y[span] = np.where(held, 1, y[span])
        weight[span] = np.where(held, 1, weight[span])
    return y, weight


def days_of(labels: Labels, event: str, series: EventSeries) -> dict[str, list[tuple[int, int]]]:
    """Return first and last day on which every event of a kind can have happened, by parcel."""
    found: dict[str, list[tuple[int, int]]] = {}
    some = labels.events.filter(pl.col("event") == event)
    for name, first, last in some.select("parcel_id", "first", "last").iter_rows():
        day = series.day(first)
        found.setdefault(name, []).append((day, last_day(event, day, series.day(last))))
    return found
