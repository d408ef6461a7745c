"""Transfer between seasons: a season judged by its own models, by those of the season before, and by both.

`uv run python -m tests.benchmarks.transfer FIRST SECOND [--config FILE] [--set KEY=VALUE] [--json FILE]`, the
output folders of two runs of one region, the first trained, the second filled. The second is trained and
judged anew: on its own parcels alone (`own`), by the first's models as they are (`load`), by its networks
trained further (`tune`), and on the parcels of both (`pool`). Scored on the hidden truth of the second;
intervals by bootstrap over groups.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from pipelines.config import load_config
from pipelines.plan import judge, train
from pipelines.workspace import Workspace
from tests.benchmarks.clouds_downstream import CONFIG, METRICS

USES = ("own", "load", "tune", "pool")
NOT_COPIED = shutil.ignore_patterns("models", "reports", "exports", "catalog", "region.json")


def main() -> None:
    """Train and judge in every way, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--set", action="append", default=[], help="as `cropcheck run` takes it")
    parser.add_argument("--folder", type=Path, default=Path("out/transfer"), help="of the runs")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for use in USES:
        rows += judged(use, arguments)
        print(
            *(f"{row['subject']} {row['metric']} {row['value']:.3f} (n={row['n']})" for row in rows[-4:]),
            sep="\n",
        )
        if arguments.json:
            arguments.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


def judged(use: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Train and judge the second season in one way."""
    sources = (
        [] if use == "own" else [f"train.transfer.runs=[{arguments.first}]", f"train.transfer.use={use}"]
    )
    config = load_config(arguments.config, [*arguments.set, *sources])
    folder = arguments.folder / use
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(arguments.second, folder, ignore=NOT_COPIED)
    workspace = Workspace(folder)
    train.stage(config).run(config, workspace, _silent)
    judge.stage(config).run(config, workspace, _silent)
    metrics = json.loads(workspace.metrics.read_text(encoding="utf-8"))
    found = {
        "macro_f1": metrics["models"]["ensemble"]["macro_f1"],
        "ece": metrics["models"]["ensemble"]["ece"],
    }
    found |= {name: metrics["verdicts"][name]["count"] for name in METRICS[1:]}
    return [{"subject": use, "metric": name, **estimate} for name, estimate in found.items()]


def _silent(done: int, total: int) -> None:
    """Show nothing."""


if __name__ == "__main__":
    main()
