"""The order in which inspectors drive: always on to the nearest place that is left."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reports.desk.views.exports import in_order

PLACES = st.integers(1, 60).flatmap(
    lambda n: arrays(float, (n, 2), elements=st.floats(0, 1, width=16), unique=False)
)


@given(PLACES)
def test_each_place_is_the_nearest_that_was_left(places: np.ndarray) -> None:
    points = places + np.array([5.0, 50.0])
    scaled = points * [np.cos(np.radians(points[:, 1].mean())), 1.0]
    route = in_order(points)
    assert sorted(route) == list(range(len(points)))
    for step in range(1, len(route)):
        away = np.hypot(*(scaled[route[step:]] - scaled[route[step - 1]]).T)
        assert away[0] <= away.min() + 1e-9


def test_no_place_gives_no_route() -> None:
    assert in_order(np.empty((0, 2))) == []
