import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl
import pytest

from features.errors import ConfigError, StageError
from features.extraction.extract import extract
from features.extraction.observations import read_observations
from features.extraction.options import ExtractOptions
from features.imagery.stacks import read_stack
from features.workers import one_by_one
from models.clouds.methods import build
from models.clouds.stored import Stored
from pipelines.config import load_config
from pipelines.executor import AHEAD, InProcesses, executor_for
from pipelines.inputs.pixels.tile_grids import finest_grid
from pipelines.plan.observing.extract import stage as extract_stage
from pipelines.record.stage import Outcome
from pipelines.stages.observing.clear import bands_of
from pipelines.workspace import Workspace
from tests.pipelines.worker_jobs import always_die, die_once, double, slow_double, worker_id
from tests.small_imagery import all_clear, field, optical, parcels, scene, table

OPTIONS = ExtractOptions(optical=("B04", "ndvi"), inner_buffer_m=0.0)


def test_serial_is_plain_map() -> None:
    assert executor_for(1) is one_by_one
    assert list(one_by_one(double, [1, 2, 3])) == [2, 4, 6]


def test_no_workers_is_refused() -> None:
    with pytest.raises(ConfigError, match="--workers 0 cannot run anything"):
        executor_for(0)


def test_processes_run_every_unit_though_a_worker_is_killed(tmp_path: Path) -> None:
    executor = InProcesses(2)
    try:
        assert sorted(executor(die_once, [(n, tmp_path) for n in range(12)])) == list(range(12))
        assert sorted(executor(double, range(5))) == [0, 2, 4, 6, 8]
    finally:
        executor.close()
    assert (tmp_path / "died").exists()


def test_workers_that_always_die_are_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.executor.LOSSES", 0)
    executor = InProcesses(1)
    with pytest.raises(StageError, match="memory may be short"):
        list(executor(always_die, [1]))
    executor.close()


@pytest.mark.slow
def test_processes_see_through_clouds_as_one_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    clouds = [np.where(rng.random((30, 30)) < 0.3, 9, 4).astype(np.uint8) for _ in range(4)]
    rows = table(*(optical(tmp_path / "i", day, scene(rng), mask) for day, mask in enumerate(clouds)))
    fields = parcels(field(0, 0, 200, 200), field(210, 30, 300, 250))
    stack = read_stack(rows, finest_grid(rows), bands_of(rows))
    build("linear").fit([stack]).save(tmp_path / "model")
    executor = InProcesses(2)
    try:
        for folder, where in (("one", one_by_one), ("two", executor)):
            remover = Stored.of(tmp_path / "model")
            extract(rows, fields, OPTIONS, tmp_path / folder, remover=remover, executor=where)
    finally:
        executor.close()
    one, two = (read_observations(tmp_path / folder) for folder in ("one", "two"))
    assert one.equals(two)
    assert one["filled_share"].max() > 0


def test_local_workers_end_when_their_stage_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []

    def extracted(*arguments: Any) -> Outcome:
        ran.extend(arguments[-1](worker_id, [0]))
        return Outcome([])

    monkeypatch.setattr("pipelines.stages.observing.extract.run", extracted)
    config = load_config(Path("conf/tiny.yaml"), ["clear.method=none"])
    extract_stage(config, InProcesses(1)).run(config, Workspace(tmp_path), lambda done, total: None)
    assert gone(ran[0])


def test_workers_of_a_killed_process_end_by_themselves(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from pipelines.executor import InProcesses; "
        "from tests.pipelines.worker_jobs import note_and_sleep; "
        f"list(InProcesses(2)(note_and_sleep, [Path({str(tmp_path)!r})] * 2))"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    process.kill()
    process.wait()
    wait_until(lambda: all(gone(int(path.name)) for path in tmp_path.iterdir()))


def gone(pid: int) -> bool:
    """Whether a process has ended, or has only its exit status left."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


class FakeClient:
    """A Dask client whose cluster has as many threads as `threads` says at each look, the last for ever."""

    status = "running"

    def __init__(self, threads: list[int]) -> None:
        self.threads = threads
        self.waiting: list[tuple[FakeFuture, Callable[[], object]]] = []
        self.most = 0

    def __call__(self, *_: object, **__: object) -> "FakeClient":
        return self

    def nthreads(self) -> dict[str, int]:
        now = self.threads.pop(0) if len(self.threads) > 1 else self.threads[0]
        self.most = max(self.most, len(self.waiting))
        for future, job in self.waiting[:now]:
            future.end(job())
        self.waiting = self.waiting[now:]
        return {f"worker {number}": 1 for number in range(now)}

    def submit(self, function: Callable[..., object], item: object, **_: object) -> "FakeFuture":
        future = FakeFuture()
        self.waiting.append((future, lambda: function(item)))
        return future

    def close(self, **_: object) -> None:
        self.status = "closed"


class FakeFuture:
    def add_done_callback(self, call: Callable[["FakeFuture"], None]) -> None:
        self.call = call

    def end(self, value: object) -> None:
        self.value = value
        self.call(self)

    def result(self, **_: object) -> object:
        return self.value

    def release(self) -> None:
        pass


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"POLL": 0.001, "SAY": 0.05, "NO_WORKER": 0.2}.items():
        monkeypatch.setattr(f"pipelines.executor.{name}_SECONDS", seconds)


@pytest.mark.usefixtures("quick")
def test_workers_that_join_late_get_work(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeClient([0, 1, 1, 20])
    monkeypatch.setattr("distributed.Client", client)
    assert sorted(executor_for(dask="tcp://x:1")(double, range(100))) == list(range(0, 200, 2))
    assert client.most > 4 * AHEAD  # handed out for 20 threads, not for the one at the start


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("threads", "ended"), [([0], 0), ([1, 1, 0], 1)])  # the first look finds no unit yet
def test_a_run_without_workers_ends_after_a_bounded_wait_and_says_so_before(
    threads: list[int], ended: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("distributed.Client", FakeClient(threads))
    done: list[int] = []
    with pytest.raises(StageError, match="has had no worker for 0 seconds; start workers"):
        done.extend(executor_for(dask="tcp://x:1")(double, range(100)))
    assert len(done) == ended
    assert "no worker for 0 seconds; waiting up to 0 seconds" in caplog.text


def dask(kind: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start a scheduler or worker of a real cluster on this machine."""
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard", *arguments]
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        command, stderr=subprocess.DEVNULL, cwd=root, env={**os.environ, "PYTHONPATH": "."}
    )


