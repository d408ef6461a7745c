"""Warm years are further on at the same date, on paper."""

from dataclasses import replace

import numpy as np
import pytest

from features.context.daily import Daily
from models.forecast.history import History
from models.forecast.phase import Phases
from tests.models.forecast.made import history

YEAR = 365


def two_years(first_c: float, second_c: float, spring: int = YEAR) -> History:
    """One parcel, each of two years at one temperature every day; the second is known up to a day of it."""
    known = history({"a": [(100, 0.5), (YEAR + 100, 0.5)]})
    warm = np.full((1, 2 * YEAR, 1), first_c, np.float32)
    warm[:, YEAR : YEAR + spring] = second_c
    return replace(known, weather=Daily(("t_mean_c",), 0, warm, np.zeros(1, np.int64)))


def phase(known: History, seen: int, day: int, ahead: Daily | None = None) -> float:
    one = (np.array([k]) for k in (0, seen, day))
    return float(Phases(known, ahead).of(*one)[0])


def test_without_weather_a_day_is_its_day_of_the_year() -> None:
    assert phase(history({"a": [(100, 0.5)]}), YEAR + 99, YEAR + 99) == 99


def test_a_year_as_warm_as_the_other_is_as_far_on() -> None:
    assert phase(two_years(10, 10), YEAR + 99, YEAR + 99) == pytest.approx(99)


def test_a_tenth_more_warmth_in_100_days_is_ten_days() -> None:
    # days 0 to 99 at 11 instead of 10 degrees: 1100 degree-days, which the other year has ten days later
    assert phase(two_years(10, 11), YEAR + 99, YEAR + 99) == pytest.approx(109)
    assert phase(two_years(10, 9), YEAR + 99, YEAR + 99) == pytest.approx(89)


def test_warmth_ahead_is_the_usual_one_until_it_is_given() -> None:
    known = two_years(10, 11)
    assert phase(known, YEAR + 49, YEAR + 99) == pytest.approx(104)  # 50 days at 11, 50 at 10
    assert phase(known, YEAR + 49, YEAR + 99, known.weather) == pytest.approx(109)


def test_no_season_is_more_than_25_days_off_and_autumn_goes_by_the_calendar() -> None:
    assert phase(two_years(10, 20), YEAR + 99, YEAR + 99) == pytest.approx(124)
    assert phase(two_years(10, 11), YEAR + 250, YEAR + 250) == pytest.approx(250)
    halfway = phase(two_years(10, 11), YEAR + 220, YEAR + 220)  # 22.1 days, half of them
    assert halfway == pytest.approx(220 + 22.1 / 2, abs=0.1)


def test_a_day_of_another_year_than_what_is_known_is_not_shifted() -> None:
    assert phase(two_years(10, 11), YEAR - 1, YEAR + 20) == 20
