"""Whittaker smoothing: ours and two peers on the same series.

`uv run python -m tests.benchmarks.smoothing [--quick] [--json FILE]`. Series of 60 dates with 40% missing.
Two works: `whittaker_60`, weights per series; `whittaker_60_shared_mask`, the 20 features of a parcel sharing
one mask. Correctness comes first: `max_absolute_error` against a dense float64 solve over the same positions.
The dates are irregular for cropcheck and whittaker-eilers; vam.whittaker knows even spacing only and is given
that, its lambda a quarter of ours (its differences are not divided). Peers run as their users run them: one
call a series, in one thread; cropcheck in its threads. The subjects take turns, and each figure is the median
over the rounds, with the least and the most.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from features.series.whittaker import penalty, smooth_rows, smooth_shared

STEPS, FEATURES, SEEN, SMOOTHNESS = 60, 20, 0.6, 10.0
REPETITIONS = 7
Rows = list[dict[str, Any]]
Runs = dict[str, tuple[int, Callable[[], Any]]]  # by subject: series a run, and the run


def main() -> None:
    """Run both works and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the series")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    scale = 10 if arguments.quick else 1
    rows = per_series(100_000 // scale, 5_000 // scale) + shared_mask(20_000 // scale, 250 // scale)
    for row in rows:
        print(f"{row['work']:26} {row['subject']:18} {row['metric']:20} {row['value']:14.6g} {row['unit']}")
    if arguments.json:
        machine = {
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        }
        versions = {name: version(name) for name in ("numba", "numpy", "whittaker-eilers", "vam-whittaker")}
        stored = {"machine": machine, "versions": versions, "rows": rows}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(stored, indent=1) + "\n")


def made(n: int, lanes: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, values `(n, time[, lanes])` and weights `(n, time)`."""
    rng = np.random.default_rng(0)
    positions = np.cumsum(rng.random(STEPS) + 0.5)
    values = rng.normal(size=(n, STEPS) if lanes is None else (n, STEPS, lanes))
    return positions, values, (rng.random((n, STEPS)) < SEEN) * (0.5 + rng.random((n, STEPS)))


def per_series(n: int, n_peer: int) -> Rows:
    """Weights of its own for every series; double precision, in place."""
    work = "whittaker_60"
    positions, values, weights = made(n, None)
    bands = penalty(positions, SMOOTHNESS)
    rows: Rows = []
    once = values[:n_peer].copy()
    runs: Runs = {"cropcheck": (n, lambda: smooth_rows(values, weights, bands, values))}
    ours = smooth_rows(values, weights, bands)
    rows.append(_error(work, "cropcheck", ours[:200], dense(values, weights, positions)[:200]))
    for subject, (smooth, spacing) in peers_of(positions).items():
        found = np.array([smooth(values[i], weights[i]) for i in range(200)])
        rows.append(_error(work, subject, found, dense(values[:200], weights[:200], spacing)))
        runs[subject] = (n_peer, partial(_each, smooth, once, weights))
    return rows + _speeds(work, runs)


def shared_mask(n: int, n_peer: int) -> Rows:
    """One mask a parcel for its 20 features; single precision, in place, as gap filling calls it."""
    work = "whittaker_60_shared_mask"
    positions, values, weights = made(n, FEATURES)
    values, bands = values.astype(np.float32), penalty(positions, SMOOTHNESS)
    ours = smooth_shared(values, weights, bands)[:10].astype(float)
    exact = np.stack([dense(values[:10, :, k], weights[:10], positions) for k in range(FEATURES)], axis=-1)
    lines = np.ascontiguousarray(values[:n_peer].transpose(0, 2, 1)).reshape(-1, STEPS).astype(float)
    masks = np.repeat(weights[:n_peer], FEATURES, axis=0)
    runs: Runs = {"cropcheck": (n * FEATURES, lambda: smooth_shared(values, weights, bands, values))}
    for subject, (smooth, _) in peers_of(positions).items():
        runs[subject] = (len(lines), partial(_each, smooth, lines, masks))
    return [_error(work, "cropcheck", ours, exact), *_speeds(work, runs)]


def peers_of(positions: np.ndarray) -> dict[str, tuple[Callable, np.ndarray]]:
    """Each peer's smoother of one series, and the positions it smooths over."""
    from vam.whittaker import ws2d
    from whittaker_eilers import WhittakerSmoother

    smoother = WhittakerSmoother(SMOOTHNESS, 2, STEPS, x_input=positions.tolist(), weights=[1.0] * STEPS)

    def eilers(y: np.ndarray, w: np.ndarray) -> list[float]:
        smoother.update_weights(w.tolist())
        return list(smoother.smooth(y.tolist()))

    even = np.arange(float(STEPS))
    return {
        "whittaker_eilers": (eilers, positions),
        "vam_whittaker": (lambda y, w: ws2d(y, SMOOTHNESS / 4, w), even),
    }


def dense(values: np.ndarray, weights: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Solve `(W + lambda D'D) z = W y` with dense matrices."""
    difference = np.eye(STEPS)
    for order in (1, 2):
        difference = np.diff(difference, axis=0) / (positions[order:] - positions[:-order])[:, None]
    ridge = SMOOTHNESS * difference.T @ difference
    return np.array(
        [np.linalg.solve(np.diag(w) + ridge, w * y) for y, w in zip(values[:200], weights[:200], strict=True)]
    )


def _error(work: str, subject: str, found: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    worst = float(np.abs(found - expected).max())
    return _row(work, subject, "max_absolute_error", (worst, worst, worst), len(expected), "value")


def _each(smooth: Callable, values: np.ndarray, weights: np.ndarray) -> None:
    for y, w in zip(values, weights, strict=False):
        smooth(y, w)


def _speeds(work: str, runs: Runs) -> Rows:
    """All subjects in turn, round after round, so that whatever else the machine does meets them alike."""
    rates: dict[str, list[float]] = {subject: [] for subject in runs}
    for repetition in range(REPETITIONS + 1):
        for subject, (n, run) in runs.items():
            started = time.perf_counter()
            run()
            if repetition:  # the first one warms up
                rates[subject].append(n / (time.perf_counter() - started))
    rows = []
    for subject, found in rates.items():
        figures = (float(np.median(found)), min(found), max(found))
        rows.append(_row(work, subject, "series_per_second", figures, runs[subject][0], "series/s"))
    best = np.max([found for subject, found in rates.items() if subject != "cropcheck"], axis=0)
    times = np.array(rates["cropcheck"]) / best  # of the fastest peer, round by round
    figures = (float(np.median(times)), float(times.min()), float(times.max()))
    return [*rows, _row(work, "cropcheck", "times_faster_than_fastest_peer", figures, len(times), "1")]


def _row(
    work: str, subject: str, metric: str, figures: tuple[float, float, float], n: int, unit: str
) -> dict[str, Any]:
    value, low, high = figures
    return {
        "work": work,
        "subject": subject,
        "metric": metric,
        "value": value,
        "low": low,
        "high": high,
        "n": n,
        "unit": unit,
    }


if __name__ == "__main__":
    main()
