import math

import pytest

from models.events.scoring import Scored, match, score_units, told_apart


def of(scores: list, metric: str) -> float:
    return next(score.value for score in scores if score.metric == metric)


def test_an_event_is_found_within_twelve_days_and_not_beyond() -> None:
    assert match([100], [112]).found == 1
    assert match([100], [113]).found == 0


def test_one_prediction_finds_one_reference_only() -> None:
    assert match([105], [100, 110]) == Scored(1, 1, 2, (5.0,))


def test_as_many_pairs_as_possible_are_made_before_the_closest() -> None:
    # 110 is closest to 112, but then 100 could not be paired with 121
    assert match([100, 110], [112, 121]).found == 2


def test_figures_of_three_parcels_as_on_paper() -> None:
    predicted = {"a": [100.0], "b": [150.0, 200.0]}
    expected = {"a": [104.0], "b": [150.0], "c": [180.0]}
    scores = score_units(predicted, expected, ["a", "b", "c", "d"], draws=20)
    assert of(scores, "precision") == pytest.approx(2 / 3)
    assert of(scores, "recall") == pytest.approx(2 / 3)
    assert of(scores, "date_mae_days") == 2
    assert of(scores, "date_bias_days") == -2
    # mown: a, b found, c missed; unmown: d rightly so
    assert of(scores, "mown_accuracy") == pytest.approx((2 / 3 + 1) / 2)
    assert of(scores, "count_accuracy") == pytest.approx(2 / 4)


def test_units_with_events_too_close_are_left_out() -> None:
    assert not told_apart([100, 114])
    scores = score_units({"a": [100.0]}, {"a": [100.0, 110.0]}, ["a"], draws=5)
    assert math.isnan(of(scores, "recall"))


def test_days_outside_75_to_300_count_on_neither_side() -> None:
    scores = score_units({"a": [310.0]}, {"a": [310.0]}, ["a"], draws=5)
    assert math.isnan(of(scores, "precision")) and math.isnan(of(scores, "recall"))
