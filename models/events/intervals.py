"""Between which two looks at a parcel something may have happened, and what those looks show."""

from dataclasses import dataclass

import numpy as np

from features.code.jit import njit
from models.events.series import CHANNELS, RADAR, EventSeries

STEP = 12  # days: a longer gap is looked into with radar, step by step
REACH = 18  # days before and after an interval whose radar passes are compared
SETTLED = 6  # days: a coherence of two passes looks back that far
NDVI, NDMI = CHANNELS.index("ndvi"), CHANNELS.index("ndmi")
AROUND = (
    "ndvi_before_2", "ndvi_before_3", "ndvi_after_2", "ndvi_after_3", "days_before_2", "days_after_2",
    "ndvi_highest_60_before", "ndvi_highest_40_after", "ndvi_lowest_20_after", "ndmi_highest_60_before",
    "ndmi_highest_40_after", "ndvi_run", "ndvi_dip", "ndmi_dip", "ndvi_season_highest", "ndvi_season_lowest",
    "ndmi_season_highest", "day_of_year", "length", "gap", "offset", "ndvi_range_60_before", "days_since_low",
)  # fmt: skip
NAMES = (
    *(f"{channel}_{what}" for channel in CHANNELS for what in ("after", "change", "change_of_two")),
    *AROUND,
    *(f"{channel}_{what}" for channel in RADAR for what in ("before", "within", "after", "change")),
)
N_AROUND = len(AROUND)


@dataclass(frozen=True)
class Intervals:
    """Times between looks, arrays `(interval,)` in the order of parcels and time.

    Something happened after day `start` and by day `end`; `gap` is the number of days between the two clear
    looks around it, of which the interval may be a part. `features` is `(interval, NAMES)`, NaN where
    unknown. `by_network` is `(interval, event)` the chance of each kind by a network, where there is one.
    """

    row: np.ndarray
    start: np.ndarray
    end: np.ndarray
    gap: np.ndarray
    features: np.ndarray
    by_network: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.row)

    def take(self, chosen: np.ndarray) -> "Intervals":
        """Return some of the intervals, by number `(n)` or by a bool `(interval)`."""
        by_network = None if self.by_network is None else self.by_network[chosen]
        return Intervals(
            self.row[chosen], self.start[chosen], self.end[chosen], self.gap[chosen], self.features[chosen],
            by_network,
        )  # fmt: skip


def find_intervals(series: EventSeries) -> Intervals:
    """Return every interval between consecutive clear looks at a parcel, with what stands around it.

    A gap of more than STEP days in which radar saw the parcel is divided into steps, and so is the time
    before the first and after the last clear look.
    """
    clear = np.isfinite(series.optical[:, :, NDVI])
    passed = np.isfinite(series.radar).any(2)
    count = _count(clear, passed, series.days, series.radar_days)
    first = np.concatenate([[0], np.cumsum(count)])
    total = int(first[-1])
    row = np.repeat(np.arange(len(series), dtype=np.int32), count)
    bounds = np.zeros((total, 5), np.int32)  # start, end, gap, look before, look after (-1: none)
    _divide(clear, passed, series.days, series.radar_days, first, bounds)
    features = np.full((total, len(NAMES)), np.nan, np.float32)
    january = series.origin.timetuple().tm_yday
    _describe(series.optical, clear, series.days, first, bounds, january, features)
    if len(series.radar_days):
        _describe_radar(centred(series.radar, series.orbit), series.radar_days, first, bounds, features)
    return Intervals(row, bounds[:, 0], bounds[:, 1], bounds[:, 2], features)


def centred(radar: np.ndarray, orbit: np.ndarray) -> np.ndarray:
    """Return radar `(parcel, pass, channel)` less each parcel's mean of the same orbit, so that orbits with
    other angles may be averaged.
    """
    out = np.empty_like(radar)
    for one in np.unique(orbit):
        mine = orbit == one
        some = radar[:, mine]
        seen = np.isfinite(some)
        total = np.where(seen, some, 0).sum(1, keepdims=True)
        count = seen.sum(1, keepdims=True)
        out[:, mine] = some - np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return out


@njit(cache=True, nogil=True)
def _count(clear: np.ndarray, passed: np.ndarray, days: np.ndarray, radar_days: np.ndarray) -> np.ndarray:
    """Return how many intervals each parcel has."""
    bounds = np.zeros((0, 5), np.int32)
    out = np.zeros(len(clear), np.int64)
    for p in range(len(clear)):
        out[p] = _intervals_of(clear[p], passed[p], days, radar_days, bounds, 0, False)
    return out


