"""The tables of events: what is reported, what stays in doubt and why, and every possible event."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.schema import EVENTS, check_table
from models.events.intervals import NAMES, Intervals
from models.events.kinds import EVENTS as KIND_NAMES
from models.events.kinds import SAME_CHANGE
from models.events.learning.detector import Detector
from models.events.series import EventSeries

SEEN = "seen"
REASONS = {
    SEEN: "reported",
    "long_gap": "no clear look for a long time around it",
    "other_event": "the same change is likelier to be another event",
    "mowing_or_grazing": "mowing and grazing cannot be told apart here",
    "few_pixels": "the parcel has too few pixels",
    "weak_signal": "the change is too weak or uncertain",
}
# every possible event, for the markers
CHANCES = pl.Schema(
    {
        "parcel_id": pl.String,
        "event": pl.String,
        "start": pl.Date,  # after this day ...
        "end": pl.Date,  # ... and by this one, as far as radar narrows it down
        "date": pl.Date,
        "chance": pl.Float32,
        "part": pl.Boolean,  # whether only a part of the parcel may have changed
    }
)
SAME_DAYS = 10
PART_RISE, PART_SPREAD = 0.05, 0.09  # standard deviation of NDVI between pixels: how much it rose, and to
# what the evidence of an event is said of
SAID = ("offset", "ndvi_after", "ndvi_change", "ndvi_highest_40_after", "cohvv_change", "s0vh_db_change")
COHERENCE_RISE, VH_FALL = 0.08, 0.8  # radar that speaks for a cut, harvest or tillage


@dataclass(frozen=True)
class Found:
    """Events and possible events of some parcels."""

    events: pl.DataFrame
    chances: pl.DataFrame


def detect_events(detector: Detector, series: EventSeries, fold: np.ndarray) -> Found:
    """Find the events of all parcels, in chunks.

    Parameters
    ----------
    fold
        `(parcel,)` as `models.events.learning.detector.fit_detector` returns it.

    Returns
    -------
    Found
        `events`, schema EVENTS: those reported (`reason` is "seen") and those in doubt; `chances`, schema
        CHANCES: everything possible.
    """
    with ThreadPoolExecutor(detector.options.threads) as pool:
        parts = list(
            pool.map(
                lambda rows: _detect(detector, series.take(rows), fold[rows]),
                _chunks(len(series), detector.options.chunk, detector.options.threads),
            )
        )
    events = pl.concat([part.events for part in parts]) if parts else EVENTS.to_frame()
    chances = pl.concat([part.chances for part in parts]) if parts else CHANCES.to_frame()
    return Found(events, chances)


def _chunks(n: int, most: int, threads: int) -> list[np.ndarray]:
    """Return the numbers of parcels in chunks of about one size: at most so many parcels, a whole number of
    chunks a thread.
    """
    rounds = max(math.ceil(n / (most * threads)), 1)
    return [chunk for chunk in np.array_split(np.arange(n), rounds * threads) if len(chunk)]


@dataclass
class _Peak:
    """One possible event while the table is made; `interval` counts in the Intervals."""

    row: int
    event: str
    interval: int
    day: float
    chance: float
    threshold: float
    reason: str = SEEN


def _detect(detector: Detector, series: EventSeries, fold: np.ndarray) -> Found:
    intervals = detector.intervals(series, fold)
    peaks: list[_Peak] = []
    chances = []
    scores = detector.all_scores(intervals, fold)
    for event in KIND_NAMES:
        if event not in detector.kinds:
            continue
        found, chance = detector.peaks(intervals, event, scores, fold)
        row = intervals.row[found.interval]
        chances.append(_chances(series, intervals, event, found.interval, found.day, chance))
        listed = np.flatnonzero(chance >= min(detector.options.shown_from, detector.reported_from(event)))
        threshold = detector.reported_from(event)
        peaks += [
            _Peak(
                int(row[k]), event, int(found.interval[k]), float(found.day[k]), float(chance[k]), threshold
            )
            for k in listed
        ]
    peaks.sort(key=lambda peak: (peak.row, peak.day, peak.event))
    _settle(peaks, intervals, series, detector)
    return Found(_events(peaks, intervals, series), _by_parcel(chances, series))


def _by_parcel(chances: list[pl.DataFrame], series: EventSeries) -> pl.DataFrame:
    """Return the chances of all events in the order of the parcels, whatever the size of a chunk."""
    place = pl.DataFrame({"parcel_id": series.parcel_ids}, schema={"parcel_id": pl.String}).with_row_index(
        "row"
    )
    every = pl.concat([CHANCES.to_frame(), *chances])
    ordered = every.join(place, on="parcel_id", how="left", maintain_order="left")
    return ordered.sort("row", maintain_order=True).drop("row")


def _chances(
    series: EventSeries,
    intervals: Intervals,
    event: str,
    interval: np.ndarray,
    day: np.ndarray,
    chance: np.ndarray,
) -> pl.DataFrame:
    ids = np.array(series.parcel_ids, dtype=object)[intervals.row[interval]]
    return pl.DataFrame(
        {
            "parcel_id": ids.tolist(),
            "event": [event] * len(ids),
            "start": _dates(series, intervals.start[interval]),
            "end": _dates(series, intervals.end[interval]),
            "date": _dates(series, day),
            "chance": chance.astype(np.float32),
            "part": _part(intervals, interval),
        },
        schema=CHANCES,
    )


def _dates(series: EventSeries, days: np.ndarray) -> pl.Series:
    origin = np.datetime64(series.origin, "D")
    return pl.Series(origin + np.round(np.asarray(days, float)).astype("timedelta64[D]"), dtype=pl.Date)


def _part(intervals: Intervals, interval: np.ndarray) -> np.ndarray:
    """Return whether the pixels of a parcel drifted apart: perhaps only a part of it changed."""
    after, change = (
        intervals.features[interval, NAMES.index(name)] for name in ("ndvi_std_after", "ndvi_std_change")
    )
    return np.asarray((change >= PART_RISE) & (after >= PART_SPREAD))


def _settle(peaks: list[_Peak], intervals: Intervals, series: EventSeries, detector: Detector) -> None:
    """Give every possible event its reason: reported, or why not."""
    options = detector.options
    for place, peak in enumerate(peaks):
        near = [
            other
            for other in peaks[max(place - 6, 0) : place + 7]
            if other is not peak and other.row == peak.row and abs(other.day - peak.day) <= SAME_DAYS
            and other.event in SAME_CHANGE and peak.event in SAME_CHANGE
        ]  # fmt: skip
        above = [other for other in near if other.chance > peak.chance]
        pair = {peak.event, *(other.event for other in near)} >= {"mowing", "grazing"}
        if series.pixels[peak.row] < options.min_pixels:
            peak.reason = "few_pixels"
        elif peak.chance >= peak.threshold:
            peak.reason = "other_event" if any(other.chance >= other.threshold for other in above) else SEEN
        elif pair:
            peak.reason = "mowing_or_grazing"
        elif above:
            peak.reason = "other_event"
        else:
            long = intervals.gap[peak.interval] > options.long_gap_days
            peak.reason = "long_gap" if long else "weak_signal"


def _events(peaks: list[_Peak], intervals: Intervals, series: EventSeries) -> pl.DataFrame:
    at = np.array([peak.interval for peak in peaks], dtype=int)
    offset = np.nan_to_num(intervals.features[at, NAMES.index("offset")], nan=0.0)
    earliest = intervals.start[at] - offset
    words = _evidence(intervals, at, series)
    table = pl.DataFrame(
        {
            "parcel_id": [series.parcel_ids[peak.row] for peak in peaks],
            "event": [peak.event for peak in peaks],
            "earliest": _dates(series, earliest),
            "latest": _dates(series, earliest + intervals.gap[at]),
            "date": _dates(series, np.array([peak.day for peak in peaks])),
            "probability": [peak.chance for peak in peaks],
            "sensors": pl.Series([sensors for _, sensors in words], dtype=pl.List(pl.String)),
            "gap_days": intervals.gap[at],
            "evidence": [text for text, _ in words],
            "reason": [peak.reason for peak in peaks],
        },
        schema_overrides={
            "parcel_id": pl.String,
            "event": pl.String,
            "evidence": pl.String,
            "reason": pl.String,
        },
    )
    return check_table(table, EVENTS, "The events")


def _evidence(intervals: Intervals, at: np.ndarray, series: EventSeries) -> list[tuple[str, list[str]]]:
    """Return for each event, at interval `at (n)`, what speaks for it, in a sentence or two, and the sensors
    that do.
    """
    of = {name: intervals.features[at, NAMES.index(name)] for name in SAID}
    start = (intervals.start[at] - np.nan_to_num(of["offset"], nan=0.0)).astype(int)
    days = _in_words(series, start), _in_words(series, start + intervals.gap[at])
    values = [of["ndvi_after"] - of["ndvi_change"], *(of[name] for name in SAID[1:])]
    columns = [*days, *(each.tolist() for each in values), _part(intervals, at).tolist()]
    return [_said(*row) for row in zip(*columns, strict=True)]


def _in_words(series: EventSeries, days: np.ndarray) -> list[str]:
    """Return days `(n)` as `03 May`."""
    words = {day: f"{series.when(day):%d %b}" for day in np.unique(days).tolist()}
    return [words[day] for day in days.tolist()]


def _said(
    start: str,
    end: str,
    before: float,
    after: float,
    change: float,
    highest: float,
    coherence: float,
    power: float,
    part: bool,
) -> tuple[str, list[str]]:
    said, sensors = [], []
    if math.isfinite(after):
        sensors.append("s2")
        verb = "fell" if change < -0.02 else "rose" if change > 0.02 else "stayed"
        said.append(f"NDVI {verb} from {before:.2f} ({start}) to {after:.2f} ({end})")
        if highest > 0.1:
            said.append(f"it rose again by {highest:.2f} within 40 days")
    else:
        said.append("no clear look on both sides")
    if math.isfinite(coherence) and abs(coherence) >= COHERENCE_RISE:
        sensors.append("s1")
        said.append(f"coherence VV {'rose' if coherence > 0 else 'fell'} by {abs(coherence):.2f}")
    if math.isfinite(power) and abs(power) >= VH_FALL:
        sensors.append("s1")
        said.append(f"backscatter VH {'rose' if power > 0 else 'fell'} by {abs(power):.1f} dB")
    if part:
        said.append("the spread between its pixels rose: perhaps only a part of the parcel changed")
    return "; ".join(said) + ".", sorted(set(sensors))
