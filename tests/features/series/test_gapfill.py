"""Gap filling keeps what was observed, marks what it filled, and leaves the unknown unknown."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import CropcheckError
from features.schema import make_series
from features.series.gapfill import gapfill_series
from features.series.options import GapfillOptions
from features.series.whittaker import penalty, posterior_variance, smooth_rows, smooth_shared

METHODS = ("linear", "whittaker")


def made(seed: int, seen: float, parcels: int = 5, steps: int = 12, features: int = 3) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    times = np.datetime64("2022-03-01", "ns") + np.cumsum(rng.integers(5, 20, steps)) * np.timedelta64(1, "D")
    value = rng.normal(size=(parcels, steps, features, 2)).astype(np.float32)
    known = np.broadcast_to(rng.random((parcels, steps, 1)) < seen, (parcels, steps, features)).copy()
    known[0, :, 0], known[1] = False, False
    value[~known] = np.nan
    names = [f"f{i}" for i in range(features)]
    series = make_series([str(i) for i in range(parcels)], times, names, ("mean", "std"), value, known)
    filled = known & (rng.random(known.shape) < 0.3)
    series["observed"].values[filled] = False
    series["filled_share"].values[filled] = 0.8
    series["sigma"].values[filled] = 0.3
    return series


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1), st.sampled_from(METHODS))
def test_observed_values_are_kept_and_only_value_and_sigma_change(
    seed: int, seen: float, method: str
) -> None:
    series = made(seed, seen)
    before = series.copy(deep=True)
    filled = gapfill_series(series, GapfillOptions(method=method))
    xr.testing.assert_identical(series, before)
    observed = series["observed"].values
    np.testing.assert_array_equal(filled["value"].values[observed], series["value"].values[observed])
    np.testing.assert_array_equal(filled["sigma"].values[observed], series["sigma"].values[observed])
    for name in ("observed", "filled_share"):
        np.testing.assert_array_equal(filled[name].values, series[name].values)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1), st.sampled_from(METHODS))
def test_a_series_is_filled_wholly_or_was_never_seen(seed: int, seen: float, method: str) -> None:
    series = made(seed, seen)
    filled = gapfill_series(series, GapfillOptions(method=method))
    some = np.isfinite(series["value"].values).any(1, keepdims=True)
    missing = np.isnan(filled["value"].values)
    np.testing.assert_array_equal(missing, np.broadcast_to(~some, missing.shape))


def three(values: list[float]) -> xr.Dataset:
    times = np.datetime64("2022-03-01", "ns") + np.arange(len(values)) * np.timedelta64(10, "D")
    return make_series(["a"], times, ["ndvi"], ("mean",), np.array(values).reshape(1, -1, 1, 1))


def test_linear_by_hand() -> None:
    filled = gapfill_series(three([np.nan, 1.0, np.nan, 3.0, np.nan]), GapfillOptions(method="linear"))
    assert filled["value"].values.ravel().tolist() == [1, 1, 2, 3, 3]
    # the one increment, 2 over two dekads, gives a variance of 2 a dekad: sqrt(2 * 1 * 1 / 2) in the middle
    np.testing.assert_allclose(filled["sigma"].values.ravel(), [np.sqrt(2), 0, 1, 0, np.sqrt(2)], rtol=1e-6)


def test_whittaker_runs_straight_through_a_straight_line_and_holds_its_ends() -> None:
    filled = gapfill_series(
        three([np.nan, 1.0, 2.0, np.nan, 4.0, np.nan]), GapfillOptions(method="whittaker")
    )
    np.testing.assert_allclose(filled["value"].values.ravel(), [1, 1, 2, 3, 4, 4], atol=1e-6)


def test_an_uncertain_value_weighs_less() -> None:
    series = three([0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0])
    series["observed"].values[0, 2] = False
    series["filled_share"].values[0, 2] = 1.0
    fill = GapfillOptions(method="whittaker")
    series["sigma"].values[0, 2] = 0.01
    trusted = gapfill_series(series, fill)["value"].values[0, 2, 0, 0]
    series["sigma"].values[0, 2] = 5.0
    doubted = gapfill_series(series, fill)["value"].values[0, 2, 0, 0]
    assert doubted < trusted - 0.1


def test_none_changes_nothing() -> None:
    series = made(1, 0.5)
    xr.testing.assert_equal(gapfill_series(series, GapfillOptions(method="none")), series)


def dense(weights: np.ndarray, positions: np.ndarray, smoothness: float) -> np.ndarray:
    difference = np.eye(len(positions))
    for order in (1, 2):
        difference = np.diff(difference, axis=0) / (positions[order:] - positions[:-order])[:, None]
    return np.diag(weights) + smoothness * difference.T @ difference


def irregular(seed: int, n: int, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positions = np.cumsum(rng.random(steps) + 0.1)
    weights = rng.random((n, steps)) * (rng.random((n, steps)) < 0.6)
    weights[:, :2] = 1
    return positions, rng.normal(size=(n, steps)), weights


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(3, 30), st.sampled_from([0.01, 1.0, 100.0]))
def test_the_kernel_solves_what_a_dense_solver_solves(
    seed: int, n: int, steps: int, smoothness: float
) -> None:
    positions, values, weights = irregular(seed, n, steps)
    bands = penalty(positions, smoothness)
    expected = [
        np.linalg.solve(dense(w, positions, smoothness), w * y) for w, y in zip(weights, values, strict=True)
    ]
    np.testing.assert_allclose(smooth_rows(values, weights, bands), expected, atol=1e-6)
    for features in (2, 28):  # fewer than a vector; more than three, with some over
        many = values[:, :, None] * np.arange(1, features + 1)
        curves = np.array(expected)[:, :, None] * np.arange(1, features + 1)
        np.testing.assert_allclose(smooth_shared(many, weights, bands), curves, atol=1e-6)
        np.testing.assert_allclose(smooth_shared(many, weights, bands, many), curves, atol=1e-6)  # in place


def test_posterior_variance_is_the_diagonal_of_the_inverse() -> None:
    positions, _, weights = irregular(3, 20, 15)
    expected = [np.diag(np.linalg.inv(dense(w, positions, 2.0))) for w in weights]
    np.testing.assert_allclose(posterior_variance(weights, penalty(positions, 2.0)), expected, rtol=1e-8)


def test_reproduces_whittaker_eilers() -> None:
    peer = pytest.importorskip("whittaker_eilers")
    positions, values, weights = irregular(4, 50, 60)
    ours = smooth_rows(values, weights, penalty(positions, 50.0))
    for row in range(50):
        smoother = peer.WhittakerSmoother(
            50.0, 2, 60, x_input=positions.tolist(), weights=weights[row].tolist()
        )
        np.testing.assert_allclose(ours[row], smoother.smooth(values[row].tolist()), atol=1e-6)


def test_fewer_than_two_weights_define_no_curve() -> None:
    weights = np.zeros((2, 6))
    weights[1, 3] = 1
    bands = penalty(np.arange(6.0), 1.0)
    assert np.isnan(smooth_rows(np.ones((2, 6)), weights, bands)).all()
    assert np.isnan(smooth_shared(np.ones((2, 6, 3)), weights, bands)).all()


def test_positions_that_do_not_rise_are_refused() -> None:
    with pytest.raises(CropcheckError, match="increasing positions"):
        penalty(np.array([0.0, 2.0, 1.0]), 1.0)
