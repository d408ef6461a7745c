"""Compiled functions are kept where they can be, and only where their owner alone can write."""

import os
from pathlib import Path

import numba
import pytest

from features.code.compiled import VARIABLE, settle_cache

NOWHERE = Path("/proc/none")


@pytest.fixture(autouse=True)
def _no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/proc/nobody")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")  # set back after the test


def test_without_installation_and_home_a_private_folder_serves(tmp_path: Path) -> None:
    settle_cache(NOWHERE)
    folder = tmp_path / f"cropcheck-compiled-{os.getuid()}"
    assert os.environ.pop(VARIABLE) == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_write_is_not_trusted(tmp_path: Path) -> None:
    shared = tmp_path / f"cropcheck-compiled-{os.getuid()}"
    shared.mkdir()
    shared.chmod(0o777)
    settle_cache(NOWHERE)
    assert os.environ.pop(VARIABLE) != str(shared)


def test_what_can_be_written_or_was_chosen_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle_cache(tmp_path)
    assert VARIABLE not in os.environ
    monkeypatch.setenv("HOME", str(tmp_path))
    settle_cache(NOWHERE)
    assert VARIABLE not in os.environ
    monkeypatch.setenv(VARIABLE, "chosen")
    settle_cache(NOWHERE)
    assert os.environ[VARIABLE] == "chosen"
