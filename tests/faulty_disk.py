"""A run of a very small region on disks that are full or read-only: what it says, and how it ends.

`unshare -rm python -m tests.faulty_disk FOLDER [FAULT ...]` writes what happened as JSON to its output; the
disks are real file systems in memory, mounted for this process alone. Each attempt is a fork, as in the soak.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path

from features.files import sha256
from pipelines.config import RunConfig, load_config
from pipelines.faults import sentence_of
from pipelines.main_job import run_all, run_one
from pipelines.workspace import Workspace
from tests.soak import AHEAD, SETTINGS, TINY

STAGES = (
    "synthesise",
    "clear",
    "extract",
    "fill",
    "train",
    "detect",
    "judge",
    "forecast",
    "compare",
    "publish",
)
STEP_KIB = 2000  # by which the small disk grows after each failure
MOST_STEPS = 40
BALLAST = "ballast"


def main(folder: Path, wanted: list[str]) -> dict[str, object]:
    """Return by name of a fault what each failure said, and whether the verdicts are those of a plain run.

    `wanted` are the faults to try; all of them where it is empty.
    """
    for module in AHEAD:
        import_module(module)
    config = load_config(TINY, list(SETTINGS))
    plain = folder / "plain"
    said = attempt(lambda: run_all(config, Workspace(plain)))
    assert not said, said
    expected = sha256(plain / "verdicts.parquet")
    faults: dict[str, Callable[[], dict[str, object]]] = {
        "small disk": lambda: growing(config, folder, expected),
        "full TMPDIR": lambda: stage_by_stage(config, folder / "tmpdir", expected, full_tmpdir),
        "read-only": lambda: stage_by_stage(config, folder / "readonly", expected, read_only),
        **{f"MLflow {name}": partial(kept, folder, name, expected) for name in STORES},
    }
    return {name: fault() for name, fault in faults.items() if name in (wanted or faults)}


def attempt(work: Callable[[], object]) -> str:
    """Do something in a fork; return what a user would read of its failure, or nothing."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(receive)
        try:
            work()
        except BaseException as error:
            text, status = sentence_of(error)
            os.write(send, (text if status == 2 else traceback.format_exc()[-3000:]).encode())
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as pipe:
        text = pipe.read()
    status = os.waitpid(pid, 0)[1]
    return text if status == 0 else f"it ended with status {status}: {text}"


def mount(place: Path, size: str = "", options: str = "") -> None:
    """Mount a file system in memory, or mount it anew with other options."""
    place.mkdir(parents=True, exist_ok=True)
    wanted = ",".join(filter(None, (options, size and f"size={size}")))
    subprocess.run(["mount", "-t", "tmpfs", "-o", wanted, "none", str(place)], check=True)


def growing(config: RunConfig, folder: Path, expected: str) -> dict[str, object]:
    """Run on a disk that is too small, a little larger each time."""
    disk, said = folder / "disk", []
    mount(disk, f"{STEP_KIB}k")
    for step in range(1, MOST_STEPS):
        mount(disk, f"{step * STEP_KIB}k", "remount")
        failure = attempt(lambda: run_all(config, Workspace(disk / "out")))
        if not failure:
            break
        said.append(failure)
    return {"said": said, "same": same(disk / "out", expected)}


def same(run: Path, expected: str) -> bool:
    """Whether a run ended with the verdicts that were expected."""
    return (run / "receipts" / "publish.json").is_file() and sha256(run / "verdicts.parquet") == expected


def stage_by_stage(
    config: RunConfig, out: Path, expected: str, fault: Callable[[Path], "Iterator[None]"]
) -> dict[str, object]:
    """Run every stage once under a fault, and then without."""
    said, under = {}, contextmanager(fault)
    mount(out, "60m")
    for stage in STAGES:
        with under(out):
            said[stage] = attempt(lambda stage=stage: run_one(stage, config, Workspace(out / "run")))
        later = attempt(lambda stage=stage: run_one(stage, config, Workspace(out / "run")))
        assert not later, later
    return {
        "said": [f"{stage}: {text}" for stage, text in said.items() if text],
        "same": same(out / "run", expected),
    }


def fill(place: Path) -> None:
    """Leave no room in a folder."""
    with (place / BALLAST).open("wb", buffering=0) as handle, contextlib.suppress(OSError):
        while True:
            handle.write(b"\0" * 4096)


def full_tmpdir(out: Path) -> Iterator[None]:
    """Let the folder of temporary files be full."""
    place = out.with_name("full")
    if not place.exists():
        mount(place, "64k")
        fill(place)
    before = tempfile.tempdir, os.environ.get("TMPDIR", tempfile.gettempdir())
    tempfile.tempdir = os.environ["TMPDIR"] = str(place)
    try:
        yield
    finally:
        tempfile.tempdir, os.environ["TMPDIR"] = before


def read_only(out: Path) -> Iterator[None]:
    """Let the disk of the run be one that can only be read."""
    mount(out, options="remount,ro")
    try:
        yield
    finally:
        mount(out, options="remount,rw")


def full_store(store: Path) -> Iterator[None]:
    """Leave no room on the store's disk."""
    mount(store, "1m")
    fill(store)
    yield
    (store / BALLAST).unlink()
    mount(store, "60m", "remount")


def corrupt_store(store: Path) -> Iterator[None]:
    """Let the database be no database."""
    store.mkdir(parents=True)
    (store / "mlflow.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    yield
    (store / "mlflow.db").unlink()


def locked_store(store: Path) -> Iterator[None]:
    """Let another process hold the database."""
    import sqlite3

    store.mkdir(parents=True)
    database = sqlite3.connect(store / "mlflow.db", isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    yield
    database.close()


def read_only_store(store: Path) -> Iterator[None]:
    """Let the store's disk be one that can only be read."""
    mount(store, "60m", "ro")
    yield
    mount(store, "60m", "remount,rw")


STORES = {"full": full_store, "corrupt": corrupt_store, "locked": locked_store, "read-only": read_only_store}


def kept(folder: Path, name: str, expected: str) -> dict[str, object]:
    """Run with an MLflow store that cannot be used, and again with one that can: the record follows."""
    store, run = folder / f"store {name}", folder / f"tracked {name}"
    subprocess.run(["cp", "-a", folder / "plain", run], check=True)
    (run / "receipts" / "publish.json").unlink()
    settings = [setting for setting in SETTINGS if not setting.startswith("tracking")]
    config = load_config(
        TINY,
        [*settings, f"tracking.store=sqlite:///{store}/mlflow.db", f"tracking.artifacts={store}/artifacts"],
    )
    with contextmanager(STORES[name])(store):
        first = attempt(lambda: run_all(config, Workspace(run)))
    waits = (run / ".mlflow_waiting.json").is_file()
    second = attempt(lambda: run_all(config, Workspace(run)))
    followed = (store / "mlflow.db").is_file() and not (run / ".mlflow_waiting.json").exists()
    return {"said": [first, second], "waited": waits, "followed": followed, "same": same(run, expected)}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2:])))
