"""How well events are found: the one scorer for every set of references."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

WITHIN_DAYS = 12.0  # an event counts as found where its date lies no further from the reference
APART_DAYS = (
    15.0  # units whose reference events lie closer are left out: they cannot be told one from another
)
SEASON = (75, 300)  # days of the year that are scored


@dataclass(frozen=True)
class Scored:
    """What one unit (a parcel of a season) gave: events found, predicted, expected, and dates less
    references.
    """

    found: int
    predicted: int
    expected: int
    errors: tuple[float, ...] = ()


@dataclass(frozen=True)
class Score:
    """One figure with its bootstrap interval of 95% over units, and how many it rests on."""

    metric: str
    value: float
    low: float
    high: float
    n: int
    unit: str = "1"


@dataclass
class Dates:
    """Days of events by unit."""

    of: dict[str, list[float]] = field(default_factory=dict)

    def add(self, unit: str, day: float) -> None:
        """Note one event."""
        self.of.setdefault(unit, []).append(float(day))


COUNTS = 10


def match(predicted: Sequence[float], expected: Sequence[float], within: float = WITHIN_DAYS) -> Scored:
    """Pair predicted with reference days, one to one: as many pairs as possible, then the closest.

    Examples
    --------
    >>> match([100, 110, 200], [104, 230])
    Scored(found=1, predicted=3, expected=2, errors=(-4.0,))
    """
    if not len(predicted) or not len(expected):
        return Scored(0, len(predicted), len(expected))
    error = np.subtract.outer(np.asarray(predicted, float), np.asarray(expected, float))
    far = np.abs(error) > within
    cost = np.where(far, 1e6, np.abs(error))
    rows, columns = linear_sum_assignment(cost)
    pairs = [(r, c) for r, c in zip(rows, columns, strict=True) if not far[r, c]]
    errors = tuple(float(error[r, c]) for r, c in pairs)
    return Scored(len(pairs), len(predicted), len(expected), errors)


def in_season(days: Sequence[float], season: tuple[float, float] = SEASON) -> list[float]:
    """Return the days that are scored, in order."""
    return sorted(day for day in days if season[0] <= day <= season[1])


def told_apart(days: Sequence[float]) -> bool:
    """Whether reference events lie far enough from one another to be scored."""
    return len(days) < 2 or bool(np.all(np.diff(sorted(days)) >= APART_DAYS))


def score_units(
    predicted: Mapping[str, Sequence[float]],
    expected: Mapping[str, Sequence[float]],
    units: Sequence[str],
    groups: Mapping[str, str] | None = None,
    seed: int = 1,
    draws: int = 500,
    within: float = WITHIN_DAYS,
) -> list[Score]:
    """Score days of the year of one kind of event.

    Parameters
    ----------
    predicted, expected
        Days of the year by unit; a unit that is absent has none.
    units
        Units that are scored; those whose references lie under 15 days apart are left out.
    groups
        What a unit belongs to (its plot), for the bootstrap; itself where None.

    Returns
    -------
    list of Score
        `precision, recall, f1, date_mae_days, date_bias_days, mown_accuracy` (balanced, of units with and
        without an event) and `count_accuracy`.
    """
    counts = counts_of(predicted, expected, units, within)
    return score_counts(counts, names_of(units, groups), seed, draws)


def counts_of(
    predicted: Mapping[str, Sequence[float]],
    expected: Mapping[str, Sequence[float]],
    units: Sequence[str],
    within: float = WITHIN_DAYS,
    season: tuple[float, float] = SEASON,
) -> np.ndarray:
    """Return `(unit, COUNTS)` what each unit counts, in the order of `_totals`; NaN where it is left out.

    Days may be counted from any day; those outside `season` count on neither side.
    """
    counts = np.full((len(units), COUNTS), np.nan)
    for row, unit in enumerate(units):
        days = expected.get(unit, ())
        if told_apart(days):
            said, done = in_season(predicted.get(unit, ()), season), in_season(days, season)
            counts[row] = _totals(match(said, done, within))
    return counts


def names_of(units: Sequence[str], groups: Mapping[str, str] | None) -> np.ndarray:
    """Return `(unit,)` what each unit belongs to; itself where that is not known."""
    return np.array([(groups or {}).get(unit, unit) for unit in units], dtype=object).astype(str)


def score_counts(counts: np.ndarray, names: np.ndarray, seed: int = 1, draws: int = 500) -> list[Score]:
    """Score what units count, `(unit, COUNTS)` of `counts_of`; `names (unit,)` are redrawn whole."""
    kept = ~np.isnan(counts[:, 0])
    distinct, group = np.unique(names[kept], return_inverse=True)
    by_group = np.zeros((len(distinct), COUNTS))
    np.add.at(by_group, group, counts[kept])
    rng = np.random.default_rng(seed)
    n = len(distinct)
    samples = [by_group[rng.integers(0, n, n)].sum(0) for _ in range(draws if n else 0)]
    whole = by_group.sum(0)
    return [_score(name, value, whole, samples) for name, value in METRICS.items()]


def _totals(one: Scored) -> list[float]:
    mown, said = one.expected > 0, one.predicted > 0
    return [
        one.found, one.predicted, one.expected, sum(abs(e) for e in one.errors), sum(one.errors),
        mown, mown and said, not mown, not mown and not said, one.predicted == one.expected,
    ]  # fmt: skip


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


# each: value of the totals, and the position of the count that it rests on
METRICS: dict[str, tuple[Callable[[np.ndarray], float], Callable[[np.ndarray], float], str]] = {
    "precision": (lambda t: _share(t[0], t[1]), lambda t: t[1], "1"),
    "recall": (lambda t: _share(t[0], t[2]), lambda t: t[2], "1"),
    "f1": (lambda t: _share(2 * t[0], t[1] + t[2]), lambda t: t[1] + t[2], "1"),
    "date_mae_days": (lambda t: _share(t[3], t[0]), lambda t: t[0], "days"),
    "date_bias_days": (lambda t: _share(t[4], t[0]), lambda t: t[0], "days"),
    "mown_accuracy": (
        lambda t: float(np.mean([_share(t[6], t[5]), _share(t[8], t[7])])),
        lambda t: t[5] + t[7],
        "1",
    ),
    "count_accuracy": (lambda t: _share(t[9], t[5] + t[7]), lambda t: t[5] + t[7], "1"),
}


def _score(name: str, metric: tuple, whole: np.ndarray, samples: Sequence[np.ndarray]) -> Score:
    of, count, unit = metric
    values = np.array([of(sample) for sample in samples])
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.025, 0.975]) if len(values) else (float("nan"), float("nan"))
    return Score(name, of(whole), float(low), float(high), int(count(whole)), unit)
