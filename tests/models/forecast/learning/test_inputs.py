"""What boosting reads of a parcel's looks, by hand."""

import numpy as np
import pytest

from models.forecast.learning.inputs import OPTICAL, _describe


def described(looks: dict[int, float], origin: int, looked: int | None = None) -> dict[str, float]:
    """The columns of one parcel with looks by day, where nothing is usual but 0.5."""
    days = np.array(list(looks), np.int64)
    out = np.full((1, len(OPTICAL)), np.nan, np.float32)
    _describe(
        np.array([0, len(days)]), days, np.array(list(looks.values()), np.float32),
        (days % 365).astype(np.float32), np.array([0]), np.array([origin]),
        np.array([origin if looked is None else looked]),
        np.array([origin + 10]), np.full((1, 12), 0.5, np.float32), np.array([0]), out,
    )  # fmt: skip
    return dict(zip(OPTICAL, out[0].tolist(), strict=True))


def test_looks_levels_falls_and_departures() -> None:
    found = described({10: 0.2, 60: 0.8, 80: 0.6, 95: 0.7}, origin=100)
    assert [found[name] for name in ("last", "gap_days", "look_2", "age_days_2")] == pytest.approx(
        [0.7, 5, 0.6, 20]
    )
    assert found["median_of_3"] == pytest.approx(0.7)
    assert [found["mean_30"], found["mean_60"], found["looks_60"]] == pytest.approx([0.65, 0.7, 3])
    assert [found["highest_90"], found["lowest_90"]] == pytest.approx([0.8, 0.2])
    assert [found["steepest_fall_60"], found["days_since_fall"]] == pytest.approx([-0.2, 20])
    assert found["departure_last"] == pytest.approx(0.2)


@pytest.mark.parametrize("origin", [110, 260, 275])
def test_the_slope_of_a_line_is_its_slope_however_long_ago_it_was_seen(origin: int) -> None:
    line = {day: 0.01 * day - 0.5 for day in range(80, 111, 5)}
    assert described(line, origin)["slope_30"] == pytest.approx(0.01, rel=1e-4)


def test_nothing_older_than_half_a_year_is_described() -> None:
    assert np.isnan(described({80: 0.2, 90: 0.4}, origin=300)["slope_30"])


def test_harvested_bare_and_green_again_are_told_apart() -> None:
    season = {10: 0.3, 60: 0.9, 95: 0.5, 100: 0.2}
    harvested = described(season, origin=102)
    assert [harvested[name] for name in ("days_since_top", "below_top")] == pytest.approx([42, 0.7])
    assert [harvested[name] for name in ("days_since_low", "above_low")] == pytest.approx([2, 0.0])
    bare = described(season | {120: 0.2}, origin=122)
    assert [bare[name] for name in ("days_since_low", "above_low")] == pytest.approx([2, 0.0])
    again = described(season | {120: 0.2, 140: 0.5}, origin=140)
    assert [again["below_top"], again["days_since_low"], again["above_low"]] == pytest.approx([0.4, 20, 0.3])


def test_looks_under_a_made_up_cloud_are_not_read() -> None:
    season = {10: 0.3, 60: 0.9, 100: 0.2}
    found = described(season, origin=102, looked=90)
    assert [found["last"], found["gap_days"]] == pytest.approx([0.9, 42])