@njit(cache=True, nogil=True)
def _divide(
    clear: np.ndarray,
    passed: np.ndarray,
    days: np.ndarray,
    radar_days: np.ndarray,
    first: np.ndarray,
    bounds: np.ndarray,
) -> None:
    for p in range(len(clear)):
        _intervals_of(clear[p], passed[p], days, radar_days, bounds, first[p], True)


@njit(cache=True, nogil=True)
def _intervals_of(
    clear: np.ndarray,
    passed: np.ndarray,
    days: np.ndarray,
    radar_days: np.ndarray,
    bounds: np.ndarray,
    at: int,
    write: bool,
) -> int:
    """Write one parcel's intervals from row `at` on; return how many there are."""
    n = 0
    before = -1
    for look in range(len(days)):
        if not clear[look]:
            continue
        if before < 0:
            n += _steps(-1, look, days, passed, radar_days, bounds, at + n, write)
        else:
            n += _steps(before, look, days, passed, radar_days, bounds, at + n, write)
        before = look
    return n + _steps(before, -1, days, passed, radar_days, bounds, at + n, write)


@njit(cache=True, nogil=True)
def _steps(
    before: int,
    after: int,
    days: np.ndarray,
    passed: np.ndarray,
    radar_days: np.ndarray,
    bounds: np.ndarray,
    at: int,
    write: bool,
) -> int:
    """Write the steps between two looks; -1 stands for none, whose side then ends with the radar."""
    inside, lowest, highest = 0, 0, 0
    for k in range(len(radar_days)):
        day = radar_days[k]
        if passed[k] and (before < 0 or day > days[before]) and (after < 0 or day <= days[after]):
            lowest = day if inside == 0 else lowest
            highest = day
            inside += 1
    if (before < 0 or after < 0) and inside < 2:
        return 0
    start = lowest if before < 0 else days[before]
    end = highest if after < 0 else days[after]
    gap = end - start
    if gap <= 0:
        return 0
    parts = max(int(np.ceil(gap / STEP)), 1) if inside > 0 else 1
    if write:
        for part in range(parts):
            bounds[at + part, 0] = start + gap * part // parts
            bounds[at + part, 1] = start + gap * (part + 1) // parts
            bounds[at + part, 2] = gap
            bounds[at + part, 3] = before
            bounds[at + part, 4] = after
    return parts


@njit(cache=True, nogil=True)
def _describe(
    optical: np.ndarray,
    clear: np.ndarray,
    days: np.ndarray,
    first: np.ndarray,
    bounds: np.ndarray,
    january: int,
    out: np.ndarray,
) -> None:
    """Fill what the optical looks around every interval show."""
    channels = optical.shape[2]
    base = 3 * channels
    looks = np.zeros(len(days), np.int64)
    place = np.zeros(len(days), np.int64)
    for p in range(len(clear)):
        n = 0
        for k in range(len(days)):
            if clear[p, k]:
                looks[n] = k
                place[k] = n
                n += 1
        season = _extremes(optical[p], looks, n)
        for i in range(first[p], first[p + 1]):
            start, end, before, after = bounds[i, 0], bounds[i, 1], bounds[i, 3], bounds[i, 4]
            a = place[before] if before >= 0 else -1
            b = place[after] if after >= 0 else -1
            if before >= 0 and after >= 0:
                for c in range(channels):
                    old, new = optical[p, before, c], optical[p, after, c]
                    out[i, 3 * c] = new
                    out[i, 3 * c + 1] = new - old
                    old_2 = optical[p, looks[a - 1], c] if a >= 1 else old
                    new_2 = optical[p, looks[b + 1], c] if b + 1 < n else new
                    out[i, 3 * c + 2] = 0.5 * (new + new_2) - 0.5 * (old + old_2)
                _around(optical[p], days, looks, n, a, b, out[i, base:])
            out[i, base + 14 : base + 17] = season
            out[i, base + 17] = (january + 0.5 * (start + end) - 1) % 365 + 1  # a season may cross New Year
            out[i, base + 18] = end - start
            out[i, base + 19] = bounds[i, 2]
            out[i, base + 20] = (start - days[before]) if before >= 0 else np.nan


