"""Scores that can be checked on paper."""

import numpy as np
import pytest

from models.clouds.mask.scoring import agreement, kept_at, missed_and_lost, smoothness

ONE_AREA = np.zeros((1, 1), int)


def test_bad_pixels_missed_and_clear_pixels_lost() -> None:
    truth = np.array([0, 0, 0, 0, 1, 2, 3, 3, 255])
    kept = np.array([1, 1, 1, 0, 1, 0, 0, 0, 1], bool)
    assert missed_and_lost(kept, truth) == (0.25, 0.25)


def test_at_equal_share_the_pixels_with_the_lowest_chance_are_kept() -> None:
    bad = np.array([0.1, 0.9, np.nan, 0.3, 0.2])
    scored = np.array([True, True, True, True, False])
    assert kept_at(bad, scored, 0.5).tolist() == [True, False, False, True, False]


def test_what_is_unknown_is_never_kept() -> None:
    bad = np.array([0.1, np.nan, np.nan])
    assert kept_at(bad, np.ones(3, bool), 1.0).tolist() == [True, False, False]


def test_smoothness_is_the_distance_from_the_line_between_neighbours() -> None:
    days = np.array([0.0, 5.0, 10.0, 15.0])
    values = np.array([0.2, 0.6, 0.4, 0.5]).reshape(4, 1, 1)
    everything = smoothness(values, days, np.ones((4, 1, 1), bool), ONE_AREA)
    assert everything.mean == pytest.approx((0.3 + 0.15) / 2)
    without = np.array([True, False, True, True]).reshape(4, 1, 1)
    found = smoothness(values, days, without, ONE_AREA)
    assert (found.mean, found.count.tolist()) == (pytest.approx(abs(0.4 - 0.4)), [1])


def test_gaps_of_twelve_days_and_more_say_nothing() -> None:
    days = np.array([0.0, 12.0, 17.0])
    found = smoothness(np.ones((3, 1, 1)), days, np.ones((3, 1, 1), bool), ONE_AREA)
    assert found.count.tolist() == [0]


def test_agreement_in_all_and_by_class() -> None:
    found, other = np.array([0, 0, 3, 1, 255]), np.array([0, 3, 3, 2, 0])
    said = agreement(found, other)
    assert (said["agreement"], said["agreement_clear_or_not"]) == (0.5, 0.75)
    assert (said["agreement_cloud"], said["agreement_thin"]) == (0.5, 0.0)
