import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from features.declarations.geometry.repair import (
    area_ha,
    inner_buffer,
    measures,
    repair,
    surveyed_area_ha,
    to_metric,
)
from features.errors import DeclarationError

BOWTIE = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
SQUARE = shapely.box(0, 0, 100, 100)


def series(*shapes: shapely.Geometry | None, crs: str = "EPSG:3035") -> gpd.GeoSeries:
    return gpd.GeoSeries(list(shapes), crs=crs)


def test_a_hectare_is_a_hectare() -> None:
    assert area_ha(series(SQUARE, shapely.Polygon())).tolist() == [1.0, 0.0]


def test_an_inner_buffer_keeps_the_middle() -> None:
    shrunk = inner_buffer(series(SQUARE, shapely.box(0, 0, 8, 100)), 5)
    assert shrunk.area.tolist() == [90 * 90, 0]
    assert inner_buffer(series(SQUARE), 0).iloc[0].equals(SQUARE)


def test_an_inner_buffer_cannot_grow() -> None:
    with pytest.raises(ValueError, match="would grow"):
        inner_buffer(series(SQUARE), -1)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 200), st.floats(0, 200)), min_size=3, max_size=9), st.floats(0, 20))
def test_a_buffered_parcel_lies_inside_at_its_distance(
    points: list[tuple[float, float]], metres: float
) -> None:
    field = shapely.MultiPoint(points).convex_hull
    assume(field.area > 0)
    shrunk = inner_buffer(series(field), metres).iloc[0]
    assert shrunk.is_empty or field.buffer(1e-6).contains(shrunk)
    assert shrunk.is_empty or shrunk.distance(field.boundary) >= metres - 1e-6


def test_repair_keeps_polygons_and_says_what_was_wrong() -> None:
    spike = shapely.Polygon([(0, 0), (10, 0), (10, 10), (10, 20), (10, 10), (0, 10)])
    infinite = shapely.Polygon([(0, 0), (1, 0), (1, np.inf)])
    shapes, faults = repair(series(SQUARE, BOWTIE, spike, shapely.Point(1, 1), None, infinite))
    assert shapes.area.tolist() == [10_000, 50, 100, 0, 0, 0]
    assert shapely.is_valid(shapes.array).all()
    assert [bool(fault) for fault in faults] == [False, True, True, True, False, True]
    assert faults[3] == "Point is no polygon"


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=12))
def test_whatever_is_repaired_is_a_valid_polygon(ring: list[tuple[int, int]]) -> None:
    shapes, _ = repair(series(shapely.Polygon(ring)))
    assert shapes.iloc[0].is_valid
    assert shapes.iloc[0].geom_type in ("Polygon", "MultiPolygon")


def test_degrees_become_metres_in_the_right_zone() -> None:
    field = series(shapely.box(3.0, 51.0, 3.01, 51.01), crs="EPSG:4326")
    metric = to_metric(field)
    assert metric.crs.to_epsg() == 32631
    # 0.01 degrees at 51 N on WGS 84: 701.7 m by 1112.6 m
    assert area_ha(metric)[0] == pytest.approx(78.07, rel=0.005)


def test_a_continent_falls_back_to_the_equal_area_system() -> None:
    fields = series(shapely.box(-9, 38, -8.99, 38.01), shapely.box(25, 60, 25.01, 60.01), crs="EPSG:4326")
    assert to_metric(fields).crs.to_epsg() == 3035
    assert to_metric(series(shapely.Polygon(), crs="EPSG:4326")).crs.to_epsg() == 3035


def test_a_region_on_both_sides_of_the_antimeridian_gets_its_own_zone() -> None:
    fiji = series(
        shapely.box(179.9, -17, 179.91, -16.99), shapely.box(-179.9, -17, -179.89, -16.99), crs="EPSG:4326"
    )
    metric = to_metric(fiji)
    assert metric.crs.to_epsg() == 32701
    # 0.01 degrees at 17 S on WGS 84: 1064.9 m by 1106.8 m; beside a zone its scale is larger
    assert area_ha(metric) == pytest.approx(117.86, rel=0.003)


@pytest.mark.parametrize("code", [3857, 3395, 4087, 3034])  # maps of the world, and of the continent
def test_areas_are_no_agencys_where_its_system_keeps_none(code: int) -> None:
    field = series(shapely.box(620_000, 5_640_000, 620_100, 5_640_100), crs="EPSG:32631").to_crs(code)
    assert not measures(field.crs, field)
    assert surveyed_area_ha(field, field.crs) == pytest.approx(1.0, rel=0.001)
    assert to_metric(field).crs.to_epsg() == 32631


def test_web_mercator_is_not_metric_and_a_national_grid_stays() -> None:
    assert to_metric(series(shapely.box(3e5, 6e6, 3.1e5, 6.01e6), crs="EPSG:3857")).crs.to_epsg() == 32631
    assert to_metric(series(SQUARE, crs="EPSG:28992")).crs.to_epsg() == 28992
    assert to_metric(series(SQUARE, crs="EPSG:28992"), "EPSG:3035").crs.to_epsg() == 3035


def test_a_chosen_system_must_be_metric() -> None:
    with pytest.raises(DeclarationError, match="has no metres"):
        to_metric(series(SQUARE), "EPSG:4326")
    with pytest.raises(DeclarationError, match="names no coordinate system"):
        to_metric(series(SQUARE), "EPSG:99999999")
