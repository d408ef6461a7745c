"""The table that boosting reads: one row a sample, columns by name and group."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.code.jit import njit
from features.context.daily import Daily
from models.forecast.climatology import Curves
from models.forecast.history import History
from models.forecast.learning.basis import Basis, Damped
from models.forecast.learning.radar import COHERENCE, LEVELS, RADAR, STILLNESS, radar_changes, radar_stage
from models.forecast.learning.samples import Samples, after
from models.forecast.phase import Phases

LOOKED_BACK = 4  # looks whose values and ages are given one by one
MOST_DAYS = 180  # how far back looks are described
A_FALL = -0.12  # NDVI from one look to the next: cut, ploughed, or a cloud that was missed
OPTICAL = (
    "last", "gap_days", "lead_days",
    *(f"{what}_{k}" for k in range(2, LOOKED_BACK + 1) for what in ("look", "age_days")),
    "median_of_3", "mean_30", "mean_60", "slope_30", "highest_90", "lowest_90", "highest_180", "lowest_180",
    "looks_60", "departure_last", "departure_30", "departure_90", "steepest_fall_60", "days_since_fall",
    "last_year", "last_year_change", "days_since_top", "below_top", "days_since_low", "above_low",
)  # fmt: skip
USUAL = ("usual", "usual_then", "usual_change", "usual_spread", "usual_weight", "damped", "class_usual",
         "class_usual_change", "usual_slope")  # fmt: skip
WHEN = ("target_sin", "target_cos", "origin_sin", "origin_cos", "horizon_days")
AHEAD = ("t_mean_c", "precipitation_mm")


@dataclass(frozen=True)
class Table:
    """`value (sample, column)` float32, NaN where unknown; `names` of the columns, and their `group`."""

    value: np.ndarray
    names: tuple[str, ...]
    group: tuple[str, ...]


def table_of(
    history: History,
    samples: Samples,
    basis: Basis,
    damped: Damped,
    curves: Curves,
    inputs: Sequence[str],
    ahead: Daily | None = None,
) -> Table:
    """Return what is known of each sample by the end of its day, and the weather ahead where that is given.

    Parameters
    ----------
    inputs
        Groups beside optics and climatology: radar, coherence, crop, soil, elevation, weather, surface.
    ahead
        Daily weather of the days ahead, a claim of its own; only AHEAD's channels are read.
    """
    lead = basis.lead(samples)
    parts: list[tuple[np.ndarray, tuple[str, ...], str]] = [
        (_optical(history, samples, basis, lead), OPTICAL, "optics"),
        (_usual(history, samples, basis, damped, curves, lead), USUAL, "climatology"),
        (_when(history, samples), WHEN, "season"),
    ]
    if {"radar", "coherence"} & set(inputs) and history.reads_radar:
        changes, stage = radar_changes(history, samples, basis), radar_stage(history, samples, basis)
        if "radar" in inputs:
            parts.append((changes[:, : len(RADAR)], RADAR, "radar"))
            parts.append((stage[:, : len(LEVELS)], LEVELS, "radar"))
        if "coherence" in inputs:
            parts.append((changes[:, len(RADAR) :], COHERENCE, "coherence"))
            parts.append((stage[:, len(LEVELS) :], STILLNESS, "coherence"))
    if "crop" in inputs:
        crop = history.crop_on(samples.parcel, samples.target).astype(np.float32)
        parts.append((np.where(crop < 0, np.nan, crop)[:, None], ("crop",), "crop"))
    for name in ("soil", "elevation"):
        columns = [k for k, column in enumerate(history.static_names) if column.startswith(name)]
        if name in inputs and columns:
            names = tuple(history.static_names[k] for k in columns)
            parts.append((history.static[samples.parcel][:, columns], names, name))
    for group, daily in (("weather", history.weather), ("surface", history.surface)):
        if group in inputs and daily is not None:
            parts.append((*_past(daily, samples), group))
    if ahead is not None:
        parts.append((*_ahead(ahead, samples), "weather_ahead"))
    return Table(
        np.concatenate([part.astype(np.float32) for part, _, _ in parts], axis=1),
        tuple(name for _, names, _ in parts for name in names),
        tuple(group for _, names, group in parts for _ in names),
    )


def _optical(history: History, samples: Samples, basis: Basis, lead: np.ndarray) -> np.ndarray:
    looks = history.ndvi
    out = np.full((len(samples), len(OPTICAL)), np.nan, np.float32)
    usual = basis.climate.mean
    _describe(
        looks.first, looks.day, looks.value, Phases(history).of_looks().astype(np.float32),
        samples.parcel.astype(np.int64), samples.origin, samples.looked, samples.target, usual,
        basis.pair.astype(np.int64), out,
    )  # fmt: skip
    out[:, 2] = lead
    return out


def _usual(
    history: History, samples: Samples, basis: Basis, damped: Damped, curves: Curves, lead: np.ndarray
) -> np.ndarray:
    doy, then = basis.phase, basis.phase_then
    step = curves.mean.shape[1]
    node, node_then = ((days / 365.25 * step).astype(int) % step for days in (doy, then))
    own, own_then = curves.mean[basis.curve, node], curves.mean[basis.curve, node_then]
    before = basis.climate.at(basis.climate.mean, basis.pair, (doy - 10) % 365)
    columns = (
        basis.usual, basis.usual_then, basis.usual - basis.usual_then, basis.spread, basis.weight,
        damped.forecast(basis, lead), own, own - own_then, basis.usual - before,
    )  # fmt: skip
    return np.column_stack(columns)


def _when(history: History, samples: Samples) -> np.ndarray:
    angles = [history.day_of_year(day) * (2 * np.pi / 365.25) for day in (samples.target, samples.origin)]
    turns = [turn(angle) for angle in angles for turn in (np.sin, np.cos)]
    return np.column_stack([*turns, samples.target - samples.origin])


def _past(daily: Daily, samples: Samples) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return means of the last 10 and 30 days, and of 90, of every channel."""
    place = daily.place[samples.parcel]
    parts, names = [], []
    for k, name in enumerate(daily.names):
        sums = _running(daily.value[:, :, k])
        for days in (10, 30, 90):
            end = samples.origin - daily.start + 1
            parts.append(_mean_of(sums, place, end - days, end))
            names.append(f"{name}_{days}")
    return np.column_stack(parts), tuple(names)


