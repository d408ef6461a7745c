"""Forecast models on disk: they come back as they were, or are refused in a sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.errors import ModelError
from features.files import sha256
from models.arrays_file import describe_arrays
from models.forecast.bundle import BUNDLE, read_forecaster, write_forecaster
from models.forecast.forecaster import ALL, Forecaster, fit_forecaster, forecast
from models.forecast.history import History
from models.forecast.learning.samples import on_days, seen_ahead
from models.forecast.options import ForecastOptions
from tests.models.forecast.made import waves
from tests.models.rehashed import HOSTILE, rehash

OPTIONS = ForecastOptions(methods=("boosting",), rounds=10, most_samples=3000, threads=1)
PARCELS, DAY = 30, 830
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def known() -> History:
    return waves(PARCELS)


@pytest.fixture(scope="module")
def fitted(known: History) -> Forecaster:
    samples = seen_ahead(known, np.arange(370, 730, 10))
    return fit_forecaster(known, samples, np.arange(PARCELS) % 3, np.arange(PARCELS), OPTIONS)


def test_a_bundle_forecasts_as_what_was_written(known: History, fitted: Forecaster, tmp_path: Path) -> None:
    write_forecaster(tmp_path, fitted)
    again = read_forecaster(tmp_path, OPTIONS)
    asked = on_days(np.arange(PARCELS), DAY, DAY + np.arange(5, 101, 5))
    a, b = (forecast(one, known, asked, np.arange(PARCELS) % 3) for one in (fitted, again))
    assert np.array_equal(a.value, b.value)
    assert np.array_equal(a.bounds, b.bounds)


def test_an_altered_bundle_is_refused(fitted: Forecaster, tmp_path: Path) -> None:
    write_forecaster(tmp_path, fitted)
    (tmp_path / "scale.txt").write_text("tree\n")
    with pytest.raises(ModelError, match=r"scale\.txt is missing or was altered"):
        read_forecaster(tmp_path, OPTIONS)


def test_no_bundle_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Give the output folder of a run"):
        read_forecaster(tmp_path, OPTIONS)


@pytest.mark.parametrize("file", ["scale.txt", "all_boosting.txt"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_booster_is_refused_though_its_hash_is_right(
    name: str, file: str, fitted: Forecaster, tmp_path: Path
) -> None:
    rehash(write_forecaster(tmp_path, fitted), tmp_path / file, HOSTILE[name])
    with pytest.raises(ModelError, match=rf"{file}: The LightGBM model is not as LightGBM writes it"):
        read_forecaster(tmp_path, OPTIONS)


def test_models_are_held_against_the_manifest_of_their_run(fitted: Forecaster, tmp_path: Path) -> None:
    bundle = write_forecaster(tmp_path / "forecast_models", fitted)
    noted = {"outputs": {f"forecast_models/{BUNDLE}": sha256(bundle)}}
    (tmp_path / "manifest.json").write_text(json.dumps(noted))
    assert read_forecaster(tmp_path, OPTIONS).classes == fitted.classes
    bundle.write_text(bundle.read_text() + "\n")
    with pytest.raises(ModelError, match=r"forecast\.json has SHA-256 .* was expected"):
        read_forecaster(tmp_path, OPTIONS)


def of_all(**changes: Any) -> Change:
    return lambda stored: stored["folds"][str(ALL)].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored.update(units=10**9),
        lambda stored: stored.update(methods=["oracle"]),
        lambda stored: stored.update(names=["persistence"]),
        lambda stored: stored.update(classes=["a", "a"]),
        lambda stored: stored.update(classes=stored["classes"] + ["more"]),
        lambda stored: stored.update(columns=stored["columns"][1:]),
        lambda stored: stored.update(folds=[]),
        lambda stored: stored["folds"].pop(str(ALL)),
        of_all(years=[2023] * 50), of_all(years=["x"]), of_all(networks={"lstm": 10**9}), of_all(boosters={}),
        of_all(damped={"share": float("nan"), "days": 1}), of_all(damped={"share": 0.5, "days": 0}),
        of_all(arrays={"file": "../../../etc/passwd", "sha256": "0", "arrays": {}}),
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_sentence(change: Change, fitted: Forecaster, tmp_path: Path) -> None:
    bundle = write_forecaster(tmp_path, fitted)
    stored = json.loads(bundle.read_text())
    change(stored)
    bundle.write_text(json.dumps(stored))
    with pytest.raises(ModelError, match=r"(?i)copy"):
        read_forecaster(tmp_path, OPTIONS)


@pytest.mark.parametrize(
    ("file", "arrays"),
    [
        ("shared.npz", {"combination": np.ones((2, 2)), "quantile": np.ones((1, 1, 1, 4))}),
        ("shared.npz", {"combination": np.ones(3)}),
        ("all.npz", {"curve_mean": np.ones((3, 7)), "curve_spread": np.ones((3, 7))}),
        ("all.npz", {"curve_mean": np.full((4, 73), np.inf), "curve_spread": np.ones((4, 73))}),
    ],
)
def test_arrays_of_other_shapes_are_refused_though_their_hash_is_right(
    file: str, arrays: dict[str, np.ndarray], fitted: Forecaster, tmp_path: Path
) -> None:
    bundle = write_forecaster(tmp_path, fitted)
    np.savez(tmp_path / file, **arrays)  # type: ignore[arg-type]
    stored = json.loads(bundle.read_text())
    entry = stored["shared"] if file == "shared.npz" else stored["folds"][str(ALL)]["arrays"]
    entry |= {"sha256": sha256(tmp_path / file), "arrays": describe_arrays(tmp_path / file)}
    bundle.write_text(json.dumps(stored))
    with pytest.raises(ModelError):
        read_forecaster(tmp_path, OPTIONS)
