"""What filling gaps does for the verdicts: the main job on simulated regions, gaps filled in every way.

uv run python -m tests.benchmarks.clouds_downstream --json FILE [--seeds 1 2 3] [--arm pixel_unet]

`missing` leaves gaps to the crop models, `zero` writes zeros into them, `parcel_*` fill series of parcels,
`pixel_*` fill pixels before the zonal step (what is still missing then, e.g. radar, is filled per parcel
linearly), by networks as small as `conf/synthetic.yaml` has them. The last arm's run stays in its folder.
Work that FILE already holds is not done again. Intervals: Student's t over regions.
"""

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import t as student

from features.files import atomic_path
from models.clouds.removal.options import METHODS
from pipelines.config import load_config
from pipelines.plan import detect, fill, judge, read, synthesise, train
from pipelines.plan.observing import clear, extract
from pipelines.record.receipt import Receipt, hash_outputs, write_receipt
from pipelines.record.stage import run_stage
from pipelines.workspace import Workspace
from tests.benchmarks.clouds import Row, row

CONFIG = Path(__file__).parents[2] / "conf" / "synthetic.yaml"
ARMS = {
    "missing": {"clear.method": "none", "fill.method": "none"},
    "zero": {"clear.method": "none", "fill.method": "none"},
    "parcel_linear": {"clear.method": "none", "fill.method": "linear"},
    "parcel_whittaker": {"clear.method": "none", "fill.method": "whittaker"},
    **{f"pixel_{name}": {"clear.method": name, "fill.method": "linear"} for name in METHODS},
}
METRICS = ("macro_f1", "false_alarm_rate", "miss_rate", "decided_rate")


def run_arm(seed: int, arm: str, parcels: int | None, folder: Path) -> dict[str, tuple[float, int]]:
    """Run the job from the region to the verdicts; arms of one region share what they can."""
    settings = {**ARMS[arm], "seed": seed, **({"simulate.n_parcels": parcels} if parcels else {})}
    config = load_config(CONFIG, [f"{name}={value}" for name, value in settings.items()])
    workspace = Workspace(folder / str(seed))
    stages = [room.stage(config) for room in (synthesise, read, clear, extract, fill)]
    for stage in stages:
        run_stage(stage, config, workspace, _silent)
    if arm == "zero":
        _zero(workspace.filled)
    trained = train.stage(config).run(config, workspace, _silent)
    write_receipt(workspace, Receipt("train", outputs=hash_outputs(workspace, trained.outputs)))
    run_stage(detect.stage(config), config, workspace, _silent)
    judge.stage(config).run(config, workspace, _silent)
    return figures(json.loads(workspace.metrics.read_text(encoding="utf-8")))


def figures(metrics: dict[str, Any]) -> dict[str, tuple[float, int]]:
    """Return the ensemble's macro-F1 and the rates of the verdicts by count, each with its n."""
    macro = metrics["models"]["ensemble"]["macro_f1"]
    found = {"macro_f1": (macro["value"], macro["n"])}
    for name in METRICS[1:]:
        rate = metrics["verdicts"][name]["count"]
        found[name] = (rate["value"], rate["n"])
    return found


def _silent(done: int, total: int) -> None:
    """Show nothing."""


def _zero(path: Path) -> None:
    """Write zero wherever nothing was seen: the mistake that this arm is there to price."""
    with xr.open_dataset(path) as opened:
        series = opened.load()
    series["value"] = series["value"].fillna(0)
    with atomic_path(path) as partial:
        series.to_netcdf(partial)


def summary(rows: list[Row]) -> list[Row]:
    """Return each arm's figures over regions, and their differences from parcel-level linear filling."""
    table: dict[tuple[str, str], dict[int, float]] = {}
    for r in rows:
        if r["value"] is not None:
            table.setdefault((r["subject"], r["metric"]), {})[r["seed"]] = r["value"]
    out = [
        _over_seeds(subject, metric, np.array(list(found.values())))
        for (subject, metric), found in table.items()
    ]
    for (subject, metric), found in table.items():
        base = table.get(("parcel_linear", metric), {})
        both = sorted(set(found) & set(base))
        if subject != "parcel_linear" and len(both) > 1:
            differences = np.array([found[s] - base[s] for s in both])
            out.append(_over_seeds(f"{subject} minus parcel_linear", metric, differences))
    return out


def _over_seeds(subject: str, metric: str, values: np.ndarray) -> Row:
    n = len(values)
    half = student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return row(
        "downstream", None, subject, metric, values.mean(), values.mean() - half, values.mean() + half, n
    )


def main() -> None:
    """Run what was asked for, print and write rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arm", action="append", choices=list(ARMS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--parcels", type=int, help="fewer or more than the default region has")
    parser.add_argument("--folder", type=Path, default=Path("out/cloud-downstream"), help="of the runs")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    path = arguments.json
    rows = [r for r in json.loads(path.read_text())["rows"] if r["seed"]] if path and path.is_file() else []
    for seed in arguments.seeds:
        for arm in arguments.arm or ARMS:
            if (seed, arm) in {(r["seed"], r["subject"]) for r in rows}:
                continue
            found = run_arm(seed, arm, arguments.parcels, arguments.folder)
            print(seed, arm, found, flush=True)
            rows += [row("downstream", seed, arm, name, value, n=n) for name, (value, n) in found.items()]
            if path:
                about = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
                lines = ",\n".join(json.dumps(r) for r in [*summary(rows), *rows])
                path.write_text(f'{{"about": {json.dumps(about)}, "rows": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
