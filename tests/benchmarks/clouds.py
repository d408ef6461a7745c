"""Score cloud removal on hidden pixels: one scorer for all methods.

uv run python -m tests.benchmarks.clouds [--quick] [--work flanders] [--subject unet] [--json FILE]

Frames that are clear are hidden in part under the real masks of other dates. Methods are fitted on one
half of the
tile without the test dates, and fill the other half. Real patches score against what was observed,
simulated regions
against the truth. Intervals: bootstrap over fields (real) or over seeds (simulated).
"""

import argparse
import json
import os
import platform
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.clouds.catalogue import build
from models.clouds.cube import Cube, cube_of
from models.clouds.hiding import hide
from models.clouds.options import METHODS
from models.clouds.scoring import Hidden, by_cloud, by_gap, collect, join, score
from tests.benchmarks.cloud_data import Scene, flanders, made_up, simulated

CLEAR_FRAME = 0.6
REPEATS = 4
DRAWS = 200
ABLATIONS = {
    "unet_s1": ("unet", {"inputs": "s1"}),
    "unet_s2": ("unet", {"inputs": "s2"}),
    "unet_ndvi_off": ("unet", {"ndvi_weight": 0.0}),
    "unet_agricultural": ("unet", {"agricultural_only": True}),
    "unet_recent": ("unet", {"which": "recent"}),
}
Row = dict[str, object]


@dataclass(frozen=True)
class Work:
    """A scene with its name and the dates that only test."""

    name: str
    scene: Scene
    cube: Cube
    test_frames: np.ndarray


def works(name: str, folder: Path, regions: list[Path], quick: bool) -> list[Work]:
    """Return the scenes of a work: real patches, regions that were simulated, or small made-up scenes."""
    if name == "flanders":
        return [prepared("flanders_10m", flanders(folder, 0, 10))]
    if regions:
        return [prepared(f"synthetic_{path.name}", simulated(path, 2023)) for path in regions]
    return [prepared(f"made_up_{seed}", made_up(seed, size=96)) for seed in range(1 if quick else 5)]


def prepared(name: str, scene: Scene) -> Work:
    """Choose every third clear frame for testing."""
    cube = cube_of(scene.stack)
    clear = np.flatnonzero(cube.clear.mean(axis=(1, 2)) > CLEAR_FRAME)
    scene.stack["parcels"] = (("y", "x"), scene.parcels > 0)
    return Work(name, scene, cube, clear[1::3])


def run(work: Work, subject: str, repeats: int, options: dict[str, object]) -> tuple[list[Row], Hidden]:
    """Fit on the left half without the test dates, fill the right half with hidden parts, score."""
    method, own = ABLATIONS.get(subject, (subject, {}))
    times, _, _, width = work.cube.shape
    left, right = slice(0, width // 2), slice(width // 2, width)
    others = np.setdiff1d(np.arange(times), work.test_frames)
    started = time.perf_counter()
    model = build(method, **{**options, **own})
    assert model is not None
    model.fit([work.scene.stack.isel(time=others, x=left)])
    fit_seconds = time.perf_counter() - started
    parts, seconds, megapixels = [], 0.0, 0.0
    truth = work.cube.reflectance if work.scene.truth is None else work.scene.truth
    for repeat in range(repeats):
        hidden = hide(work.cube.clear, np.random.default_rng(repeat), frames=work.test_frames)
        clear = work.cube.clear & ~hidden
        stack = work.scene.stack.assign(clear=(("time", "y", "x"), clear)).isel(x=right)
        started = time.perf_counter()
        out = model.fill(stack)
        if repeat:  # the first call compiles
            seconds += time.perf_counter() - started
            megapixels += (~clear[..., right].all(axis=(1, 2))).sum() * clear[0, :, right].size / 1e6
        arrays = (out["reflectance"].values, out["sigma"].values, hidden[..., right], clear[..., right])
        labels = work.scene.parcels[:, right]
        parts.append(collect(truth[..., right], *arrays, work.cube.days, work.cube.bands, labels))
    found = join(parts)
    rows = [row(work, subject, metric, value, n) for metric, (value, n) in score(found).items()]
    rows += [
        row(work, subject, f"{metric}_{name}", *scores[metric])
        for name, scores in (by_gap(found) | by_cloud(found)).items()
        for metric in ("mae_hidden", "interval_90_coverage")
        if metric in scores
    ]
    rows.append(row(work, subject, "fit_seconds", fit_seconds, 1))
    rows.append(row(work, subject, "seconds_per_mpix_frame", seconds / max(megapixels, 1e-9), repeats - 1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return [*rows, row(work, subject, "peak_gib", peak, 1)], found


def row(work: Work, subject: str, metric: str, value: float, n: int) -> Row:
    """Return one row of the table; an interval is added where there is one."""
    kept = None if not np.isfinite(value) else round(float(value), 6)
    return {
        "work": work.name,
        "subject": subject,
        "metric": metric,
        "value": kept,
        "low": None,
        "high": None,
        "n": n,
    }


def gain(work: Work, subject: str, found: Hidden, linear: Hidden) -> Row:
    """Return how much lower the subject's MAE is than linear's, in percent; bootstrap over fields."""
    rng = np.random.default_rng(0)
    errors = [np.abs(h.value - h.truth).mean(axis=1) for h in (found, linear)]
    fields = np.unique(found.parcel)
    sums = np.array([[e[found.parcel == f].sum() for f in fields] for e in errors])
    draws = rng.integers(0, len(fields), (DRAWS, len(fields)))
    gains = 100 * (1 - sums[0][draws].sum(axis=1) / sums[1][draws].sum(axis=1))
    low, high = np.quantile(gains, [0.025, 0.975])
    out = row(
        work, subject, "mae_gain_over_linear_percent", 100 * (1 - sums[0].sum() / sums[1].sum()), len(fields)
    )
    return {**out, "low": round(float(low), 3), "high": round(float(high), 3)}


def main() -> None:
    """Run what was asked for, print and write rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--work", choices=("flanders", "synthetic"), action="append")
    parser.add_argument("--subject", action="append", choices=[*METHODS, *ABLATIONS])
    parser.add_argument(
        "--region", type=Path, action="append", default=[], help="a simulated region with its truth"
    )
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    folder = Path(os.environ.get("CROPCHECK_DATA", Path(__file__).parents[3] / "shared" / "data"))
    options = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    subjects = arguments.subject or list(METHODS)
    rows: list[Row] = []
    for name in arguments.work or ("synthetic", "flanders"):
        for work in works(name, folder, arguments.region, arguments.quick):
            linear = run(work, "linear", 2 if arguments.quick else REPEATS, options)[1]
            for subject in subjects:
                found, hidden = run(work, subject, 2 if arguments.quick else REPEATS, options)
                rows += [*found, gain(work, subject, hidden, linear)]
                show(rows[-len(found) - 1 :])
    if arguments.json:
        about = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "rows": rows}
        arguments.json.write_text(json.dumps(about, indent=1) + "\n")


def show(rows: list[Row]) -> None:
    """Print one subject's main figures."""
    wanted = (
        "mae_hidden",
        "rmse_hidden",
        "sam_hidden",
        "ndvi_mae_parcel",
        "ndvi_r2_parcel",
        "interval_90_coverage",
    )
    wanted += ("seconds_per_mpix_frame", "fit_seconds", "peak_gib", "mae_gain_over_linear_percent")
    figures = {r["metric"]: r["value"] for r in rows if r["metric"] in wanted}
    print(rows[0]["work"], rows[0]["subject"], figures, f"n={rows[0]['n']}", flush=True)


if __name__ == "__main__":
    main()
