"""Green cover between two days, from clear looks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

GREEN_NDVI = 0.42  # from which a field counts as green; bare soil and straw lie below 0.3
BARE_NDVI, CLOSED_NDVI = 0.18, 0.86  # of bare soil and of a closed canopy
BRIDGED = 40  # days between two looks over which NDVI is drawn as a line
KNOWN_SHARE = 0.6  # of the days, below which nothing is said


@dataclass(frozen=True)
class Cover:
    """Share of the known days that were green, and the longest run of green days."""

    share: float
    longest_days: int


def cover_of(looks: Sequence[date], ndvi: Sequence[float], first: date, last: date) -> Cover | None:
    """Return the cover of a window; None where too few of its days are known.

    Examples
    --------
    >>> days = [date(2024, 9, 1), date(2024, 9, 11)]
    >>> cover_of(days, [0.8, 0.8], date(2024, 9, 1), date(2024, 9, 10))
    Cover(share=1.0, longest_days=10)
    """
    daily, known = daily_ndvi(looks, ndvi, first, last, BRIDGED)
    if not len(known) or known.mean() < KNOWN_SHARE:
        return None
    green = daily >= GREEN_NDVI
    return Cover(float(green[known].mean()), longest_run(green & known))


def held_for_days(
    looks: Sequence[date], ndvi: Sequence[float], first: date, last: date, length: int
) -> float:
    """Return the highest NDVI that a field kept for `length` days on end within a window.

    Over the whole window where it is shorter; NaN where looks are so far apart that they may hide such a
    time.

    Examples
    --------
    >>> days = [date(2024, 9, 1), date(2024, 9, 11), date(2024, 9, 21)]
    >>> held_for_days(days, [0.2, 0.7, 0.7], date(2024, 9, 1), date(2024, 9, 21), 11)
    0.7
    """
    daily, known = daily_ndvi(looks, ndvi, first, last, length)
    length = min(length, len(known))
    if not length or longest_run(~known) >= length:
        return float("nan")
    stretches = np.lib.stride_tricks.sliding_window_view(np.where(known, daily, -np.inf), length)
    held = stretches.min(axis=1).max()
    return float(held) if np.isfinite(held) else float("nan")


def held_on_share(
    looks: Sequence[date], ndvi: Sequence[float], first: date, last: date, share: float
) -> float:
    """Return the highest NDVI reached on that share of a window's known days; NaN: too few are known.

    Examples
    --------
    >>> days = [date(2024, 9, 1), date(2024, 9, 3)]
    >>> held_on_share(days, [0.2, 0.6], date(2024, 9, 1), date(2024, 9, 3), 0.6)
    0.4
    """
    daily, known = daily_ndvi(looks, ndvi, first, last, BRIDGED)
    if not len(known) or known.mean() < KNOWN_SHARE:
        return float("nan")
    ordered = np.sort(daily[known])[::-1]
    return float(ordered[max(int(np.ceil(round(share * len(ordered), 9))), 1) - 1])


def ground_covered(ndvi: float) -> float:
    """Return the share of the ground that is green, 0 to 1.

    NDVI between that of bare soil and of a closed canopy, squared (Carlson and Ripley 1997, Remote Sensing of
    Environment 62).

    Examples
    --------
    >>> ground_covered(0.18), ground_covered(0.52), ground_covered(0.9)
    (0.0, 0.25, 1.0)
    """
    scaled = np.clip((ndvi - BARE_NDVI) / (CLOSED_NDVI - BARE_NDVI), 0, 1)
    return float(round(scaled**2, 9))


def daily_ndvi(
    looks: Sequence[date], ndvi: Sequence[float], first: date, last: date, bridged: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return NDVI of each day of a window, on a line between looks, and whether it is known `(day)`: between
    looks at most `bridged` days apart. Both are empty where there is no window or only one look.
    """
    span = (last - first).days + 1
    if span < 1 or len(looks) < 2:
        return np.zeros(0), np.zeros(0, bool)
    at = np.array([(day - first).days for day in looks], float)
    day = np.arange(span)
    place = np.clip(np.searchsorted(at, day, side="right"), 1, len(at) - 1)
    known = (day >= at[0]) & (day <= at[-1]) & (at[place] - at[place - 1] <= bridged)
    return np.interp(day, at, np.asarray(ndvi, float)), known


def longest_run(flags: np.ndarray) -> int:
    """Return the length of the longest run of true values in `flags (n)`.

    Examples
    --------
    >>> longest_run(np.array([True, False, True, True]))
    2
    """
    edges = np.flatnonzero(np.diff(np.pad(flags.astype(np.int8), 1)))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0
