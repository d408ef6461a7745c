"""The interval of a share: which side can be missed, and what the ends are on paper."""

import numpy as np
import pytest
from scipy.stats import t

from models.assessment.estimator import Visited, interval, share
from models.evaluation.metrics import clopper_pearson


def of_parcels(n: int, probability: float = 0.01) -> Visited:
    """Parcels of a hectare each in holdings of their own, drawn independently."""
    chance = np.full(n, probability)
    return Visited(np.zeros(n, int), np.arange(n), chance, chance, np.ones(n))


def wilson(p: float, n: float, z: float) -> tuple[float, float]:
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def test_of_many_errors_each_side_has_its_two_and_a_half_percent() -> None:
    low, high = interval(0.3, 0.3 * 0.7 / 200, 200, 200, 1.0, 200)
    assert (low, high) == pytest.approx(wilson(0.3, 200, float(t.ppf(0.975, 199))))


def test_of_few_errors_all_five_percent_lie_at_the_side_that_can_be_missed() -> None:
    """One error in 200: were the truth below 1.49%, no error at all would have a chance above 5%."""
    assert pytest.approx(0.01487, abs=1e-5) == 1 - 0.05 ** (1 / 200)
    low, high = interval(0.005, 0.005 * 0.995 / 200, 200, 200, 1.0, 200)
    assert low == pytest.approx(wilson(0.005, 200, float(t.ppf(0.95, 199)))[0])
    assert high == pytest.approx(wilson(0.005, 200, float(t.ppf(0.975, 199)))[1])


def test_shares_near_one_are_the_mirror_of_shares_near_none() -> None:
    low, high = interval(0.01, 0.01 * 0.99 / 150, 150, 150, 1.0, 150)
    mirrored = interval(0.99, 0.01 * 0.99 / 150, 150, 150, 1.0, 150)
    assert mirrored == pytest.approx((1 - high, 1 - low))


def test_without_an_error_the_exact_bound_stands_and_a_census_has_no_width() -> None:
    none = np.zeros(100, bool)
    found = share(none, ~none, of_parcels(100), np.array([10_000.0]), np.ones(100))
    assert (found.low, found.high) == pytest.approx(clopper_pearson(0.0, 100 / 0.99))
    assert found.high > 0
    whole = share(np.arange(100) < 3, ~none, of_parcels(100, 1.0), np.array([100.0]), np.ones(100))
    assert (whole.low, whole.value, whole.high) == pytest.approx((0.03, 0.03, 0.03))
