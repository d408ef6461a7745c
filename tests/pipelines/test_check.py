import re
from pathlib import Path

import pytest

from pipelines.commands.check import STACKS_HELD, check_inputs
from pipelines.config import load_config
from pipelines.workspace import Workspace

CONFIG = Path(__file__).parents[2] / "conf" / "synthetic.yaml"


def memory(folder: Path, method: str, block_px: int) -> float:
    config = load_config(CONFIG, [f"clear.method={method}", f"extract.clear_block_px={block_px}"])
    found = re.search(r"Memory: about ([\d.]+) GiB", check_inputs(config, Workspace(folder)))
    assert found
    return float(found[1])


def test_removing_clouds_needs_memory_for_the_stacks_it_holds(tmp_path: Path) -> None:
    plain, small, large = (memory(tmp_path, *of) for of in (("none", 416), ("unet", 64), ("unet", 416)))
    frames = 49  # eight months of a pass every five days
    assert large - plain == pytest.approx(STACKS_HELD * (416 + 64) ** 2 * frames * 10 * 4 / 2**30, abs=0.2)
    assert plain < small < large
