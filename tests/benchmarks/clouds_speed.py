"""How fast and in how much memory a fitted method fills: seconds a megapixel and frame.

uv run python -m tests.benchmarks.clouds_speed --json FILE [--subject unet] [--side 576]

A simulated region's season is repeated side by side to `--side` pixels; the second filling is timed, the
first compiles. Memory: the peak of the process, and what filling that one tile added to it. The subject
`default` is the network as conf/synthetic.yaml has it.
"""

import argparse
import json
import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import yaml

from models.clouds.methods import build
from models.clouds.removal.options import METHODS
from tests.benchmarks.clouds import Row, row
from tests.benchmarks.data.cloud_data import world

DEFAULT = Path("conf/synthetic.yaml")
SUBJECTS = (*METHODS, "default")


def repeated(stack: xr.Dataset, side: int) -> xr.Dataset:
    """Return the stack repeated over `side` x `side` pixels."""
    whole = stack.drop_vars("context", errors="ignore")
    rows = np.arange(side) % whole.sizes["y"]
    columns = np.arange(side) % whole.sizes["x"]
    return whole.isel(y=rows, x=columns)


def settings_of(subject: str) -> tuple[str, dict[str, Any]]:
    """Return the method that a subject stands for, and its settings."""
    if subject != "default":
        return subject, {}
    settings: dict[str, Any] = yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))["clear"]
    return settings.pop("method"), settings


def timed(subject: str, stack: xr.Dataset, side: int) -> list[Row]:
    """Fit briefly, fill twice, and return the rows of the second filling."""
    method, settings = settings_of(subject)
    model = build(method, **{**settings, "epochs": 1, "windows": 4})
    assert model is not None
    model.fit([stack])
    big = repeated(stack, side)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model.fill(big)
    wall, cpu = time.perf_counter(), time.process_time()
    model.fill(big)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    amount = int((~big["clear"].values.all(axis=(1, 2))).sum()) * side * side / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    name, n = f"tile_{side}_px", round(amount)
    return [
        row(name, 0, subject, "seconds_per_mpix_frame", wall / amount, n=n),
        row(name, 0, subject, "cpu_seconds_per_mpix_frame", cpu / amount, n=n),
        row(name, 0, subject, "peak_gib", peak, n=1),
        row(name, 0, subject, "peak_gained_gib", peak - before / 2**20, n=1),
    ]


def main() -> None:
    """Time each method, print and write rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subject", action="append", choices=SUBJECTS)
    parser.add_argument("--side", type=int, default=576)
    parser.add_argument("--worlds", type=Path, default=Path("out/cloud-worlds"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    stack = world(1, arguments.worlds).stack
    rows: list[Row] = []
    for subject in arguments.subject or SUBJECTS:
        rows += timed(subject, stack, arguments.side)
        print(subject, {r["metric"]: r["value"] for r in rows if r["subject"] == subject}, flush=True)
    if arguments.json:
        about = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        lines = ",\n".join(json.dumps(r) for r in rows)
        arguments.json.write_text(f'{{"about": {json.dumps(about)}, "rows": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
