"""With another season's models, each parcel is judged by one that saw neither its holding nor its ground."""

import geopandas as gpd
import numpy as np
import pytest
import shapely

from models.crops.fitting.carried_folds import carry_over
from models.folds import FoldPlan


def parcels(*rows: tuple[str | None, float]) -> gpd.GeoDataFrame:
    """Parcels of 100 m, by holding and place along a line."""
    shapes = [shapely.box(x, 0, x + 100, 100) for _, x in rows]
    return gpd.GeoDataFrame({"holding_id": [name for name, _ in rows]}, geometry=shapes, crs=32631)


def plan(*fold: int) -> FoldPlan:
    return FoldPlan(np.array(fold), np.arange(len(fold)), "holding", None, "")


BEFORE = parcels(("a", 0), ("a", 200), ("b", 400), ("c", 600), ("c", 800), (None, 1000))
FOLDS = np.array([0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize(
    ("now", "own", "expected", "why"),
    [
        (("a", 5000), 1, 0, "its holding's"),
        (("b", 5000), 0, 1, "its holding's"),
        (("new", 410), 0, 1, "of the parcel it lies on"),
        ((None, 1010), 0, 2, "of the parcel it lies on"),
        (("new", 290), 1, 0, "of the parcel it overlaps most: 10 m of one"),
        (("new", 9000), 1, 1, "its own: neither was seen"),
        (("new", 9000), 4, 1, "its own, counted round three folds"),
        (("c", 9000), 2, 2, "its own: a holding in several folds was seen by all models"),
        (("a", 400), 2, 0, "its holding's, though the ground had another"),
        (("a", 0), -1, -1, "none, for want of a class"),
        (("new", 100), 2, 2, "its own: it only touches an earlier one"),
    ],
)
def test_the_fold_that_a_parcel_gets(
    now: tuple[str | None, float], own: int, expected: int, why: str
) -> None:
    assert carry_over(plan(own), parcels(now), BEFORE, FOLDS).fold.tolist() == [expected], why


def test_the_note_says_how_many_and_where_holding_and_ground_disagree() -> None:
    found = carry_over(plan(0, 0, 0), parcels(("a", 400), ("b", 400), ("new", 9000)), BEFORE, FOLDS)
    assert found.note == (
        "2 parcels have the fold that their holding or ground had in the earlier run; "
        "1 of them lie on ground that another holding had then, in another fold"
    )


def test_what_was_not_trained_on_binds_nothing() -> None:
    found = carry_over(plan(1), parcels(("a", 0)), parcels(("a", 0), ("b", 400)), np.array([-1, 0]))
    assert found.fold.tolist() == [0]  # one fold there was