@pytest.fixture
def scheduler(tmp_path: Path) -> "Iterator[tuple[subprocess.Popen[bytes], str]]":
    """A scheduler without workers, and its address."""
    note = tmp_path / "scheduler.json"
    process = dask("scheduler", "--port", "0", "--host", "127.0.0.1", "--scheduler-file", str(note))
    wait_until(lambda: note.is_file() and note.read_text().endswith("}"))
    yield process, json.loads(note.read_text())["address"]
    process.kill()
    process.wait()


Scheduler = tuple["subprocess.Popen[bytes]", str]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"SAY": 1.0, "NO_WORKER": 4.0}.items():
        monkeypatch.setattr(f"pipelines.executor.{name}_SECONDS", seconds)


@pytest.mark.filterwarnings("default")  # Dask's own
@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_cluster_that_has_no_worker_is_a_sentence_after_a_bounded_wait(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StageError, match=r"has had no worker for \d seconds; start workers .* run the stage"):
        list(executor_for(dask=scheduler[1])(double, range(9)))
    assert "has had no worker for 1 seconds; waiting up to 4 seconds for one" in caplog.text


@pytest.mark.filterwarnings("default")  # Dask's own
@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_cluster_whose_workers_are_all_killed_is_a_sentence(scheduler: Scheduler) -> None:
    worker = dask("worker", scheduler[1], "--no-nanny", "--nthreads", "1")
    found = []
    with pytest.raises(StageError, match=r"has had no worker for \d seconds.*What is finished is kept"):
        for result in executor_for(dask=scheduler[1])(slow_double, range(100)):
            found.append(result)
            worker.kill()
    worker.wait()
    assert 1 <= len(found) < 100


@pytest.mark.filterwarnings("default")  # Dask's own
@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_killed_scheduler_is_a_sentence(workers: int, scheduler: Scheduler) -> None:
    process, address = scheduler
    started = [dask("worker", address, "--no-nanny", "--nthreads", "1") for _ in range(workers)]
    if not workers:
        threading.Timer(2, process.kill).start()
    with pytest.raises(StageError, match=r"scheduler at .* no longer answers; start it anew"):
        for _ in executor_for(dask=address)(slow_double, range(100)):
            process.kill()
    for worker in started:
        worker.kill()
        worker.wait()


def test_an_absent_scheduler_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    def refuse(*_: object, **__: object) -> None:
        raise OSError("timed out")

    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(ConfigError, match="No Dask scheduler answers"):
        list(executor_for(dask="tcp://127.0.0.1:9")(double, [1]))


@pytest.mark.filterwarnings("default")  # Dask's own, on shutting down workers
@pytest.mark.slow
def test_dask_with_two_workers_gives_the_serial_tables_though_one_is_killed(tmp_path: Path) -> None:
    from distributed import LocalCluster

    folders = [tmp_path / "serial", tmp_path / "dask"]
    rows, fields = season(tmp_path)
    extract(rows, fields, OPTIONS, folders[0])
    with LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        victim = next(iter(cluster.workers.values()))
        done = []

        def kill(finished: int, _: int) -> None:
            done.append(finished)
            if finished == 2:
                os.kill(victim.pid, signal.SIGKILL)

        executor = executor_for(dask=cluster.scheduler_address)
        _, account = extract(rows, fields, OPTIONS, folders[1], progress=kill, executor=executor)
    assert account.went_out == len(done) == 6
    serial, spread = (read_observations(folder) for folder in folders)
    assert serial.equals(spread)
    names = [sorted(path.name for path in folder.rglob("parts/*/*.parquet")) for folder in folders]
    assert names[0] == names[1]
    for name in names[0]:
        first, second = (next(folder.rglob(name)).read_bytes() for folder in folders)
        assert first == second


def season(folder: Path) -> tuple[pl.DataFrame, gpd.GeoDataFrame]:
    rng = np.random.default_rng(8)
    rows = table(*(optical(folder / "imagery", day, scene(rng), all_clear()) for day in range(6)))
    return rows, parcels(field(0, 0, 200, 200), field(210, 30, 300, 250))
