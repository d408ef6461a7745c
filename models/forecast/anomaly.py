"""Parcels that leave their interval for long: what came is not what was to be expected."""

from datetime import date, timedelta

import numpy as np
import polars as pl

from features.context.daily import Daily
from models.forecast.forecaster import Forecaster, forecast
from models.forecast.history import History
from models.forecast.learning.samples import Samples, seen_ahead

EVERY = 30  # days between the days from which the season is looked back on
AHEAD = 60  # days that each of them looks ahead
NEAR = 15  # days around its beginning in which an event may explain an anomaly
ANOMALIES = pl.Schema(
    [
        ("parcel_id", pl.String()),
        ("since", pl.Date()),  # first of the looks outside the 90% interval
        ("until", pl.Date()),  # and the last of them
        ("direction", pl.String()),  # below or above what was expected
        ("looks", pl.Int32()),  # in a row
        ("departure", pl.Float32()),  # mean distance from the forecast, NDVI
        ("made_on", pl.Date()),  # the day of the forecast that was left
        ("events", pl.List(pl.String)),  # reported around its beginning, "mowing 2024-06-12"
    ]
)


def find_anomalies(
    forecaster: Forecaster,
    history: History,
    fold: np.ndarray,
    days: tuple[int, int],
    events: pl.DataFrame,
    ahead: Daily | None = None,
) -> pl.DataFrame:
    """Return the first anomaly of every parcel that has one, schema ANOMALIES; `fold` is `(parcel)`.

    The season is looked back on from every 30th day: each look of the next 60 days is compared with what
    was forecast by models that did not see the parcel. So many looks in a row on one side of the 90% interval
    (`forecast.anomaly_looks`) are an anomaly.

    Parameters
    ----------
    days
        First and last day of the season, since the history's origin.
    events
        `parcel_id, event, date`; those reported within 15 days of its beginning are named.
    """
    samples = seen_ahead(history, np.arange(days[0], days[1], EVERY), AHEAD)
    samples = samples.take(samples.target <= days[1])
    if not len(samples):
        return ANOMALIES.to_frame()
    found = forecast(forecaster, history, samples, fold, ahead)
    side = (samples.truth > found.bounds[:, 3]).astype(int) - (samples.truth < found.bounds[:, 0]).astype(int)
    runs = longest_runs(samples, side, forecaster.options.anomaly_looks)
    named = _events_of(events)
    rows, taken = [], set()
    for first, last in sorted(runs, key=lambda run: (samples.parcel[run[0]], samples.target[run[0]])):
        parcel = int(samples.parcel[first])
        if parcel in taken:
            continue
        taken.add(parcel)
        name, since = history.parcel_ids[parcel], history.when(samples.target[first])
        of = slice(first, last + 1)
        explained = [
            f"{event} {day}" for event, day in named.get(name, []) if abs(day - since) <= timedelta(days=NEAR)
        ]
        rows.append(
            (
                name, since, history.when(samples.target[last]), "below" if side[first] < 0 else "above",
                last - first + 1, float(np.mean(samples.truth[of] - found.value[of])),
                history.when(samples.origin[first]), explained,
            )
        )  # fmt: skip
    return pl.DataFrame(rows, schema=ANOMALIES, orient="row")


def longest_runs(samples: Samples, side: np.ndarray, least: int) -> list[tuple[int, int]]:
    """Return first and last number of every run of samples on one side `(sample)`, not 0, that is long
    enough.

    Samples lie in the order of `seen_ahead`: parcel, day of the forecast, target. A run never joins two
    forecasts.
    """
    key = np.column_stack([samples.parcel, samples.origin, side])
    starts = np.flatnonzero(np.r_[True, (key[1:] != key[:-1]).any(1)])
    ends = np.r_[starts[1:], len(side)] - 1
    return [
        (int(a), int(b)) for a, b in zip(starts, ends, strict=True) if side[a] != 0 and b - a + 1 >= least
    ]


def _events_of(events: pl.DataFrame) -> dict[str, list[tuple[str, date]]]:
    named: dict[str, list[tuple[str, date]]] = {}
    for parcel, event, day in events.select("parcel_id", "event", "date").iter_rows():
        named.setdefault(parcel, []).append((event, day))
    return named
