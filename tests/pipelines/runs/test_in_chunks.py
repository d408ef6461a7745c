"""Stages that hold some parcels at a time write what they write of all at once, to the byte."""

import shutil
from pathlib import Path

import numpy as np

from features.files import read_parquet
from models.forecast.options import ForecastOptions
from pipelines.config import RunConfig
from pipelines.record.receipt import read_receipt
from pipelines.stages import detect, forecast
from pipelines.workspace import Workspace
from tests.pipelines.conftest import SmallRun

TABLES_OF_DETECT = (
    "events",
    "event_chances",
    "event_looks",
    "evaluation/event_scores",
    "evaluation/event_labels",
)


def copied(run: SmallRun, folder: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(run.workspace.folder, folder / "run")))


def with_options(config: RunConfig, stage: str, **values: int) -> RunConfig:
    return config.model_copy(update={stage: getattr(config, stage).model_copy(update=values)})


def test_events_are_found_chunk_by_chunk(small_run: SmallRun, tmp_path: Path) -> None:
    workspace = copied(small_run, tmp_path)
    told: list[tuple[int, int]] = []
    config = with_options(small_run.config, "events", chunk=3)
    (workspace.folder / "event_journal.parquet").unlink()
    outcome = detect.run(config, workspace, lambda done, total: told.append((done, total)))
    for name in TABLES_OF_DETECT:
        whole, chunked = (
            read_parquet(run.folder / f"{name}.parquet") for run in (small_run.workspace, workspace)
        )
        assert chunked.equals(whole), name
    parcels = read_parquet(workspace.folder / "event_looks.parquet").height
    assert outcome.tallies[-1].came_in == parcels
    assert told[-1] == (-(-parcels // 15) + 2, -(-parcels // 15) + 2), "15 parcels are read at a time"
    assert not list(workspace.folder.glob("cropcheck-*")), "nothing stays of what was split"


def test_forecasts_are_made_chunk_by_chunk(small_run: SmallRun, tmp_path: Path) -> None:
    workspace = copied(small_run, tmp_path)
    told: list[tuple[int, int]] = []
    config = with_options(small_run.config, "forecast", chunk=17)
    outcome = forecast.run(config, workspace, lambda done, total: told.append((done, total)))
    for name in ("forecast", "anomalies", "evaluation/forecast_scores"):
        whole, chunked = (
            read_parquet(run.folder / f"{name}.parquet") for run in (small_run.workspace, workspace)
        )
        assert chunked.equals(whole), name
    before = read_receipt(small_run.workspace, "forecast")
    assert before is not None and [str(tally) for tally in outcome.tallies] == [
        str(t) for t in before.tallies
    ]
    assert told[-1] == (4 + 3, 4 + 3), "four chunks of 60 parcels"


def test_of_very_many_parcels_holdings_are_drawn_whole_to_learn_from() -> None:
    group = np.repeat(np.arange(100), 5)
    assert forecast.drawn_parcels(group, ForecastOptions(most_parcels=500)).tolist() == list(range(500))
    drawn = forecast.drawn_parcels(group, ForecastOptions(most_parcels=203))
    assert len(drawn) == 200, "forty holdings of five"
    assert np.bincount(group[drawn]).max() == 5 and set(np.bincount(group[drawn])) == {0, 5}
