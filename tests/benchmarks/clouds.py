"""Score cloud removal on hidden pixels: one scorer for all methods.

uv run python -m tests.benchmarks.clouds --json FILE [--work synthetic] [--subject unet] [--quick]

Simulated regions: a method is fitted on a region's own imagery, as the main job does, fills what its clouds
hide, and is scored there, where the truth is known. Real patches: fitted on three quarters of a patch
without the test dates, a method fills parts of the test dates that other dates' masks hide, and is scored
in the fourth quarter; each quarter takes its turn. Work that FILE already holds is not done again.

Intervals: Student's t over simulated regions; bootstrap over fields on the real patches.
"""

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import t as student

from models.clouds.methods import build
from models.clouds.pictures import before_after, half_clear_frames, write_png
from models.clouds.removal.cube import Cube, cube_of
from models.clouds.removal.hiding import hide
from models.clouds.removal.options import BASELINES, METHODS
from models.clouds.scoring import Hidden, by_cloud, by_gap, collect, join, ndvi, parcel_means, score
from tests.benchmarks.data.cloud_data import Scene, flanders, world

CLEAR_FRAME = 0.6
REPEATS = 3
DRAWS = 500
PICTURE_PX = 96
EVERY = 2  # on simulated regions every second row and column is scored: neighbours say the same
PLAIN = {name: {"trust_all": True} for name in BASELINES}  # as textbooks have them
ABLATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "linear_trusted": ("linear", {"trust_all": False}),
    "unet_s1": ("unet", {"inputs": "s1"}),
    "unet_s2": ("unet", {"inputs": "s2"}),
    "unet_ndvi_off": ("unet", {"ndvi_weight": 0.0}),
    "unet_agricultural": ("unet", {"agricultural_only": True}),
    "unet_context": ("unet", {"context": ("soil", "elevation")}),
}
PAIRS = (  # whose MAE is compared with whose
    ("unet", "linear_trusted"),
    ("uncrtaints", "linear_trusted"),
    ("unet", "unet_s1"),
    ("unet", "unet_s2"),
    ("uncrtaints", "unet"),
    ("diffusion", "unet"),
    ("unet", "unet_ndvi_off"),
    ("unet_agricultural", "unet"),
    ("unet_context", "unet"),
)
REAL = {  # small patches: small windows, more epochs
    "flanders_10m": (0, 10, {"window_px": 16, "epochs": 12}),
    "flanders_20m": (0, 20, {"window_px": 16, "epochs": 12, "reduce": 1}),
    "flanders_20m_b": (1, 20, {"window_px": 16, "epochs": 12, "reduce": 1}),
}
PAIRED = ("mae_hidden", "mae_hidden_parcels", "ndvi_mae_hidden", "ndvi_mae_parcel")
PERCENT = ("_by_percent", "_linear_percent")
UNITS = {"seconds_per_mpix_frame": "s", "fit_seconds": "s", "peak_gib": "GiB", "psnr_hidden": "dB"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """What a method learns from, what it is given, and what of its answer is scored."""

    training: list[xr.Dataset]
    given: xr.Dataset
    hidden: np.ndarray  # (time, y, x)
    truth: np.ndarray  # (time, band, y, x)
    labels: np.ndarray  # (y, x)


def synthetic_trials(scene: Scene) -> Iterator[Trial]:
    """Yield one trial: the region's own clouds are what is hidden."""
    stack = scene.stack.assign(parcels=(("y", "x"), scene.parcels > 0))
    assert scene.truth is not None
    lattice = np.zeros(scene.parcels.shape, bool)
    lattice[::EVERY, ::EVERY] = True
    yield Trial([stack], stack, ~cube_of(stack).clear & lattice, scene.truth, scene.parcels)


def real_trials(scene: Scene, repeats: int = REPEATS) -> Iterator[list[Trial]]:
    """Yield the trials of each quarter, which share their training."""
    stack = scene.stack.assign(parcels=(("y", "x"), scene.parcels > 0))
    cube = cube_of(stack)
    test = np.flatnonzero(cube.clear.mean(axis=(1, 2)) > CLEAR_FRAME)[1::3]
    others = np.setdiff1d(np.arange(len(cube.days)), test)
    quarters = _quarters(*cube.clear.shape[1:])
    for held, (rows, columns) in enumerate(quarters):
        training = [stack.isel(time=others, y=y, x=x) for k, (y, x) in enumerate(quarters) if k != held]
        mine = np.zeros(cube.clear.shape[1:], bool)
        mine[rows, columns] = True
        yield [_hidden_trial(stack, cube, scene.parcels, training, test, mine, r) for r in range(repeats)]


def _hidden_trial(
    stack: xr.Dataset, cube: Cube, labels: np.ndarray, training: list[xr.Dataset], test: np.ndarray,
    mine: np.ndarray, repeat: int,
) -> Trial:  # fmt: skip
    hidden = hide(cube.clear, np.random.default_rng(repeat), frames=test)
    given = stack.assign(clear=(("time", "y", "x"), cube.clear & ~hidden))
    return Trial(training, given, hidden & mine, cube.reflectance, labels)


def _quarters(height: int, width: int) -> list[tuple[slice, slice]]:
    rows = (slice(0, height // 2), slice(height // 2, height))
    columns = (slice(0, width // 2), slice(width // 2, width))
    return [(y, x) for y in rows for x in columns]


def run(
    work: str,
    seed: int,
    subject: str,
    groups: list[list[Trial]],
    options: dict[str, Any],
    pictures: Path | None = None,
) -> tuple[list[Row], Hidden]:
    """Fit and fill each group of trials, and score them together; picture the first."""
    method, own = ABLATIONS.get(subject, (subject, PLAIN.get(subject, {})))
    parts, fitting, filling, amount = [], 0.0, 0.0, 0.0
    for trials in groups:
        started = time.perf_counter()
        model = build(method, **{**options, **own})
        assert model is not None
        model.fit(trials[0].training)
        fitting += time.perf_counter() - started
        for number, trial in enumerate(trials):
            cube = cube_of(trial.given)
            started = time.perf_counter()
            out = model.fill(trial.given)
            if number or len(trials) == 1:  # the first call compiles
                filling += time.perf_counter() - started
                amount += (~cube.clear.all(axis=(1, 2))).sum() * cube.clear[0].size / 1e6
            if pictures is not None and not parts:
                draw(trial, out, pictures / f"clouds_{work}_{seed}_{subject}.png")
            arrays = (out["reflectance"].values, out["sigma"].values, trial.hidden, cube.clear)
            parts.append(
                collect(trial.truth, *arrays, cube.days, cube.bands, trial.labels, 1000 * len(parts))
            )
    found = join(parts)
    figures = {**score(found), "fit_seconds": (fitting / len(groups), len(groups))}
    figures["seconds_per_mpix_frame"] = (filling / max(amount, 1e-9), round(amount * 1e6))
    figures["peak_gib"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1)
    for name, scores in (by_gap(found) | by_cloud(found)).items():
        figures |= {f"{m}_{name}": scores[m] for m in ("mae_hidden", "interval_90_coverage") if m in scores}
    return [row(work, seed, subject, metric, value, n=n) for metric, (value, n) in figures.items()], found


def draw(trial: Trial, out: xr.Dataset, path: Path) -> None:
    """Picture a corner of a trial: what was given, what was filled, the truth."""
    part, done = (s.isel(y=slice(0, PICTURE_PX), x=slice(0, PICTURE_PX)) for s in (trial.given, out))
    truth = trial.truth[:, :, :PICTURE_PX, :PICTURE_PX]
    write_png(before_after(part, done, half_clear_frames(part), truth), path)


def row(work: str, seed: int | None, subject: str, metric: str, value: float, low: float | None = None,
        high: float | None = None, n: int = 0) -> Row:  # fmt: skip
    """Return one row of the table; `seed` is null where it is over all of them."""
    rounded = [None if v is None or not np.isfinite(v) else round(float(v), 5) for v in (value, low, high)]
    unit = UNITS.get(metric, "percent" if metric.endswith(PERCENT) else "")
    names = ("work", "seed", "subject", "metric", "value", "low", "high", "n", "unit")
    return dict(zip(names, (work, seed, subject, metric, *rounded, n, unit), strict=True))


def field_rows(work: str, subject: str, found: Hidden, linear: Hidden) -> list[Row]:
    """Return the gain over linear and the NDVI error per parcel with intervals by bootstrap over fields."""
    rng = np.random.default_rng(0)
    errors = [np.abs(h.value - h.truth).mean(axis=1) for h in (found, linear)]
    known = np.isfinite(errors).all(axis=0)
    fields = np.unique(found.parcel)
    sums = np.array([[e[known & (found.parcel == f)].sum() for f in fields] for e in errors])
    draws = rng.integers(0, len(fields), (DRAWS, len(fields)))
    gains = 100 * (1 - sums[0][draws].sum(axis=1) / sums[1][draws].sum(axis=1))
    whole = 100 * (1 - sums[0].sum() / sums[1].sum())
    rows = [row(work, 0, subject, "mae_gain_over_linear_percent", whole, *_limits(gains), n=len(fields))]
    if "B04" not in found.bands:
        return rows
    means = parcel_means(found, ndvi(found.truth, found.bands), ndvi(found.value, found.bands))
    each = means.with_columns(error=(means["truth"] - means["value"]).abs())
    by_field = [part["error"].to_numpy() for _, part in each.group_by("parcel", maintain_order=True)]
    draws = rng.integers(0, len(by_field), (DRAWS, len(by_field)))
    maes = [np.concatenate([by_field[k] for k in draw]).mean() for draw in draws]
    return [*rows, row(work, 0, subject, "ndvi_mae_parcel_by_field", each["error"].mean(),
    *_limits(np.array(maes)),
                       n=len(by_field))]  # fmt: skip


def _limits(draws: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def summary(rows: list[Row]) -> list[Row]:
    """Return each metric over the simulated regions, and the paired comparisons, with intervals of
    Student's t."""
    table: dict[tuple[str, str], dict[int, tuple[float, int]]] = {}
    for r in rows:
        if r["work"] == "synthetic" and r["value"] is not None:
            table.setdefault((r["subject"], r["metric"]), {})[r["seed"]] = (r["value"], r["n"])
    out = [
        _over_seeds(subject, metric, np.array([v for v, _ in found.values()]))
        for (subject, metric), found in table.items()
    ]
    subjects = dict.fromkeys(subject for subject, _ in table)
    for subject, other in [*((s, "linear") for s in subjects if s != "linear"), *PAIRS]:
        for metric in PAIRED:
            mine, theirs = table.get((subject, metric), {}), table.get((other, metric), {})
            both = sorted(set(mine) & set(theirs))
            if len(both) > 1:
                gains = np.array([100 * (1 - mine[s][0] / theirs[s][0]) for s in both])
                out.append(_over_seeds(f"{subject} against {other}", f"{metric}_lower_by_percent", gains))
    return out


def _over_seeds(subject: str, metric: str, values: np.ndarray) -> Row:
    n = len(values)
    half = student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    mean = values.mean()
    return row("synthetic", None, subject, metric, mean, mean - half, mean + half, n)


def main() -> None:
    """Run what was asked for, print and write rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--work", choices=("synthetic", *REAL), action="append")
    parser.add_argument("--subject", action="append", choices=[*METHODS, *ABLATIONS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--worlds", type=Path, default=Path("out/cloud-worlds"), help="regions are made here")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pictures", type=Path, help="where before and after are drawn")
    arguments = parser.parse_args()
    rows: list[Row] = read_rows(arguments.json)
    for work in arguments.work or ("synthetic", *REAL):
        for seed in arguments.seeds if work == "synthetic" else (0,):
            done = {r["subject"] for r in rows if (r["work"], r["seed"]) == (work, seed)}
            wanted = [s for s in arguments.subject or [*METHODS, *ABLATIONS] if s not in done]
            for subject in wanted:
                rows += _one(work, seed, subject, arguments.worlds, arguments.quick, arguments.pictures)
                show(rows, work, seed, subject)
                write_rows(arguments.json, rows)


def _one(work: str, seed: int, subject: str, worlds: Path, quick: bool, pictures: Path | None) -> list[Row]:
    options: dict[str, Any] = {"seed": seed}
    if work == "synthetic":
        groups = [[trial] for trial in _synthetic(seed, worlds)]
    else:
        options |= REAL[work][2]
        groups = _real(work)[: 1 if quick else 4]
    if quick:
        options |= {"epochs": 1, "windows": 2}
    found, hidden = run(work, seed, subject, groups, options, pictures)
    if work == "synthetic":
        return found
    return found + field_rows(work, subject, hidden, _linear(work, quick))


@cache
def _synthetic(seed: int, worlds: Path) -> list[Trial]:
    return list(synthetic_trials(world(seed, worlds)))


@cache
def _real(work: str) -> list[list[Trial]]:
    folder = Path(os.environ.get("CROPCHECK_DATA", Path(__file__).parents[3] / "shared" / "data"))
    return list(real_trials(flanders(folder, *REAL[work][:2])))


@cache
def _linear(work: str, quick: bool) -> Hidden:
    return run(work, 0, "linear", _real(work)[: 1 if quick else 4], {})[1]


def read_rows(path: Path | None) -> list[Row]:
    """Return the rows of a table that was begun, without its summary."""
    if path is None or not path.is_file():
        return []
    return [r for r in json.loads(path.read_text())["rows"] if r["seed"] is not None]


def write_rows(path: Path | None, rows: list[Row]) -> None:
    """Write the table and its summary, a row a line."""
    if path is None:
        return
    about = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    lines = ",\n".join(json.dumps(r) for r in [*summary(rows), *rows])
    path.write_text(f'{{"about": {json.dumps(about)}, "rows": [\n{lines}\n]}}\n')


def show(rows: list[Row], work: str, seed: int, subject: str) -> None:
    """Print one subject's main figures."""
    wanted = ("mae_hidden", "sam_hidden", "ndvi_mae_parcel", "ndvi_r2_parcel", "interval_90_coverage")
    wanted += ("seconds_per_mpix_frame", "fit_seconds", "mae_gain_over_linear_percent")
    mine = [r for r in rows if (r["work"], r["seed"], r["subject"]) == (work, seed, subject)]
    figures = {r["metric"]: r["value"] for r in mine if r["metric"] in wanted}
    print(work, seed, subject, figures, f"n={mine[1]['n']}", flush=True)


if __name__ == "__main__":
    main()
