"""What boosting reads of a parcel's radar: changes since the last clear look, levels, and coherence."""

import numpy as np

from features.code.jit import njit
from models.forecast.history import History
from models.forecast.learning.basis import Basis
from models.forecast.learning.samples import Samples, after

RECENT_DAYS, NEAR_DAYS = 15, 12  # radar before the origin, and around the last clear look
RADAR = ("vv_change", "vh_change", "ratio_change", "ratio", "vh_30_change", "radar_looks_since")
LEVELS = ("vv_now", "vh_now")
STILLNESS = ("coherence_highest_since", "coherence_highest_60", "days_since_coherent")
COHERENCE = ("cohvv", "cohvh", "cohvv_change")


def radar_changes(history: History, samples: Samples, basis: Basis) -> np.ndarray:
    """Return `(sample, column)` the columns RADAR and COHERENCE."""
    looks = history.radar
    out = np.full((len(samples), len(RADAR) + len(COHERENCE)), np.nan, np.float32)
    _describe_radar(
        looks.first, looks.day, looks.orbit, looks.value, samples.parcel.astype(np.int64), samples.origin,
        basis.last_day, out,
    )  # fmt: skip
    return out


def radar_stage(history: History, samples: Samples, basis: Basis) -> np.ndarray:
    """Return `(sample, column)` the columns LEVELS and STILLNESS."""
    looks = history.radar
    out = np.full((len(samples), len(LEVELS) + len(STILLNESS)), np.nan, np.float32)
    _describe_stage(
        looks.first,
        looks.day,
        looks.value,
        samples.parcel.astype(np.int64),
        samples.origin,
        basis.last_day,
        out,
    )
    return out


@njit(cache=True, nogil=True)
def _describe_radar(
    first: np.ndarray,
    day: np.ndarray,
    orbit: np.ndarray,
    value: np.ndarray,
    parcel: np.ndarray,
    origin: np.ndarray,
    last_look: np.ndarray,
    out: np.ndarray,
) -> None:
    """Fill RADAR and COHERENCE: changes from the days around the last clear look to those before the origin.

    Backscatter is compared within one orbit only; the ratio of VH to VV and coherence stand for themselves.
    """
    for i in range(len(parcel)):
        start, stop = first[parcel[i]], first[parcel[i] + 1]
        last = after(day, start, stop, origin[i]) - 1
        if last >= start:
            _orbit_changes(day, orbit, value, start, last, origin[i], last_look[i], out[i])
            _now_and_then(day, value, start, last, origin[i], last_look[i], out[i])
            _looks_since(day, start, last, last_look[i], out[i])


@njit(cache=True, nogil=True)
def _orbit_changes(
    day: np.ndarray,
    orbit: np.ndarray,
    value: np.ndarray,
    start: int,
    last: int,
    origin: int,
    last_look: int,
    row: np.ndarray,
) -> None:
    """Fill the changes of backscatter within an orbit: since the last clear look, and in about a month."""
    vv_change, vh_change, pairs, month, n = 0.0, 0.0, 0, 0.0, 0
    k = last
    while k >= start and origin - day[k] <= RECENT_DAYS:
        j = _same_orbit(day, orbit, start, k, last_look - NEAR_DAYS, last_look + NEAR_DAYS)
        if last_look >= 0 and j >= start:
            change_vv, change_vh = value[k, 0] - value[j, 0], value[k, 1] - value[j, 1]
            if np.isfinite(change_vv) and np.isfinite(change_vh):
                vv_change += change_vv
                vh_change += change_vh
                pairs += 1
        j = _same_orbit(day, orbit, start, k, day[k] - 40, day[k] - 24)
        if j >= start and np.isfinite(value[k, 1] - value[j, 1]):
            month += value[k, 1] - value[j, 1]
            n += 1
        k -= 1
    if pairs > 0:
        row[0], row[1] = vv_change / pairs, vh_change / pairs
    if n > 0:
        row[4] = month / n


@njit(cache=True, nogil=True)
def _same_orbit(day: np.ndarray, orbit: np.ndarray, start: int, k: int, earliest: int, latest: int) -> int:
    """Return the last pass before `k` of its orbit between two days; `start - 1` if none."""
    j = k - 1
    while j >= start and day[j] >= earliest:
        if orbit[j] == orbit[k] and day[j] <= latest:
            return j
        j -= 1
    return start - 1


@njit(cache=True, nogil=True)
def _now_and_then(
    day: np.ndarray, value: np.ndarray, start: int, last: int, origin: int, last_look: int, row: np.ndarray
) -> None:
    """Fill the ratio of VH to VV and the coherences before the origin, and their change since the last clear
    look.
    """
    now, now_n, then, then_n = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
    k = last
    while k >= start and (origin - day[k] <= RECENT_DAYS or day[k] > last_look - NEAR_DAYS):
        if origin - day[k] <= RECENT_DAYS:
            _add_look(value[k], now, now_n)
        if last_look >= 0 and abs(day[k] - last_look) <= NEAR_DAYS:
            _add_look(value[k], then, then_n)
        k -= 1
    for c, (own, change) in enumerate(((3, 2), (6, 8), (7, -1))):
        if now_n[c] > 0:
            row[own] = now[c] / now_n[c]
            if change >= 0 and then_n[c] > 0:
                row[change] = row[own] - then[c] / then_n[c]


@njit(cache=True, nogil=True)
def _add_look(look: np.ndarray, total: np.ndarray, n: np.ndarray) -> None:
    """Add a look's ratio of VH to VV and its two coherences to sums, as far as they are known."""
    known = (look[1] - look[0], look[2], look[3])
    for c in range(3):
        if np.isfinite(known[c]):
            total[c] += known[c]
            n[c] += 1


@njit(cache=True, nogil=True)
def _looks_since(day: np.ndarray, start: int, last: int, last_look: int, row: np.ndarray) -> None:
    """Fill the number of radar looks since the last clear one."""
    k = last
    while last_look >= 0 and k >= start and day[k] > last_look:
        k -= 1
    row[5] = last - k


@njit(cache=True, nogil=True)
def _describe_stage(
    first: np.ndarray,
    day: np.ndarray,
    value: np.ndarray,
    parcel: np.ndarray,
    origin: np.ndarray,
    last_look: np.ndarray,
    out: np.ndarray,
) -> None:
    """Fill LEVELS and STILLNESS: levels now, and how still the ground lay, as after harvest."""
    for i in range(len(parcel)):
        start, stop = first[parcel[i]], first[parcel[i] + 1]
        k = after(day, start, stop, origin[i]) - 1
        vv, vh, n = 0.0, 0.0, 0
        since, high, when = -1.0, -1.0, -1
        while k >= start and origin[i] - day[k] <= 60:
            look = value[k]
            if origin[i] - day[k] <= RECENT_DAYS and np.isfinite(look[0]) and np.isfinite(look[1]):
                vv += look[0]
                vh += look[1]
                n += 1
            still = look[2]
            if np.isfinite(still):
                if last_look[i] >= 0 and day[k] > last_look[i]:
                    since = max(since, still)
                if still > high:
                    high, when = still, day[k]
            k -= 1
        if n > 0:
            out[i, 0], out[i, 1] = vv / n, vh / n
        if since >= 0:
            out[i, 2] = since
        if high >= 0:
            out[i, 3], out[i, 4] = high, origin[i] - when
