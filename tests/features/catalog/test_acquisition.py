"""Items as they should not be: whatever JSON stands in an item, it becomes a row or a reason."""

import copy
import json
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.catalog.access.stac import Query
from features.catalog.acquisition import row_of
from features.catalog.reader import ImageryOptions
from features.schema import ACQUISITIONS
from tests.features.catalog.test_reader import BOUNDS, SEASON, optical, radar

QUERY = Query(BOUNDS, *SEASON)
LOCATION = "/data/catalog/items/item.json"
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("2024-05-01")
)
ODD = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def paths_of(node: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [here, *(path for key, value in inside for path in paths_of(value, (*here, key)))]


def replaced(item: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(item)
    node = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return changed


ITEMS = [optical(), radar(coherence_days=6, quantity="sigma0")]
PLACES = [(item, path) for item in ITEMS for path in paths_of(item) if path]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PLACES), ODD)
@example((ITEMS[0], ("properties",)), [])
@example((ITEMS[0], ("assets",)), ["red"])
@example((ITEMS[0], ("bbox",)), ["a", "b", "c", "d"])
@example((ITEMS[0], ("properties", "proj:code")), {"wrong": "CRS"})
@example((ITEMS[0], ("properties", "sat:relative_orbit")), float("nan"))
@example((ITEMS[0], ("assets", "red", "href")), "http://[bad")
@example((ITEMS[0], ("bbox", 0)), -(2**63) - 1)
def test_any_item_is_a_row_or_a_reason(place: tuple[dict[str, Any], tuple[Any, ...]], value: Any) -> None:
    item = replaced(*place, value)
    row = row_of(item, LOCATION, ImageryOptions(), QUERY)
    if isinstance(row, str):
        assert row.replace("_", "").isalpha()
    else:
        table = pl.DataFrame([{name: row[name] for name in ACQUISITIONS}], schema=ACQUISITIONS)
        assert table["datetime"].null_count() == 0
        assert json.dumps(table["assets"].to_list())


@pytest.mark.parametrize("value", [2**64, -(2**70), 10**400, 1e308, 5e-324])
def test_no_number_of_json_is_too_large(value: float) -> None:
    for place in PLACES:
        row = row_of(replaced(*place, value), LOCATION, ImageryOptions(), QUERY)
        known = [] if isinstance(row, str) else [{name: row[name] for name in ACQUISITIONS}]
        assert len(pl.DataFrame(known, schema=ACQUISITIONS)) == len(known), place[1]


@pytest.mark.parametrize("code", ["EPSG:32631", 32631, "32631"])
def test_coordinate_systems_as_they_are_written(code: Any) -> None:
    row = row_of(optical(**{"proj:code": code}), LOCATION, ImageryOptions(), QUERY)
    assert isinstance(row, dict)
    assert row["epsg"] == 32631


@pytest.mark.parametrize("code", ["IAU_2015:30100", "WGS 84", None, "EPSG:", [1]])
def test_a_coordinate_system_that_is_none_is_left_to_the_raster(code: Any) -> None:
    row = row_of(optical(**{"proj:code": code}), LOCATION, ImageryOptions(), QUERY)
    assert isinstance(row, dict)
    assert row["epsg"] is None


def test_a_season_is_checked_in_utc() -> None:
    late = optical(datetime="2024-11-01T00:30:00+02:00")
    assert isinstance(row_of(late, LOCATION, ImageryOptions(), QUERY), dict)
    assert (
        row_of(late, LOCATION, ImageryOptions(), Query(BOUNDS, date(2024, 11, 1), date(2024, 11, 2)))
        == "outside_season"
    )
