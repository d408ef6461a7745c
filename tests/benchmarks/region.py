"""A simulated region with its imagery, through every stage, each in a process of its own.

`uv run python -m tests.benchmarks.region [--parcels N] [--folder F] [--set KEY=VALUE] [--memory SIZE]
[--json FILE]`

The settings are those of `conf/synthetic.yaml`. Seconds and peak memory by stage, beside what `check`
foretells of them. A stage that FILE already has is not run again.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from pipelines.config import load_config
from pipelines.main_job import stages
from pipelines.steps.estimate.load import load_of_simulation
from tests.benchmarks.country import foretold, measure, save

CONFIG = Path(__file__).parents[2] / "conf" / "synthetic.yaml"
WORK = "region_20k"
USUAL = ("tracking.enabled=false",)


def main() -> None:
    """Run the stages, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parcels", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, default=Path("out/region"))
    parser.add_argument("--set", action="append", default=[], help="as `cropcheck run` takes it")
    parser.add_argument("--memory", help="as `cropcheck run` takes it")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    settings = [*USUAL, f"simulate.n_parcels={arguments.parcels}", *arguments.set]
    config = load_config(CONFIG, settings)
    rows: list[dict[str, Any]] = []
    if arguments.json and arguments.json.is_file():
        known = json.loads(arguments.json.read_text())["rows"]
        rows = [row for row in known if not row["metric"].startswith("foretold_")]
    wanted = [stage.name for stage in stages(config) if stage.name != "read"]  # it runs with `clear`
    run = arguments.folder.absolute() / "run"
    measure(wanted, CONFIG, run, arguments.parcels, arguments, settings, rows, WORK)
    assert config.simulate is not None
    rows += foretold(config, load_of_simulation(config, config.simulate), rows, WORK)
    save(rows, arguments.json)


if __name__ == "__main__":
    main()
