from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

from models.events.intervals import Intervals
from models.events.kinds import EVENTS
from models.events.labels import SCHEMA, Labels
from models.events.learning.steps import (
    FAR_DAYS,
    INPUTS,
    READ,
    SCALED,
    STEP_DAYS,
    days_since,
    layout,
    over_intervals,
    taught_steps,
    with_neighbours,
)
from models.events.series import CHANNELS, RADAR, EventSeries

START = date(2024, 3, 1)
MOWING = EVENTS.index("mowing")


def series(
    days: Sequence[int], ndvi: Sequence[float], passes: Sequence[tuple[int, int, float]] = ()
) -> EventSeries:
    """One parcel with looks, all channels alike, and passes (day, orbit, VV)."""
    optical = np.repeat(np.array(ndvi, np.float32)[None, :, None], len(CHANNELS), axis=2)
    radar = np.full((1, len(passes), len(RADAR)), np.nan, np.float32)
    radar[0, :, 0] = [value for _, _, value in passes]
    return EventSeries(
        ("p1",), START, np.array(days, np.int32), optical, np.array([day for day, _, _ in passes], np.int32),
        np.array([orbit for _, orbit, _ in passes], np.int32), radar, np.full(1, 40, np.float32),
    )  # fmt: skip


def labels(event: str, first: date, last: date, kinds: tuple[str, ...] = ("mowing",)) -> Labels:
    events = pl.DataFrame([("p1", event, first, last, first == last)], schema=SCHEMA, orient="row")
    return Labels(events, ("p1",), kinds)


def test_looks_of_one_step_are_averaged_and_an_unseen_step_is_unknown() -> None:
    found = layout(series([0, 5, 13], [0.2, 0.4, 0.8]))[0]
    assert found.shape == (3, INPUTS)
    assert np.allclose(found[:, 0], [0.3, np.nan, 0.8], equal_nan=True)
    assert found[:, SCALED].tolist() == [1, 0, 1]
    assert np.allclose(found[:, -4], [0, STEP_DAYS / FAR_DAYS, 0])  # since the last look
    assert np.allclose(found[:, -3], [0, STEP_DAYS / FAR_DAYS, 0])  # to the next


def test_each_of_the_two_orbits_with_most_passes_has_its_own_channels() -> None:
    passes = [(0, 37, -10.0), (6, 37, -12.0), (1, 88, -14.0)]
    found = layout(series([0], [0.5], sorted(passes)))[0]
    first, second = len(CHANNELS), len(CHANNELS) + len(RADAR)
    assert found[:, first].tolist() == [1, -1]  # less the parcel's mean of the orbit, -11
    assert found[0, second] == 0 and np.isnan(found[1, second])
    assert found[:, SCALED + 1 : SCALED + 3].tolist() == [[1, 1], [1, 0]]


def test_what_was_never_seen_is_far() -> None:
    assert np.allclose(days_since(np.array([[False, True, False]])), [[1, 0, STEP_DAYS / FAR_DAYS]])


def test_a_step_is_told_of_the_looks_before_and_after_it() -> None:
    found = with_neighbours(np.nan_to_num(layout(series([0, 13, 18], [0.2, 0.8, 0.6]))))[0]
    assert found.shape == (4, READ)
    before, after = found[:, INPUTS], found[:, INPUTS + len(CHANNELS)]
    assert np.allclose(before, [0, 0.2, 0.2, 0.8]) and np.allclose(after, [0.8, 0.8, 0.6, 0])


def test_a_cut_between_two_days_is_spread_over_the_steps_between_them() -> None:
    """5 to 8 March are days 4 to 7: two days in the first step, two in the second."""
    y, weight = taught_steps(
        series([0, 30], [0.5, 0.5]), labels("mowing", date(2024, 3, 5), date(2024, 3, 8))
    )
    assert y[0, :3, MOWING].tolist() == [0.5, 0.5, 0]
    assert weight[0, :, MOWING].tolist() == [1, 1, 1, 1, 1, 1]  # day 12 is 5 days after day 7
    later = labels("mowing", date(2024, 3, 9), date(2024, 3, 9))  # day 8: day 12 is close to it
    assert taught_steps(series([0, 30], [0.5, 0.5]), later)[1][0, :, MOWING].tolist() == [0, 1, 0, 1, 1, 1]
    others = [k for k in range(len(EVENTS)) if k != MOWING]
    assert not weight[:, :, others].any()  # kinds that no label names


def test_grazing_counts_in_every_step_that_it_covers_by_half() -> None:
    known = labels("grazing", date(2024, 3, 4), date(2024, 3, 15), ("grazing",))  # days 3 to 14
    y, _ = taught_steps(series([0, 30], [0.5, 0.5]), known)
    assert y[0, :, EVENTS.index("grazing")].tolist() == [1, 1, 1, 0, 0, 0]


def test_an_interval_takes_of_a_step_the_share_of_days_that_it_holds() -> None:
    density = np.zeros((1, 3, 1))
    density[0, :, 0] = [0.6, 0.5, 0.0]
    bounds = np.array([[-1, 5], [-1, 2], [3, 8], [11, 17]])  # after the first day, by the second
    some = Intervals(
        np.zeros(4, np.int32), bounds[:, 0], bounds[:, 1], bounds[:, 1] - bounds[:, 0], np.zeros((4, 0))
    )
    # whole first step; half of it; a third of it and a half of the second; the empty third
    expected = [0.6, 0.3, 1 - (1 - 0.2) * (1 - 0.25), 0.0]
    assert np.allclose(over_intervals(density, some)[:, 0], expected)
