"""Tuning: resumes from its journal, prunes, writes what train reads."""

from pathlib import Path

import polars as pl
import pytest
import yaml

from features.errors import ModelError
from features.schema import check_columns
from models.clouds.removal.options import CloudRemovalOptions
from models.crops.estimators.by_name import NAMES, build
from models.crops.fitting.options import TrainOptions
from models.tuning.clouds import tune_clouds
from models.tuning.options import TuneOptions
from models.tuning.search import SPACES, Range, Tuned, search, tune, write_best
from pipelines.commands.learning.tune import beside_other_models, tuning_tables, winning
from reports.pages.sections.evaluation import TABLES
from tests.benchmarks.data.cloud_data import made_up
from tests.crop_worlds import crop_world


def test_a_search_resumes_and_its_best_is_a_config(tmp_path: Path) -> None:
    series, y, folds = crop_world(n=80)
    journal = tmp_path / "journal.log"
    told: list[dict] = []
    first = tune("lightgbm", series, y, folds, TuneOptions(trials=2, folds=2), journal=journal,
                 fixed={"rounds": 5}, on_trial=told.append)  # fmt: skip
    assert first.trials.height == len(told) == 2
    again = tune(
        "lightgbm", series, y, folds, TuneOptions(trials=3, folds=2), journal=journal, fixed={"rounds": 5}
    )
    assert again.trials.height == 3
    assert again.trials["number"].to_list() == [0, 1, 2]
    assert again.value >= first.value
    written = yaml.safe_load(write_best(winning(again), tmp_path / "best.yaml").read_text())
    assert TrainOptions.model_validate(written["train"]).models["lightgbm"] == again.best


def test_tables_of_two_searches_stand_side_by_side_as_the_report_reads_them(tmp_path: Path) -> None:
    trials = pl.DataFrame({"number": [0], "state": ["complete"], "value": [0.5], "units": [8]})
    path = tmp_path / "tuning.parquet"
    for name, shares in (("dense", {"units": 1.0}), ("lstm", {}), ("dense", {"units": 1.0})):
        tables = tuning_tables(Tuned(name, {}, 0.5, trials, shares))
        for kind in ("tuning", "tuning_importance"):
            check_columns(tables[kind].columns, TABLES[kind], kind)
        beside_other_models(tables["tuning"], path).write_parquet(path)
    assert pl.read_parquet(path)["model"].to_list() == ["lstm", "dense"]


def test_a_hopeless_trial_is_pruned(tmp_path: Path) -> None:
    def scores(chosen):
        yield chosen["x"]
        yield chosen["x"]

    found = search("toy", {"x": Range(0, 1)}, scores, TuneOptions(trials=25), "x",
                   journal=tmp_path / "j.log")  # fmt: skip
    assert "pruned" in set(found.trials["state"])
    assert found.value > 0.8
    assert set(found.importance) == {"x"}


def test_what_cannot_be_tuned_is_said(tmp_path: Path) -> None:
    series, y, folds = crop_world(n=40)
    with pytest.raises(ModelError, match="did you mean 'forest'"):
        tune("forrest", series, y, folds, TuneOptions(), journal=tmp_path / "j.log")
    with pytest.raises(ModelError, match="two folds or more"):
        tune("forest", series, y, folds * 0, TuneOptions(), journal=tmp_path / "j.log")


def test_every_model_has_a_space_of_its_own_options() -> None:
    assert set(SPACES) == set(NAMES)
    for name, space in SPACES.items():
        for option, values in space.items():
            for value in values.choices or (values.low, values.high):
                build(name, **{option: int(value) if values.whole else value})


def test_a_network_of_cloud_removal_is_tuned_on_held_blocks_and_dates(tmp_path: Path) -> None:
    clear = CloudRemovalOptions(epochs=1, windows=3, window_px=16, reduce=1)
    stack = made_up(0, size=48, dates=16).stack
    told: list[dict] = []
    found = tune_clouds("unet", [stack], clear, TuneOptions(trials=2, folds=2),
                        journal=tmp_path / "j.log", on_trial=told.append)  # fmt: skip
    assert found.trials.height == len(told) == 2
    written = yaml.safe_load(write_best(winning(found), tmp_path / "best.yaml").read_text())
    best = CloudRemovalOptions.model_validate(written["clear"])
    assert (best.method, best.width) == ("unet", found.best["width"])
    with pytest.raises(ModelError, match="no network of cloud removal"):
        tune_clouds("linear", [stack], clear, TuneOptions(), journal=tmp_path / "j.log")
