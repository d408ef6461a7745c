"""Which acquisition pictures a date, and in which colours."""

import numpy as np
import pytest
import shapely
from affine import Affine

from features.imagery.blocks import Block
from reports.sheet.pictures.colours import shaded
from reports.sheet.pictures.pictures import _best
from reports.sheet.pictures.views import Place, View

PLACE = Place("a", Block(slice(0, 1), slice(0, 1)), Affine.identity(), shapely.Point(0, 0))


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({0: 0.6, 1: 1.0, 2: 1.0}, 0),  # half seen about the date is better than seen far from it
        ({0: 0.2, 1: 1.0, 2: 1.0}, 1),  # clouded: the nearest clear one
        ({0: 0.2, 1: 0.8, 2: 0.95}, 2),
        ({0: 0.2, 1: 0.8, 2: 0.8}, 0),  # none is clear: what there is
    ],
)
def test_a_clouded_date_is_pictured_by_the_nearest_clear_one(shares: dict[int, float], expected: int) -> None:
    found = _best([View(PLACE, k) for k in shares], {0: 3, 1: 15, 2: 20}, shares)
    assert found is not None
    assert found.item == expected


def test_colours_are_stretched_and_what_is_unknown_is_grey() -> None:
    """Black below, white above; half-way 255 x .5 ** .8 = 146.46."""
    colour = np.array([[0.0, 0.1, 0.2, np.nan]])
    found = shaded([colour, colour + 1, colour - 1], ((0.0, 0.2),) * 3)
    assert found[..., 0].tolist() == [[0, 146, 255, 150]]
    assert found[..., 1].tolist() == [[255, 255, 255, 150]]
    assert found[..., 2].tolist() == [[0, 0, 0, 150]]
    assert colour[0, 1] == 0.1  # what is given is kept
