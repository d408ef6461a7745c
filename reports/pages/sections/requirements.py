"""What the pages say of requirements and events: counts, parcels, and how well both are known."""

from typing import Any

import polars as pl

from features.schema import MARKER_STATES
from reports.embed import clean
from reports.pages.sections.evaluation import stored
from reports.run import RunTables
from reports.translation import Text
from reports.words import marker_reason

MOST_LISTED = 500  # parcels of one requirement on the officer's page; the table markers has all
LISTED = ("not_met", "inconclusive")
MEASURES = ("precision", "recall", "f1", "date_mae_days", "date_bias_days", "mown_accuracy")
RATES = ("false_alarm_rate", "miss_rate", "decided_share")


def requirements_of(run: RunTables, listed: pl.DataFrame, text: Text) -> list[dict[str, object]]:
    """Return every requirement with the number of parcels in each state, and those to look at.

    Parameters
    ----------
    listed
        The follow-up list; its `sheet` links a parcel.
    """
    if run.markers is None or run.markers.is_empty():
        return []
    sheets = dict(listed.filter(pl.col("sheet").is_not_null()).select("parcel_id", "sheet").iter_rows())
    found = []
    for (name,), table in run.markers.group_by("requirement", maintain_order=True):
        counts = dict(table.group_by("state").len().iter_rows())
        order = pl.col("state").replace_strict({state: k for k, state in enumerate(LISTED)}, default=9)
        looked = table.filter(pl.col("state").is_in(LISTED)).sort(order, "p_value", "parcel_id")
        found.append(
            {
                "name": clean(name),
                "total": len(table),
                "counts": {state: int(counts.get(state, 0)) for state in MARKER_STATES},
                "parcels": [
                    {
                        "id": clean(row["parcel_id"]),
                        "sheet": sheets.get(row["parcel_id"]),
                        "state": row["state"],
                        "state_word": text.get(f"marker.{row['state']}", clean(row["state"])),
                        "reason": marker_reason(row, text),
                        "events": clean(", ".join(row["events"])),
                    }
                    for row in looked.head(MOST_LISTED).iter_rows(named=True)
                ],
                "more": max(len(looked) - MOST_LISTED, 0),
            }
        )
    return found


def event_rows(run: RunTables, text: Text) -> list[dict[str, object]]:
    """Return the scores of events, one row a kind and level, each measure with interval and n."""
    scores = stored(run, "event_scores")
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in scores.iter_rows(named=True) if scores is not None else ():
        key = (row["event"], row["by"], row["level"])
        one = rows.setdefault(
            key,
            {
                "event": text.get(f"event.{row['event']}", clean(row["event"]).replace("_", " ")),
                "by": text.get(f"by.{row['by']}", clean(row["by"]).replace("_", " ")),
                "level": text.written(clean(row["level"])),
            },
        )
        one[row["metric"]] = row
    return list(rows.values())


def marker_rows(run: RunTables) -> list[dict[str, object]]:
    """Return promised and measured rates of every requirement, and what its markers rest on.

    Rates are None where no truth is known, as in every region that is not simulated.
    """
    rates = stored(run, "marker_rates")
    rows: dict[str, dict[str, Any]] = {}
    nothing: dict[str, object] = {"parcels": 0, "calibrated": 0, "observations": None, **dict.fromkeys(RATES)}
    if run.markers is not None:
        for (name,), table in run.markers.group_by("requirement", maintain_order=True):
            rows[str(name)] = nothing | {
                "name": clean(name),
                "parcels": len(table),
                "calibrated": int(table["p_value"].is_not_null().sum()),
                "observations": table["n_observations"].median(),
            }
    for row in rates.iter_rows(named=True) if rates is not None else ():
        one = rows.setdefault(row["requirement"], nothing | {"name": clean(row["requirement"])})
        one[row["metric"]] = row
    return list(rows.values())