def _ahead(daily: Daily, samples: Samples) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return means over the days ahead up to the target, and over the last 10 of them."""
    place = daily.place[samples.parcel]
    start, end = samples.origin - daily.start + 1, samples.target - daily.start + 1
    parts, names = [], []
    for name in AHEAD:
        if name in daily.names:
            sums = _running(daily.value[:, :, daily.names.index(name)])
            parts += [
                _mean_of(sums, place, start, end),
                _mean_of(sums, place, np.maximum(start, end - 10), end),
            ]
            names += [f"ahead_{name}", f"ahead_{name}_last_10"]
    return np.column_stack(parts), tuple(names)


def _running(value: np.ndarray) -> np.ndarray:
    """Return `(2, place, day + 1)`: running sums of known values, and of how many there are."""
    known = np.isfinite(value)
    out = np.zeros((2, value.shape[0], value.shape[1] + 1))
    out[0, :, 1:] = np.cumsum(np.where(known, value, 0), axis=1, dtype=float)
    out[1, :, 1:] = np.cumsum(known, axis=1)
    return out


def _mean_of(sums: np.ndarray, place: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the mean over days [start, end); NaN where less than eight tenths of them are known."""
    last = sums.shape[2] - 1
    a, b = np.clip(start, 0, last), np.clip(end, 0, last)
    total, n = (sums[k, place, b] - sums[k, place, a] for k in (0, 1))
    return np.where(n >= 0.8 * np.maximum(end - start, 1), total / np.maximum(n, 1), np.nan)


@njit(cache=True, nogil=True)
def _describe(
    first: np.ndarray,
    day: np.ndarray,
    value: np.ndarray,
    doy: np.ndarray,
    parcel: np.ndarray,
    origin: np.ndarray,
    looked: np.ndarray,
    target: np.ndarray,
    usual: np.ndarray,
    pair: np.ndarray,
    out: np.ndarray,
) -> None:
    """Fill OPTICAL but for the lead."""
    for i in range(len(parcel)):
        start, stop = first[parcel[i]], first[parcel[i] + 1]
        last = after(day, start, stop, looked[i]) - 1
        if last < start:
            continue
        row = out[i]
        _latest(day, value, start, last, origin[i], row)
        _levels(day, value, start, last, origin[i], row)
        _stage(day, value, start, last, origin[i], row)
        _slope(day, value, start, last, origin[i], row)
        _falls(day, value, start, last, origin[i], row)
        _departures(day, value, doy, start, last, origin[i], usual[pair[i]], row)
        now = _around(day, value, start, last, target[i] - 365)
        row[23], row[24] = now, now - _around(day, value, start, last, day[last] - 365)


@njit(cache=True, nogil=True)
def _latest(day: np.ndarray, value: np.ndarray, start: int, last: int, origin: int, row: np.ndarray) -> None:
    """Fill the last looks and their ages, and the median of three."""
    row[0], row[1] = value[last], origin - day[last]
    for k in range(1, LOOKED_BACK):
        if last - k >= start:
            row[1 + 2 * k], row[2 + 2 * k] = value[last - k], origin - day[last - k]
    a = value[last]
    b = value[last - 1] if last >= start + 1 else a
    c = value[last - 2] if last >= start + 2 else b
    row[9] = max(min(a, b), min(max(a, b), c))


