from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from models.events.intervals import NAMES, centred, find_intervals
from tests.models.events.made_series import DAYS, meadows


def test_every_two_clear_looks_bound_an_interval() -> None:
    intervals = find_intervals(meadows([[100]]))
    assert len(intervals) == len(DAYS) - 1
    assert (intervals.end - intervals.start == 5).all() and (intervals.gap == 5).all()


def test_the_fall_stands_in_the_interval_of_the_cut() -> None:
    intervals = find_intervals(meadows([[98]], noise=0))
    change = intervals.features[:, NAMES.index("ndvi_change")]
    assert intervals.end[np.argmin(change)] == 100
    assert change.min() == pytest.approx(0.47 - 0.85, abs=1e-6)


def test_a_hidden_look_widens_the_interval() -> None:
    series = meadows([[98]])
    series.optical[0, 20] = np.nan  # day 100
    intervals = find_intervals(series)
    wide = intervals.take(intervals.gap == 10)
    assert (int(wide.start[0]), int(wide.end[0])) == (95, 105)


def test_a_long_gap_is_divided_only_where_radar_looked() -> None:
    series = meadows([[98]])
    series.optical[0, 16:24] = np.nan  # clear on days 75 and 120, nothing between
    assert (find_intervals(series).gap == 45).sum() == 1
    passes = np.arange(0, 240, 6, dtype=np.int32)
    looked = replace(
        series,
        radar_days=passes,
        orbit=np.full(len(passes), 37, np.int32),
        radar=np.zeros((1, len(passes), 4), np.float32),
    )
    parts = find_intervals(looked)
    parts = parts.take(parts.gap == 45)
    assert len(parts) == 4 and parts.start[0] == 75 and parts.end[-1] == 120
    assert (parts.start[1:] == parts.end[:-1]).all()


def test_orbits_are_compared_with_their_own_mean() -> None:
    radar = np.array([[[-10.0], [-20.0], [-12.0], [-22.0]]], np.float32)
    assert centred(radar, np.array([37, 139, 37, 139])).ravel().tolist() == [1, 1, -1, -1]


def test_a_parcel_never_seen_has_no_interval() -> None:
    series = meadows([[], [100]])
    series.optical[0] = np.nan
    assert set(find_intervals(series).row) == {1}


def test_a_day_of_the_year_is_the_same_in_a_season_that_begins_in_october() -> None:
    spring = find_intervals(meadows([[98]]))  # days from 1 March
    autumn = meadows([[98]])
    later = replace(autumn, origin=date(2023, 10, 1), days=autumn.days + 152)  # the same dates
    day = find_intervals(later).features[:, NAMES.index("day_of_year")]
    assert np.abs(day - spring.features[:, NAMES.index("day_of_year")]).max() <= 1  # of a leap year
