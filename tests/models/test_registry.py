"""MLflow keeps one parent a run and one child a model."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from features.errors import ConfigError
from models.registry import ModelRecord, RunRecord, Tracker, TrackingError, _key, store_fault


@pytest.mark.filterwarnings("ignore")  # MLflow and its database layer warn about themselves
def test_a_run_is_kept_with_its_models_and_files(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    (tmp_path / "weights.txt").write_text("tree")
    (tmp_path / "agency.html").write_text("<html>")
    store = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    tracker = Tracker(store, tmp_path / "mlruns/artifacts", "cropcheck")
    curves = [{"loss": 0.4}, {"loss": 0.3}]
    model = ModelRecord(
        "lightgbm", {"rounds": 10}, {"macro_f1": 0.8}, [tmp_path / "weights.txt"], ("lightgbm",), curves
    )
    record = RunRecord(
        "tiny",
        {"fill": {"method": "linear"}},
        {"macro_f1": 0.81},
        {"model_id": "ab"},
        {"a.csv": "00"},
        {},
        (model,),
    )

    ids = tracker.open(record)
    tracker.close(ids["run"], [tmp_path / "agency.html"], {"manifest": "ff"})

    client = MlflowClient(tracking_uri=store)
    parent, child = client.get_run(ids["run"]), client.get_run(ids["lightgbm"])
    assert parent.data.params["fill.method"] == "linear"
    assert parent.data.tags["manifest"] == "ff"
    assert child.data.tags["mlflow.parentRunId"] == ids["run"]
    assert child.data.metrics == {"macro_f1": 0.8, "loss": 0.3}
    losses = client.get_metric_history(ids["lightgbm"], "loss")
    assert [(entry.step, entry.value) for entry in losses] == [(0, 0.4), (1, 0.3)]
    assert [item.path for item in client.list_artifacts(ids["run"], "reports")] == ["reports/agency.html"]


@pytest.mark.filterwarnings("ignore")
def test_names_durations_data_and_tables_are_kept_and_tables_are_no_charts(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    store = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    tracker = Tracker(store, tmp_path / "mlruns/artifacts", "cropcheck")
    by_fold = {"fold": [0, 1], "macro_f1": [0.7, 0.9]}
    model = ModelRecord(
        "lightgbm", {"rounds": 10}, {"macro_f1": 0.8}, tables={"by_fold": by_fold}, seconds=90
    )
    data = {"a.csv": "00"}
    record = RunRecord(
        "tiny 2024",
        {},
        {},
        {"git_commit": "abc"},
        data,
        models=(model,),
        source="cropcheck run tiny",
        seconds=200,
    )
    ids = tracker.open(record)
    tracker.close(ids["run"], [], {})

    client = MlflowClient(tracking_uri=store)
    parent, child = client.get_run(ids["run"]), client.get_run(ids["lightgbm"])
    assert (parent.info.run_name, child.info.run_name) == ("tiny 2024", "tiny 2024: lightgbm")
    assert [(run.info.end_time - run.info.start_time) / 1000 for run in (parent, child)] == [200, 90]
    assert parent.data.tags["mlflow.source.name"] == "cropcheck run tiny"
    assert [one.dataset.name for one in child.inputs.dataset_inputs] == ["tiny 2024"]
    assert set(child.data.metrics) == {"macro_f1"}
    assert [item.path for item in client.list_artifacts(ids["lightgbm"])] == ["by_fold.json", "model"]


def test_a_folder_is_not_a_store(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sqlite"):
        Tracker(str(tmp_path), tmp_path, "cropcheck")


def locked(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    return database


def test_a_store_that_can_be_written_has_no_fault(tmp_path: Path) -> None:
    assert store_fault(f"sqlite:///{tmp_path}/new/mlflow.db", tmp_path / "artifacts") is None


def test_what_is_wrong_with_a_store_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.registry.SECONDS_FOR_A_LOCK", 0.1)
    artifacts = tmp_path / "artifacts"
    with closing(locked(tmp_path / "locked.db")):
        assert "database is locked" in str(store_fault(f"sqlite:///{tmp_path}/locked.db", artifacts))
    (tmp_path / "text.db").write_text("no database at all, but a text of some length")
    assert "not a database" in str(store_fault(f"sqlite:///{tmp_path}/text.db", artifacts))
    assert "/proc/mlflow.db cannot be written" in str(store_fault("sqlite:////proc/mlflow.db", artifacts))
    (tmp_path / "file").touch()
    below = f"sqlite:///{tmp_path}/file/mlflow.db"
    assert "file cannot be made" in str(store_fault(below, artifacts))
    good = f"sqlite:///{tmp_path}/good.db"
    assert "the folder" in str(store_fault(good, tmp_path / "file" / "artifacts"))
    assert "does not answer" in str(store_fault("http://127.0.0.1:9", artifacts))
    with pytest.raises(TrackingError, match="MLflow's store cannot be used: the database /proc"):
        Tracker("sqlite:////proc/mlflow.db", artifacts, "cropcheck")


FIRST = """
import sys
from pathlib import Path
from models.registry import RunRecord, Tracker
store, artifacts, name = sys.argv[1:]
import mlflow
print("ready", flush=True)
sys.stdin.readline()
tracker = Tracker(store, Path(artifacts), "cropcheck")
ids = tracker.open(RunRecord(name, {"a": 1}, {"b": 2.0}))
tracker.close(ids["run"], [], {"manifest_sha256": name})
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of libraries within MLflow
def test_four_first_runs_at_once_on_one_new_store_are_all_kept(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    store = f"sqlite:///{tmp_path}/new/mlflow.db"
    command = [sys.executable, "-W", "ignore", "-c", FIRST, store, str(tmp_path / "artifacts")]
    runs = [
        subprocess.Popen([*command, f"run {k}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for k in range(4)
    ]
    for run in runs:
        assert run.stdout is not None and run.stdout.readline() == "ready\n"
    for run in runs:
        assert run.stdin is not None
        run.stdin.write("\n")
        run.stdin.flush()
    assert [run.wait() for run in runs] == [0] * 4
    for run in runs:
        run.communicate()
    client = MlflowClient(tracking_uri=store)
    (experiment,) = [one for one in client.search_experiments() if one.name == "cropcheck"]
    found = client.search_runs([experiment.experiment_id])
    assert sorted(run.info.run_name for run in found) == [f"run {k}" for k in range(4)]
    assert {run.info.status for run in found} == {"FINISHED"}


@pytest.mark.parametrize(
    "name", ["a // b", "../beet", "all", "x" * 300, "C:D", "line\nbreak", "|pipe|", "fold"]
)
def test_every_class_has_a_name_of_its_own_that_mlflow_takes(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    key = _key(f"recall.{name}")
    _validate_metric_name(key)
    assert key != _key(f"recall.{name}_")
