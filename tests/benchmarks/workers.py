"""A country's series in one process, in two local workers, and on two Dask workers of which one is killed.

`uv run python -m tests.benchmarks.workers [--parcels N] [--folder F] [--json FILE]` (extra `cluster`)

The tables are those of `tests.benchmarks.country`. Each stage is a command of its own: its seconds, and the
peak memory of the largest process that it started itself; `publish` always runs in one. The Dask workers are
this machine's, of one thread each; one is killed as soon as a model has been fitted. At the end: seconds of
processor time and peak memory of both, and how many tables are not equal to the byte to those of one process.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.country import STAGES, measured, save, write_country
from tests.benchmarks.fortnight import others

ONE, TWO, DASK = "one_process", "two_processes", "dask_one_killed"
Row = dict[str, Any]
Process = subprocess.Popen[bytes]


def main() -> None:
    """Run all three ways, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parcels", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, default=Path("out/workers"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    folder, parcels = arguments.folder.absolute(), arguments.parcels
    config = write_country(folder, parcels)
    rows = in_stages(ONE, config, folder, parcels, [])
    rows += in_stages(TWO, config, folder, parcels, ["--workers", "2"])
    with cluster(folder, parcels) as (address, workers, of_workers):
        threading.Thread(target=kill_when_fitted, args=(workers[0], folder / DASK), daemon=True).start()
        rows += in_stages(DASK, config, folder, parcels, ["--dask", address])
    rows += of_workers
    for way in (TWO, DASK):
        differing = others(folder / ONE, folder / way)
        print(way, "differ:", differing or "none")
        rows.append(_row(way, "tables_that_differ", len(differing), parcels, "1"))
    save(rows, arguments.json)


def in_stages(way: str, config: Path, folder: Path, parcels: int, words: list[str]) -> list[Row]:
    """Run every stage in one way; what each took, and the whole."""
    run, found = folder / way, []
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    if way != ONE:
        shutil.copy(folder / ONE / ".holding_key", run)
    for stage in STAGES:
        found += measured(stage, config, run, [], parcels, more=words if stage != "publish" else ())
    rows = [row | {"work": "workers", "subject": way} for row in found]
    whole = sum(row["value"] for row in rows if row["metric"].startswith("seconds_"))
    rows.append(_row(way, "seconds_whole", whole, parcels, "s"))
    for row in rows:
        print(f"{way:<16}{row['metric']:<24}{row['value']:10.2f} {row['unit']}", flush=True)
    return rows


@contextmanager
def cluster(folder: Path, parcels: int) -> Iterator[tuple[str, list[Process], list[Row]]]:
    """Yield a scheduler's address, its two workers, and rows, to which what they used is added at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    scheduler = _dask("scheduler", "--host", "127.0.0.1", "--port", str(port))
    words = ("worker", address, "--no-nanny", "--nthreads", "1", "--local-directory")
    workers = [_dask(*words, f"{folder}/dask_{number}") for number in range(2)]
    time.sleep(10)
    rows: list[Row] = []
    try:
        yield address, workers, rows
    finally:
        for worker, name in zip(workers, ("killed", "left"), strict=True):
            os.kill(worker.pid, signal.SIGTERM)  # one that was killed is not waited for before
            _, status, usage = os.wait4(worker.pid, 0)
            worker.returncode = os.waitstatus_to_exitcode(status)
            spent = usage.ru_utime + usage.ru_stime
            rows += [
                _row(DASK, f"cpu_seconds_worker_{name}", spent, parcels, "s"),
                _row(DASK, f"peak_gib_worker_{name}", usage.ru_maxrss / 2**20, parcels, "GiB"),
            ]
            print(name, f"{spent:.1f} s of processor time", f"ended with {worker.returncode}")
        scheduler.terminate()
        scheduler.wait()


def _dask(kind: str, *words: str) -> Process:
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words, "--no-dashboard"]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def kill_when_fitted(worker: Process, run: Path) -> None:
    """Kill a worker once the first model of a run has been fitted."""
    while not any((run / "models").rglob("job.json")):
        time.sleep(0.1)
    os.kill(worker.pid, signal.SIGKILL)


def _row(way: str, metric: str, value: float, parcels: int, unit: str) -> Row:
    return {"work": "workers", "subject": way, "metric": metric, "value": value, "low": None, "high": None,
            "n": parcels, "unit": unit}  # fmt: skip


if __name__ == "__main__":
    main()
