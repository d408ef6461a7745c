"""Parcels that are not one uniform field, and the truth about what lies within their outlines."""

import numpy as np
import polars as pl
import pytest
import shapely

from features.simulate.land.mixed import declared_outlines, ponds, side
from features.simulate.options import SimulationOptions
from features.simulate.region.composition import true_composition
from features.simulate.region.world import World, make_world

MIXED = SimulationOptions(
    n_parcels=120, second_crop_share=0.2, unsown_share=0.1, pond_share=0.1, outline_error_m=3.0
)
SQUARE = shapely.box(0, 0, 100, 100)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(MIXED, 2024, 3)


@pytest.fixture(scope="module")
def truth(world: World) -> pl.DataFrame:
    return true_composition(world, [f"{n:03d}" for n in range(len(world.parcels))])


def test_a_side_is_the_share_of_the_parcel_that_was_asked_for() -> None:
    assert side(shapely.box(0, 0, 200, 100), 0.3).area == pytest.approx(0.3 * 200 * 100)


def test_ponds_lie_within_parcels() -> None:
    (pond,) = ponds([SQUARE], 1.0, seed=1)
    assert SQUARE.covers(pond) and 0.02 < pond.area / SQUARE.area < 0.15


def test_outlines_without_error_are_the_parcels_themselves_and_others_are_moved() -> None:
    assert declared_outlines([SQUARE], 0.0, seed=1)[0] is SQUARE
    moved = declared_outlines([SQUARE] * 500, 3.0, seed=1)
    offsets = np.array([shape.centroid.coords[0] for shape in moved]) - 50
    assert offsets.std() == pytest.approx(3.0, rel=0.1)
    assert moved[0].area == pytest.approx(SQUARE.area)


def test_the_composition_of_every_outline_sums_to_its_area(world: World, truth: pl.DataFrame) -> None:
    sums = truth.group_by("parcel_id").agg(pl.col("share", "area_ha").sum()).sort("parcel_id")
    assert len(sums) == len(world.parcels)
    np.testing.assert_allclose(sums["share"], 1, atol=1e-3)  # bent parcels overlap by a few square metres
    np.testing.assert_allclose(sums["area_ha"], [outline.area / 1e4 for outline in world.outlines], rtol=1e-3)


def test_every_kind_of_mixture_is_in_the_truth(world: World, truth: pl.DataFrame) -> None:
    assert set(truth["kind"]) == {"crop", "unsown", "water", "beyond"}
    crops = truth.filter((pl.col("kind") == "crop") & (pl.col("share") > 0.25))
    several = crops.group_by("parcel_id").len().filter(pl.col("len") > 1)
    assert 0.1 * len(world.parcels) < len(several) <= 0.2 * len(world.parcels)
    water = truth.filter(pl.col("kind") == "water")["share"]
    assert 0.05 * len(world.parcels) < len(water)


def test_the_default_has_no_corners_no_ponds_and_exact_outlines() -> None:
    plain = make_world(SimulationOptions(n_parcels=60), 2024, 3)
    assert plain.outlines is plain.parcels
    kinds = true_composition(plain, [str(n) for n in range(60)]).group_by("kind").agg(pl.col("share").sum())
    assert set(kinds["kind"]) <= {"crop", "beyond", "water"}
    assert "unsown" not in set(kinds["kind"])


def test_a_region_without_a_part_grows_the_declared_crop_everywhere() -> None:
    plain = make_world(SimulationOptions(n_parcels=60, second_crop_share=0.0, misdeclared_share=0.0), 2024, 3)
    table = true_composition(plain, [str(n) for n in range(60)])
    own = pl.DataFrame({"parcel_id": [str(n) for n in range(60)], "declared": plain.declared.code.tolist()})
    joined = table.filter(pl.col("kind") == "crop").join(own, on="parcel_id")
    assert joined.filter(pl.col("true_code") == pl.col("declared"))["share"].min() > 0.97
