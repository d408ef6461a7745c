"""Which parcels are learned from: holdings whole, enough of rare classes, never more than asked for."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.crops.fitting.crossfit import cross_fit
from models.crops.fitting.options import SampleOptions, TrainOptions
from models.crops.fitting.sample import draw, sample_weights
from tests.crop_worlds import crop_world

SMALL = SampleOptions(size=100, rare=10)


def test_few_parcels_are_all_learned_from_but_for_those_without_a_class() -> None:
    classes = np.array(["maize"] * 99 + [""])
    assert draw(classes, np.arange(100), SMALL, 0).tolist() == [True] * 99 + [False]


def test_of_many_a_like_share_of_each_class_and_all_of_a_rare_one() -> None:
    classes = np.array(["maize"] * 600 + ["wheat"] * 300 + ["hemp"] * 8)
    drawn = draw(classes, np.arange(908), SMALL, 0)
    counts = {name: int(drawn[classes == name].sum()) for name in ("maize", "wheat", "hemp")}
    assert counts == {"maize": 61, "wheat": 30, "hemp": 8}  # 10% of the 900, and the rare


def test_a_class_above_the_rare_ones_has_at_least_as_many() -> None:
    classes = np.array(["maize"] * 2000 + ["oats"] * 40)
    drawn = draw(classes, np.arange(2040), SMALL, 0)
    assert drawn[classes == "oats"].sum() == 10
    assert drawn.sum() == 100


@pytest.mark.parametrize(("classes", "each"), [(20, 5), (8, 10), (9, 10)])
def test_where_the_least_of_all_classes_are_more_than_the_size_each_has_as_many_as_fit(
    classes: int, each: int
) -> None:
    names = np.repeat([f"crop {k}" for k in range(classes)], 50)
    drawn = draw(names, np.arange(len(names)), SMALL, 0)
    assert drawn.sum() <= 100
    assert np.unique(names[drawn], return_counts=True)[1].min() >= each


@given(
    seed=st.integers(0, 10_000),
    held=st.integers(1, 30),
    names=st.lists(st.sampled_from(["maize", "wheat", "oats", "hemp", ""]), min_size=400, max_size=400),
)
def test_a_holding_is_drawn_whole_or_only_for_its_rare_crops(seed: int, held: int, names: list[str]) -> None:
    classes, holdings = np.array(names), np.arange(400) // held
    drawn = draw(classes, holdings, SMALL, seed)
    count = {name: int(drawn[classes == name].sum()) for name in {*names} - {""}}
    more = np.array([count.get(name, 0) > SMALL.rare for name in names])  # than its least
    for holding in np.unique(holdings):
        mine = more & (holdings == holding)
        assert drawn[mine].all() or not drawn[mine].any()
    assert drawn.sum() <= SMALL.size
    assert not drawn[classes == ""].any()
    assert all(number >= min(SMALL.rare, names.count(name)) for name, number in count.items())


def test_the_drawn_stand_for_their_class() -> None:
    classes = np.array(["maize"] * 600 + ["hemp"] * 8)
    drawn = draw(classes, np.arange(608), SMALL, 0)
    weight = sample_weights(classes, drawn)
    assert weight[drawn].mean() == pytest.approx(1)
    shares = [weight[classes == name].sum() / weight.sum() for name in ("maize", "hemp")]
    assert shares == pytest.approx([600 / 608, 8 / 608])


def test_every_parcel_is_predicted_though_few_are_learned_from() -> None:
    series, y, folds = crop_world(n=240)
    options = TrainOptions(models={"lightgbm": {"rounds": 12}}, sample={"size": 100, "rare": 10}, threads=1)
    holdings = np.arange(240) // 5
    fit = cross_fit(series, y, folds, options, holdings=holdings)
    whole = cross_fit(series, y, folds, TrainOptions(models={"lightgbm": {"rounds": 12}}, threads=1))
    assert whole.trained_on == 240
    assert fit.trained_on <= 100
    assert fit.trained_on % 5 == 0, "holdings are whole"
    own = fit.probabilities.filter(pl.col("model") == "lightgbm")
    assert len(own) == 240
    names = np.array(own.columns[3:])
    right = (names[own.select(pl.selectors.float()).to_numpy().argmax(1)] == y).mean()
    assert right > 0.8


def test_the_label_of_a_parcel_outside_the_sample_changes_no_model() -> None:
    series, y, folds = crop_world(n=240)
    options = TrainOptions(models={"lightgbm": {"rounds": 5}}, sample={"size": 100, "rare": 10}, threads=1)
    drawn = draw(y, np.arange(240), options.sample, options.seed)
    outside = int(np.flatnonzero(~drawn)[0])
    fit = cross_fit(series, y, folds, options)
    value = series["value"].values.copy()
    value[outside] += 0.5
    moved = cross_fit(series.assign(value=(series["value"].dims, value)), y, folds, options)
    others = pl.col("parcel_id") != f"{outside:06d}"
    assert fit.probabilities.filter(others).equals(moved.probabilities.filter(others))
