"""A run's models, taken over by another season: as they are, or trained further."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from features.errors import ModelError
from features.files import sha256
from models.crops.fitting.bundle import BUNDLE, read_bundle, write_bundle
from models.crops.fitting.crossfit import CrossFit, cross_fit
from models.crops.fitting.kept import Fit, files_of
from models.crops.fitting.options import TrainOptions, TransferOptions
from models.crops.inputs.ranges import ranges_of, refuse_other_units
from models.crops.inputs.source import InMemory
from tests.crop_worlds import crop_world

MODELS = {"lightgbm": {"rounds": 10}, "dense": {"units": 16, "epochs": 3, "least_updates": 60}}
OPTIONS = TrainOptions(models=MODELS, least_parcels=4, threads=1)


def declared(series: object, y: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"parcel_id": series["parcel"].values.astype(str), "crop_class": y.tolist()})  # type: ignore[index]


def fitted_in(folder: Path, options: TrainOptions = OPTIONS) -> CrossFit:
    series, y, folds = crop_world()
    found = cross_fit(series, y.tolist(), folds, options, folder)
    ranges = ranges_of(InMemory(series))
    tables = (found.weights, found.probabilities, declared(series, y))
    write_bundle(folder, options, found.models, *tables, ranges=ranges)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("run") / "models"
    fitted_in(made)
    return made


def using(use: str) -> TrainOptions:
    return TrainOptions(
        transfer={"runs": ["elsewhere"], "use": use, "tuning": {"epochs": 2}}, least_parcels=4, threads=1
    )


def of(found: CrossFit, name: str) -> np.ndarray:
    return found.probabilities.filter(pl.col("model") == name)[:, 3:].to_numpy()


def test_a_bundle_says_all_that_is_needed_to_judge_with_it(folder: Path) -> None:
    bundle = read_bundle(folder)
    assert bundle.classes == ("barley", "grass", "maize", "wheat")
    assert bundle.models == MODELS
    assert sorted(bundle.recipes["dense"]) == sorted(bundle.weights) == [0, 1, 2, 3]
    assert bundle.weights_of(5).tolist() == bundle.weights_of(1).tolist()
    assert read_bundle(folder.parent).digest == bundle.digest


@pytest.mark.parametrize(("scale", "shift"), [(100, 0), (0.01, 0), (1, 273.15)])
def test_a_feature_in_another_unit_than_the_bundles_is_refused(
    folder: Path, scale: float, shift: float
) -> None:
    ranges = read_bundle(folder).ranges
    series, _, _ = crop_world(seed=1)
    refuse_other_units(ranges_of(InMemory(series)), ranges, folder)
    name = str(series["feature"].values[0])
    values = series["value"].copy()
    values[:, :, 0] = values[:, :, 0] * scale + shift
    with pytest.raises(ModelError, match=f"values of {name} lie .* in another unit. Bring it") as refused:
        refuse_other_units(ranges_of(InMemory(series.assign(value=values))), ranges, folder)
    assert refused.value.reason == "other_unit"


def test_loaded_models_type_another_season_whatever_is_declared_there(folder: Path) -> None:
    series, y, folds = crop_world(seed=5, start="2025-03-01")
    bundle = read_bundle(folder)
    found = cross_fit(series, y.tolist(), folds, using("load"), start=bundle)
    predicted = np.array(found.probabilities.columns[3:])[of(found, "ensemble").argmax(1)]
    assert (predicted == y).mean() > 0.8
    other = cross_fit(series, np.roll(y, 1).tolist(), folds, using("load"), start=bundle)
    for name in ("lightgbm", "dense", "ensemble"):
        np.testing.assert_array_equal(of(found, name), of(other, name))
    assert found.inner.is_empty()


def test_each_fold_is_typed_by_the_models_of_that_fold(folder: Path) -> None:
    series, y, folds = crop_world(seed=5, start="2025-03-01")
    found = cross_fit(series, y.tolist(), folds, using("load"), start=read_bundle(folder))
    second = read_bundle(folder).estimator("dense", 1).predict_proba(series.isel(parcel=folds == 1))
    np.testing.assert_allclose(of(found, "dense")[folds == 1], second, atol=1e-6)


def test_networks_are_trained_further_and_trees_anew(folder: Path) -> None:
    series, y, folds = crop_world(seed=5, start="2025-03-01")
    bundle = read_bundle(folder)
    found = cross_fit(series, y.tolist(), folds, using("tune"), start=bundle)
    assert found.models["dense"][0].settings.epochs == 2
    assert found.models["dense"][0].scaler_ == bundle.estimator("dense", 0).scaler_  # type: ignore[attr-defined]
    anew = cross_fit(series, y.tolist(), folds, OPTIONS)
    np.testing.assert_array_equal(of(found, "lightgbm"), of(anew, "lightgbm"))
    assert not np.array_equal(of(found, "dense"), of(anew, "dense"))


def test_a_held_out_label_changes_nothing_of_its_parcel_when_tuned(folder: Path) -> None:
    series, y, folds = crop_world(n=80, seed=5, start="2025-03-01")
    swapped = y.copy()
    swapped[0] = next(name for name in y if name != y[0])
    bundle = read_bundle(folder)
    one, other = (
        cross_fit(series, names.tolist(), folds, using("tune"), start=bundle) for names in (y, swapped)
    )
    np.testing.assert_array_equal(of(one, "dense")[0], of(other, "dense")[0])


def reasons(found: CrossFit) -> dict[str, str | None]:
    return dict(found.classes.select("crop_class", "reason").iter_rows())


def test_a_class_that_loaded_models_do_not_know_is_said_and_set_aside(folder: Path) -> None:
    series, y, folds = crop_world(n=80, seed=5, start="2025-03-01")
    y = np.where(y == "barley", "hemp", y)
    found = cross_fit(series, y.tolist(), folds, using("load"), start=read_bundle(folder))
    known = {"barley": None, "grass": None, "maize": None, "wheat": None}
    assert reasons(found) == known | {"hemp": "unknown_to_the_models"}
    assert found.probabilities.columns[3:] == list(known)
    assert found.classes.filter(crop_class="barley")["parcels"].item() == 0


def test_a_class_that_tuned_models_do_not_know_is_learned_where_it_can_be(folder: Path) -> None:
    series, y, folds = crop_world(n=80, seed=5, start="2025-03-01")
    y = np.where(y == "barley", "hemp", y)
    y[np.flatnonzero(y == "maize")[:3]] = "flax"  # fewer than the four parcels that a class needs
    y[(y == "grass") & (folds == 1)] = "lupin"
    found = cross_fit(series, y.tolist(), folds, using("tune"), start=read_bundle(folder))
    known = {"barley": None, "grass": None, "hemp": None, "maize": None, "wheat": None}
    assert reasons(found) == known | {"flax": "too_few_parcels", "lupin": "in_one_fold_only"}
    assert found.probabilities.columns[3:] == list(known)
    assert found.models["dense"][0].classes_.tolist() == list(known)
    assert found.models["lightgbm"][0].classes_.tolist() == ["grass", "hemp", "maize", "wheat"]
    for name in ("dense", "ensemble"):
        predicted = np.array(list(known))[of(found, name).argmax(1)]
        assert (predicted == y)[y == "hemp"].mean() > 0.6


def test_models_tuned_where_nothing_is_grown_that_they_know_are_tuned_again(
    folder: Path, tmp_path: Path
) -> None:
    series, y, folds = crop_world(n=80, seed=5, start="2025-03-01")
    y = np.char.add("x_", y)
    bundle = read_bundle(folder)
    found = cross_fit(series, y.tolist(), folds, using("tune"), tmp_path, start=bundle)
    classes = [*bundle.classes, "x_barley", "x_grass", "x_maize", "x_wheat"]
    assert found.probabilities.columns[3:] == classes
    assert (np.array(classes)[of(found, "ensemble").argmax(1)] == y).mean() > 0.7

    options = using("tune").model_copy(update={"models": bundle.models})
    tables = (found.weights, found.probabilities, declared(series, y))
    write_bundle(tmp_path, options, found.models, *tables)
    after = read_bundle(tmp_path)
    assert after.classes == tuple(classes)
    y[y == "x_wheat"] = "x_spelt"
    again = cross_fit(series, y.tolist(), folds, using("tune"), start=after)
    assert again.probabilities.columns[3:] == sorted([*classes, "x_spelt"])
    loaded = cross_fit(series, y.tolist(), folds, using("load"), start=after)
    assert reasons(loaded)["x_spelt"] == "unknown_to_the_models"


def test_tuned_models_are_kept_with_the_classes_that_they_learned(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series, y, folds = crop_world(n=80, seed=5, start="2025-03-01")
    y = np.where(y == "barley", "hemp", y)
    bundle = read_bundle(folder)
    found = cross_fit(series, y.tolist(), folds, using("tune"), tmp_path, start=bundle)
    options = using("tune").model_copy(update={"models": bundle.models})
    fit = Fit(
        stands_on={}, axes={}, seen=[], images={}, classes=found.probabilities.columns[3:],
        folds=[0, 1, 2, 3], parcels=80, agreement=0.9, files=files_of(tmp_path, options),
    )  # fmt: skip
    monkeypatch.setattr("models.crops.fitting.fits._fit", lambda *_: pytest.fail("fitted anew"))
    kept = cross_fit(series, y.tolist(), folds, using("tune"), tmp_path, start=bundle, kept=fit)
    np.testing.assert_allclose(of(kept, "dense"), of(found, "dense"), atol=1e-6)
    assert reasons(kept) == reasons(found)


def test_models_are_not_tuned_on_one_class(folder: Path) -> None:
    series, y, folds = crop_world(n=40, seed=5)
    with pytest.raises(ModelError, match="Training needs two classes and two folds; 1 classes in 4 folds"):
        cross_fit(series, ["hemp"] * len(y), folds, using("tune"), start=read_bundle(folder))


def test_a_finished_fit_is_not_taken_for_one_of_other_classes(folder: Path, tmp_path: Path) -> None:
    series, y, folds = crop_world(n=80, seed=5, start="2025-03-01")
    y = np.where(y == "barley", "hemp", y)
    bundle = read_bundle(folder)
    few = using("tune").model_copy(update={"least_parcels": 30})  # hemp has 20
    first = cross_fit(series, y.tolist(), folds, few, tmp_path, start=bundle)
    assert "hemp" not in first.probabilities.columns
    second = cross_fit(series, y.tolist(), folds, using("tune"), tmp_path, start=bundle)
    assert second.models["dense"][0].classes_.tolist() == ["barley", "grass", "hemp", "maize", "wheat"]


def test_what_was_changed_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has SHA-256 .* where 000000000000… was expected"):
        read_bundle(folder, "0" * 64)
    assert read_bundle(folder, sha256(folder / BUNDLE)).classes
    with pytest.raises(ModelError, match=r"holds no trained models: it has no bundle.json"):
        read_bundle(tmp_path)
    (tmp_path / BUNDLE).write_text('{"classes": ["a"]}')
    with pytest.raises(ModelError, match="cannot be read as a bundle"):
        read_bundle(tmp_path)
    document = json.loads((folder / BUNDLE).read_text())
    for wrong in (
        {"classes": ["maize", "maize"]},
        {"models": [{"name": "../dense", "options": {}}]},
        {"weights": {"0": dict.fromkeys(document["weights"]["0"], float("nan"))}},
        {"weights": {"0": dict.fromkeys(document["weights"]["0"], -1.0)}},
        {"calibration": {"name": "temperature", "temperature": 0.0}},
        {"ranges": {"ndvi": [0.1, 0.9]}},
        {"ranges": {"ndvi": [4, 3, 2, 1]}},
    ):
        (tmp_path / BUNDLE).write_text(json.dumps(document | wrong))
        with pytest.raises(ModelError, match="cannot be read as a bundle"):
            read_bundle(tmp_path)
    bundle = read_bundle(folder)
    recipe = replace(bundle, recipes={"dense": {0: "1" * 64}})
    with pytest.raises(ModelError, match=r"recipe\.json has SHA-256"):
        recipe.estimator("dense", 0)


def test_a_bundle_is_held_against_the_manifest_of_its_run(folder: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    document = json.loads((folder / BUNDLE).read_text())
    (models / BUNDLE).write_text(json.dumps(document))
    (tmp_path / "manifest.json").write_text(
        json.dumps({"models": {"models/bundle.json": sha256(models / BUNDLE)}})
    )
    assert read_bundle(tmp_path).classes == tuple(document["classes"])
    (models / BUNDLE).write_text(json.dumps(document | {"classes": document["classes"][::-1]}))
    with pytest.raises(ModelError, match="is not loaded"):
        read_bundle(tmp_path)


def test_forests_are_left_out_and_the_others_weigh_as_much_together(tmp_path: Path) -> None:
    options = TrainOptions(
        models={"lightgbm": {"rounds": 10}, "forest": {"trees": 10}},
        least_parcels=4,
        threads=1,
        combination="mean",
    )
    fitted_in(tmp_path, options)
    bundle = read_bundle(tmp_path)
    assert list(bundle.models) == ["lightgbm"]
    assert bundle.weights_of(0).tolist() == [1.0]
    alone = TrainOptions(models={"forest": {"trees": 10}}, least_parcels=4, threads=1)
    series, y, folds = crop_world(n=80)
    found = cross_fit(series, y.tolist(), folds, alone)
    rest = (found.models, found.weights, found.probabilities, declared(series, y))
    assert write_bundle(tmp_path, alone, *rest) is None


def test_models_come_from_one_run_and_parcels_from_several() -> None:
    assert len(TransferOptions(runs=("a", "b")).runs) == 2
    with pytest.raises(ValidationError, match="takes the models of one run; 2 are named"):
        TransferOptions(runs=("a", "b"), use="load")
