"""Green cover between two days, from clear looks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

GREEN_NDVI = 0.42  # from which a field counts as green; bare soil and straw lie below 0.3
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
    span = (last - first).days + 1
    if span < 1 or len(looks) < 2:
        return None
    at = np.array([(day - first).days for day in looks], float)
    value = np.asarray(ndvi, float)
    day = np.arange(span)
    place = np.clip(np.searchsorted(at, day, side="right"), 1, len(at) - 1)
    bridged = (day >= at[0]) & (day <= at[-1]) & (at[place] - at[place - 1] <= BRIDGED)
    if bridged.mean() < KNOWN_SHARE:
        return None
    green = np.interp(day, at, value) >= GREEN_NDVI
    return Cover(float(green[bridged].mean()), longest_run(green & bridged))


def longest_run(flags: np.ndarray) -> int:
    """Return the length of the longest run of true values in `flags (n)`.

    Examples
    --------
    >>> longest_run(np.array([True, False, True, True]))
    2
    """
    edges = np.flatnonzero(np.diff(np.pad(flags.astype(np.int8), 1)))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0
