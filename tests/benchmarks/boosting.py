"""LightGBM at the size of a country's table: seconds a round, accuracy, prediction and explanation.

`uv run python -m tests.benchmarks.boosting [--quick] [--json FILE]`, on made-up classes: 200,000 parcels, 600
columns, 28 classes. Ours are the settings of `lightgbm`; the peer is the library's defaults on the same table
and threads. Rounds are timed on all parcels (`round_cpu_seconds`: of the process, which other work on the
machine hardly moves); accuracy is compared after all rounds on a tenth of them, for the defaults take nine
minutes on all. That model predicts 100,000 parcels and explains 4,000, for the declared and one other class.
"""

import argparse
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from models.crops.estimators.boosting import LightgbmClassifier, LightgbmOptions
from models.explanation.contributions import booster_of_class
from tests.benchmarks.crops import PEERS, table_of

STEPS, FEATURES, CLASSES = 30, 20, 28
PARCELS, HELD_OUT = 200_000, 4_000
FEW_ROUNDS = 3  # timed after a first one, which warms up
FLAGGED = 0.02
OURS: dict[str, Any] = {"summaries": False, "rounds": 60, "learning_rate": 0.15}  # the main job's rounds
WORK = "lightgbm_scale"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the parcels")
    parser.add_argument("--parcels", type=int, default=PARCELS)
    parser.add_argument("--trained-on", type=int, help="parcels of the fits compared; a tenth of them if not")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    n = arguments.parcels // 100 if arguments.quick else arguments.parcels
    trained = arguments.trained_on or n // 10
    table, codes = made_up(n + n // 10, np.random.default_rng(0))
    rows: list[dict[str, Any]] = []
    peer = {k: v for k, v in PEERS["lightgbm_default"].items() if k != "model"}
    subjects = {"lightgbm": OURS, "lightgbm_default": peer}
    for name, own in subjects.items():
        options = LightgbmOptions(**own, threads=arguments.threads)
        rows += timed_rounds(name, options, table[:n], codes[:n])
        rows += accuracy(name, options, table, codes, trained)
    rows += use(LightgbmOptions(**OURS, threads=arguments.threads), table, codes, n, trained)
    print(table_of(rows))
    if arguments.json:
        machine: dict[str, Any] = {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "lightgbm": version("lightgbm"),
        }
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


def made_up(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return `(n, 600)` float32 and `(n,)` classes of unequal size: noisy waves of a season."""
    size = 1 / np.arange(1, CLASSES + 1)
    codes = rng.choice(CLASSES, n, p=size / size.sum())
    place = np.linspace(0, 1, STEPS)
    peak, width = rng.uniform(0.25, 0.8, CLASSES), rng.uniform(0.08, 0.25, CLASSES)
    level, effect = rng.normal(size=(CLASSES, FEATURES)), rng.normal(size=FEATURES)
    own = peak[codes] + rng.normal(0, 0.05, n)
    curve = np.exp(-(((place - own[:, None]) / width[codes][:, None]) ** 2)).astype(np.float32)
    value = curve[:, :, None] * (effect + 0.3 * level[codes]).astype(np.float32)[:, None]
    value += rng.standard_normal((n, STEPS, FEATURES), np.float32)
    value[rng.random((n, STEPS), np.float32) < 0.1] = np.nan
    return value.reshape(n, -1), codes


def timed_rounds(
    name: str, options: LightgbmOptions, table: np.ndarray, codes: np.ndarray
) -> list[dict[str, Any]]:
    """Seconds of single rounds on the whole table, after the columns were binned."""
    import lightgbm

    parameters = LightgbmClassifier(options).parameters(CLASSES, table.shape[1])
    started = time.perf_counter()
    data = lightgbm.Dataset(table, codes, params=parameters, free_raw_data=True).construct()
    binned = time.perf_counter() - started
    booster = lightgbm.Booster(parameters, data)
    seconds, busy = [], []
    for _ in range(FEW_ROUNDS + 1):
        started, before = time.perf_counter(), time.process_time()
        booster.update()
        seconds.append(time.perf_counter() - started)
        busy.append(time.process_time() - before)
    return [
        _row(name, "round_seconds", seconds[1:], "s"),
        _row(name, "round_cpu_seconds", busy[1:], "s"),
        _row(name, "binning_seconds", [binned], "s"),
    ]


def accuracy(
    name: str, options: LightgbmOptions, table: np.ndarray, codes: np.ndarray, n: int
) -> list[dict[str, Any]]:
    """Accuracy and log-loss on parcels not trained on, after all rounds on `n` parcels."""
    probabilities = _fitted(options, table[:n], codes[:n]).predict(table[-HELD_OUT:])
    truth = codes[-HELD_OUT:]
    own = probabilities[np.arange(len(truth)), truth]
    return [
        _row(name, "accuracy", [float((probabilities.argmax(1) == truth).mean())], "share", len(truth)),
        _row(name, "log_loss", [float(-np.log(own + 1e-9).mean())], "nats", len(truth)),
    ]


def use(
    options: LightgbmOptions, table: np.ndarray, codes: np.ndarray, n: int, trained: int
) -> list[dict[str, Any]]:
    """Predict 100,000 parcels; explain the flagged ones for two classes each."""
    model = LightgbmClassifier(options)
    model.booster_, model.classes_ = _fitted(options, table[:trained], codes[:trained]), np.arange(CLASSES)
    asked = min(n, 100_000)
    started = time.perf_counter()
    predicted = model.booster_.predict(table[:asked], num_threads=options.threads).argmax(1)
    prediction = time.perf_counter() - started
    flagged = np.random.default_rng(1).choice(asked, int(FLAGGED * n), replace=False)
    started = time.perf_counter()
    for wanted in (codes[flagged], (predicted[flagged] + 1) % CLASSES):
        for crop_class in np.unique(wanted):
            booster_of_class(model, crop_class).predict(
                table[flagged[wanted == crop_class]], pred_contrib=True, num_threads=options.threads
            )
    explained = time.perf_counter() - started
    return [
        _row("lightgbm", "predict_seconds", [prediction], "s", asked),
        _row("lightgbm", "explain_seconds", [explained], "s", len(flagged)),
    ]


def _fitted(options: LightgbmOptions, table: np.ndarray, codes: np.ndarray) -> Any:
    import lightgbm

    parameters = LightgbmClassifier(options).parameters(CLASSES, table.shape[1])
    data = lightgbm.Dataset(table, codes, params=parameters, free_raw_data=True)
    return lightgbm.train(parameters, data, num_boost_round=options.rounds)


def _row(subject: str, metric: str, values: list[float], unit: str, n: int | None = None) -> dict[str, Any]:
    middle, low, high = (float(f(values)) for f in (np.median, np.min, np.max))
    print(f"  {subject} {metric}: {middle:.3f} {unit}", flush=True)
    return {"work": WORK, "subject": subject, "metric": metric, "value": middle, "low": low, "high": high,
            "n": n or len(values), "unit": unit}  # fmt: skip


if __name__ == "__main__":
    main()
