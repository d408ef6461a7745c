"""Outlines in a page: they come back where they were, whatever their shape."""

import geopandas as gpd
import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.maps import encode_outlines, tiles

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def decode(code: str, step: float) -> list[list[np.ndarray]]:
    """Return the rings of every parcel, as the page's script reads them."""
    digits = iter([ALPHABET.index(char) for char in code])

    def number() -> int:
        value, weight, more = 0, 1, True
        while more:
            digit = next(digits)
            value, weight, more = value + (digit & 31) * weight, weight * 32, bool(digit & 32)
        return value

    def signed() -> int:
        value = number()
        return -(value + 1) // 2 if value % 2 else value // 2

    parcels, at = [], np.zeros(2)
    while True:
        try:
            rings = number()
        except StopIteration:
            return parcels
        found = []
        for _ in range(rings):
            points = []
            for _ in range(number()):
                at = at + np.array([signed(), signed()])
                points.append(at * step)
            found.append(np.array(points))
        parcels.append(found)


def geometries(*shapes: object) -> gpd.GeoSeries:
    return gpd.GeoSeries(list(shapes), crs=32631)


def test_a_square_a_hole_and_nothing() -> None:
    square = shapely.box(500_000, 5_600_000, 500_100, 5_600_100)
    ring = shapely.box(500_200, 5_600_000, 500_300, 5_600_100).difference(
        shapely.box(500_220, 5_600_020, 500_280, 5_600_080)
    )
    both = shapely.MultiPolygon([square, shapely.box(500_400, 5_600_000, 500_500, 5_600_010)])
    outlines = encode_outlines(geometries(square, shapely.Polygon(), ring, both, None), 0)
    found = decode(outlines.code, outlines.step)
    assert [len(rings) for rings in found] == [1, 0, 2, 2, 0]
    assert np.ptp(found[0][0], axis=0).tolist() == [100, 100]
    assert found[2][1].min(axis=0).tolist() == [220, 20]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.integers(-9000, 9000)] * 2, st.integers(8, 400), st.integers(3, 40)),
        min_size=1,
        max_size=12,
    )
)
def test_every_point_stays_within_tolerance_and_grid(parcels: list[tuple[int, int, int, int]]) -> None:
    shapes = [shapely.Point(x, y).buffer(radius, quad_segs=k) for x, y, radius, k in parcels]
    outlines = encode_outlines(geometries(*shapes), 2.0)
    for shape, rings in zip(shapes, decode(outlines.code, outlines.step), strict=True):
        found = shapely.Polygon(rings[0] + (outlines.x, outlines.y))
        assert shapely.hausdorff_distance(found.exterior, shape.exterior) <= 2.0 + outlines.step + 0.02


def test_tiles_are_of_equal_count() -> None:
    rng = np.random.default_rng(0)
    points = gpd.GeoSeries([shapely.Point(*xy).buffer(1) for xy in rng.uniform(0, 1000, (101, 2))])
    counts = np.bincount(tiles(points, 4))
    assert len(counts) == 4
    assert np.ptp(counts) <= 1
