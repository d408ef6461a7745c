"""Intervals hold where errors of other groups are like those here."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.forecast.intervals import LEVELS, calibrate


def test_intervals_hold_on_other_groups() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(1200), 10)
    error = rng.normal(0, 1, len(group)) * (1 + group % 3)  # groups differ in size of error
    step, zero = np.zeros(len(group), int), np.zeros(len(group), int)
    fitted = calibrate(error, step, zero, zero, group, 1, 1)
    other = rng.normal(0, 1, 6000) * (1 + np.arange(6000) % 3)
    low, high = fitted.quantile[0, 0, 0, [0, 3]]
    assert np.mean((other >= low) & (other <= high)) == pytest.approx(0.9, abs=0.02)


def test_a_group_of_many_samples_counts_once() -> None:
    group = np.array([0] * 900 + [k for k in range(1, 11) for _ in range(10)])
    ratio = np.where(group == 0, 5.0, 1.0)
    zero = np.zeros(len(group), int)
    fitted = calibrate(ratio, zero, zero, zero, group, 1, 0)
    assert fitted.quantile[0, 0, 0, LEVELS.index(0.75)] == pytest.approx(1, abs=0.5)


def test_few_samples_of_a_class_take_those_of_the_season() -> None:
    rng = np.random.default_rng(2)
    group, klass = np.arange(1000) // 10, (np.arange(1000) < 20).astype(int)
    zero = np.zeros(1000, int)
    fitted = calibrate(rng.normal(size=1000), zero, zero, klass, group, 1, 2)
    assert (fitted.quantile[1, 0, 0] == fitted.quantile[2, 0, 0]).all()
    assert (fitted.quantile[0, 0, 0] != fitted.quantile[2, 0, 0]).any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_wider_levels_hold_narrower_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 400
    fitted = calibrate(
        rng.normal(size=n), rng.integers(0, 3, n), rng.integers(0, 4, n), rng.integers(0, 2, n),
        rng.integers(0, 20, n), 3, 2,
    )  # fmt: skip
    assert (np.diff(fitted.quantile, axis=-1) >= 0).all()
    bounds = fitted.of(np.full(3, 0.95), np.full(3, 0.1), np.arange(3), np.zeros(3, int), np.zeros(3, int))
    assert (np.abs(bounds) <= 1).all()
