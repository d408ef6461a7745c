"""How many parcels and holdings a sample needs for an interval of a given width."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from models.evaluation.metrics import LEVEL, Estimate

ASSUMED_WITHIN = 0.1  # correlation of errors within a holding, where no results tell
ASSUMED_PER_HOLDING = 3.0
Z = float(norm.ppf(0.5 + LEVEL / 2))


@dataclass(frozen=True)
class Plan:
    """A sample's size.

    Attributes
    ----------
    parcels, holdings
        To visit.
    width
        Of the 95% interval, as a share: upper less lower end.
    basis
        What the plan rests on, in words.
    """

    parcels: int
    holdings: int
    width: float
    basis: str


def plan_from_results(error: Estimate, visited: int, holdings: int, population: int, width: float) -> Plan:
    """Plan from results of a pilot or of last year.

    The variance of one visit is read off the interval that `visited` visits gave, so that it holds the
    effect of holdings, weights and areas; the width then falls with the square root of the visits, and less
    as they near the whole population.

    Parameters
    ----------
    error
        The share that is to be known, with its interval.
    """
    unit = ((error.high - error.low) / (2 * Z)) ** 2 * visited / max(1 - visited / population, 1 / population)
    parcels = size(unit, population, width)
    basis = (
        f"{visited} visits in {holdings} holdings, which showed {100 * error.value:.2f}% "
        f"({100 * error.low:.2f} to {100 * error.high:.2f}%)"
    )
    return Plan(parcels, _holdings(parcels, visited / max(holdings, 1)), width, basis)


def plan_from_rate(rate: float, population: int, width: float) -> Plan:
    """Plan from an assumed rate of errors, where there are no results yet."""
    effect = 1 + ASSUMED_WITHIN * (ASSUMED_PER_HOLDING - 1)
    parcels = size(rate * (1 - rate) * effect, population, width)
    basis = (
        f"no results yet: {100 * rate:.1f}% errors assumed, {ASSUMED_PER_HOLDING:.0f} parcels a holding, "
        f"and a correlation of {ASSUMED_WITHIN} within holdings"
    )
    return Plan(parcels, _holdings(parcels, ASSUMED_PER_HOLDING), width, basis)


def size(unit: float, population: int, width: float) -> int:
    """Return how many of a population are visited for an interval of that width.

    Cochran (1977, Sampling Techniques, 4.4): `n0 = 4 z^2 S^2 / width^2`, `n = n0 / (1 + n0 / N)`.

    Parameters
    ----------
    unit
        Variance of one visit.

    Examples
    --------
    >>> size(0.05 * 0.95, 1_000_000_000, 0.02), size(0.05 * 0.95, 1000, 0.02)
    (1825, 646)
    """
    first = unit * (2 * Z / width) ** 2
    return min(int(np.ceil(first / (1 + first / population))), population)


def _holdings(parcels: int, per_holding: float) -> int:
    return int(np.ceil(parcels / max(per_holding, 1.0)))
