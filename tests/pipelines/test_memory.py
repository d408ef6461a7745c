"""What is freed between stages goes back to the system, and a budget below what stages need is told."""

import resource
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from features import memory
from pipelines.config import load_config
from pipelines.main_job import tight_alone, tight_before
from pipelines.memory import give_back
from pipelines.steps.estimate.load import NOTHING
from pipelines.steps.estimate.memory import over_memory, over_memory_words
from pipelines.workspace import Workspace

SYNTHETIC = Path(__file__).parents[2] / "conf" / "synthetic.yaml"


def allow(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("pipelines.main_job.is_said", lambda: True)
    monkeypatch.setattr("pipelines.main_job.budget", lambda: size)


def test_less_than_libraries_take_is_told_at_the_start_with_the_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clouds are removed by a network there, whose library is the largest."""
    config, workspace = load_config(SYNTHETIC), Workspace(tmp_path)
    allow(monkeypatch, 1700 << 20)
    said = tight_before("synthesise", config, workspace)
    assert said.startswith("1.7 GiB may be used (--memory, for each process), and libraries alone take more")
    assert "clear about 1.5 GiB" in said
    assert "judge" not in said
    assert said.endswith("give at least 2.0 GiB."), "the process holds the libraries of all stages"
    allow(monkeypatch, 800 << 20)
    alone = tight_alone(["train"], config)
    assert "take more: train about 0.9 GiB. These stages" in alone
    assert alone.endswith("give at least 1.0 GiB.")
    allow(monkeypatch, 2 << 30)
    assert tight_before("synthesise", config, workspace) == ""


def test_nothing_is_said_where_nobody_said_how_much_may_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.main_job.is_said", lambda: False)
    monkeypatch.setattr(memory, "budget", lambda: 1)
    assert tight_before("read", load_config(SYNTHETIC), Workspace(tmp_path)) == ""


def test_what_the_parcels_add_is_told_with_the_setting_that_makes_it_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, allowed = load_config(SYNTHETIC, ["simulate=null", "clear.method=none"]), 2 << 30
    load = replace(NOTHING, parcels=100_000, features=1440, channels=20, steps=25)
    over = over_memory(config, load, allowed)
    assert list(over) == ["train"]  # 50,000 are learned from
    assert "a smaller train.sample.size" in over_memory_words(over, allowed, counted=True)
    assert over_memory_words({}, allowed, counted=True) == ""


def held() -> int:
    """Bytes of memory that this process occupies."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries keep what they keep")
def test_small_pieces_that_were_freed_go_back_to_the_system() -> None:
    give_back()
    before = held()
    pieces = [bytearray(60_000) for _ in range(4000)]  # 240 MB, each too small to be mapped on its own
    last = bytearray(60_000)  # holds the top of the heap, so that free() alone gives nothing back
    del pieces
    give_back()
    assert held() - before < 40e6
    assert last is not None
