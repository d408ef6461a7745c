"""In season: nothing that came later is used."""

from datetime import date

import numpy as np

from features.schema import make_series
from models.verdicts.in_season import dates_of, decided_by, discriminate, season_curve, seen_until
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
        seen_until(make_series(ids, TIMES, ["ndvi"], value=table[:, :, None, None]), date(2022, 5, 15))
        for table in (values, other)
    ]
    assert cut[0].sizes["time"] == 5
    np.testing.assert_array_equal(cut[0]["value"].values, cut[1]["value"].values)


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
    assert earliest["until"].to_list() == [date(2022, 5, 21)] * 2
    assert curve["n"].to_list() == [60] * len(untils)


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
