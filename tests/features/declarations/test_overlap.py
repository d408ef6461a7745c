import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from features.declarations.overlap import overlap_areas

POINTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=4, max_size=9)


def shared(one: shapely.Geometry, other: shapely.Geometry) -> float:
    return float(overlap_areas(np.array([one, other]), np.array([0]), np.array([1]))[0])


@pytest.mark.parametrize(
    ("other", "area"),
    [
        (shapely.box(1, 1, 3, 3), 1),  # corner in
        (shapely.box(0, 0, 2, 2), 4),  # the same
        (shapely.box(2, 0, 4, 2), 0),  # a shared border
        (shapely.box(0.5, 0.5, 1.5, 1.5), 1),  # inside
        (shapely.box(5, 5, 6, 6), 0),  # apart
        (shapely.Polygon([(1, -1), (3, 1), (1, 3), (-1, 1)]), 4),  # around, corner on corner
        (shapely.box(-1, -1, 3, 3) - shapely.box(0.5, 0.5, 1.5, 1.5), 3),  # a hole
        (shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(1.5, 1, 9, 2)]), 1.5),  # two parts
        (shapely.Polygon(), 0),
    ],
)
def test_what_a_reader_can_check_on_paper(other: shapely.Geometry, area: float) -> None:
    square = shapely.box(0, 0, 2, 2)
    assert shared(square, other) == shared(other, square) == pytest.approx(area)


@settings(max_examples=150)
@given(POINTS, POINTS, st.floats(0.1, 6.2))
def test_slabs_agree_with_an_overlay(
    one: list[tuple[int, int]], other: list[tuple[int, int]], angle: float
) -> None:
    a, b = (
        shapely.make_valid(shapely.Polygon(ring), method="structure", keep_collapsed=False)
        for ring in (one, other)
    )
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    b = shapely.transform(b, lambda points: points @ turn)
    assert shared(a, b) == pytest.approx(shapely.intersection(a, b).area, abs=1e-6)


def test_pairs_are_independent_of_their_number_and_threads() -> None:
    shapes = np.array([shapely.Point(i * 1.5, 0).buffer(1) for i in range(50)])
    first = np.repeat(np.arange(49), 1000)
    one, two = (
        overlap_areas(shapes, first, first + 1, threads=1),
        overlap_areas(shapes, first, first + 1, threads=2),
    )
    assert (one == two).all()
    assert one[::1000] == pytest.approx(shapely.intersection(shapes[0], shapes[1]).area)
