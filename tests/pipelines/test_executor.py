import os
import signal
from pathlib import Path

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
from pipelines.executor import InProcesses, executor_for
from pipelines.stages.clear import bands_of, finest_grid
from tests.small_imagery import all_clear, field, optical, parcels, scene, table
from tests.worker_jobs import always_die, die_once, double

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
