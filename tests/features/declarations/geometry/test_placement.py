"""Parcels that cannot lie where the file says."""

import geopandas as gpd
import numpy as np
import pytest
import shapely

from features.declarations.geometry.placement import misplaced, swapped_axes


def degrees(*places: tuple[float, float]) -> gpd.GeoSeries:
    return gpd.GeoSeries([shapely.box(x, y, x + 0.001, y + 0.001) for x, y in places], crs="EPSG:4326")


def flanders(count: int) -> list[tuple[float, float]]:
    return [(3 + 0.01 * number, 51.0) for number in range(count)]


def why(series: gpd.GeoSeries, farthest_km: float | None = 1000.0) -> list[str]:
    return list(misplaced(series, farthest_km))


def test_the_origin_swapped_axes_and_the_other_end_of_the_world() -> None:
    found = why(degrees(*flanders(200), (0, 0), (51.0, 3.5), (150, -30)))
    assert found[:200] == [""] * 200
    assert found[200] == "lies at 0, 0"
    assert found[201] == "latitude and longitude are swapped"
    assert found[202].endswith("km from the others")


def test_one_of_three_is_enough() -> None:
    assert why(degrees(*flanders(2), (0, 0))) == ["", "", "lies at 0, 0"]


def test_of_two_that_are_far_apart_neither_is_right() -> None:
    assert why(degrees((3, 51), (150, -30))) == ["", ""]


def test_islands_with_many_parcels_are_kept_and_few_can_be() -> None:
    canaries = [(-15.5 + 0.01 * number, 28.0) for number in range(30)]
    assert set(why(degrees(*flanders(970), *canaries))) == {""}
    one = degrees(*flanders(200), (-15.5, 28.0))
    assert why(one)[-1].endswith("km from the others")
    assert why(one, farthest_km=None)[-1] == ""


def test_a_parcel_as_long_as_a_country_is_none() -> None:
    spike = shapely.Polygon([(3, 51), (3.001, 51), (0, 0)])
    series = gpd.GeoSeries([*degrees(*flanders(20)), spike], crs="EPSG:4326")
    assert why(series)[-1].startswith("spans 5,67")


def test_metres_are_checked_like_degrees() -> None:
    fields = [shapely.box(x, 5.65e6, x + 100, 5.65e6 + 100) for x in np.arange(5e5, 5.2e5, 1000)]
    odd = [
        shapely.box(0, 0, 10, 10),
        shapely.box(5.65e6, 5e5, 5.65e6 + 100, 5e5 + 100),
        shapely.box(1e30, 0, 2e30, 9),
    ]
    found = why(gpd.GeoSeries([*fields, *odd], crs="EPSG:32631"))
    assert found[: len(fields)] == [""] * len(fields)
    assert all(found[len(fields) :])
    assert found[len(fields)] == "lies at 0, 0"


def test_a_region_at_the_equator_is_no_mistake() -> None:
    assert set(why(degrees(*[(0.01 * number, 0.01) for number in range(50)]))) == {""}


def test_a_region_on_both_sides_of_the_antimeridian_is_one() -> None:
    both = [(179.0 + 0.01 * number, -17.0) for number in range(90)] + [(-179.9, -17.0)]
    assert set(why(degrees(*both), farthest_km=1.0)) == {""}


def test_empty_geometries_and_none_are_left_alone() -> None:
    series = gpd.GeoSeries([None, shapely.Polygon(), *degrees(*flanders(3))], crs="EPSG:4326")
    assert why(series) == [""] * 5


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3035"])
def test_where_most_are_impossible_the_coordinate_system_is_wrong_not_the_parcels(crs: str) -> None:
    series = gpd.GeoSeries([shapely.box(1e9, 1e9, 1e9 + 1, 1e9 + 1)] * 3, crs=crs)
    assert why(series) == ["", "", ""]


def turned(series: gpd.GeoSeries) -> gpd.GeoSeries:
    return series.transform(lambda points: points[:, ::-1])


def test_axes_are_surely_swapped_where_the_system_ends() -> None:
    fields = gpd.GeoSeries(
        [shapely.box(x, 5.65e6, x + 100, 5.65e6 + 100) for x in (5e5, 5.01e5)], crs="EPSG:32631"
    )
    assert swapped_axes(fields) is None
    found = swapped_axes(turned(fields))
    assert found is not None
    assert found.is_sure
    assert "outside of the area of WGS 84 / UTM zone 31N" in found.detail
    assert "with x and y swapped at 3.01 degrees east, 51.00 north, inside" in found.detail


@pytest.mark.parametrize(
    ("place", "is_told"), [((3.0, 51.0), False), ((51.0, 3.0), True), ((-58.0, -34.0), False)]
)
def test_in_degrees_of_the_world_europe_speaks_for_it(place: tuple[float, float], is_told: bool) -> None:
    found = swapped_axes(degrees(place))
    assert (found is not None and not found.is_sure) == is_told


def test_a_neighbouring_zone_is_no_swap_and_nothing_is_nowhere() -> None:
    beside = degrees((7.5, 51.0)).to_crs("EPSG:32631")
    assert swapped_axes(beside) is None
    assert swapped_axes(gpd.GeoSeries([None, shapely.Polygon()], crs="EPSG:32631")) is None
