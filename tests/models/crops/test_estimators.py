"""The estimators: masks in, honest refusals, the same model after saving and loading."""

from pathlib import Path

import numpy as np
import pytest

from features.errors import ModelError
from models.crops.estimators.by_name import build
from models.crops.estimators.estimator import RECIPE, CropEstimator
from models.crops.estimators.kernels import Kernels
from models.crops.estimators.leave_one_out import _dual, _primal
from models.crops.inputs.arrays import season_days
from models.crops.inputs.table import SUMMARIES, summarise
from tests.crop_worlds import CLASSES, crop_world

FAST = {
    "lightgbm": {"rounds": 30},
    "ridge": {},
    "rocket": {"kernels": 50},
    "dense": {"epochs": 10, "least_updates": 60},
    "lstm": {"least_updates": 80, "units": 16, "learning_rate": 0.01},
}


def fitted(name: str) -> CropEstimator:
    series, y, _ = crop_world()
    return build(name, **FAST[name]).fit(series, y)


@pytest.mark.parametrize("name", FAST)
def test_learns_what_can_be_learnt_and_survives_saving(name: str, tmp_path: Path) -> None:
    model = fitted(name)
    fresh, y, _ = crop_world(
        seed=1, start="2025-03-01"
    )  # another season: the calendar fits within the days of grace
    probabilities = model.predict_proba(fresh)
    assert probabilities.shape == (160, 4)
    assert list(model.classes_) == list(CLASSES)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (model.predict(fresh) == y).mean() > 0.7
    model.save(tmp_path)
    again = type(model).load(tmp_path)
    np.testing.assert_array_equal(again.predict_proba(fresh), probabilities)
    assert again.digest() == model.digest()


@pytest.mark.parametrize("name", FAST)
def test_the_same_seed_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    hashes = [fitted(name).save(tmp_path / run).read_bytes() for run in "ab"]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("name", ["lightgbm", "ridge", "dense"])
def test_where_values_lie_in_memory_changes_nothing(name: str) -> None:
    series, y, _ = crop_world()
    value = series["value"]
    turned = series.assign(value=(value.dims, np.asfortranarray(value.values)))
    given = [build(name, **FAST[name]).fit(data, y).digest() for data in (series, turned)]
    assert given[0] == given[1]


@pytest.mark.parametrize("name", FAST)
def test_a_parcel_of_which_nothing_is_known_gets_probabilities_not_nan(name: str) -> None:
    series, _, _ = crop_world(n=8)
    empty = series.assign(value=series["value"] * np.nan, observed=series["observed"] & False)
    assert np.isfinite(fitted(name).predict_proba(empty)).all()


def test_a_missing_value_is_not_a_zero() -> None:
    model = fitted("lightgbm")
    series, _, _ = crop_world(n=40, missing=0.0)
    unknown = series.assign(value=series["value"].where(series["feature"] != "ndvi"))
    zero = series.assign(value=series["value"].where(series["feature"] != "ndvi", 0.0))
    assert not np.allclose(model.predict_proba(unknown), model.predict_proba(zero))


def test_a_changed_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    model = fitted("lightgbm")
    model.save(tmp_path)
    (tmp_path / "booster.txt").write_text("not a booster at all")
    with pytest.raises(ModelError, match=r"booster\.txt has SHA-256 .* not loaded"):
        type(model).load(tmp_path)
    with pytest.raises(ModelError, match=r"recipe\.json has SHA-256"):
        type(model).load(tmp_path, expected="0" * 64)
    (tmp_path / RECIPE).unlink()
    with pytest.raises(ModelError, match="not a model bundle"):
        type(model).load(tmp_path)


def test_the_error_shows_which_features_and_dates_differ() -> None:
    model = fitted("lightgbm")
    series, _, _ = crop_world(n=8)
    with pytest.raises(ModelError, match="features missing ndvi, not known to the model greenness"):
        model.predict_proba(series.assign_coords(feature=["greenness", "B04", "s0vh_db_r037"]))
    with pytest.raises(ModelError, match=r"fitted on 12 dates \(day 60 to 170 .*given 5"):
        model.predict_proba(series.isel(time=slice(5)))
    with pytest.raises(ModelError, match="dates differ by up to"):
        model.predict_proba(crop_world(n=8, start="2024-05-01")[0])


def test_features_in_another_order_give_the_same() -> None:
    model = fitted("lightgbm")
    series, _, _ = crop_world(n=8)
    np.testing.assert_array_equal(
        model.predict_proba(series.isel(feature=[2, 0, 1])), model.predict_proba(series)
    )


