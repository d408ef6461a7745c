"""Cross-fitting: no parcel is judged by what saw its label, nothing is done twice, nothing is lost."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import ModelError
from models.crops.fitting.combination import combine, learn_weights
from models.crops.fitting.crossfit import CrossFit, cross_fit
from models.crops.fitting.options import LabelOptions, TrainOptions
from tests.crop_worlds import crop_world

TWO = TrainOptions(
    models={"lightgbm": {"rounds": 12}, "dense": {"epochs": 2, "least_updates": 20}}, threads=1
)
TREES = TrainOptions(models={"lightgbm": {"rounds": 12}}, threads=1)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[CrossFit, Path]:
    folder = tmp_path_factory.mktemp("models")
    return cross_fit(*crop_world(n=80), TWO, folder), folder


def rows_of(fit: CrossFit, parcel: int) -> pl.DataFrame:
    return fit.probabilities.filter(pl.col("parcel_id") == f"{parcel:06d}").sort("model")


def test_swapping_one_held_out_label_changes_nothing_of_that_parcel(kept: tuple[CrossFit, Path]) -> None:
    series, y, folds = crop_world(n=80)
    before = kept[0]
    assert y[7] != "maize"
    swapped = y.copy()
    swapped[7] = "maize"
    after = cross_fit(series, swapped, folds, TWO)
    assert rows_of(before, 7).equals(rows_of(after, 7))
    assert not before.probabilities.equals(after.probabilities)


def test_the_table_has_one_block_a_model_and_one_of_the_ensemble(kept: tuple[CrossFit, Path]) -> None:
    fit = kept[0]
    assert fit.probabilities.columns == ["parcel_id", "model", "fold", "barley", "grass", "maize", "wheat"]
    assert fit.probabilities.group_by("model").len().sort("model").rows() == [
        ("dense", 80), ("ensemble", 80), ("lightgbm", 80)
    ]  # fmt: skip
    sums = fit.probabilities.select(pl.sum_horizontal(pl.selectors.float())).to_series()
    np.testing.assert_allclose(sums, 1)
    assert set(fit.weights["model"]) == {"lightgbm", "dense"}
    assert set(fit.models["lightgbm"]) == {0, 1, 2, 3}


def test_inner_predictions_are_never_of_the_fold_they_serve(kept: tuple[CrossFit, Path]) -> None:
    series, _, folds = crop_world(n=80)
    inner = kept[0].inner
    own = dict(zip(series["parcel"].values.astype(str), folds, strict=True))
    assert inner.height
    assert all(own[parcel] != fold for parcel, fold in inner.select("parcel_id", "fold").rows())


def test_a_second_call_fits_nothing_and_gives_the_same(
    kept: tuple[CrossFit, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    series, y, folds = crop_world(n=80)
    first, folder = kept
    assert (folder / "lightgbm" / "fold_0" / "recipe.json").is_file()
    monkeypatch.setattr("models.crops.fitting.fits._fit", lambda *_: pytest.fail("fitted again"))
    again = cross_fit(series, y, folds, TWO, folder)
    assert again.probabilities.equals(first.probabilities)
    assert again.models["dense"][1].digest() == first.models["dense"][1].digest()


def test_other_inputs_are_not_answered_from_what_was_kept(tmp_path: Path) -> None:
    series, y, folds = crop_world(n=80)
    first = cross_fit(series, y, folds, TREES, tmp_path)
    other = cross_fit(series, y, np.roll(folds, 7), TREES, tmp_path)
    assert not other.probabilities.equals(first.probabilities)


def test_rare_unlabelled_and_unseen_parcels_are_accounted_for() -> None:
    series, y, folds = crop_world(n=80)
    labels = [None if i == 3 else "hemp" if i in (5, 6) else str(name) for i, name in enumerate(y)]
    folds = folds.copy()
    folds[8] = -1
    value = series["value"].values.copy()
    value[9] = np.nan
    fit = cross_fit(series.assign(value=(series["value"].dims, value)), labels, folds, TREES)
    assert fit.tally.came_in == 80
    assert fit.tally.set_aside == {"nothing_observed": 1}
    single = fit.probabilities.filter(pl.col("model") == "lightgbm")
    assert single.height == 79
    assert single.filter(pl.col("fold") == -1)["parcel_id"].to_list() == [
        "000003",
        "000005",
        "000006",
        "000008",
    ]
    assert fit.classes.filter(~pl.col("trained")).rows() == [("hemp", 2, 1, False, "too_few_parcels")]


def test_a_class_in_one_fold_only_is_not_trained_on() -> None:
    series, y, folds = crop_world(n=80)
    y = np.where((folds == 2) & (y == "maize"), "rice", y)
    y = np.where(y == "maize", "wheat", y)
    fit = cross_fit(series, y, folds, TREES.model_copy(update={"least_parcels": 2}))
    assert fit.classes.filter(pl.col("crop_class") == "rice")["reason"].item() == "in_one_fold_only"
    assert "rice" not in fit.probabilities.columns


def test_nothing_to_learn_from_is_refused_with_its_reason() -> None:
    series, y, folds = crop_world(n=20)
    with pytest.raises(ModelError, match="barley: too_few_parcels"):
        cross_fit(series, y, folds, TREES)


def test_progress_counts_every_fit() -> None:
    series, y, folds = crop_world(n=80)
    seen: list[tuple[int, int]] = []
    cross_fit(series, y, folds, TREES, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)], "four fits, and a chunk of predictions"


def test_learnt_weights_prefer_the_model_that_knows() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 300)
    right = 0.8 * np.eye(3)[codes] + 0.2 / 3
    noise = rng.dirichlet(np.ones(3), 300)
    weights = learn_weights(np.stack([right, noise]), codes)
    assert weights[0] > 5 * weights[1]
    pooled = combine(np.stack([right, noise]), weights)
    np.testing.assert_allclose(pooled.sum(1), 1)
    np.testing.assert_allclose(combine(np.stack([right, right]), np.array([0.5, 0.5])), right, atol=1e-3)


def test_suspects_are_recorded_and_weigh_less() -> None:
    series, y, folds = crop_world(n=160)
    wrong = y.copy()
    wrong[[1, 22, 43]] = "maize"
    cleaning = {"method": "drop", "outliers": False, "rounds": 15}
    options = TREES.model_copy(update={"labels": LabelOptions.model_validate(cleaning)})
    fit = cross_fit(series, wrong, folds, options)
    assert set(fit.suspects["held_out"]) == {0, 1, 2, 3}
    assert fit.suspects.height == 3 * 160
    assert {"000001", "000022", "000043"} & set(fit.suspects.filter(pl.col("weight") == 0)["parcel_id"])


def test_a_name_of_ones_own_can_stand_for_a_model() -> None:
    series, y, folds = crop_world(n=80)
    models = {"small": {"model": "lightgbm", "rounds": 3}, "large": {"model": "lightgbm", "rounds": 12}}
    fit = cross_fit(series, y, folds, TrainOptions(models=models, combination="mean"))
    assert set(fit.models) == {"small", "large"}
    assert fit.inner.is_empty()


def test_the_number_of_threads_changes_nothing(kept: tuple[CrossFit, Path]) -> None:
    two = cross_fit(*crop_world(n=80), TWO.model_copy(update={"threads": 2}))
    assert kept[0].probabilities.equals(two.probabilities)
