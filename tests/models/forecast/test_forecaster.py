"""The forecaster: out of fold, repeatable, and clear where it cannot."""

from dataclasses import replace

import numpy as np
import pytest

from features.context.daily import Daily
from features.errors import ModelError
from models.forecast.forecaster import ALL, Forecaster, fit_forecaster, forecast, renewed
from models.forecast.history import History
from models.forecast.learning.samples import Samples, on_days, seen_ahead
from models.forecast.options import ForecastOptions
from tests.models.forecast.made import history, waves

OPTIONS = ForecastOptions(methods=("boosting",), rounds=10, most_samples=3000, threads=1)
PARCELS, LAST_YEAR = 30, 730
TARGETS = LAST_YEAR + 100 + np.arange(5, 101, 5)


@pytest.fixture(scope="module")
def known() -> History:
    return waves(PARCELS)


@pytest.fixture(scope="module")
def learned(known: History) -> Samples:
    return seen_ahead(known, np.arange(370, LAST_YEAR, 10))


@pytest.fixture(scope="module")
def fitted(known: History, learned: Samples) -> Forecaster:
    return fit_forecaster(known, learned, np.arange(PARCELS) % 3, np.arange(PARCELS), OPTIONS)


def test_weights_of_every_horizon_sum_to_one(fitted: Forecaster) -> None:
    assert (fitted.combination >= 0).all()
    assert fitted.combination.sum(1) == pytest.approx(1)


def test_it_is_better_than_persistence_and_its_intervals_hold(known: History, fitted: Forecaster) -> None:
    came = seen_ahead(known, np.arange(LAST_YEAR + 30, LAST_YEAR + 260, 10))
    found = forecast(fitted, known, came, np.arange(PARCELS) % 3)

    def rmse(value: np.ndarray) -> float:
        return float(np.sqrt(np.mean((value - came.truth) ** 2)))

    assert rmse(found.value) < 0.5 * rmse(found.by_method["persistence"])
    inside = (came.truth >= found.bounds[:, 0]) & (came.truth <= found.bounds[:, 3])
    assert 0.85 <= inside.mean() <= 1


def test_bounds_are_in_order(known: History, fitted: Forecaster) -> None:
    found = forecast(
        fitted, known, on_days(np.arange(PARCELS), LAST_YEAR + 100, TARGETS), np.full(PARCELS, ALL)
    )
    assert (np.diff(found.bounds, axis=1) >= 0).all()


def test_a_forecast_does_not_know_what_comes_after_its_day(known: History, fitted: Forecaster) -> None:
    day = LAST_YEAR + 100
    asked = on_days(np.arange(PARCELS), day, TARGETS)
    whole = forecast(fitted, known, asked, np.full(PARCELS, ALL))
    cut = forecast(fitted, known.until(day), asked, np.full(PARCELS, ALL))
    assert np.array_equal(whole.value, cut.value)


def test_models_of_a_fold_see_nothing_of_its_parcels(known: History, learned: Samples) -> None:
    fold, held = np.arange(PARCELS) % 3, 4
    other = replace(learned, truth=np.where(learned.parcel == held, -0.9, learned.truth).astype(np.float32))
    both = [fit_forecaster(known, one, fold, np.arange(PARCELS), OPTIONS) for one in (learned, other)]
    asked = on_days(np.array([held]), LAST_YEAR + 100, TARGETS)
    a, b = (forecast(one, known, asked, fold).by_method["boosting"] for one in both)
    assert np.array_equal(a, b)


def test_other_inputs_are_named(known: History, fitted: Forecaster) -> None:
    value = np.zeros((1, 1200, 1), np.float32)
    more = replace(known, weather=Daily(("t_mean_c",), 0, value, np.zeros(PARCELS, int)))
    with pytest.raises(ModelError, match="new here: t_mean_c_10, t_mean_c_30, t_mean_c_90"):
        forecast(fitted, more, on_days(np.arange(2), 800, TARGETS), np.full(PARCELS, ALL))


def test_training_further_changes_the_forecast(known: History, learned: Samples, fitted: Forecaster) -> None:
    fold, group = np.arange(PARCELS) % 3, np.arange(PARCELS)
    further = fit_forecaster(known, learned, fold, group, OPTIONS, start=fitted)
    trees = [one.folds[ALL][1].boosters["boosting"].num_trees() for one in (fitted, further)]
    assert trees == [10, 20]