def test_refusals_name_the_nearest_that_exists() -> None:
    with pytest.raises(ModelError, match="no crop model 'lightgbmm'; did you mean 'lightgbm'"):
        build("lightgbmm")
    with pytest.raises(ModelError, match=r"learning_rate: write a number above 0\.0; here is -1"):
        build("dense", learning_rate=-1)
    with pytest.raises(ModelError, match="did you mean epochs"):
        build("lstm", epoch=3)
    with pytest.raises(ModelError, match="has not been fitted"):
        build("dense").predict_proba(crop_world(n=8)[0])


def test_one_class_is_not_enough() -> None:
    series, y, _ = crop_world(n=8)
    with pytest.raises(ModelError, match=r"at least two classes.* given rye"):
        build("lightgbm").fit(series, np.full_like(y, "rye"))


def test_a_constant_feature_is_left_out_and_only_constants_are_refused() -> None:
    series, y, _ = crop_world()
    constant = series.assign(value=series["value"].where(series["feature"] != "B04", 0.2))
    assert (build("dense", **FAST["dense"]).fit(constant, y).predict(constant) == y).mean() > 0.7
    with pytest.raises(ModelError, match="missing or constant"):
        build("dense").fit(series.assign(value=series["value"] * 0), y)


def test_parcels_of_weight_zero_do_not_count() -> None:
    series, y, _ = crop_world()
    weight = (y != "wheat").astype(float)
    assert "wheat" not in build("lightgbm", rounds=2).fit(series, y, weight).classes_


def test_days_of_a_season_count_from_the_new_year_within_it() -> None:
    times = np.array(["2023-10-01", "2024-01-01", "2024-03-01"], dtype="datetime64[ns]")
    assert season_days(times).tolist() == [-92, 0, 60]


def test_summaries_of_a_season_by_hand() -> None:
    value = np.array([[[1.0], [np.nan], [3.0], [2.0]], [[np.nan]] * 4])
    every = summarise(value, np.array([0, 10, 20, 30]))
    found = dict(zip(SUMMARIES, every[0, :, 0].tolist(), strict=True))
    assert (found["low"], found["median"], found["high"], found["mean"]) == (1, 2, 3, 2)
    assert (found["lower_quarter"], found["upper_quarter"], found["day_of_high"]) == (1.5, 2.5, 20)
    assert (found["rise"], found["fall"]) == (-1, -1)  # only the last two steps are neighbours both known
    assert np.isnan(every[1]).all()


def test_a_yearly_wave_is_found_again() -> None:
    days = np.arange(0, 365.25, 365.25 / 24)
    value = 5 + 3 * np.cos(2 * np.pi * (days - 91.3125) / 365.25)  # highest at the end of March
    found = dict(zip(SUMMARIES, summarise(value[None, :, None], days)[0, :, 0], strict=True))
    assert found["amplitude_1"] == pytest.approx(3, abs=1e-5)
    assert (found["cosine_1"], found["sine_1"]) == (pytest.approx(0, abs=1e-5), pytest.approx(3, abs=1e-5))
    assert found["amplitude_2"] == pytest.approx(0, abs=1e-5)


def test_leave_one_out_is_what_leaving_one_out_gives() -> None:
    rng = np.random.default_rng(0)
    for columns in (3, 12):  # fewer and more columns than rows
        x, y = rng.normal(size=(8, columns)), rng.normal(size=(8, 2))
        gram = x @ x.T if columns > 8 else x.T @ x
        _, left_out = (_dual if columns > 8 else _primal)(x, y, gram, 0.7)
        rest = np.arange(1, 8)
        alone = np.linalg.solve(x[rest].T @ x[rest] + 0.7 * np.eye(columns), x[rest].T @ y[rest])
        np.testing.assert_allclose(left_out[0], x[0] @ alone)


def test_a_kernel_answers_where_its_shape_stands() -> None:
    """A kernel of ones at the season's end: nothing before, and the moment says late."""
    kernel = Kernels(heavy=((0, 1, 2),), dilation=(1,), channels=((0,),), levels=((1.0,),))
    flat, late = np.zeros((1, 20, 1), np.float32), np.zeros((1, 20, 1), np.float32)
    late[0, 15] = 1  # twice the value at the steps 17 to 19, which see it through their first weights
    share, mean, moment = kernel.transform(np.concatenate([flat, late])).T
    assert share.tolist() == [0, pytest.approx(3 / 20)]
    assert mean.tolist() == [0, pytest.approx(3 / 20)]
    assert moment[0] == 0
    assert moment[1] > 0.1
