"""Temporary folders do not stay."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from features.storage.scratch import scratch_folder

HOLD = """
from features.storage.scratch import scratch_folder
with scratch_folder() as folder:
    print(folder, flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_it_goes_when_the_work_ends_or_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), scratch_folder() as folder:
        (folder / "a").write_text("x")
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []


def test_one_in_use_is_left_and_one_of_a_killed_process_goes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ}
    ) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        with scratch_folder() as ours:
            assert theirs.is_dir()
            assert ours != theirs
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert theirs.is_dir()
        with scratch_folder():
            assert not theirs.exists()
    assert list(tmp_path.iterdir()) == []
