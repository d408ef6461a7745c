"""Series on steps of equal length, as a sequence network reads them, and labels on the same steps."""

import numpy as np
import polars as pl

from models.events.intervals import Intervals, centred
from models.events.kinds import EVENTS
from models.events.labels import CLOSE_DAYS, Labels, last_day
from models.events.series import CHANNELS, RADAR, EventSeries

STEP_DAYS = 6  # the revisit of one Sentinel-1 orbit with two satellites
ORBITS = 2  # the orbits with most passes have channels of their own; the last of these takes the rest as well
FAR_DAYS = 60.0  # a gap this long counts as the longest
SCALED = len(CHANNELS) + ORBITS * len(RADAR)  # channels of measured values, the first ones
INPUTS = (
    SCALED + 1 + ORBITS + 4
)  # then: seen, passed by orbit, days since and to a look, season's sine, cosine

READ = INPUTS + 2 * len(CHANNELS)  # with the looks before and after each step


def n_steps(series: EventSeries) -> int:
    """Return how many steps the days of a series take."""
    last = max((int(days[-1]) for days in (series.days, series.radar_days) if len(days)), default=0)
    return last // STEP_DAYS + 1


def layout(series: EventSeries) -> np.ndarray:
    """Return `(parcel, step, INPUTS)` float32.

    Sentinel-2's channels averaged over a step, Sentinel-1's by orbit, less each parcel's mean; NaN where
    nothing was measured. Behind them, never NaN: whether there was a clear look, and a pass of each orbit;
    how long ago the last clear look was and how far the next is, as shares of FAR_DAYS; the time of year.
    """
    n, steps = len(series), n_steps(series)
    out = np.zeros((n, steps, INPUTS), np.float32)
    optical = _mean_by_step(series.optical, series.days, steps)
    out[..., : len(CHANNELS)] = optical
    orbits = _orbits(series.orbit)
    radar = centred(series.radar, series.orbit) if len(series.radar_days) else series.radar
    for k in range(ORBITS):
        mine = orbits == k
        at = len(CHANNELS) + k * len(RADAR)
        passes = _mean_by_step(radar[:, mine], series.radar_days[mine], steps)
        out[..., at : at + len(RADAR)] = passes
        out[..., SCALED + 1 + k] = np.isfinite(passes).any(2)
    seen = np.isfinite(optical).any(2)
    out[..., SCALED] = seen
    out[..., -4] = days_since(seen)
    out[..., -3] = days_since(seen[:, ::-1])[:, ::-1]
    middle = (np.arange(steps) + 0.5) * STEP_DAYS + series.origin.timetuple().tm_yday
    out[..., -2], out[..., -1] = np.sin(middle * 2 * np.pi / 365.25), np.cos(middle * 2 * np.pi / 365.25)
    return out


