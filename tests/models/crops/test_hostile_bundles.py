"""Crop models that somebody altered, with their hashes: a sentence as they are loaded, never later."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.errors import ModelError
from features.files import sha256
from models.arrays_file import describe_arrays
from models.crops.estimators.by_name import build
from models.crops.estimators.estimator import RECIPE, CropEstimator
from tests.crop_worlds import crop_world
from tests.models.rehashed import HOSTILE, rehash

Change = Callable[[dict[str, Any]], object]
FAST = {"lightgbm": {"rounds": 5}, "rocket": {"kernels": 20}, "dense": {"epochs": 1, "least_updates": 2}}


@pytest.fixture(scope="module")
def fitted() -> Callable[[str], CropEstimator]:
    series, y, _ = crop_world(n=60)
    models = {name: build(name, **options).fit(series, y) for name, options in FAST.items()}
    return models.__getitem__


Fitted = Callable[[str], CropEstimator]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_booster_is_refused_though_its_hash_is_right(
    name: str, fitted: Fitted, tmp_path: Path
) -> None:
    model = fitted("lightgbm")
    rehash(model.save(tmp_path), tmp_path / "booster.txt", HOSTILE[name])
    with pytest.raises(ModelError, match=r"booster\.txt: The LightGBM model is not as LightGBM writes it"):
        type(model).load(tmp_path)


def altered(folder: Path, change: Change) -> None:
    recipe = json.loads((folder / RECIPE).read_text())
    change(recipe)
    (folder / RECIPE).write_text(json.dumps(recipe))


COMMON: dict[str, Change] = {
    "another estimator": lambda recipe: recipe.update(estimator="lstm"),
    "one class": lambda recipe: recipe.update(classes=["a"]),
    "a class twice": lambda recipe: recipe.update(classes=["a", "a", "b", "c"]),
    "classes that are no texts": lambda recipe: recipe.update(classes=[1, 2, 3, 4]),
    "a class more": lambda recipe: recipe.update(classes=[*recipe["classes"], "zz"]),
    "no layout": lambda recipe: recipe.pop("layout"),
    "features that are no texts": lambda recipe: recipe["layout"].update(features=[1]),
    "days that fall": lambda recipe: recipe["layout"]["days"].reverse(),
    "days without end": lambda recipe: recipe["layout"].update(days=list(range(5000))),
    "an unknown option": lambda recipe: recipe["options"].update(more=1),
    "an option beyond its limits": lambda recipe: recipe["options"].update(seed=-1),
    "a file outside": lambda recipe: recipe.update(sha256={"../x": "0"}),
    "arrays that are no list": lambda recipe: recipe.update(arrays=[1]),
}
LIGHTGBM: dict[str, Change] = {
    "a feature more": lambda recipe: recipe["layout"]["features"].append("more"),
    "fewer rounds than trees": lambda recipe: recipe["options"].update(rounds=1),
    "rounds without end": lambda recipe: recipe["options"].update(rounds=10**9),
    "fewer leaves": lambda recipe: recipe["options"].update(leaves=2),
}
SCALER: dict[str, Change] = {
    "a channel beyond": lambda recipe: recipe["state"]["scaler"]["channels"].append(10**6),
    "a channel twice": lambda recipe: recipe["state"]["scaler"]["channels"].append(
        recipe["state"]["scaler"]["channels"][0]
    ),
    "a mask beyond": lambda recipe: recipe["state"]["scaler"]["known_masks"].append(-7),
    "a mean too few": lambda recipe: recipe["state"]["scaler"]["mean"].pop(),
    "no spread": lambda recipe: recipe["state"]["scaler"]["deviation"].__setitem__(0, 0.0),
    "a mean that is none": lambda recipe: recipe["state"]["scaler"]["mean"].__setitem__(0, float("nan")),
    "a text": lambda recipe: recipe["state"]["scaler"]["mean"].__setitem__(0, "a"),
    "no scaler": lambda recipe: recipe["state"].pop("scaler"),
}
KERNELS: dict[str, Change] = {
    "a kernel of a channel beyond": lambda recipe: recipe["state"]["kernels"]["channels"][0].append(10**6),
    "a kernel that reaches beyond": lambda recipe: recipe["state"]["kernels"]["dilation"].__setitem__(
        0, 10**9
    ),
    "a kernel too few": lambda recipe: recipe["state"]["kernels"]["heavy"].pop(),
    "a level that is none": lambda recipe: recipe["state"]["kernels"]["levels"][0].__setitem__(
        0, float("inf")
    ),
    "a level more": lambda recipe: recipe["state"]["kernels"]["levels"][0].append(0.5),
}
CASES = [
    *(("lightgbm", name, change) for name, change in {**COMMON, **LIGHTGBM}.items()),
    *(("rocket", name, change) for name, change in {**COMMON, **SCALER, **KERNELS}.items()),
    *(("dense", name, change) for name, change in SCALER.items()),
]


@pytest.mark.parametrize(
    ("kind", "name", "change"), CASES, ids=[f"{kind}: {name}" for kind, name, _ in CASES]
)
def test_a_recipe_that_cannot_be_is_a_sentence(
    kind: str, name: str, change: Change, fitted: Fitted, tmp_path: Path
) -> None:
    model = fitted(kind)
    model.save(tmp_path)
    altered(tmp_path, change)
    with pytest.raises(ModelError):
        type(model).load(tmp_path)


@pytest.mark.parametrize(("kind", "file"), [("rocket", "ridge.npz"), ("dense", "weights.npz")])
@pytest.mark.parametrize("wrong", ["nan", "inf", "shape", "name", "object"])
def test_arrays_that_cannot_be_are_a_sentence(
    kind: str, file: str, wrong: str, fitted: Fitted, tmp_path: Path
) -> None:
    model = fitted(kind)
    model.save(tmp_path)
    with np.load(tmp_path / file) as stored:
        arrays = {name: stored[name] for name in stored.files}
    name = "coefficients" if kind == "rocket" else min(arrays)
    odd: dict[str, Any] = {
        "nan": np.full_like(arrays[name], np.nan), "inf": np.full_like(arrays[name], np.inf),
        "shape": arrays[name][..., :-1], "object": np.array([{}], object),
    }  # fmt: skip
    arrays = (
        {"x": arrays[name], **{k: v for k, v in arrays.items() if k != name}}
        if wrong == "name"
        else arrays | {name: odd[wrong]}
    )
    np.savez(tmp_path / file, **arrays)

    def noted(recipe: dict[str, Any]) -> None:
        recipe["sha256"][file] = sha256(tmp_path / file)
        if wrong != "object":
            recipe["arrays"][file] = describe_arrays(tmp_path / file)

    altered(tmp_path, noted)
    series, _, _ = crop_world(n=4)
    with pytest.raises(ModelError):
        type(model).load(tmp_path).predict_proba(series)


def test_a_temperature_that_is_not_above_none_is_refused(fitted: Fitted, tmp_path: Path) -> None:
    model = fitted("rocket")
    model.save(tmp_path)
    with np.load(tmp_path / "ridge.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    for temperature in (0.0, -1.0):
        np.savez(tmp_path / "ridge.npz", **(arrays | {"fit": np.array([temperature, 1.0])}))
        altered(
            tmp_path, lambda recipe: recipe["sha256"].update({"ridge.npz": sha256(tmp_path / "ridge.npz")})
        )
        with pytest.raises(ModelError, match=r"a temperature of .*; it must be above 0"):
            type(model).load(tmp_path)
