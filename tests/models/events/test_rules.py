"""What the rules of runs without labels say of made-up meadows."""

from dataclasses import replace

import numpy as np

from models.events.intervals import find_intervals
from models.events.rules import rule_scores
from models.events.series import CHANNELS, EventSeries
from tests.models.events.made_series import meadows

NDVI, NDMI = CHANNELS.index("ndvi"), CHANNELS.index("ndmi")


def cuts_of(series: EventSeries) -> list[int]:
    """The ends of the intervals in which the rule sees a cut."""
    intervals = find_intervals(series)
    return intervals.end[rule_scores(intervals, "mowing") >= 0.5].tolist()


def test_the_rule_finds_the_cut_and_nothing_else() -> None:
    assert cuts_of(meadows([[98]])) == [100]


def test_a_fall_without_drying_is_haze_and_no_cut() -> None:
    hazy = meadows([[98]])
    hazy.optical[0, :, NDMI] = 0.4
    assert cuts_of(hazy) == []


def test_where_no_short_wave_band_was_measured_the_fall_decides() -> None:
    green = meadows([[98]])
    green.optical[0, :, NDMI] = np.nan
    assert cuts_of(green) == [100]


def test_what_ends_as_stubble_is_no_cut() -> None:
    field = meadows([[98]])
    field.optical[0, 22:, NDVI] = 0.2  # from day 110 on
    assert cuts_of(field) == []


def test_what_was_bare_in_the_two_months_before_is_no_meadow() -> None:
    field = meadows([[98]])
    field.optical[0, 8:12, NDVI] = 0.2  # days 40 to 55
    assert cuts_of(field) == []


def test_grazing_is_listed_in_doubt_and_never_reported() -> None:
    pasture = meadows([[]], noise=0)
    pasture.optical[0, 20:, NDVI] -= 0.08  # from day 100 on
    pasture.optical[0, 21:, NDVI] -= 0.03
    score = rule_scores(find_intervals(pasture), "grazing")
    assert 0.3 < score.max() < 0.5


def test_within_a_long_gap_the_rise_of_coherence_tells_the_step_of_the_cut() -> None:
    series = meadows([[103]])
    series.optical[0, 16:24] = np.nan  # clear on days 75 and 120, nothing between
    passes = np.arange(0, 240, 6, dtype=np.int32)
    radar = np.zeros((1, len(passes), 4), np.float32)
    radar[0, :, 2:] = np.where((passes > 103) & (passes <= 160), 0.7, 0.3)[:, None]
    looked = replace(series, radar_days=passes, orbit=np.full(len(passes), 37, np.int32), radar=radar)
    intervals = find_intervals(looked)
    inside = np.flatnonzero(intervals.gap == 45)
    score = rule_scores(intervals, "mowing")[inside]
    assert intervals.end[inside].tolist() == [86, 97, 108, 120]
    assert (score > 0).sum() == 1, "one fall is one cut"
    assert intervals.end[inside][score.argmax()] in (97, 108)
    alone = rule_scores(find_intervals(series), "mowing")
    assert score.max() > alone.max(), "and radar that agrees makes it surer"


def test_where_radar_says_nothing_of_it_the_step_is_that_of_the_usual_place_in_a_gap() -> None:
    series = meadows([[103]])
    series.optical[0, 16:24] = np.nan
    passes = np.arange(0, 240, 6, dtype=np.int32)
    still = np.full((1, len(passes), 4), 0.3, np.float32)
    looked = replace(series, radar_days=passes, orbit=np.full(len(passes), 37, np.int32), radar=still)
    intervals = find_intervals(looked)
    cut = rule_scores(intervals, "mowing") >= 0.5
    assert intervals.end[cut].tolist() == [108], "0.65 of the way from day 75 to day 120 is day 104"
