"""The table that boosting reads: one row a sample, columns by name and group."""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from models.forecast.basis import Basis, Damped
from models.forecast.climatology import Curves
from models.forecast.history import Daily, History
from models.forecast.learning.samples import Samples, after

LOOKED_BACK = 4  # looks whose values and ages are told one by one
OPTICAL = (
    "last", "gap_days", "lead_days",
    *(f"{what}_{k}" for k in range(2, LOOKED_BACK + 1) for what in ("look", "age_days")),
    "median_of_3", "mean_30", "mean_60", "slope_30", "highest_90", "lowest_90", "highest_180", "lowest_180",
    "looks_60", "departure_last", "departure_30", "departure_90", "steepest_fall_60", "days_since_fall",
    "last_year", "last_year_change",
)  # fmt: skip
USUAL = ("usual", "usual_then", "usual_change", "usual_spread", "usual_weight", "damped", "class_usual",
         "class_usual_change", "usual_slope")  # fmt: skip
WHEN = ("target_sin", "target_cos", "origin_sin", "origin_cos", "horizon_days")
RADAR = ("vv_change", "vh_change", "ratio_change", "ratio", "vh_30_change", "radar_looks_since")
COHERENCE = ("cohvv", "cohvh", "cohvv_change")
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
    if {"radar", "coherence"} & set(inputs) and len(history.radar):
        radar = _radar(history, samples, basis)
        if "radar" in inputs:
            parts.append((radar[:, : len(RADAR)], RADAR, "radar"))
        if "coherence" in inputs:
            parts.append((radar[:, len(RADAR) :], COHERENCE, "coherence"))
    if "crop" in inputs:
        crop = history.crop[samples.parcel, history.year_of(samples.target)].astype(np.float32)
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
        looks.first, looks.day, looks.value, history.day_of_year(looks.day).astype(np.float32),
        samples.parcel.astype(np.int64), samples.origin, samples.target, usual,
        basis.pair.astype(np.int64), out,
    )  # fmt: skip
    out[:, 2] = lead
    return out


def _usual(
    history: History, samples: Samples, basis: Basis, damped: Damped, curves: Curves, lead: np.ndarray
) -> np.ndarray:
    doy = history.day_of_year(samples.target)
    then = history.day_of_year(np.maximum(basis.last_day, 0))
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


def _radar(history: History, samples: Samples, basis: Basis) -> np.ndarray:
    looks = history.radar
    out = np.full((len(samples), len(RADAR) + len(COHERENCE)), np.nan, np.float32)
    _describe_radar(
        looks.first, looks.day, looks.orbit, looks.value, samples.parcel.astype(np.int64), samples.origin,
        basis.last_day, out,
    )  # fmt: skip
    return out


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


@numba.njit(cache=True, nogil=True)
def _describe(  # type: ignore[no-untyped-def]  # noqa: PLR0912, PLR0915
    first, day, value, doy, parcel, origin, target, usual, pair, out
):
    """Fill OPTICAL but for the lead."""
    nodes = usual.shape[1]
    step = 365.25 / nodes
    for i in range(len(parcel)):
        start, stop = first[parcel[i]], first[parcel[i] + 1]
        last = after(day, start, stop, origin[i]) - 1
        if last < start:
            continue
        row = out[i]
        o = origin[i]
        row[0], row[1] = value[last], o - day[last]
        for k in range(1, 4):
            if last - k >= start:
                row[1 + 2 * k], row[2 + 2 * k] = value[last - k], o - day[last - k]
        a = value[last]
        b = value[last - 1] if last >= start + 1 else a
        c = value[last - 2] if last >= start + 2 else b
        row[9] = max(min(a, b), min(max(a, b), c))
        n30, s30, n60, s60 = 0, 0.0, 0, 0.0
        sx, sy, sxx, sxy = 0.0, 0.0, 0.0, 0.0
        top90, low90, top180, low180 = -2.0, 2.0, -2.0, 2.0
        d30, w30, d90, w90 = 0.0, 0.0, 0.0, 0.0
        fall, since = 0.0, np.nan
        k = last
        while k >= start and o - day[k] <= 180:
            age = o - day[k]
            v = value[k]
            node = int(doy[k] / step) % nodes
            departure = v - usual[pair[i], node]
            if age <= 30:
                n30 += 1
                s30 += v
            if day[last] - day[k] <= 30:
                sx += -(day[last] - day[k])
                sy += v
                sxx += (day[last] - day[k]) ** 2
                sxy += -(day[last] - day[k]) * v
            if np.isfinite(departure):
                w = np.exp(-age / 15.0)
                d30 += w * departure
                w30 += w
                w = np.exp(-age / 60.0)
                d90 += w * departure
                w90 += w
            if age <= 60:
                n60 += 1
                s60 += v
                if k > start and v - value[k - 1] < fall:
                    fall = v - value[k - 1]
            if not np.isfinite(since) and k > start and v - value[k - 1] < -0.12:
                since = age
            if age <= 90:
                top90, low90 = max(top90, v), min(low90, v)
            top180, low180 = max(top180, v), min(low180, v)
            k -= 1
        if n30 > 0:
            row[10] = s30 / n30
        if n60 > 0:
            row[11] = s60 / n60
        n = 0
        k = last
        while k >= start and day[last] - day[k] <= 30:
            n += 1
            k -= 1
        if n >= 2 and n * sxx - sx * sx > 0:
            row[12] = (n * sxy - sx * sy) / (n * sxx - sx * sx)
        if top90 > -2:
            row[13], row[14] = top90, low90
        if top180 > -2:
            row[15], row[16] = top180, low180
        row[17] = n60
        u = usual[pair[i], int(doy[last] / step) % nodes]
        row[18] = value[last] - u
        if w30 > 0:
            row[19] = d30 / w30
        if w90 > 0:
            row[20] = d90 / w90
        row[21], row[22] = fall, since
        now = _around(day, value, start, last, target[i] - 365)
        then = _around(day, value, start, last, day[last] - 365)
        row[23], row[24] = now, now - then


