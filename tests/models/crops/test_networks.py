"""Every network, what is done to training series, and context beside them."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.context.parcels import attach_context
from features.errors import ModelError
from models.crops.estimators.by_name import build
from models.crops.estimators.networks import neural
from models.crops.estimators.networks.outputs import fit_new, widened
from models.crops.inputs.arrays import seen
from models.crops.inputs.augmentation import augment
from models.crops.inputs.context import pool, with_weather
from models.crops.inputs.imbalance import Training, balance
from models.crops.inputs.options import AugmentationOptions, BalanceOptions
from models.crops.inputs.scaling import Scaler, Tensors
from models.explanation.gradients import network_columns, network_contributions
from tests.crop_worlds import CLASSES, crop_world

SMALL = {
    "bilstm": {"units": 8},
    "tempcnn": {"filters": 8, "units": 16},
    "resnet": {"filters": 8, "widths": (3,)},
    "ltae": {"width": 32, "heads": 4, "units": 16},
}


@pytest.mark.parametrize("name", SMALL)
def test_each_network_learns_and_is_the_same_after_loading(name: str, tmp_path: Path) -> None:
    series, y, _ = crop_world()
    model = build(
        name, epochs=4, least_updates=80, batch=64, learning_rate=0.01, dropout=0.1, **SMALL[name]
    ).fit(series, y)
    assert (model.predict(series) == y).mean() > 0.6
    model.save(tmp_path)
    np.testing.assert_array_equal(
        type(model).load(tmp_path).predict_proba(series), model.predict_proba(series)
    )


def test_updates_in_one_call_are_the_updates_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    series, y, _ = crop_world()

    def one_by_one(model: Any, rates: Any, inputs: Any, targets: Any, weights: Any) -> None:
        for update, rate in enumerate(rates):
            model.optimizer.learning_rate = rate
            batch = [part[update] for part in inputs]
            model.train_on_batch(batch, targets[update], sample_weight=weights[update])

    together = build("dense", epochs=1, least_updates=20, units=16).fit(series, y)  # 16 updates, then 4
    monkeypatch.setattr(neural, "train", one_by_one)
    apart = build("dense", epochs=1, least_updates=20, units=16).fit(series, y)
    for one, other in zip(together.weights_, apart.weights_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_a_forest_is_refitted_never_stored(tmp_path: Path) -> None:
    series, y, _ = crop_world(n=40)
    model = build("forest", trees=10, threads=1).fit(series, y)
    model.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.json"]
    with pytest.raises(ModelError, match="never stored"):
        type(model).load(tmp_path)


def test_expected_gradients_add_up_and_name_their_columns() -> None:
    series, y, _ = crop_world()
    model = build("dense", epochs=5, least_updates=60).fit(series, y)
    rng = np.random.default_rng(0)
    rows = series.isel(parcel=slice(12))
    found, gap = network_contributions(model, rows, "maize", series.isel(parcel=slice(20, 60)), rng)
    columns = network_columns(model)
    assert found.shape == (12, len(columns))
    assert gap < 0.25
    assert {column.feature for column in columns} == {"ndvi", "B04", "s0vh_db_r037"}


def test_fine_tuning_goes_on_from_the_weights() -> None:
    series, y, _ = crop_world()
    model = build("dense", epochs=3, least_updates=40).fit(series, y)
    before = model.digest()
    other, y_other, _ = crop_world(seed=5, start="2025-03-01")
    model.tune_further(other, y_other)
    assert model.digest() != before
    assert (model.predict(other) == y_other).mean() > 0.7
    with pytest.raises(ModelError, match="lightgbm cannot be trained further; fit it anew"):
        build("lightgbm", rounds=2).fit(series, y).tune_further(other, y_other)


@pytest.mark.parametrize("elsewhere", [("barley", "grass"), ("rapeseed", "rice")])
def test_classes_that_a_network_does_not_know_are_learned(tmp_path: Path, elsewhere: tuple[str, str]) -> None:
    """Those of elsewhere are known here, or none of them; what was tuned is stored, and tuned again."""
    series, y, _ = crop_world()
    early = np.isin(y, ["barley", "grass"])
    there = np.where(y[early] == "barley", *elsewhere)
    model = build("dense", epochs=3, least_updates=40).fit(series.isel(parcel=early), there)
    other, y_other, _ = crop_world(seed=5, start="2025-03-01")
    model.tune_further(other, y_other)
    assert model.classes_.tolist() == sorted({*elsewhere, *CLASSES})
    assert (model.predict(other) == y_other).mean() > 0.8
    model.save(tmp_path)
    again = type(model).load(tmp_path)
    np.testing.assert_allclose(again.predict_proba(other), model.predict_proba(other), atol=1e-6)
    again.tune_further(other, np.where(y_other == "wheat", "spelt", y_other))
    assert again.classes_.tolist() == sorted({*model.classes_, "spelt"})
    assert (again.predict(other)[y_other == "wheat"] == "spelt").mean() > 0.5


def test_a_layer_with_more_outputs_says_the_same_of_the_old_classes() -> None:
    kernel, bias = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([5.0, 6.0])
    wide, wide_bias = widened(kernel, bias, np.array([0, 2]), 4)
    assert wide.tolist() == [[1, 0, 2, 0], [3, 0, 4, 0]]
    assert wide_bias.tolist() == [5, 0, 6, 0]


def test_new_outputs_are_fitted_to_what_the_network_sees_and_the_others_stay() -> None:
    hidden = np.repeat(np.eye(3), 4, axis=0)  # the network tells three kinds of parcels apart
    codes = np.repeat([0, 1, 2], 4)
    known = np.diag([9.0, 0.0, 9.0]), np.array([-1.0, 0.0, -1.0])  # and two of them by name
    kernel, bias = fit_new(hidden, *known, codes, np.ones(12), place=np.array([0, 2]))
    np.testing.assert_array_equal(kernel[:, [0, 2]], known[0][:, [0, 2]])
    np.testing.assert_array_equal(bias[[0, 2]], [-1, -1])
    assert (hidden @ kernel + bias).argmax(1).tolist() == codes.tolist()


def test_parcels_count_by_their_weight_when_new_outputs_are_fitted() -> None:
    hidden, codes = np.ones((2, 1)), np.array([0, 1])  # alike: only how often each occurs can be learned
    start = np.zeros((1, 2)), np.zeros(2)
    kernel, bias = fit_new(hidden, *start, codes, np.array([1.0, 3.0]), place=np.array([0]))
    logit = (hidden @ kernel + bias)[0]
    assert logit[1] - logit[0] == pytest.approx(np.log(3), abs=1e-3)


def test_masks_that_agree_share_a_channel() -> None:
    series, _, _ = crop_world()
    scaler = Scaler.fitted(series)  # ndvi and B04 are missing together; radar never is
    assert scaler.width == 3 + 1


def test_augmentation_keeps_what_is_unknown_unknown_and_the_values_in_their_place() -> None:
    rng = np.random.default_rng(0)
    values = np.tile(np.arange(10, dtype=np.float32)[None, :, None] / 5, (4, 1, 2))
    values[:, 3] = np.nan
    tensors = Tensors(values, np.isfinite(values[..., :1]), np.empty((4, 0), np.float32))
    flags = np.zeros(2, bool), np.zeros(2)
    same = augment(tensors, AugmentationOptions(), *flags, rng)
    np.testing.assert_array_equal(same.values, values)
    moved = augment(tensors, AugmentationOptions(shift_steps=2), *flags, rng)
    assert np.isnan(moved.values).sum() > np.isnan(values).sum()  # beyond the season nothing is known
    dropped = augment(tensors, AugmentationOptions(dropped_dates=0.5), *flags, rng)
    assert not (np.isfinite(dropped.values) & np.isnan(values)).any()
    scaled = augment(
        tensors, AugmentationOptions(scaled_reflectance=0.1), np.array([True, False]), np.zeros(2), rng
    )
    np.testing.assert_array_equal(scaled.values[..., 1], values[..., 1])
    assert not np.array_equal(scaled.values[..., 0], values[..., 0])


def test_resampling_brings_classes_together_and_copies_are_not_the_same() -> None:
    series, y, _ = crop_world(n=60)
    y = np.where(np.arange(60) < 50, "grass", np.where(np.arange(60) < 58, "maize", "rye"))
    training = Training(series, y, np.ones(60))
    found = balance(
        training, BalanceOptions(method="resample", most=2.0, least=1.0), np.random.default_rng(0)
    )
    assert dict(zip(*np.unique(found.y, return_counts=True), strict=True)) == {
        "grass": 16,
        "maize": 8,
        "rye": 8,
    }
    copies = found.series.isel(parcel=slice(26, None))["value"].values
    originals = series["value"].values
    assert not any(np.array_equal(copy, one, equal_nan=True) for copy in copies for one in originals)
    weighted = balance(training, BalanceOptions(method="class_weight"), np.random.default_rng(0))
    assert weighted.weight[59] > weighted.weight[0]


def test_context_reaches_every_family_and_unknown_context_is_no_error() -> None:
    series, y, _ = crop_world()
    ids = series["parcel"].values.astype(str)[:150]
    table = pl.DataFrame({"parcel_id": ids, "elevation_m": np.arange(150.0), "soil_1": [0.0, 1.0] * 75})
    known = attach_context(series, table)
    for name, options in {"lightgbm": {"rounds": 5}, "dense": {"epochs": 1, "least_updates": 20}}.items():
        model = build(name, **options).fit(known, y)
        assert np.isfinite(model.predict_proba(known)).all()
        with pytest.raises(ModelError, match="context missing elevation_m"):
            model.predict_proba(series)


def test_a_model_without_context_leaves_it_aside() -> None:
    series, y, _ = crop_world(n=40)
    model = build("dense", epochs=1, least_updates=20).fit(series, y)
    table = pl.DataFrame({"parcel_id": series["parcel"].values.astype(str), "soil_1": np.ones(40)})
    np.testing.assert_array_equal(
        model.predict_proba(attach_context(series, table)), model.predict_proba(series)
    )


def test_weather_becomes_features_and_needs_one_row_a_step() -> None:
    series, _, _ = crop_world(n=8)
    weather = pl.DataFrame({"weather_gdd": np.arange(12.0), "weather_rain": np.ones(12)})
    found = with_weather(series, weather)
    assert list(found["feature"].values)[-2:] == ["weather_gdd", "weather_rain"]
    assert found["value"].sel(feature="weather_gdd", statistic="mean").values[3].tolist() == list(range(12))
    with pytest.raises(ModelError, match="3 rows of weather were given for 12 steps"):
        with_weather(series, weather.head(3))


def test_weather_alone_does_not_make_a_parcel_seen() -> None:
    series, _, _ = crop_world(n=8)
    series["value"][3] = np.nan
    known = seen(with_weather(series, pl.DataFrame({"weather_gdd": np.arange(12.0)})))
    assert known.tolist() == [True, True, True, False, True, True, True, True]


def test_two_seasons_pool_by_step_and_other_calendars_are_refused() -> None:
    one, two = crop_world(n=8)[0], crop_world(n=8, start="2025-03-01")[0]
    both = pool(one, {"region_2025": two})
    assert both.sizes["parcel"] == 16
    assert both["parcel"].values[[0, 8]].tolist() == ["000000", "region_2025/000000"]
    np.testing.assert_array_equal(both["value"].values[8:], two["value"].values)
    with pytest.raises(ModelError, match="later differs from this run in calendar"):
        pool(one, {"later": crop_world(n=8, start="2025-04-01")[0]})
    with pytest.raises(ModelError, match=r"other differs from this run in feature: ndvi"):
        pool(one, {"other": two.isel(feature=[0])})


def test_context_that_one_season_lacks_is_unknown_there() -> None:
    one, two = crop_world(n=2)[0], crop_world(n=2)[0]
    ids = one["parcel"].values.astype(str)
    hilly = attach_context(one, pl.DataFrame({"parcel_id": ids, "elevation_m": [5.0, 6.0]}))
    sandy = attach_context(two, pl.DataFrame({"parcel_id": ids, "soil_1": [0.5, 1.0]}))
    found = pool(hilly, {"a": sandy, "b": two})["context"]
    assert found["variable"].values.tolist() == ["elevation_m", "soil_1"]
    none = np.nan
    np.testing.assert_array_equal(
        found.values, [[5, none], [6, none], [none, 0.5], [none, 1], [none, none], [none, none]]
    )
