"""Folds: nothing that belongs together is on two sides."""

import geopandas as gpd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Point

from features.errors import ModelError
from models.folds import assign_folds, block_side, blocks, components, deal, plan_folds


def declared(
    seed: int, n: int = 300, holdings: int = 60, side: float = 10_000, scatter: float = 300
) -> gpd.GeoDataFrame:
    rng = np.random.default_rng(seed)
    farm = rng.random((holdings, 2)) * side
    owner = rng.integers(0, holdings, n)
    points = farm[owner] + rng.normal(0, scatter, (n, 2))
    crops = np.array(["maize", "wheat", "grass", "fallow"], object)
    columns = {
        "parcel_id": [f"{i:05d}" for i in range(n)],
        "holding_id": np.array([f"h{i}" for i in owner], object),
        "season": 2022,
        "region": np.array([f"r{int(x // 2500)}" for x, _ in points], object),
        "crop_class": rng.choice(crops, n, p=[0.4, 0.4, 0.15, 0.05]),
    }
    return gpd.GeoDataFrame(columns, geometry=[Point(*p).buffer(20) for p in points], crs="EPSG:32631")


def sides(values: np.ndarray, folds: np.ndarray) -> int:
    return max(len(np.unique(folds[values == value])) for value in np.unique(values))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 6))
def test_no_holding_and_no_block_is_on_both_sides(seed: int, n_folds: int) -> None:
    table = declared(seed)
    plan = plan_folds(table, n_folds, seed, "holding_and_block")
    assert plan.block_metres is not None
    middle = table.geometry.centroid
    squares = blocks(np.column_stack([middle.x, middle.y]), plan.block_metres)
    assert sides(table["holding_id"].to_numpy(), plan.fold) == 1
    assert sides(squares, plan.fold) == 1
    assert set(plan.fold) == set(range(n_folds))


@pytest.mark.parametrize(("by", "column"), [("holding", "holding_id"), ("region", "region")])
def test_groups_of_a_column_stay_together(by: str, column: str) -> None:
    table = declared(3)
    assert sides(table[column].to_numpy(), assign_folds(table, 3, 0, by)) == 1


def test_seasons_are_dealt_whole() -> None:
    table = declared(3)
    table["season"] = np.arange(len(table)) % 2 + 2022
    assert sides(table["season"].to_numpy(), assign_folds(table, 2, 0, "season")) == 1


def test_the_same_seed_gives_the_same_folds_and_another_seed_others() -> None:
    table = declared(3)
    first, again, other = (assign_folds(table, 5, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_folds_are_of_like_size_and_mix() -> None:
    table = declared(4, n=1000, holdings=250)
    folds = assign_folds(table, 5, 0, "holding")
    assert np.bincount(folds).min() > 170
    rare = np.bincount(folds[table["crop_class"] == "fallow"], minlength=5)
    assert rare.min() >= rare.sum() / 5 - 3


def test_a_parcel_without_class_is_in_no_fold() -> None:
    table = declared(5)
    table.loc[7, "crop_class"] = None
    folds = assign_folds(table, 3, 0)
    assert folds[7] == -1
    assert (np.delete(folds, 7) >= 0).all()


def test_without_holdings_folds_go_by_block_and_say_so() -> None:
    table = declared(5)
    table["holding_id"] = None
    plan = plan_folds(table, 3, 0, "holding_and_block")
    assert plan.by == "block"
    assert "no holdings" in plan.note


def test_scattered_holdings_shrink_the_blocks_instead_of_tying_everything_together() -> None:
    table = declared(6, scatter=4_000)
    plan = plan_folds(table, 5, 0, "holding_and_block", block_metres=3_000)
    assert plan.block_metres is not None
    assert plan.block_metres < 3_000
    assert "tie" in plan.note
    assert np.bincount(plan.fold).max() < 150


def test_one_large_holding_is_a_group_of_its_own_and_leaves_the_blocks_as_they_are() -> None:
    table = declared(8, n=400)
    rng = np.random.default_rng(8)
    table.loc[rng.permutation(400)[:144], "holding_id"] = "large"  # 36% of the parcels, everywhere
    plan = plan_folds(table, 5, 0, "holding_and_block", block_metres=324)
    assert plan.block_metres == 324
    assert plan.note.startswith("a holding with 36% of the parcels is a group of its own")
    assert sides(table["holding_id"].to_numpy(), plan.fold) == 1
    middle = table.geometry.centroid
    squares = blocks(np.column_stack([middle.x, middle.y]), 324)
    others = (table["holding_id"] != "large").to_numpy()
    assert sides(squares[others], plan.fold[others]) == 1
    shared = others & np.isin(squares, squares[~others])
    assert f"{shared.sum()} parcels of others share a block with it" in plan.note


def test_blocks_are_not_halved_below_the_distance_between_neighbours() -> None:
    """Two holdings of 30% each, field beside field: blocks of any size that holds two would tie them."""
    table = declared(9, n=200, holdings=40)
    table.loc[:119, "holding_id"] = np.where(np.arange(120) % 2, "a", "b")
    at = [(x * 100.0, y * 100.0) for x in range(20) for y in range(10)]
    table = table.set_geometry([Point(*place).buffer(1) for place in at], crs=table.crs)
    plan = plan_folds(table, 4, 0, "holding_and_block", block_metres=390)
    assert (plan.by, plan.block_metres) == ("holding_and_block", 97.5)
    assert "blocks of 390 m would tie" in plan.note


def test_where_no_block_can_be_kept_folds_go_by_holding_and_say_so() -> None:
    """Three holdings whose fields lie on each other, in stacks of three."""
    table = declared(9, n=300)
    table["holding_id"] = np.tile(["a", "b", "c"], 100)
    table = table.set_geometry([Point(i // 3 * 100.0, 0).buffer(1) for i in range(300)], crs=table.crs)
    plan = plan_folds(table, 2, 0, "holding_and_block", block_metres=300)
    assert (plan.by, plan.block_metres) == ("holding", None)
    assert plan.note.endswith("folds go by holding alone")


def test_too_few_groups_and_too_few_folds_are_refused() -> None:
    table = declared(5)
    table["holding_id"] = "one"
    with pytest.raises(ModelError, match=r"as many groups; here are 1. Let folds go by block alone"):
        plan_folds(table, 3, 0, "holding")
    table["holding_id"] = np.where(np.arange(len(table)) % 2, "one", "two")
    with pytest.raises(ModelError, match=r"here are 2. Ask for 2 folds \(folds.count\), or let folds"):
        plan_folds(table, 3, 0, "holding")
    with pytest.raises(ModelError, match="at least two folds"):
        plan_folds(table, 1, 0)


def test_components_by_hand() -> None:
    found = components(np.array([0, 0, 1, 2]), np.array([5, 6, 6, 7]))
    assert found[0] == found[1] == found[2] != found[3]


def test_blocks_are_as_wide_as_classes_cluster() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((3000, 2)) * 20_000
    near, far = ((points[:, 0] // width + points[:, 1] // width).astype(int) % 3 for width in (200, 1500))
    assert block_side(points, far, 2, rng) > block_side(points, near, 2, rng)


def test_dealing_by_hand() -> None:
    folds = deal(
        np.array([1, 1, 2, 2, 3, 4]), np.array(["a", "a", "a", "a", "b", "b"]), 2, np.random.default_rng(0)
    )
    assert folds[0] != folds[2]
    assert folds[4] != folds[5]
