"""In season: nothing that came later is used."""

from datetime import date

import numpy as np
import polars as pl

from features.gapfill import FillOptions
from features.schema import make_series
from models.inseason import dates_of, decided_row, season_curve, seen_until

FILL = FillOptions(method="linear")
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
        seen_until(make_series(ids, TIMES, ["ndvi"], value=table[:, :, None, None]), date(2022, 5, 15), FILL)
        for table in (values, other)
    ]
    assert cut[0].sizes["time"] == 5
    np.testing.assert_array_equal(cut[0]["value"].values, cut[1]["value"].values)


def test_a_class_is_decidable_once_it_differs() -> None:
    values, truth = two_crops()
    series = make_series([str(i) for i in range(60)], TIMES, ["ndvi"], value=values[:, :, None, None])
    untils = dates_of(series)
    curve, earliest = season_curve(
        series,
        untils,
        FILL,
        lambda cut: np.stack([1 - cut["value"].values[:, -1, 0, 0], cut["value"].values[:, -1, 0, 0]], 1),
        truth,
        groups=np.arange(60) // 3,
        classes=["rye", "maize"],
        rng=np.random.default_rng(0),
    )
    assert curve["until"].to_list() == untils
    assert curve["value"][-1] == 1
    assert curve["value"][0] < 0.8
    assert earliest["until"].to_list() == [date(2022, 5, 21)] * 2
    assert curve["n"].to_list() == [60] * len(untils)


def test_the_share_decided_is_a_row_of_the_curve() -> None:
    verdicts = pl.DataFrame({"verdict": ["confirmed", "contradicted", "inconclusive", "no_data"]})
    assert decided_row(date(2022, 5, 21), verdicts)["value"].to_list() == [0.5]