@njit(cache=True, nogil=True)
def _levels(day: np.ndarray, value: np.ndarray, start: int, last: int, origin: int, row: np.ndarray) -> None:
    """Fill the means of 30 and 60 days, the extremes of 90 and 180, and the number of looks in 60."""
    n30, s30, n60, s60 = 0, 0.0, 0, 0.0
    top90, low90, top180, low180 = -2.0, 2.0, -2.0, 2.0
    k = last
    while k >= start and origin - day[k] <= MOST_DAYS:
        age, v = origin - day[k], value[k]
        if age <= 30:
            n30 += 1
            s30 += v
        if age <= 60:
            n60 += 1
            s60 += v
        if age <= 90:
            top90, low90 = max(top90, v), min(low90, v)
        top180, low180 = max(top180, v), min(low180, v)
        k -= 1
    if n30 > 0:
        row[10] = s30 / n30
    if n60 > 0:
        row[11] = s60 / n60
    if top90 > -2:
        row[13], row[14] = top90, low90
    if top180 > -2:
        row[15], row[16] = top180, low180
    row[17] = n60


@njit(cache=True, nogil=True)
def _stage(day: np.ndarray, value: np.ndarray, start: int, last: int, origin: int, row: np.ndarray) -> None:
    """Fill where the crop stands: how long since and how far below its top, and its lowest after that.

    A field that was harvested is far below its top; one that lies bare is at its lowest; one on which
    volunteers, a cover or the next crop come up has risen from it.
    """
    top, low = last, last
    k = last
    while k >= start and origin - day[k] <= MOST_DAYS:
        if value[k] > value[top]:
            top = k
        k -= 1
    low = top
    for k in range(top, last + 1):
        if value[k] <= value[low]:
            low = k
    row[25], row[26] = origin - day[top], value[top] - value[last]
    row[27], row[28] = origin - day[low], value[last] - value[low]


@njit(cache=True, nogil=True)
def _slope(day: np.ndarray, value: np.ndarray, start: int, last: int, origin: int, row: np.ndarray) -> None:
    """Fill the slope of the 30 days before the last look, by least squares."""
    n, sx, sy, sxx, sxy = 0, 0.0, 0.0, 0.0, 0.0
    k = last
    while k >= start and day[last] - day[k] <= 30 and origin - day[k] <= MOST_DAYS:
        x = day[k] - day[last]
        n += 1
        sx += x
        sy += value[k]
        sxx += x**2
        sxy += x * value[k]
        k -= 1
    if n >= 2 and n * sxx - sx * sx > 0:
        row[12] = (n * sxy - sx * sy) / (n * sxx - sx * sx)


@njit(cache=True, nogil=True)
def _falls(day: np.ndarray, value: np.ndarray, start: int, last: int, origin: int, row: np.ndarray) -> None:
    """Fill the steepest fall between two looks in 60 days, and the days since the last fall that counts."""
    steepest, since = 0.0, np.nan
    k = last
    while k > start and origin - day[k] <= MOST_DAYS:
        age, fall = origin - day[k], value[k] - value[k - 1]
        if age <= 60 and fall < steepest:
            steepest = fall
        if not np.isfinite(since) and fall < A_FALL:
            since = age
        k -= 1
    row[21], row[22] = steepest, since


@njit(cache=True, nogil=True)
def _departures(
    day: np.ndarray,
    value: np.ndarray,
    doy: np.ndarray,
    start: int,
    last: int,
    origin: int,
    usual: np.ndarray,
    row: np.ndarray,
) -> None:
    """Fill the departures from what is usual: of the last look, and weighed by age."""
    nodes = len(usual)
    step = 365.25 / nodes
    row[18] = value[last] - usual[int(doy[last] / step) % nodes]
    d30, w30, d90, w90 = 0.0, 0.0, 0.0, 0.0
    k = last
    while k >= start and origin - day[k] <= MOST_DAYS:
        age = origin - day[k]
        departure = value[k] - usual[int(doy[k] / step) % nodes]
        if np.isfinite(departure):
            w = np.exp(-age / 15.0)
            d30 += w * departure
            w30 += w
            w = np.exp(-age / 60.0)
            d90 += w * departure
            w90 += w
        k -= 1
    if w30 > 0:
        row[19] = d30 / w30
    if w90 > 0:
        row[20] = d90 / w90


@njit(cache=True, nogil=True)
def _around(day: np.ndarray, value: np.ndarray, start: int, last: int, when: int) -> float:
    """Return the value between the looks around a day, within 30 days; NaN where there is none."""
    later = after(day, start, last + 1, when)
    before = later - 1
    has_before = before >= start and when - day[before] <= 30
    has_later = later <= last and day[later] - when <= 30
    if has_before and has_later:
        share = (when - day[before]) / (day[later] - day[before])
        return float((1 - share) * value[before] + share * value[later])
    if has_before:
        return float(value[before])
    if has_later:
        return float(value[later])
    return np.nan
