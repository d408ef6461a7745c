"""What is done on the simulated fields, and the truth about it."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from features.simulate.growth.diary import Diary
from features.simulate.land.care import BROKEN, CATCH_CROP, FALLOW, HAY_MEADOW, LATE_MOWING
from features.simulate.options import SimulationOptions
from features.simulate.region.events import field_records, true_events
from features.simulate.region.world import World, make_world

JULY_15 = date(2024, 7, 15)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(SimulationOptions(n_parcels=900), 2024, 5)


@pytest.fixture(scope="module")
def ids(world: World) -> list[str]:
    return [f"{number:06d}" for number in range(1, len(world.parcels) + 1)]


@pytest.fixture(scope="module")
def events(world: World, ids: list[str]) -> pl.DataFrame:
    return true_events(world, 2024, ids)


def parcels_of(world: World, ids: list[str], care: str) -> set[str]:
    kept = world.fields.care[: len(ids)] == care
    grass = np.char.startswith(world.population.crop.astype(str), "grassland")
    return {name for name, mine in zip(ids, kept & grass, strict=True) if mine}


def test_a_cut_lowers_leaf_area_and_raises_coherence_that_day(world: World) -> None:
    row, event, first, _ = world.diary.table()
    mown = (event == "mowing") & (first > 100) & (first < 290)
    rows, days = row[mown], first[mown].astype(int)
    leaf = world.states.leaf_area
    assert (leaf[rows, days] <= 0.76).all()
    assert np.median(leaf[rows, days - 1] / leaf[rows, days]) > 2
    assert (world.states.disturbance[rows, days] >= 0.6).all()


def test_meadows_are_cut_one_to_five_times(events: pl.DataFrame) -> None:
    cuts = events.filter((pl.col("event") == "mowing") & (pl.col("share") > 0.5)).group_by("parcel_id").len()
    assert cuts["len"].min() == 1 and 3 <= cuts["len"].max() <= 6


def test_crops_are_sown_come_up_and_are_harvested_in_order(events: pl.DataFrame, world: World) -> None:
    maize = world.population.crop == "maize"
    dates = events.filter(pl.col("share") > 0.5).group_by("parcel_id", "event").agg(pl.col("first").min())
    wide = dates.pivot("event", index="parcel_id", values="first")
    some = wide.filter(pl.col("parcel_id").is_in([f"{k + 1:06d}" for k in np.flatnonzero(maize)]))
    assert len(some) > 20
    assert (some["sowing"] < some["emergence"]).all() and (some["emergence"] < some["harvest"]).all()


def test_late_mowing_is_kept_by_those_who_keep_it(world: World, ids: list[str], events: pl.DataFrame) -> None:
    late = parcels_of(world, ids, LATE_MOWING)
    whole = (pl.col("event") == "mowing") & (pl.col("share") == 1)
    cuts = events.filter(whole & pl.col("parcel_id").is_in(late))
    assert len(late) > 10 and cuts["first"].min() > JULY_15


def test_a_hay_meadow_is_mown_in_its_window(world: World, ids: list[str], events: pl.DataFrame) -> None:
    hay = parcels_of(world, ids, HAY_MEADOW)
    inside = events.filter(
        (pl.col("event") == "mowing") & pl.col("first").is_between(date(2024, 6, 15), date(2024, 9, 30))
    )
    assert hay <= set(inside["parcel_id"])


def test_claims_are_broken_at_the_stated_rates() -> None:
    made = make_world(SimulationOptions(n_parcels=2600), 2024, 1)
    claimed, kept = made.declared.intervention, made.fields.care[: len(made.parcels)]
    for care in (LATE_MOWING, CATCH_CROP, FALLOW):
        mine = claimed == care
        broken = float((kept[mine] != care).mean())
        spread = 3 * np.sqrt(BROKEN[care] * (1 - BROKEN[care]) / mine.sum())
        assert abs(broken - BROKEN[care]) < spread


def test_ploughed_grass_lies_bare(world: World, events: pl.DataFrame, ids: list[str]) -> None:
    turned = np.flatnonzero(world.fields.ploughed_up)
    assert len(turned)
    for row in turned:
        own = events.filter(pl.col("parcel_id") == ids[row])
        day = own.filter(pl.col("event") == "ploughing")["first"][0]
        assert "sowing" in own["event"].to_list()
        assert world.states.leaf_area[row, (day - date(2024, 1, 1)).days] < 0.05


def test_part_of_some_meadows_has_cuts_of_its_own(world: World, events: pl.DataFrame) -> None:
    shares = events.filter(pl.col("event") == "mowing").group_by("parcel_id").agg(pl.col("share").n_unique())
    assert (shares["share"] > 1).sum() >= 1


def test_half_the_holdings_send_their_records_and_never_a_part_of_one(
    world: World, events: pl.DataFrame, ids: list[str]
) -> None:
    records = field_records(world, events, 0.5, 5, ids)
    told = set(records["parcel_id"])
    assert 0.35 < len(told) / len(ids) < 0.65
    by_holding = {
        holding: {name in told for name, own in zip(ids, world.holding, strict=True) if own == holding}
        for holding in set(world.holding.tolist())
    }
    assert all(len(said) == 1 for said in by_holding.values())


def test_a_diary_keeps_field_and_order() -> None:
    diary, part = Diary(), Diary()
    part.note("mowing", np.array([150.2, 120.0]))
    diary.take_over(part, np.array([7, 3]))
    row, event, first, _ = diary.table()
    assert row.tolist() == [3, 7] and event.tolist() == ["mowing", "mowing"] and first.tolist() == [120, 150]
