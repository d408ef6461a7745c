"""Areas as they are written in sixteen countries."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.declarations.cells.numbers import read_numbers

AREAS = st.floats(0.0001, 1e7).map(lambda area: round(area, 4))


def values(*cells: object, unit: str = "ha") -> list[float]:
    return read_numbers(pd.Series(list(cells), dtype=object), unit).values.tolist()


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("12.675,00", 12675.0),  # continental
        ("12,675.00", 12675.0),  # English
        ("12 675,5", 12675.5),
        ("12\u00a0675,5", 12675.5),  # no-break space
        ("12\u202f675,5", 12675.5),  # narrow no-break space, France
        ("12'675.50", 12675.5),  # Switzerland
        ("12’675.50", 12675.5),
        ("1.234.567,8", 1234567.8),
        ("1.234.567", 1234567.0),
        ("0,25", 0.25),
        (",25", 0.25),
        ("3", 3.0),
        ("-1,5", -1.5),
        ("1.5e2", 150.0),
        ("2,5 ha", 2.5),
        (7, 7.0),
    ],
)
def test_a_cell_alone(cell: object, value: float) -> None:
    assert values(cell) == [value]


@pytest.mark.parametrize(
    "cell", ["none", "1,2,3.4,5", "12.67,00.1", "inf", "nan", "1-2", "5 m2", "0x10", "²"]
)
def test_what_is_no_number_is_unread_not_lost(cell: str) -> None:
    read = read_numbers(pd.Series([cell, "1.5"]))
    assert np.isnan(read.values[0])
    assert read.unread.tolist() == [cell, ""]


def test_the_column_decides_what_one_cell_cannot() -> None:
    assert values("1.234", "2.5") == [1.234, 2.5]
    assert values("1.234", "2,5") == [1234.0, 2.5]
    assert values("1,234", "2,345") == [1.234, 2.345]
    assert values("1.234", "12.675,00") == [1234.0, 12675.0]
    assert values("1,234", "12,675.00") == [1234.0, 12675.0]


def test_where_the_cells_contradict_each_other_an_ambiguous_one_is_unread() -> None:
    read = read_numbers(pd.Series(["1.234,5", "1,234.5", "1.234", "7"]))
    assert read.values.tolist()[:2] == [1234.5, 1234.5]
    assert read.unread.tolist() == ["", "", "1.234", ""]


def test_blank_is_not_unread_and_numbers_pass() -> None:
    assert read_numbers(pd.Series([None, " ", np.nan], dtype=object)).unread.tolist() == ["", "", ""]
    whole = read_numbers(pd.Series([1, None], dtype="Int64"))
    assert whole.values[0] == 1
    assert whole.unread.tolist() == ["", ""]
    assert read_numbers(pd.Series([1.5, np.inf])).unread.tolist() == ["", "inf"]


def test_an_area_in_square_metres_keeps_its_unit() -> None:
    assert values("10.000 m²", "5 qm", unit="m2") == [10.0, 5.0]
    assert values("10.000,00 m²", "5 qm", unit="m2") == [10000.0, 5.0]


@given(
    st.lists(AREAS, min_size=1, max_size=5), st.sampled_from([(",", "."), (".", ","), (" ", ","), ("'", ".")])
)
def test_what_is_written_with_marks_is_read_back(areas: list[float], marks: tuple[str, str]) -> None:
    thousands, decimal = marks
    cells = [f"{area:,.4f}".translate({ord(","): thousands, ord("."): decimal}) for area in areas]
    assert values(*cells) == areas
