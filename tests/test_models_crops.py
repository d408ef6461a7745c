"""The estimators: masks in, honest refusals, the same model after saving and loading."""

from pathlib import Path

import numpy as np
import pytest

from features.errors import ModelError
from models.crops.catalogue import build
from models.crops.estimator import RECIPE, CropEstimator
from models.crops.inputs import season_days
from models.crops.table import SUMMARIES, summarise
from tests.crop_worlds import CLASSES, crop_world

FAST = {
    "lightgbm": {"rounds": 30},
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
    with pytest.raises(ModelError, match=r"learning_rate: .*greater than 0 \(given -1"):
        build("dense", learning_rate=-1)
    with pytest.raises(ModelError, match="did you mean 'epochs'"):
        build("lstm", epoch=3)
    with pytest.raises(ModelError, match="has not been fitted"):
        build("dense").predict_proba(crop_world(n=8)[0])


def test_one_class_is_not_enough() -> None:
    series, y, _ = crop_world(n=8)
    with pytest.raises(ModelError, match=r"two classes or more.*\['rye'\]"):
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
    found = dict(zip(SUMMARIES, summarise(value)[0, :, 0], strict=True))
    assert (found["low"], found["high"], found["mean"], found["day_of_high"]) == (1, 3, 2, 2)
    assert (found["rise"], found["fall"]) == (
        -1,
        -1,
    )  # only the last two steps are neighbours that are both known
    assert np.isnan(summarise(value)[1]).all()
