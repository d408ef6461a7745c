"""From a score of every interval to separate events: the highest first, none too close to another."""

from dataclasses import dataclass

import numpy as np

from features.code.jit import njit
from models.events.intervals import Intervals

LOWEST = 0.02  # scores below are nothing
MASS_DAYS = 12  # scores this close to an event are scores of the same thing


@dataclass(frozen=True)
class Peaks:
    """Possible events of one kind, in the order of parcels and time; arrays `(peak,)`.

    `interval` counts in the Intervals they were found in; `day` is their likeliest day; `score` what the
    detector says of the interval; `other` the highest score of another of the parcel, `mass` the sum of
    scores near it.
    """

    interval: np.ndarray
    day: np.ndarray
    score: np.ndarray
    other: np.ndarray
    mass: np.ndarray

    def __len__(self) -> int:
        return len(self.interval)


def find_peaks(intervals: Intervals, score: np.ndarray, apart: int, date_share: float) -> Peaks:
    """Pick the intervals whose score is highest around them.

    Parameters
    ----------
    score
        `(interval,)` from 0 to 1.
    apart
        Two events lie at least so many days from another.
    date_share
        Where in its interval an event is dated, 0 to 1.
    """
    day = intervals.start + date_share * (intervals.end - intervals.start)
    kept = np.zeros(len(intervals), np.bool_)
    other, mass = np.zeros(len(intervals)), np.zeros(len(intervals))
    if len(intervals):
        edges = np.flatnonzero(np.diff(intervals.row, prepend=-1, append=intervals.row[-1] + 1))
        _pick(edges, day, score.astype(np.float64), float(apart), kept, other, mass)
    chosen = np.flatnonzero(kept)
    return Peaks(chosen, day[chosen], score[chosen], other[chosen], mass[chosen])


@njit(cache=True, nogil=True)
def _pick(
    edges: np.ndarray,
    day: np.ndarray,
    score: np.ndarray,
    apart: float,
    kept: np.ndarray,
    other: np.ndarray,
    mass: np.ndarray,
) -> None:
    for parcel in range(len(edges) - 1):
        first, last = edges[parcel], edges[parcel + 1]
        order = np.argsort(-score[first:last])
        n = 0
        highest, second = 0.0, 0.0
        for place in order:
            k = first + place
            if score[k] < LOWEST:
                break
            free = True
            for j in range(first, last):
                if kept[j] and abs(day[j] - day[k]) < apart:
                    free = False
                    break
            if free:
                kept[k] = True
                second = score[k] if n == 1 else second
                highest = score[k] if n == 0 else highest
                n += 1
        for k in range(first, last):
            if kept[k]:
                other[k] = second if score[k] == highest else highest
                for j in range(first, last):
                    if abs(day[j] - day[k]) <= MASS_DAYS:
                        mass[k] += score[j]


def surroundings(peaks: Peaks, intervals: Intervals, rival: np.ndarray) -> np.ndarray:
    """Return `(peak, 5)` what the chance of an event is judged by, beside its own score.

    `rival` `(interval,)` is the highest score of an event that looks alike, 0 where there is none.

    Logarithms of the odds of the score and of the parcel's best other one, of the score near it, and of the
    gap.
    """
    gap = np.maximum(intervals.gap[peaks.interval], 1)
    own, other = log_odds(peaks.score), log_odds(peaks.other)
    alike = log_odds(rival[peaks.interval])
    return np.stack([own, other, np.log(peaks.mass + 0.01), np.log(gap), alike], axis=1)


def log_odds(chance: np.ndarray) -> np.ndarray:
    """Return the logarithm of the odds, of the shape of `chance`, held between 0.001 and 0.999."""
    held = np.clip(chance, 1e-3, 1 - 1e-3)
    return np.asarray(np.log(held / (1 - held)))
