"""One run at a time in a folder; who is there is named."""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from features.errors import StageError
from pipelines.config import RunConfig, load_config
from pipelines.main_job import run_all, run_one
from pipelines.record.lock import locked
from pipelines.workspace import Workspace

HOLD = """
import sys, pathlib
from pipelines.record.lock import locked
with locked(pathlib.Path(sys.argv[1]), "run"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path: Path) -> "subprocess.Popen[str]":
    """Another process that holds the folder `tmp_path`."""
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_refused_and_the_first_is_named(held: "subprocess.Popen[str]", tmp_path: Path) -> None:
    with pytest.raises(StageError) as refused, locked(tmp_path, "fill"):
        pass
    for part in (socket.gethostname(), str(held.pid), "since 20", "cropcheck run"):
        assert part in str(refused.value)
    held.communicate("")
    with locked(tmp_path, "fill"):
        assert json.loads((tmp_path / ".lock").read_text())["command"] == "fill"
    assert not (tmp_path / ".lock").exists()


@pytest.mark.parametrize("start", [run_all, partial(run_one, "fill")])
def test_no_command_works_in_a_folder_that_is_held(
    start: Callable[[RunConfig, Workspace], int], held: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    config = load_config(Path(__file__).parents[3] / "conf" / "tiny.yaml", ["tracking.enabled=false"])
    with pytest.raises(StageError, match=rf"is in use by `cropcheck run` on host .*, process {held.pid}, "):
        start(config, Workspace(tmp_path))
    held.communicate("")
    assert {path.name for path in tmp_path.iterdir()} <= {".lock"}


def test_what_a_killed_run_left_is_taken_over(held: "subprocess.Popen[str]", tmp_path: Path) -> None:
    held.kill()
    held.communicate()
    assert (tmp_path / ".lock").is_file()
    with locked(tmp_path, "run"):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_a_run_on_another_host_is_refused_with_the_cure(tmp_path: Path) -> None:
    said = {"host": "elsewhere", "pid": 7, "since": "2024-07-01T10:00:00+00:00", "command": "run"}
    (tmp_path / ".lock").write_text(json.dumps(said))
    with (
        pytest.raises(StageError, match=r"host elsewhere, process 7, since 2024.*delete"),
        locked(tmp_path, "run"),
    ):
        pass
    (tmp_path / ".lock").unlink()
    with locked(tmp_path, "run"):
        pass


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[]", b"{"])
def test_a_lock_file_that_says_nothing_is_taken_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".lock").write_bytes(content)
    with locked(tmp_path, "run"):
        pass


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(StageError, match=r"cannot be written \(Not a directory\).*--out"),
        locked(tmp_path / "file" / "out", "run"),
    ):
        pass


def test_a_disk_without_room_for_the_lock_is_one_sentence_that_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    said = rf"{tmp_path} cannot be written \(No space left on device\); free some space"
    with pytest.raises(StageError, match=said), locked(tmp_path, "run"):
        pass
    assert not (tmp_path / ".lock").exists()


def test_tables_that_a_killed_run_had_half_written_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "evaluation").mkdir()
    left = [
        tmp_path / ".parcels.7-ab.partial.parquet",
        tmp_path / "evaluation" / ".folds.7-ab.partial.parquet",
    ]
    kept = [tmp_path / ".mine.parquet", tmp_path / "parcels.parquet"]
    for path in (*left, *kept):
        path.write_text("x")
    with locked(tmp_path, "run"):
        assert not any(path.exists() for path in left) and all(path.exists() for path in kept)
