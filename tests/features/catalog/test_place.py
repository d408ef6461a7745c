"""Boxes, footprints and the antimeridian."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from features.catalog.place import bounds_of_points, boxes_of, footprint_of, name_places, overlaps
from features.catalog.reader import read_acquisitions
from pipelines.inputs.region import bounds_of
from tests.features.catalog.test_reader import SEASON, optical, read, write_catalog


@pytest.mark.parametrize(
    ("crs", "x", "y"), [(32632, 500e3, 5316e3), (32633, 500e3, 7208e3), (3035, 4321e3, 3210e3)]
)
def test_the_bulging_border_of_a_wide_region_is_asked_for(crs: int, x: float, y: float) -> None:
    along = x + np.linspace(-3e5, 3e5, 41)
    squares = [
        shapely.box(left, bottom, left + 100, bottom + 100) for left in along for bottom in (y, y - 3e5)
    ]
    parcels = gpd.GeoDataFrame(geometry=squares, crs=crs)
    assert bounds_of(parcels) == pytest.approx(tuple(parcels.to_crs(4326).total_bounds), abs=1e-6)


def test_parcels_on_both_sides_of_the_antimeridian_are_asked_for_in_two_boxes() -> None:
    fiji = [shapely.box(179.9, -17.0, 179.91, -16.9), shapely.box(-179.9, -17.2, -179.89, -17.1)]
    parcels = gpd.GeoDataFrame(geometry=fiji, crs=4326).to_crs(3832)
    west, south, east, north = bounds_of(parcels)
    assert (west, east) == (pytest.approx(179.9), pytest.approx(-179.89))
    assert [box[::2] for box in boxes_of((west, south, east, north))] == [
        (pytest.approx(179.9), 180.0), (-180.0, pytest.approx(-179.89)),
    ]  # fmt: skip


def test_items_on_either_side_of_the_antimeridian_are_found(tmp_path: Path) -> None:
    boxes = {"east": [178.0, -18, 179.95, -16], "west": [-179.95, -18, -178.0, -16],
             "across": [179.0, -18, -179.0, -16], "far": [0.0, -18, 1.0, -16]}  # fmt: skip
    items = [
        {**optical(name, **{"grid:code": f"MGRS-60KX{k}"}), "bbox": box}
        for k, (name, box) in enumerate(boxes.items())
    ]
    options = write_catalog(tmp_path, *items)
    table, tally = read_acquisitions(options, (179.9, -17.2, -179.89, -16.9), *SEASON)
    assert sorted(table["item_id"]) == ["across", "east", "west"]
    assert tally.set_aside == {"outside_region": 1}


def test_a_footprint_that_crosses_the_antimeridian_is_cut_there() -> None:
    ring = [[179.0, -18.0], [-179.0, -18.0], [-179.0, -16.0], [179.0, -16.0], [179.0, -18.0]]
    found = footprint_of({"type": "Polygon", "coordinates": [ring]})
    assert found is not None
    assert sorted(part.bounds for part in found.geoms) == [(-180, -18, -179, -16), (179, -18, 180, -16)]


@pytest.mark.parametrize(
    "geometry",
    [None, 7, {}, {"type": "Polygon"}, {"type": "Polygon", "coordinates": [[[0, 0]]]},
     {"type": "Point", "coordinates": [0, 0]}, {"type": "Polygon", "coordinates": []},
     {"type": "Polygon", "coordinates": [[["a", 0], [1, 1], [0, 1], ["a", 0]]]}],
)  # fmt: skip
def test_what_is_no_polygon_is_no_footprint(geometry: Any) -> None:
    assert footprint_of(geometry) is None


@given(st.lists(st.floats(-180, 180), min_size=1, max_size=20), st.floats(-90, 90))
def test_bounds_hold_all_their_points(longitudes: list[float], latitude: float) -> None:
    bounds = bounds_of_points(np.array(longitudes), np.full(len(longitudes), latitude))
    assert all(overlaps(bounds, (x, latitude, x, latitude)) for x in longitudes)


def test_chips_are_named_by_their_place_and_slices_are_not(tmp_path: Path) -> None:
    farms = {"north": [4.0, 50.1, 4.02, 50.11], "south": [4.0, 50.0, 4.02, 50.01]}
    items = [
        {**optical(f"{name}-{day}", datetime=f"2024-05-0{day}T10:50:31Z", **{"grid:code": None}), "bbox": box}
        for name, box in farms.items()
        for day in (1, 6)
    ]
    table, tally = read(write_catalog(tmp_path, *items))
    assert (table.height, tally.set_aside) == (4, {}), "two farms of one moment are four acquisitions"
    assert sorted(table["tile"].unique()) == ["untiled_50.0050_4.0100", "untiled_50.1050_4.0100"]


def test_a_chip_a_pixel_larger_is_in_the_same_place() -> None:
    assert len(set(name_places([(4.0, 50.0, 4.02, 50.02), (4.0, 50.0, 4.02, 50.0201)]))) == 1


def test_the_tile_may_stand_in_the_name_only(tmp_path: Path) -> None:
    name = "S2A_MSIL2A_20240501T105031_N0510_R051_T31UFS_20240501T150000"
    table, _ = read(write_catalog(tmp_path, optical(name, **{"grid:code": None})))
    assert table["tile"].item() == "31UFS"
    old = optical("S2A_31UFS_20240501_0_L2A", **{"grid:code": None})
    assert read(write_catalog(tmp_path / "b", old))[0]["tile"].item() == "31UFS"
