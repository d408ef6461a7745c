"""Models that are kept while images come in: they predict as they are; a stated rule fits anew."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely

from models.crops.fitting.carried_folds import kept_folds
from models.crops.fitting.crossfit import CrossFit, cross_fit
from models.crops.fitting.kept import Fit, axes_of, files_of, read_fit, why_not, write_fit
from models.crops.fitting.options import KeepOptions, TrainOptions
from models.crops.fitting.task import known_classes, look
from models.crops.inputs.source import InMemory
from models.folds import FoldPlan
from tests.crop_worlds import crop_world

TREES = TrainOptions(
    models={"lightgbm": {"rounds": 8}, "dense": {"epochs": 1, "least_updates": 5}}, threads=1
)
FOLDS = [0, 1, 2, 3]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Fit, CrossFit]:
    """Models of a season that was seen up to its eighth step, and what they were fitted on."""
    folder = tmp_path_factory.mktemp("models")
    series, y, folds = crop_world(n=60)
    series["observed"][:, 8:] = False
    assert np.flatnonzero(look(InMemory(series), 60, 25).steps).tolist() == list(range(8))
    found = cross_fit(series, y, folds, TREES, folder)
    fit = Fit(
        stands_on={"train: option seed": 1}, axes=axes_of(series), seen=list(range(8)),
        images={"s2": ["2024-03-01T10:00:00"]}, classes=found.probabilities.columns[3:], folds=FOLDS,
        parcels=found.trained_on, agreement=0.9, files=files_of(folder, TREES),
    )  # fmt: skip
    shapes = [shapely.box(x * 100, 0, x * 100 + 100, 100) for x in range(60)]
    parcels = gpd.GeoDataFrame({"holding_id": [None] * 60}, geometry=shapes, crs=32631)
    write_fit(folder, fit, parcels, folds, found.suspects)
    return folder, fit, found


def asked(fitted: tuple[Path, Fit, CrossFit], **other: Any) -> str:
    """Why the models are fitted anew, where all is as it was but for `other`."""
    folder, fit, _ = fitted
    now: dict[str, Any] = {
        "options": TREES, "stands_on": fit.stands_on, "axes": fit.axes, "seen": fit.seen,
        "images": fit.images, "trainable": fit.classes, "folds": FOLDS,
    }  # fmt: skip
    return why_not(fit, folder, **{**now, **other})


def other_options(**other: Any) -> TrainOptions:
    return TREES.model_copy(update=other)


def test_what_was_written_is_read_back(fitted: tuple[Path, Fit, CrossFit]) -> None:
    assert read_fit(fitted[0]) == fitted[1]


def test_nothing_changed_and_models_are_kept(fitted: tuple[Path, Fit, CrossFit]) -> None:
    assert asked(fitted) == ""


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"stands_on": {"train: option seed": 2}}, "train: option seed changed"),
        ({"options": other_options(keep=KeepOptions(models=False))}, "train.keep.models is false"),
        ({"options": other_options(models={"forest": {}})}, "forest cannot be stored"),
        ({"seen": [*range(8), 8, 9]}, ""),
        ({"seen": [*range(8), 8, 9, 10]}, "3 steps of the calendar were seen for the first time since; "
         "train.keep.new_steps allows 2"),
        ({"trainable": ["barley", "hemp"]}, "the models do not know hemp, now declared often enough"),
        ({"trainable": ["barley"]}, ""),
        ({"images": {"s2": ["2024-03-01T11:00:00", "2024-03-06T10:00:00"]}}, ""),
        ({"images": {"s1": ["2024-02-29T17:30:00"], "s2": []}}, "they learned from an image of 2024-03-01, "
         "later than any of this run (2024-02-29)"),
        ({"folds": [0, 1, 2]}, "3 of their 4 folds have parcels"),
    ],
)  # fmt: skip
def test_the_rule(fitted: tuple[Path, Fit, CrossFit], other: dict[str, Any], why: str) -> None:
    assert asked(fitted, **other) == why


def test_one_more_step_of_the_calendar_is_another_model(fitted: tuple[Path, Fit, CrossFit]) -> None:
    axes = {**fitted[1].axes, "time": [*fitted[1].axes["time"], "2024-07-01"]}
    assert asked(fitted, axes=axes) == "the calendar has 13 steps, not 12"
    assert asked(fitted, axes={**fitted[1].axes, "feature": ["ndvi"]}) == "the features changed"


def test_models_of_two_fits_are_not_mixed(fitted: tuple[Path, Fit, CrossFit]) -> None:
    files = dict.fromkeys(fitted[1].files, "0" * 64)
    said = asked((fitted[0], replace(fitted[1], files=files), fitted[2]))
    assert said == "the files of the models are not those that were fitted together"


def test_kept_models_predict_new_values_and_none_is_fitted(
    fitted: tuple[Path, Fit, CrossFit], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, fit, before = fitted
    series, y, folds = crop_world(n=60)
    series["value"][:, 8:] += 0.05
    monkeypatch.setattr("models.crops.fitting.fits._fit", lambda *_: pytest.fail("fitted anew"))
    after = cross_fit(series, y, folds, TREES, folder, kept=fit)
    assert files_of(folder, TREES) == fit.files
    assert not after.probabilities.equals(before.probabilities)
    assert after.trained_on == before.trained_on
    assert [len(after.inner), len(after.models["dense"])] == [len(before.inner), 4]


def test_classes_that_kept_models_do_not_know_say_why_they_were_not_learned() -> None:
    y, folds = np.array(["oats"] * 4 + ["wheat"] * 4 + ["hemp"]), np.array([0, 1] * 4 + [0])
    kept = known_classes(y, folds, ["oats", "rye"], least=2)
    assert kept.select("crop_class", "parcels", "trained", "reason").rows() == [
        ("hemp", 1, False, "too_few_parcels"),
        ("oats", 4, True, None),
        ("rye", 0, True, None),
        ("wheat", 4, False, "unknown_to_the_models"),
    ]


def test_models_that_are_trained_further_learn_the_classes_that_can_be_trained_on() -> None:
    y, folds = np.array(["oats"] * 4 + ["wheat"] * 4 + ["hemp"]), np.array([0, 1] * 4 + [0])
    found = known_classes(y, folds, ["oats", "rye"], least=2, learns=True)
    assert found.select("crop_class", "parcels", "trained", "reason").rows() == [
        ("hemp", 1, False, "too_few_parcels"),
        ("oats", 4, True, None),
        ("rye", 0, True, None),
        ("wheat", 4, True, None),
    ]


def parcels(*rows: tuple[str | None, float]) -> gpd.GeoDataFrame:
    """Parcels of 100 m, by holding and place along a line."""
    shapes = [shapely.box(x, 0, x + 100, 100) for _, x in rows]
    return gpd.GeoDataFrame({"holding_id": [name for name, _ in rows]}, geometry=shapes, crs=32631)


BEFORE = parcels(("a", 0), ("a", 200), ("b", 400), ("c", 600), ("c", 800))
BEFORE = BEFORE.set_geometry(BEFORE.representative_point()).assign(fold=[0, 0, 1, 1, 2])


@pytest.mark.parametrize(
    ("now", "own", "expected", "why"),
    [
        (("a", 0), 2, 0, "its own of before"),
        (("b", 0), 2, 0, "its own of before, though another holding has it now: its label was learned"),
        (("b", 5000), 0, 1, "its holding's"),
        (("c", 3000), 0, 2, "the nearest parcel's: its holding had two"),
        ((None, 460), 0, 1, "the nearest parcel's"),
        (("a", 200), -1, -1, "none, for want of a class"),
    ],
)
def test_the_fold_of_a_parcel_while_models_are_kept(
    now: tuple[str | None, float], own: int, expected: int, why: str
) -> None:
    plan = FoldPlan(np.array([own]), np.array([0]), "holding", None, "")
    assert kept_folds(plan, parcels(now), BEFORE).fold.tolist() == [expected], why


def test_the_note_counts_parcels_that_are_new() -> None:
    plan = FoldPlan(np.array([0, 0, 0]), np.arange(3), "holding", None, "by holdings")
    assert kept_folds(plan, parcels(("a", 0), ("b", 5000), (None, 460)), BEFORE).note == (
        "by holdings; the folds are those of the models, which were fitted before; 2 new parcels have the "
        "fold of their holding, 1 of them that of the nearest parcel"
    )


@pytest.mark.parametrize("name", ["fit.json", "parcels.parquet", "suspects.parquet"])
def test_models_whose_notes_are_not_whole_are_not_kept(
    fitted: tuple[Path, Fit, CrossFit], tmp_path: Path, name: str
) -> None:
    there = Path(shutil.copytree(fitted[0], tmp_path / "models")) / "fitted"
    assert read_fit(tmp_path / "models") == fitted[1]
    content = bytearray((there / name).read_bytes())
    content[len(content) // 2] ^= 1
    (there / name).write_bytes(bytes(content))
    assert read_fit(tmp_path / "models") is None
    (there / name).unlink()
    assert read_fit(tmp_path / "models") is None
