"""The scorer, on paper."""

import numpy as np
import pytest

from models.forecast.scoring import Truth, best_of, coverage, errors, improvement, outperformance

RNG = np.random.default_rng(1)


def truth(value: list[float], parcel: list[int] | None = None) -> Truth:
    n = len(value)
    own = np.array(parcel or range(n))
    return Truth(np.array(value), np.full(n, 5), own, own)


def test_errors() -> None:
    found = errors(truth([0.2, 0.4, 0.6]), np.array([0.3, 0.4, 0.8]), RNG)
    assert found["mae"].value == pytest.approx(0.1)
    assert found["bias"].value == pytest.approx(0.1)
    assert found["rmse"].value == pytest.approx(np.sqrt(0.05 / 3))
    assert found["r2"].value == pytest.approx(1 - 0.05 / 0.08)  # the squared deviations sum to 0.08
    assert {one.n for one in found.values()} == {3}


def test_the_mean_of_what_came_has_no_skill() -> None:
    assert errors(truth([0.2, 0.4, 0.6]), np.full(3, 0.4), RNG)["r2"].value == pytest.approx(0)


def test_outperformance_counts_parcels() -> None:
    came = truth([0.5, 0.5, 0.5], [1, 1, 2])
    found = outperformance(came, np.array([0.5, 0.5, 0.9]), np.array([0.6, 0.6, 0.6]), RNG)
    assert (found.value, found.n) == (0.5, 2)


def test_improvement_is_a_share_of_the_rmse() -> None:
    came = truth([0.0, 0.0])
    assert improvement(came, np.array([0.1, 0.1]), np.array([0.2, 0.2]), RNG).value == pytest.approx(0.5)


def test_coverage_and_width() -> None:
    came = truth([0.1, 0.5, 0.9, 0.2])
    inside, width = coverage(came, np.full(4, 0.2), np.full(4, 0.6), RNG)
    assert (inside.value, width.value) == (0.5, pytest.approx(0.4))


def test_best_of() -> None:
    assert best_of(truth([0.5]), {"a": np.array([0.4]), "b": np.array([0.55])}, ("a", "b")) == "b"
