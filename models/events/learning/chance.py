"""The chance that a possible event happened, fitted on events that the detector did not see."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

INPUTS = 5  # of a chance: what `peaks.surroundings` gives
LEAST = 8  # labelled events, right and wrong, below which scores are taken as they are
PENALTY = 0.5
THRESHOLDS = np.round(np.arange(0.3, 0.801, 0.02), 2)  # from which events may be reported
NEAR = 3  # thresholds on each side whose F1 is averaged


@dataclass(frozen=True)
class Chance:
    """A logistic curve over what `peaks.surroundings` gives; without weights the score itself.

    `reported_from` is the chance from which on an event is reported.
    """

    weights: tuple[float, ...]
    intercept: float
    reported_from: float
    n: int

    def of(self, inputs: np.ndarray) -> np.ndarray:
        """Return the chance of each event; inputs `(event, 5)`."""
        if not self.weights:
            return np.asarray(1 / (1 + np.exp(-inputs[:, 0])))
        return np.asarray(1 / (1 + np.exp(-(inputs @ np.array(self.weights) + self.intercept))))


def fit_chance(inputs: np.ndarray, right: np.ndarray, wrong_share: float) -> Chance:
    """Fit the curve, and find from where on at most `wrong_share` of the reported events are wrong.

    Parameters
    ----------
    inputs, right
        `(event, 5)`, and whether each happened, of events found out of fold.
    """
    if min(right.sum(), (~right).sum()) < LEAST:
        return Chance((), 0.0, 0.5, len(right))
    from sklearn.linear_model import LogisticRegression

    middle, scale = inputs.mean(0), np.maximum(inputs.std(0), 1e-6)
    model = LogisticRegression(C=1 / PENALTY, max_iter=1000).fit((inputs - middle) / scale, right)
    weights = model.coef_[0] / scale
    curve = Chance(tuple(weights), float(model.intercept_[0] - weights @ middle), 0.5, len(right))
    chance = curve.of(inputs)
    return Chance(curve.weights, curve.intercept, reported_from(chance, right, wrong_share), len(right))


def reported_from(chance: np.ndarray, right: np.ndarray, wrong_share: float) -> float:
    """Return the lowest chance from which on at most `wrong_share` of the events `(event)` are wrong.

    One wrong event is added to those that were counted, so that few labels promise little:
    `(wrong + 1) / (events + 1) <= wrong_share`. Where no chance will do, 1.01: nothing is reported.

    Examples
    --------
    >>> chance = np.array([0.2, 0.9, 0.8, 0.7])
    >>> reported_from(chance, np.array([False, True, True, True]), 0.25)
    0.7
    """
    order = np.argsort(-chance, kind="stable")
    wrong = np.cumsum(~right[order])
    kept = np.arange(1, len(order) + 1)
    fits = np.flatnonzero((wrong + 1) / (kept + 1) <= wrong_share)
    return float(chance[order[fits[-1]]]) if len(fits) else 1.01


def best_threshold(chance: np.ndarray, right: np.ndarray, n_expected: int) -> float:
    """Return the chance from which on reporting has the highest F1, taken as a mean over THRESHOLDS near it:
    of few events a single threshold is best by luck.

    Parameters
    ----------
    chance, right
        `(event,)`: of possible events, and whether each happened.
    n_expected
        How many events there were, found or not.

    Examples
    --------
    >>> chance = np.array([0.9, 0.85, 0.55, 0.15])
    >>> best_threshold(chance, np.array([True, True, False, False]), 2)
    0.72
    """
    reported = chance[None, :] >= THRESHOLDS[:, None]
    hits = (reported & right).sum(1)
    f1 = 2 * hits / np.maximum(reported.sum(1) + n_expected, 1)
    near = np.convolve(np.pad(f1, NEAR, mode="edge"), np.ones(2 * NEAR + 1) / (2 * NEAR + 1), "valid")
    best = np.flatnonzero(near >= near.max() - 1e-9)
    return float(THRESHOLDS[best[len(best) // 2]])


def kept_above(wrong: np.ndarray, share: float) -> float:
    """Return the chance above which at most `share` of parcels have a wrong event; 0 where too few parcels
    tell.

    One parcel is added to those with one: `(parcels + 1) / (n + 1) <= share`.

    Parameters
    ----------
    wrong
        `(parcel,)` the highest chance of a wrong event of each, 0 where it has none.

    Examples
    --------
    >>> kept_above(np.array([0.9, 0.6, 0.4, *[0.0] * 36]), 0.05) > 0.6  # one may be called so, not two
    True
    >>> kept_above(np.array([0.9, 0.6]), 0.05)
    0.0
    """
    allowed = int(share * (len(wrong) + 1) + 1e-9) - 1
    if allowed < 0:
        return 0.0
    return float(np.nextafter(np.sort(wrong)[::-1][allowed], 2))


def right_events(
    days: np.ndarray, units: Sequence[str], expected: dict[str, list[tuple[int, int]]], within: float = 12.0
) -> np.ndarray:
    """Return whether each possible event `(event)` lies within so many days of a reference, which is used
    once.

    The likelier of two comes first in time where both fit; `expected` holds first and last days.
    """
    right = np.zeros(len(days), bool)
    used: set[tuple[str, int]] = set()
    for k, (unit, day) in enumerate(zip(units, days, strict=True)):
        distance = [
            (max(first - day, day - last, 0.0), place)
            for place, (first, last) in enumerate(expected.get(unit, ()))
            if (unit, place) not in used
        ]
        if distance and min(distance)[0] <= within:
            right[k] = True
            used.add((unit, min(distance)[1]))
    return right
