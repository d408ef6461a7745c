"""Libraries that models need are there under every way to start Python."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("optimise", [[], ["-OO"]])
def test_lightgbm_is_there_without_docstrings_too(optimise: list[str]) -> None:
    code = "import models.backend, lightgbm; lightgbm.Booster"
    done = subprocess.run(
        [sys.executable, *optimise, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
