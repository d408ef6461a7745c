"""MLflow keeps one parent a run and one child a model."""

from pathlib import Path

import pytest

from features.errors import ConfigError
from models.registry import ModelRecord, RunRecord, Tracker


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


def test_a_folder_is_not_a_store(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sqlite"):
        Tracker(str(tmp_path), tmp_path, "cropcheck")
