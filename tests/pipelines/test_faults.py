"""Whatever goes wrong reaches the user as a sentence."""

import errno
import os
import subprocess
import sys

import pytest

from features.errors import ConfigError
from pipelines.faults import sentence_of


@pytest.mark.parametrize(
    ("error", "says", "status"),
    [
        (ConfigError("fill.method is wrong; write linear."), "fill.method is wrong; write linear.", 2),
        (
            OSError(errno.EROFS, "Read-only file system", "/ro/out"),
            "/ro/out: it lies on a file system that is",
            2,
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; free space", 2),
        (OSError("No space left on device (os error 28)"), "the disk is full", 2),  # as polars says it
        (RuntimeError("write failed: No space left on device"), "the disk is full", 2),  # as GDAL says it
        (OSError("Read failed"), "Read failed: Read failed; check the path and the disk", 2),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "file/out"), "part of the path is a file", 2),
        (FileNotFoundError(errno.ENOENT, "No such file", "/proc/x"), "/proc/x: there is no such file", 2),
        (MemoryError(), "Memory is used up", 2),
        (
            RuntimeError("cannot cache function 'f': no locator available for file 'f.py'"),
            "NUMBA_CACHE_DIR",
            2,
        ),
        (ValueError("zero-size\narray"), "a fault of its own (ValueError: zero-size array). What", 1),
        (KeyError("parcel_id"), "Please report it", 1),
    ],
)
def test_what_which_and_the_cure(error: Exception, says: str, status: int) -> None:
    sentence, code = sentence_of(error)
    assert says in sentence
    assert (code, "\n" in sentence) == (status, False)


def command(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    code = "from pipelines.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def test_a_traceback_is_only_for_those_who_ask() -> None:
    plain = command("check", "conf/tiny.yaml", "--out", "/proc/none/out", "--set", "name=..")
    assert (plain.returncode, "Traceback" in plain.stderr) == (2, False)
    assert "error: conf/tiny.yaml cannot be used" in plain.stderr
    asked = command("check", "conf/tiny.yaml", "--set", "name=..", CROPCHECK_LOG="debug")
    assert "Traceback" in asked.stderr


def test_an_output_that_cannot_be_written_is_a_sentence() -> None:
    done = command("synthesise", "conf/tiny.yaml", "--out", "/proc/none/out")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "error: /proc/none" in done.stderr


def test_a_wrong_level_of_the_log_says_what_to_write() -> None:
    done = command("check", "conf/tiny.yaml", CROPCHECK_LOG="loud")
    assert (done.returncode, "write DEBUG, INFO, WARNING or ERROR" in done.stderr) == (2, True)
