"""Kills at random points and at writes: every run that is resumed to its end leaves the same tables.

The folder's name is of the kind that patterns are made of, and Python leaves out docstrings and asserts.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLS = 4  # of a hundred, which `python -m tests.soak FOLDER 100` makes


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_change_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "[a-z]*? 🌾"
    done = subprocess.run(
        [sys.executable, "-OO", "-W", "ignore", "-m", "tests.soak", str(folder), str(KILLS)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["kills"], found["other"]) == (KILLS, [])
    assert found["judged"] > 0