def test_too_few_looks_to_learn_from() -> None:
    few = history({"a": [(1, 0.2)], "b": []})
    samples = seen_ahead(few, np.arange(0, 300, 10))
    with pytest.raises(ModelError, match=r"give earlier seasons \(forecast.history\)"):
        fit_forecaster(few, samples, np.array([0, 1]), np.array([0, 1]), OPTIONS)


def test_parcels_with_one_look_or_none_are_forecast(known: History, fitted: Forecaster) -> None:
    few = replace(history({"a": [(LAST_YEAR + 90, 0.5)], "b": []}, {"a": "grass", "b": "grass"}, 3))
    found = forecast(fitted, few, on_days(np.arange(2), LAST_YEAR + 100, TARGETS), np.full(2, ALL))
    assert np.isfinite(found.value).all()
    assert np.isfinite(found.bounds).all()


def test_a_horizon_past_the_last_year_is_forecast(known: History, fitted: Forecaster) -> None:
    asked = on_days(np.arange(3), 1090, 1090 + np.arange(5, 101, 5))
    assert np.isfinite(forecast(fitted, known, asked, np.full(PARCELS, ALL)).value).all()


def test_a_time_of_year_that_was_never_seen_is_not_forecast(known: History) -> None:
    looks = known.ndvi
    season = known.day_of_year(looks.day)
    summers = replace(known, ndvi=looks.where((season >= 60) & (season <= 300)))
    samples = seen_ahead(summers, np.arange(60, LAST_YEAR, 10))
    fold = np.arange(PARCELS) % 3
    fitted = fit_forecaster(summers, samples, fold, np.arange(PARCELS), OPTIONS)
    asked = on_days(np.arange(2), LAST_YEAR + 300, LAST_YEAR + np.array([310, 320, 340, 355]))
    found = forecast(fitted, summers, asked, np.full(PARCELS, ALL))
    assert np.isfinite(found.value).reshape(2, 4).tolist() == [[True, True, False, False]] * 2
    assert (np.isfinite(found.bounds).all(1) == np.isfinite(found.value)).all()


def test_crops_are_known_by_name_whatever_their_number(known: History, learned: Samples) -> None:
    """A run with a class more numbers its classes otherwise than the run whose models it uses."""
    fitted = fit_forecaster(known, learned, np.arange(PARCELS) % 3, np.arange(PARCELS), OPTIONS)
    assert "crop" in fitted.columns
    other = known.in_classes(("fallow", "grass", "maize"))
    asked = on_days(np.arange(PARCELS), LAST_YEAR + 100, TARGETS)
    one, two = (forecast(fitted, of, asked, np.full(PARCELS, ALL)).value for of in (known, other))
    assert np.array_equal(one, two)


def test_parcels_that_no_radar_saw_are_forecast_alone_as_among_others() -> None:
    seen = waves(PARCELS, radar=range(PARCELS // 2))
    samples = seen_ahead(seen, np.arange(370, LAST_YEAR, 10))
    fitted = fit_forecaster(seen, samples, np.arange(PARCELS) % 3, np.arange(PARCELS), OPTIONS)
    assert "vv_change" in fitted.columns
    without = np.arange(PARCELS // 2, PARCELS)
    whole = forecast(fitted, seen, on_days(without, LAST_YEAR + 100, TARGETS), np.full(PARCELS, ALL))
    alone = seen.take(without)
    assert not len(alone.radar)
    asked = on_days(np.arange(len(alone)), LAST_YEAR + 100, TARGETS)
    part = forecast(fitted, alone, asked, np.full(len(alone), ALL))
    assert np.array_equal(whole.value, part.value)


def test_models_that_are_kept_learn_what_is_usual_at_a_time_of_year_seen_since(known: History) -> None:
    """The first year's models saw no autumn; the second year's looks tell what is usual then."""
    autumn, fold = 280, np.arange(PARCELS) % 3
    looks = known.ndvi
    of_year = known.day_of_year(looks.day)
    summers = replace(known, ndvi=looks.where(of_year < 240))
    samples = seen_ahead(summers, np.arange(370, LAST_YEAR, 10))
    fitted = fit_forecaster(summers, samples, fold, np.arange(PARCELS), OPTIONS)
    assert not fitted.knows(np.array([autumn]))[0]
    kept = renewed(fitted, known, fold)
    assert kept.knows(np.array([autumn]))[0]
    assert kept.folds[0][1] is fitted.folds[0][1]
