"""Looks from tables as people have them."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from models.forecast.history import looks_from
from models.forecast.learning.samples import on_days, seen_ahead
from tests.models.forecast.made import ORIGIN, history, table


def test_unordered_dates_are_put_in_order() -> None:
    looks, _ = looks_from(table({"a": [(20, 0.4), (3, 0.2), (11, 0.3)]}), ["a"], ORIGIN)
    assert looks.day.tolist() == [3, 11, 20]
    assert looks.value.tolist() == pytest.approx([0.2, 0.3, 0.4])


def test_what_is_set_aside_is_counted_by_reason() -> None:
    given = table(
        {"a": [(1, 0.2), (1, 0.4), (2, float("nan")), (3, float("inf")), (4, 1.5)], "b": [(1, 0.5)]}
    )
    looks, aside = looks_from(given, ["a"], ORIGIN)
    assert looks.value.tolist() == pytest.approx([0.3])  # two values of a day are averaged
    assert aside == {"unknown_parcel": 1, "not_finite": 2, "out_of_range": 1, "same_day": 1}
    assert len(given) == len(looks) + sum(aside.values())


def test_a_missing_date_or_value_is_not_finite() -> None:
    given = pl.DataFrame(
        {"parcel_id": ["a", "a"], "date": [None, date(2022, 3, 1)], "ndvi": [0.3, None]},
        schema={"parcel_id": pl.String, "date": pl.Date, "ndvi": pl.Float64},
    )
    looks, aside = looks_from(given, ["a"], ORIGIN)
    assert (len(looks), aside) == (0, {"not_finite": 2})


def test_a_parcel_is_taken_with_its_looks() -> None:
    some = history({"a": [(1, 0.1)], "b": [(2, 0.2), (3, 0.3)], "c": []}).take(np.array([2, 1]))
    assert some.parcel_ids == ("c", "b")
    assert some.ndvi.first.tolist() == [0, 0, 2]
    assert some.ndvi.day.tolist() == [2, 3]


def test_until_keeps_the_day_itself() -> None:
    assert history({"a": [(1, 0.1), (5, 0.2), (6, 0.3)]}).until(5).ndvi.day.tolist() == [1, 5]


def test_years_and_days_of_the_year_pass_a_leap_year() -> None:
    known = history({"a": []}, years=4)
    day = known.day(date(2024, 12, 31))
    assert known.day_of_year(np.array([day, day + 1])).tolist() == [365, 0]
    assert known.year_of(np.array([day, day + 1])).tolist() == [2, 3]


def test_a_sample_is_a_look_after_a_look() -> None:
    known = history({"a": [(1, 0.1), (10, 0.2), (40, 0.3)], "b": [(30, 0.5)], "c": []})
    found = seen_ahead(known, np.array([0, 5, 31]), ahead=20)
    rows = sorted(zip(found.parcel.tolist(), found.origin.tolist(), found.target.tolist(), strict=True))
    # on day 0 nobody was seen; on day 5 a was, and came again on day 10; on day 31 a comes on day 40, b never
    assert rows == [(0, 5, 10), (0, 31, 40)]


def test_samples_of_one_day_go_parcel_by_parcel() -> None:
    found = on_days(np.array([4, 2]), 100, np.array([105, 110]))
    assert found.parcel.tolist() == [4, 4, 2, 2]
    assert found.target.tolist() == [105, 110, 105, 110]
