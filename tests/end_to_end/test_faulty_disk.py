"""Disks that are really full: a sentence at each stage, and the same verdicts once there is room."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAULTS = ("small disk", "full TMPDIR", "MLflow full")


def can_mount(place: Path) -> bool:
    """Whether this process may mount a file system for itself alone."""
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(place)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_full_disks_are_sentences_and_cost_no_verdict(tmp_path: Path) -> None:
    if not can_mount(tmp_path):
        pytest.skip("no file system can be mounted here (unshare -rm mount)")
    command = ["unshare", "-rm", sys.executable, "-W", "ignore", "-m", "tests.faulty_disk", str(tmp_path)]
    done = subprocess.run([*command, *FAULTS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert {name: fault["same"] for name, fault in found.items()} == dict.fromkeys(FAULTS, True)
    small, temporary, store = (found[name] for name in FAULTS)
    assert len(small["said"]) >= 3
    for text in small["said"]:
        assert "disk/out cannot be written (No space left on device); free some space" in text
    for text in temporary["said"]:
        assert "full cannot be written (No space left on device); free some space" in text
        assert "name another folder in TMPDIR" in text
    assert (store["said"], store["waited"], store["followed"]) == (["", ""], True, True)
