"""MLflow's record waits where its store cannot be used, and is written later."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from models.registry import TrackingError
from pipelines.config import load_config
from pipelines.steps import tracking
from pipelines.workspace import Workspace

CONFIG = Path(__file__).parents[3] / "conf" / "tiny.yaml"


class Store:
    """Stands for MLflow: refuses while `down`, else keeps what it is given."""

    def __init__(self) -> None:
        self.down = True
        self.full = False
        self.closed: list[tuple[str, list[Path], dict[str, str]]] = []
        self.discarded: list[str] = []

    def opened(self, *_: Any) -> tracking.Tracked:
        if self.down:
            raise TrackingError("MLflow's store cannot be used: it is locked.")
        return tracking.Tracked(self, {"run": f"{len(self.closed) + 7}"}, {"a.gpkg": "00"})  # type: ignore[arg-type]

    def close(self, run_id: str, files: list[Path], tags: dict[str, str]) -> None:
        self.closed.append((run_id, files, tags))
        if self.full:
            raise OSError(28, "No space left on device")

    def discard(self, run_ids: list[str]) -> None:
        self.discarded += run_ids


def test_a_record_waits_and_is_written_by_a_later_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, workspace, config = Store(), Workspace(tmp_path), load_config(CONFIG)
    monkeypatch.setattr(tracking, "_opened", store.opened)

    tracked = tracking.begin(config, workspace, {"a.gpkg": "00"}, Future())
    tracking.end(tracked, workspace, "ff")
    assert (tracked.ids, store.closed) == ({}, [])
    assert "MLflow's record waits (MLflow's store cannot be used: it is locked.)" in caplog.text
    assert not tracking.record_waiting(config, workspace, "ff")

    store.down = False
    assert tracking.record_waiting(config, workspace, "ff")
    assert [(run, tags) for run, _, tags in store.closed] == [("7", {"manifest_sha256": "ff"})]
    assert not tracking.record_waiting(config, workspace, "ff")
    assert len(store.closed) == 1


def test_a_record_that_could_not_be_finished_is_written_anew_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, workspace, config = Store(), Workspace(tmp_path), load_config(CONFIG)
    monkeypatch.setattr(tracking, "_opened", store.opened)
    store.down, store.full = False, True
    tracking.end(tracking.begin(config, workspace, {"a.gpkg": "00"}, Future()), workspace, "ff")
    assert "MLflow's record waits ([Errno 28] No space left on device)" in caplog.text
    assert not tracking.record_waiting(config, workspace, "ff")  # still full
    store.full = False
    assert tracking.record_waiting(config, workspace, "ff")
    assert (store.closed[-1][0], store.discarded) == ("9", ["7", "8"])
    assert not tracking.record_waiting(config, workspace, "ff")


def test_a_store_that_cannot_be_reached_never_ends_the_work_beside_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = ["tracking.store=sqlite:////proc/mlflow.db", f"tracking.artifacts={tmp_path}/artifacts"]
    config, workspace = load_config(CONFIG, store), Workspace(tmp_path)
    with tracking.connecting(config) as tracker:
        assert tracking.begin(config, workspace, {}, tracker) == tracking.Tracked()
    assert "MLflow's record waits (MLflow's store cannot be used" in caplog.text
    assert (tmp_path / tracking.WAITING).is_file()
    with tracking.connecting(load_config(CONFIG, ["tracking.enabled=false"])) as tracker:
        assert tracker is None


def test_it_is_said_before_any_work(tmp_path: Path) -> None:
    there = [f"tracking.artifacts={tmp_path / 'artifacts'}"]
    good = load_config(CONFIG, [*there, f"tracking.store=sqlite:///{tmp_path}/mlflow.db"])
    assert tracking.warn_if_unusable(good) is None
    bad = load_config(CONFIG, [*there, "tracking.store=sqlite:////proc/mlflow.db"])
    assert "The run goes on without it; its record waits" in str(tracking.warn_if_unusable(bad))
    off = load_config(CONFIG, ["tracking.store=sqlite:////proc/mlflow.db", "tracking.enabled=false"])
    assert tracking.warn_if_unusable(off) is None