@numba.njit(cache=True, nogil=True)
def _around(day, value, start, last, when):  # type: ignore[no-untyped-def]
    """Return the value between the looks around a day, within 30 days; NaN where there is none."""
    later = after(day, start, last + 1, when)
    before = later - 1
    has_before = before >= start and when - day[before] <= 30
    has_later = later <= last and day[later] - when <= 30
    if has_before and has_later:
        share = (when - day[before]) / (day[later] - day[before])
        return (1 - share) * value[before] + share * value[later]
    if has_before:
        return value[before]
    if has_later:
        return value[later]
    return np.nan


@numba.njit(cache=True, nogil=True)
def _describe_radar(  # type: ignore[no-untyped-def]  # noqa: PLR0912, PLR0915
    first, day, orbit, value, parcel, origin, last_look, out
):
    """Fill RADAR and COHERENCE: changes from the days around the last clear look to those before the origin.

    Backscatter is compared within one orbit only; the ratio of VH to VV and coherence stand for themselves.
    """
    for i in range(len(parcel)):
        start, stop = first[parcel[i]], first[parcel[i] + 1]
        last = after(day, start, stop, origin[i]) - 1
        if last < start:
            continue
        row = out[i]
        now_n, then_n = 0, 0
        changes, pairs, far, far_n = np.zeros(2), 0, 0.0, 0
        ratio_now, ratio_n, ratio_then, ratio_m = 0.0, 0, 0.0, 0
        coh, coh_n, coh_then, coh_m = np.zeros(2), np.zeros(2), 0.0, 0
        since = 0
        k = last
        while k >= start and (origin[i] - day[k] <= 15 or day[k] > last_look[i] - 12):
            recent = origin[i] - day[k] <= 15
            near = last_look[i] >= 0 and abs(day[k] - last_look[i]) <= 12
            if last_look[i] >= 0 and day[k] > last_look[i]:
                since += 1
            vv, vh = value[k, 0], value[k, 1]
            if recent:
                now_n += 1
                if np.isfinite(vv) and np.isfinite(vh):
                    ratio_now += vh - vv
                    ratio_n += 1
                for c in range(2):
                    if np.isfinite(value[k, 2 + c]):
                        coh[c] += value[k, 2 + c]
                        coh_n[c] += 1
                j = k - 1
                while j >= start and (last_look[i] >= 0 and day[j] >= last_look[i] - 12):
                    if orbit[j] == orbit[k] and abs(day[j] - last_look[i]) <= 12:
                        if (
                            np.isfinite(vv)
                            and np.isfinite(value[j, 0])
                            and np.isfinite(vh)
                            and np.isfinite(value[j, 1])
                        ):
                            changes[0] += vv - value[j, 0]
                            changes[1] += vh - value[j, 1]
                            pairs += 1
                        break
                    j -= 1
                j = k - 1
                while j >= start and day[k] - day[j] <= 40:
                    if orbit[j] == orbit[k] and day[k] - day[j] >= 24:
                        if np.isfinite(vh) and np.isfinite(value[j, 1]):
                            far += vh - value[j, 1]
                            far_n += 1
                        break
                    j -= 1
            if near:
                then_n += 1
                if np.isfinite(vv) and np.isfinite(vh):
                    ratio_then += vh - vv
                    ratio_m += 1
                if np.isfinite(value[k, 2]):
                    coh_then += value[k, 2]
                    coh_m += 1
            k -= 1
        if pairs > 0:
            row[0], row[1] = changes[0] / pairs, changes[1] / pairs
        if ratio_n > 0:
            row[3] = ratio_now / ratio_n
            if ratio_m > 0:
                row[2] = row[3] - ratio_then / ratio_m
        if far_n > 0:
            row[4] = far / far_n
        row[5] = since
        for c in range(2):
            if coh_n[c] > 0:
                row[6 + c] = coh[c] / coh_n[c]
        if coh_n[0] > 0 and coh_m > 0:
            row[8] = row[6] - coh_then / coh_m