def _mean_by_step(values: np.ndarray, days: np.ndarray, steps: int) -> np.ndarray:
    """Return `(parcel, step, channel)` the mean of the values `(parcel, date, channel)` of each step."""
    total = np.zeros((len(values), steps, values.shape[2]), np.float32)
    count = np.zeros_like(total)
    for k, day in enumerate(days):
        known = np.isfinite(values[:, k])
        total[:, day // STEP_DAYS] += np.where(known, values[:, k], 0)
        count[:, day // STEP_DAYS] += known
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _orbits(orbit: np.ndarray) -> np.ndarray:
    """Return which of ORBITS groups each pass belongs to: the orbits with most passes first."""
    names, counts = np.unique(orbit, return_counts=True)
    rank = {name: place for place, name in enumerate(names[np.lexsort((names, -counts))])}
    return np.array([min(rank[one], ORBITS - 1) for one in orbit], dtype=int)


def days_since(seen: np.ndarray) -> np.ndarray:
    """Return `(parcel, step)` the time since the last step that was seen: a share of FAR_DAYS, at most 1."""
    steps = np.arange(seen.shape[1])
    last = np.maximum.accumulate(np.where(seen, steps, -1_000), axis=1)
    return np.asarray(np.minimum((steps - last) * (STEP_DAYS / FAR_DAYS), 1.0))


def with_neighbours(inputs: np.ndarray) -> np.ndarray:
    """Return `(parcel, step, READ)`: scaled inputs `(parcel, step, INPUTS)`, and beside them the optical
    values of the last step with a look before each, and of the next one after it; 0 where there is none.
    """
    seen = inputs[..., SCALED] > 0
    optical = inputs[..., : len(CHANNELS)]
    before = _last_seen(optical, seen)
    after = _last_seen(optical[:, ::-1], seen[:, ::-1])[:, ::-1]
    return np.concatenate([inputs, before, after], axis=2)


def _last_seen(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the values of the last step that was seen before each step, 0 where there is none."""
    steps = np.arange(seen.shape[1])
    last = np.full(seen.shape, -1)
    last[:, 1:] = np.maximum.accumulate(np.where(seen, steps, -1), axis=1)[:, :-1]
    found = np.take_along_axis(values, np.maximum(last, 0)[..., None], axis=1)
    return np.where(last[..., None] >= 0, found, 0).astype(values.dtype)


def taught_steps(series: EventSeries, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Return `(parcel, step, event)` how many events a step holds, and the training weights.

    An event whose day lies between two dates is spread over the steps between them; one that lasts counts as
    one in every step that it covers by half. Steps beside it, within CLOSE_DAYS, weigh 0: days of labels are
    not sure to the day. Kinds that the labels never name weigh 0 everywhere.
    """
    steps = n_steps(series)
    y = np.zeros((len(series), steps, len(EVENTS)), np.float32)
    near = np.zeros(y.shape, bool)
    start = np.arange(steps) * STEP_DAYS
    row_of = {name: row for row, name in enumerate(series.parcel_ids)}
    for k, event in enumerate(EVENTS):
        some = labels.events.filter(pl.col("event") == event)
        lasting = event == "grazing"
        for name, first, last in some.select("parcel_id", "first", "last").iter_rows():
            row = row_of.get(name)
            if row is None:
                continue
            a = series.day(first)
            b = last_day(event, a, series.day(last))
            days = np.clip(np.minimum(start + STEP_DAYS, b + 1) - np.maximum(start, a), 0, None)
            y[row, :, k] += days >= STEP_DAYS / 2 if lasting else days / (b - a + 1)
            near[row, :, k] |= (start - CLOSE_DAYS <= b) & (start + STEP_DAYS + CLOSE_DAYS > a)
    y = np.minimum(y, 1)
    weight = np.where(near & (y == 0), 0, 1).astype(np.float32)
    weight[..., [event not in labels.kinds for event in EVENTS]] = 0
    return y, weight


def over_intervals(density: np.ndarray, intervals: Intervals) -> np.ndarray:
    """Return `(interval, event)` the chance that an interval holds an event.

    `density` `(parcel, step, event)` is the chance of each step; of a step that an interval holds in part,
    the event lies in that part by the share of days.
    """
    out = np.ones((len(intervals), density.shape[2]), np.float64)
    steps = density.shape[1]
    # something happened after `start` and by `end`: days start + 1 to end
    first = np.clip((intervals.start + 1) // STEP_DAYS, 0, steps - 1)
    last = np.clip(intervals.end // STEP_DAYS, 0, steps - 1)
    for ahead in range(int((last - first).max()) + 1 if len(intervals) else 0):
        step = np.minimum(first + ahead, last)
        low = np.maximum(step * STEP_DAYS, intervals.start + 1)
        high = np.minimum((step + 1) * STEP_DAYS, intervals.end + 1)
        share = np.where(first + ahead <= last, np.clip(high - low, 0, None) / STEP_DAYS, 0)
        out *= 1 - density[intervals.row, step] * share[:, None]
    return np.asarray(1 - out)
