"""Events through a season: what was reported once is refined or withdrawn with a reason, never silently
gone.
"""

from datetime import date

import polars as pl

from features.schema import EVENTS
from models.events.table import SEEN

SAME_DAYS = 20  # a later run's event this close is the same one, refined
WITHDRAWN = "withdrawn"
JOURNAL = pl.Schema([("as_of", pl.Date()), *EVENTS.items()])


def keep_reported(events: pl.DataFrame, journal: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Return a run's events, and those that an earlier one reported and this one does not.

    Parameters
    ----------
    journal
        Schema JOURNAL: what earlier runs reported. Rows of `as_of` or later are left out: a run repeated
        comes to the same.

    Returns
    -------
    pl.DataFrame
        Schema EVENTS; an event that is no longer reported has the reason `withdrawn`, and its evidence says
        when it was reported and how sure.
    """
    before = journal.filter((pl.col("as_of") < as_of) & (pl.col("reason") == SEEN)).sort("as_of")
    if before.is_empty():
        return events
    latest = before.unique(["parcel_id", "event", "date"], keep="last", maintain_order=True)
    now = events.filter(pl.col("reason") == SEEN).select("parcel_id", "event", now="date")
    near = latest.join(now, on=["parcel_id", "event"], how="inner").filter(
        (pl.col("date") - pl.col("now")).dt.total_days().abs() <= SAME_DAYS
    )
    key = ["parcel_id", "event", "date"]
    gone = latest.join(near.select(key), on=key, how="anti")
    gone = gone.unique(["parcel_id", "event", "date"], keep="last", maintain_order=True)
    said = pl.format(
        "reported on {} with a chance of {}; what was seen since does not bear it out.",
        pl.col("as_of").cast(pl.String),
        pl.col("probability").round(2).cast(pl.String),
    )
    withdrawn = gone.with_columns(evidence=said, reason=pl.lit(WITHDRAWN)).select(*EVENTS)
    doubted = withdrawn.select(key).with_columns(doubt=pl.lit(True))
    rest = events.join(doubted, on=key, how="left").filter(pl.col("doubt").is_null()).drop("doubt")
    return pl.concat([rest, withdrawn]).sort("parcel_id", "date", "event", maintain_order=True)


def add_to_journal(journal: pl.DataFrame, events: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Return the journal with what a run reports as of a day, in the place of what it reported before."""
    reported = events.filter(pl.col("reason") == SEEN).with_columns(as_of=pl.lit(as_of))
    kept = journal.filter(pl.col("as_of") != as_of)
    return pl.concat([kept, reported.select(*JOURNAL)]).sort("as_of", "parcel_id", "date", "event")
