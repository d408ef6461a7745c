"""Runs of a very small region, killed again and again: what a resumed run ends with.

Every second kill waits for a file that is half written; the others come at random points.

`python -m tests.soak FOLDER KILLS` writes what happened as JSON to its output. Each attempt is a fork of this
process, which has imported everything and computed nothing: an attempt then costs little more than its work.
"""

import json
import os
import shutil
import signal
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

import numpy as np

from features.files import PARTIALS, read_parquet, sha256
from pipelines.config import RunConfig, load_config
from pipelines.main_job import run_all
from pipelines.record.audit.verify import verify
from pipelines.workspace import Workspace

TINY = Path(__file__).parents[1] / "conf" / "tiny.yaml"
SETTINGS = (
    "simulate.n_parcels=60", "simulate.optical_revisit_days=20", "simulate.radar_revisit_days=24",
    "simulate.last_month=8", "season.end=2024-08-31", "folds.count=2", "train.models={lightgbm: {rounds: 5}}",
    "train.explanation={parcels: 5}", "train.least_parcels=2", "judge.season_dates=0", "judge.alpha=0.4",
    "judge.max_set_size=20", "events.rounds=5",
    "forecast.rounds=5", "forecast.most_samples=1000", "tracking.enabled=false",
)  # fmt: skip
AHEAD = ("lightgbm", "shap", "models.crops.fitting.crossfit", "models.explanation.explain", "models.folds",
         "models.events.learning.boosting", "sklearn.ensemble")  # fmt: skip
SHARE = 1 / 12  # of the time of a whole run: the mean between start and kill
SEED = 2026
PSEUDONYMS = "declarations.parquet"
WHOLE = float("inf")


def main(folder: Path, kills: int) -> dict[str, object]:
    """Run to the end once, then kill runs until there were so many kills, and compare every one that ends."""
    for module in AHEAD:
        import_module(module)
    config, rng = load_config(TINY, list(SETTINGS)), np.random.default_rng(SEED)
    started = time.monotonic()
    attempt(config, folder / "whole", WHOLE)
    mean = SHARE * (time.monotonic() - started)
    expected = outcome(folder / "whole")
    killed, finished = 0, 0
    stages: dict[str, int] = {}
    others: list[dict[str, object]] = []
    while True:
        wait = float(rng.exponential(mean)) if killed < kills else WHOLE
        if attempt(config, folder / "killed", wait, writing=killed % 2 == 1):
            finished += 1
            others += [outcome(folder / "killed")] if outcome(folder / "killed") != expected else []
            shutil.rmtree(folder / "killed")
            if killed == kills:
                break
        else:
            killed += 1
            point = reached(folder / "killed")
            stages[point] = stages.get(point, 0) + 1
            print(f"kill {killed}: the last stage that had ended is {point}", file=sys.stderr)
    verdicts = read_parquet(folder / "whole" / "verdicts.parquet")
    judged = int((verdicts["verdict"] != "inconclusive").sum())
    return {"kills": killed, "after": stages, "ended": finished, "judged": judged, "other": others}


def attempt(config: RunConfig, folder: Path, seconds: float, *, writing: bool = False) -> bool:
    """Start a run; kill it after so many seconds, at the next write if asked; whether it ended before."""
    pid = os.fork()
    if pid == 0:
        try:
            run_all(config, Workspace(folder))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    end = time.monotonic() + seconds
    while time.monotonic() < end or (writing and not half_written(folder)):
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            (folder / "receipts" / "publish.json").stat()  # a run that failed leaves none
            return True
        time.sleep(0.0005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def half_written(folder: Path) -> bool:
    """Whether a file is being written below a folder."""
    try:
        return any(folder.rglob(PARTIALS))
    except FileNotFoundError:  # a folder that was removed meanwhile
        return False


def outcome(folder: Path) -> dict[str, object]:
    """What a run that ended left: its tables, by hash, and what does not hold by its own record.

    `declarations.parquet` is left out: its pseudonyms are made with each run's own random key.
    """
    tables = {path.name: sha256(path) for path in sorted(folder.glob("*.parquet")) if path.name != PSEUDONYMS}
    return {"tables": tables, "faults": verify(folder)}


def reached(folder: Path) -> str:
    """The last stage that had ended."""
    receipts = [path for path in (folder / "receipts").glob("*.json") if not path.name.startswith(".")]
    return max(receipts, key=lambda path: path.stat().st_mtime_ns).stem if receipts else "nothing"


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