@njit(cache=True, nogil=True)
def _extremes(values: np.ndarray, looks: np.ndarray, n: int) -> np.ndarray:
    """Return the season's highest and lowest ndvi and highest ndmi."""
    out = np.full(3, np.nan, np.float32)
    for k in range(n):
        green, wet = values[looks[k], NDVI], values[looks[k], NDMI]
        if k == 0 or green > out[0]:
            out[0] = green
        if k == 0 or green < out[1]:
            out[1] = green
        if not (wet <= out[2]):
            out[2] = wet
    return out


@njit(cache=True, nogil=True)
def _around(
    values: np.ndarray, days: np.ndarray, looks: np.ndarray, n: int, a: int, b: int, out: np.ndarray
) -> None:
    """Fill AROUND's optical part for the looks at places `a` (before) and `b` (after)."""
    old, new = values[looks[a]], values[looks[b]]
    start, end = days[looks[a]], days[looks[b]]
    if a >= 1:
        out[0] = values[looks[a - 1], NDVI]
        out[4] = start - days[looks[a - 1]]
    if a >= 2:
        out[1] = values[looks[a - 2], NDVI]
    if b + 1 < n:
        nxt = values[looks[b + 1]]
        out[2] = nxt[NDVI]
        out[5] = days[looks[b + 1]] - end
        # how far the look lies below the line through its neighbours
        part = (end - start) / max(days[looks[b + 1]] - start, 1)
        out[12] = new[NDVI] - (old[NDVI] + part * (nxt[NDVI] - old[NDVI]))
        out[13] = new[NDMI] - (old[NDMI] + part * (nxt[NDMI] - old[NDMI]))
    if b + 2 < n:
        out[3] = values[looks[b + 2], NDVI]
    high, low, wet = old[NDVI], old[NDVI], old[NDMI]
    k = a
    while k >= 0 and start - days[looks[k]] <= 60:
        high, low = max(high, values[looks[k], NDVI]), min(low, values[looks[k], NDVI])
        wet = max(wet, values[looks[k], NDMI])
        k -= 1
    out[6], out[9], out[21] = high - new[NDVI], wet - new[NDMI], high - low
    high, low, wet = new[NDVI], new[NDVI], new[NDMI]
    k = b
    while k < n and days[looks[k]] - end <= 40:
        high, wet = max(high, values[looks[k], NDVI]), max(wet, values[looks[k], NDMI])
        if days[looks[k]] - end <= 20:
            low = min(low, values[looks[k], NDVI])
        k += 1
    out[7], out[8], out[10] = high - new[NDVI], low - new[NDVI], wet - new[NDMI]
    k = b  # the whole fall that this interval is a part of
    while k >= 1 and values[looks[k - 1], NDVI] > values[looks[k], NDVI]:
        k -= 1
    top = values[looks[k], NDVI]
    k = b
    while k + 1 < n and values[looks[k + 1], NDVI] < values[looks[k], NDVI]:
        k += 1
    out[11] = top - values[looks[k], NDVI]
    k = a - 1  # since the last fall of more than a tenth
    while k >= 1 and values[looks[k - 1], NDVI] - values[looks[k], NDVI] < 0.1:
        k -= 1
    out[22] = start - days[looks[k]] if k >= 1 else 200


@njit(cache=True, nogil=True)
def _describe_radar(
    radar: np.ndarray, days: np.ndarray, first: np.ndarray, bounds: np.ndarray, out: np.ndarray
) -> None:
    """Fill the mean of each radar channel before, within and after every interval, and the change."""
    channels = radar.shape[2]
    base = out.shape[1] - 4 * channels
    total, count = np.zeros(3), np.zeros(3)
    for p in range(len(radar)):
        for i in range(first[p], first[p + 1]):
            start, end = bounds[i, 0], bounds[i, 1]
            for c in range(channels):
                lag = SETTLED if c >= 2 else 0
                total[:], count[:] = 0, 0
                for k in range(len(days)):
                    value = radar[p, k, c]
                    if not np.isfinite(value) or days[k] < start - REACH or days[k] > end + lag + REACH:
                        continue
                    when = 0 if days[k] <= start else (1 if days[k] <= end + lag else 2)
                    total[when] += value
                    count[when] += 1
                for when in range(3):
                    if count[when] > 0:
                        out[i, base + 4 * c + when] = total[when] / count[when]
                out[i, base + 4 * c + 3] = out[i, base + 4 * c + 2] - out[i, base + 4 * c]
