"""`cropcheck pretrain` leaves a bundle that `train.transfer.use: tune` takes, with licences and citations."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from features.errors import ConfigError
from features.schema import make_series
from features.series.calendar import make_calendar
from models.crops.fitting.bundle import read_bundle
from models.crops.fitting.crossfit import cross_fit
from models.crops.fitting.options import TrainOptions
from pipelines.cli import app
from pipelines.commands.learning.pretrain import pretrain_on_sets, wanted
from pipelines.config import RunConfig
from tests.models.crops.sets import made_sets

SEASON = {"year": 2024, "start": "2024-03-01", "end": "2024-10-31"}
MODELS = {"dense": {"units": 4, "epochs": 1, "least_updates": 2}}


def config(**changes: Any) -> RunConfig:
    document = {
        "name": "tiny",
        "season": SEASON,
        "declarations": {},
        "series": {"calendar": "month", "statistics": ["mean"], "features": ["B03", "B04"]},
        "folds": {"count": 2},
        "train": {"models": MODELS, "threads": 1},
        **changes,
    }
    return RunConfig.model_validate(document)


def test_a_run_trains_the_models_of_public_sets_further(tmp_path: Path) -> None:
    sets = [{"name": "timesen2crop", "path": made_sets.timesen2crop(tmp_path / "set", samples=12)}]
    train = {"models": MODELS, "threads": 1, "transfer": {"sets": sets}}
    said = pretrain_on_sets(config(train=train), tmp_path / "out")
    assert "24 set aside (no_equal_in_hcat 24)" in said
    assert "CC-BY-4.0" in said and "folds by place" in said
    report = json.loads((tmp_path / "out" / "pretrained.json").read_text())
    assert report["sets"][0]["citation"].startswith("Weikmann")

    bundle = read_bundle(tmp_path / "out", report["bundle_sha256"])
    assert bundle.classes == ("maize", "winter_wheat")
    assert bundle.sets[0]["licence"] == "CC-BY-4.0"
    rng = np.random.default_rng(0)
    own = make_series(
        [str(k) for k in range(8)],
        make_calendar("month", *(config().season.start, config().season.end)).starts,
        ["B03", "B04", "B08"],
        ("mean",),
        rng.random((8, 8, 3, 1), dtype=np.float32),
        np.ones((8, 8, 3), bool),
    )
    options = TrainOptions.model_validate(
        {"transfer": {"use": "tune", "runs": [tmp_path / "out"]}, "threads": 1, "least_parcels": 2}
    )
    y = ["maize", "rice", "maize", "rice", "oats", "maize", "hops", "hops"]
    tuned = cross_fit(own, y, np.array([0, 0, 1, 1] * 2), options, start=bundle)
    reasons = dict(tuned.classes.select("crop_class", "reason").iter_rows())
    known = {"maize": None, "rice": None, "winter_wheat": None}
    assert reasons == known | {"hops": "in_one_fold_only", "oats": "too_few_parcels"}
    assert tuned.models["dense"][0].classes_.tolist() == list(known)
    assert set(tuned.probabilities["model"]) == {"dense", "ensemble"}


def test_without_sets_it_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"transfer\.sets names no public set"):
        pretrain_on_sets(config(), tmp_path)


def test_features_are_those_of_the_config() -> None:
    assert wanted(config()) == ("B03", "B04")
    table = {"path": "x.csv", "columns": {"red": "B04"}, "derive": ["ndvi"]}
    assert wanted(config(series={"tables": [table]})) == ("B04", "ndvi")
    assert not any(name.startswith("s0") for name in wanted(config(series={}))), "orbits are of the region"


def test_the_template_is_a_whole_config() -> None:
    from pipelines.config import load_config

    names = [of.name for of in load_config(Path("conf/pretrain.yaml")).train.transfer.sets]
    assert len(set(names)) == 6


def test_the_command_line_names_what_is_missing(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["pretrain", "conf/pretrain.yaml", "--out", str(tmp_path / "out")])
    assert result.exit_code != 0
    assert "data/TimeSen2Crop lacks" in str(result.exception)
