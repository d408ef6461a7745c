"""In season: nothing that came later is used."""

from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from features.schema import make_series
from features.series.options import SeriesOptions
from features.series.parcel_series import build_series, last_days
from models.verdicts.in_season import (
    dates_of,
    decided_by,
    discriminate,
    principal,
    season_curve,
    seen_until,
)
from models.verdicts.options import JudgeOptions

TIMES = np.datetime64("2022-04-01", "ns") + np.arange(9) * np.timedelta64(10, "D")


def two_crops(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Values `(parcel, time)`: the crops differ from the sixth step on, 21 May."""
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 2
    values = rng.normal(0, 0.05, (n, 9))
    values[:, 5:] += truth[:, None]
    return values, truth


def test_later_dates_do_not_shine_through() -> None:
    values, _ = two_crops()
    values[0, 3] = np.nan
    other = values.copy()
    other[:, 5:] += 100
    ids = [str(i) for i in range(len(values))]
    cut = [
        seen_until(make_series(ids, TIMES, ["ndvi"], value=table[:, :, None, None]), date(2022, 5, 20))
        for table in (values, other)
    ]
    assert cut[0].sizes["time"] == 5
    np.testing.assert_array_equal(cut[0]["value"].values, cut[1]["value"].values)


def test_a_figure_is_dated_by_the_last_day_it_used() -> None:
    """Three dekads are used whole, so no figure can be had before the end of the third."""
    series = make_series(["a"], TIMES, ["ndvi"], value=np.ones((1, 9, 1, 1)))
    assert dates_of(series) == [date(2022, 4, 30), date(2022, 5, 30), date(2022, 6, 29)]
    assert [seen_until(series, day).sizes["time"] for day in dates_of(series)] == [3, 6, 9]
    assert seen_until(series, date(2022, 4, 29)).sizes["time"] == 2


def test_the_last_step_ends_where_the_season_was_cut() -> None:
    seen = {"feature": "ndvi", "sensor": "s2", "mean": 0.5, "pixel_count": 9.0, "valid_share": 1.0}
    observations = pl.DataFrame(
        {
            "parcel_id": ["a"] * 3,
            "datetime": [datetime(2022, 4, day) for day in (3, 12, 22)],
            **{name: [value] * 3 for name, value in seen.items()},
            **{name: [0.0] * 3 for name in ("filled_share", "sigma")},
            "relative_orbit": [1] * 3,
        }
    )
    options = SeriesOptions(statistics=("mean",))
    season = date(2022, 4, 1), date(2022, 4, 30)
    whole, cut = (
        build_series(observations, ["a"], options, *season, until=until)
        for until in (None, date(2022, 4, 13))
    )
    assert last_days(whole) == [date(2022, 4, 10), date(2022, 4, 20), date(2022, 4, 30)]
    assert last_days(cut) == [date(2022, 4, 10), date(2022, 4, 13)]


def test_a_class_is_decidable_once_it_differs() -> None:
    values, truth = two_crops()
    series = make_series([str(i) for i in range(60)], TIMES, ["ndvi"], value=values[:, :, None, None])
    untils = dates_of(series)
    folds = np.arange(60) // 2 % 5
    curve, earliest = season_curve(
        series,
        untils,
        lambda cut: discriminate(cut, truth, folds, 2),
        truth=truth,
        declared=truth,
        folds=folds,
        groups=np.arange(60) // 3,
        classes=["rye", "maize"],
        options=JudgeOptions(alpha=0.1),
        rng=np.random.default_rng(0),
    )
    curve, decided = (curve.filter(curve["metric"] == name) for name in ("macro_f1", "decided_rate"))
    assert decided["value"][-1] > 0.85
    assert curve["until"].to_list() == untils
    assert curve["value"][-1] == 1
    assert curve["value"][0] < 0.8
    assert (
        earliest["until"].to_list() == [date(2022, 5, 30)] * 2
    )  # the last day of the step that begins on 21 May
    assert curve["n"].to_list() == [60] * len(untils)


@pytest.mark.parametrize("shape", [(50, 12), (12, 50), (30, 200), (200, 30)])
def test_principal_components_are_those_of_the_singular_values(shape: tuple[int, int]) -> None:
    """Up to their signs; few of many columns by another method than many of few."""
    table = np.random.default_rng(1).normal(size=shape) @ np.diag(np.linspace(3, 1, shape[1]))
    centred = table - table.mean(0)
    for most in (4, 60):
        left, values, _ = np.linalg.svd(centred, full_matrices=False)
        rank = min(most, min(shape) - (shape[0] <= shape[1]))  # centring takes one from the rows
        found = principal(centred, most)
        assert found.shape == (shape[0], rank)
        np.testing.assert_allclose(np.abs(found), np.abs(left * values)[:, :rank], atol=1e-8)


def test_what_is_sure_is_decided_either_way() -> None:
    told = np.tile([[0.98, 0.02], [0.02, 0.98]], (40, 1))
    told[:, 0] += np.linspace(0, 0.01, 80)
    declared = np.tile([0, 1], 40)
    declared[0] = 1
    decided = decided_by(told, declared, np.arange(80) % 4, JudgeOptions())
    assert decided[0]  # nothing declared so looks so: contradicted
    assert decided.mean() > 0.9


def test_a_season_with_nothing_seen_tells_the_prior() -> None:
    series = make_series([str(i) for i in range(6)], TIMES, ["ndvi"], value=np.full((6, 9, 1, 1), np.nan))
    told = discriminate(series, np.array([0, 0, 0, 1, 1, -1]), np.array([0, 1, 0, 1, 0, -1]), 2)
    np.testing.assert_allclose(told, [[4 / 7, 3 / 7]] * 6)
