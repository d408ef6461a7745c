"""Parcel ids: as the agency wrote them, or refused with the reason."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from features.declarations.field_map import FieldOptions
from features.declarations.identity import parcel_ids
from features.declarations.vector_file import FEATURE_ID
from features.errors import DeclarationError


def rows(**columns: object) -> gpd.GeoDataFrame:
    count = len(next(iter(columns.values())))  # type: ignore[arg-type]
    data = columns | {FEATURE_ID: [str(number) for number in range(count)]}
    return gpd.GeoDataFrame(data, geometry=[shapely.Polygon()] * count)


def ids(raw: gpd.GeoDataFrame, *names: str) -> list[str]:
    return parcel_ids(raw, FieldOptions(parcel_id=names or None), "p.gpkg")[0]


def test_one_column_several_or_the_feature_id() -> None:
    raw = rows(application=["1", "1", "2"], parcel=["12-0", "12-1", "12-0"])
    assert ids(raw, "application", "parcel") == ["1/12-0", "1/12-1", "2/12-0"]
    assert ids(raw) == ["0", "1", "2"]


def test_a_column_that_repeats_offers_the_one_that_tells_them_apart() -> None:
    raw = rows(parcel=["12-0", "12-1", "12-0"], region=["n", "n", "n"], application=["1", "1", "2"])
    with pytest.raises(
        DeclarationError,
        match=r"parcel, application are unique together: set `fields\.parcel_id: \[parcel, app",
    ):
        ids(raw, "parcel")
    with pytest.raises(DeclarationError, match="several that are unique together, such as"):
        ids(rows(parcel=["1", "1"], region=["n", "n"]), "parcel")


def test_a_part_that_is_blank_is_named() -> None:
    with pytest.raises(DeclarationError, match=r"1 parcels have no id in one of a, b, first in row 2"):
        ids(rows(a=["1", "2"], b=["x", None]), "a", "b")


@pytest.mark.parametrize(
    "column",
    [np.array([12345678900000001.0, 1.0]), pd.Series([12345678900000001.0, None], dtype=object),
     pd.array([12345678900000001.0, None], dtype="Float64")],
)  # fmt: skip
def test_ids_that_decimals_cannot_hold_are_refused(column: object) -> None:
    with pytest.raises(
        DeclarationError, match=r"'id' of p\.gpkg is one of decimals, and 1 .* such as 1234567890000000"
    ):
        ids(rows(id=column), "id")


def test_decimals_that_hold_their_digits_pass_and_integers_always() -> None:
    assert ids(rows(id=[2.0**53 - 1, 1.0]), "id") == ["9007199254740991", "1"]
    assert ids(rows(id=pd.Series([12345678900000001, 3], dtype=object)), "id") == ["12345678900000001", "3"]


def test_what_no_file_can_hold_is_escaped_and_marked() -> None:
    found, unreadable = parcel_ids(
        rows(id=pd.Series(["A\0B", "\ud800", "Ž"], dtype=object)), FieldOptions(parcel_id="id"), "p.json"
    )
    assert found == [r"A\x00B", r"\ud800", "Ž"]
    assert unreadable.tolist() == [True, True, False]
