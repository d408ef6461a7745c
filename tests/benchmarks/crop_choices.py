"""Crop typing, one choice at a time: rare classes, varied training series, and each kind of input left out.

`uv run python -m tests.benchmarks.crop_choices [--sets …] [--run DIR] [--json FILE]`, on the folds and the
scorer of the crop benchmark; finished fits are not done twice. Each subject is beside its base:
`macro_f1_above_base` is the paired difference, 95% by bootstrap over groups.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xarray as xr

from models.crops.crossfit import cross_fit
from models.crops.inputs import CONTEXT
from models.crops.options import TrainOptions
from models.evaluation import macro_f1, paired_difference, score_model
from models.explanation import sensor_of
from tests.benchmarks.crop_sets import WorkSet, load
from tests.benchmarks.crops import FOLDER, POINTS, codes_of, table_of

BALANCES: dict[str, dict[str, Any]] = {
    "as_it_is": {},
    "class_weight_0.5": {"method": "class_weight", "power": 0.5},
    "class_weight_1.0": {"method": "class_weight", "power": 1.0},
    "resampled_with_noise": {"method": "resample"},
}
AUGMENTATIONS: dict[str, dict[str, float]] = {
    "as_it_is": {},
    "shifted": {"shift_steps": 0.5},
    "warped": {"warp_steps": 0.5},
    "dropped_dates": {"dropped_dates": 0.15},
    "scaled_reflectance": {"scaled_reflectance": 0.1},
}
INPUTS = ("everything", "without_weather", "without_terrain", "without_s1", "without_s2")
Subject = tuple[str, dict[str, Any], dict[str, Any], xr.Dataset]  # model, its options, balance, series
NETWORK: dict[str, Any] = {"epochs": 15, "least_updates": 150}


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="*", default=POINTS, choices=(*POINTS, "synthetic"))
    parser.add_argument("--run", type=Path, help="folder of a finished simulated run, for 'synthetic'")
    parser.add_argument("--networks", action="store_true", help="compare augmentation too")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data = Path(os.environ.get("CROPCHECK_DATA", "../shared/data"))
    rows: list[dict[str, Any]] = []
    for name in arguments.sets:
        work = load(name, data, arguments.run)
        rows += compared(work, "balance", {k: ("lightgbm", {}, v, work.series) for k, v in BALANCES.items()})
        inputs = {k: ("lightgbm", {}, {}, left_with(work.series, k)) for k in INPUTS}
        rows += compared(work, "inputs", inputs)
        if arguments.networks:
            own = {k: {**NETWORK, "augmentation": v} for k, v in AUGMENTATIONS.items()}
            rows += compared(work, "augmentation", {k: ("dense", v, {}, work.series) for k, v in own.items()})
    print(table_of(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


def left_with(series: xr.Dataset, what: str) -> xr.Dataset:
    """Return the series without one kind of input."""
    if what == "without_terrain":
        return series.drop_vars([CONTEXT, "variable"])
    kind = {"without_weather": "context", "without_s1": "s1", "without_s2": "s2"}.get(what)
    keep = [sensor_of(str(name)) != kind for name in series["feature"].values]
    return series.isel(feature=np.flatnonzero(keep))


def compared(work: WorkSet, what: str, subjects: dict[str, Subject]) -> list[dict[str, Any]]:
    """Cross-fit each subject, and score it beside the first."""
    tables = {}
    for name, (model, own, balance, series) in subjects.items():
        options = TrainOptions.model_validate(
            {"models": {model: own}, "balance": balance, "combination": "mean", "threads": 1}
        )
        folder = FOLDER / "choices" / work.name / what / name
        fit = cross_fit(series, work.y.tolist(), work.folds, options, folder)
        tables[f"{what}:{name}"] = fit.probabilities.filter(pl.col("model") == model)
    return _scored(work, tables)


def _scored(work: WorkSet, tables: dict[str, pl.DataFrame]) -> list[dict[str, Any]]:
    """Score each table, and each but the first beside it."""
    rows, first = [], None
    for subject, table in tables.items():
        classes = table.columns[3:]
        codes = codes_of(work, classes)
        values = table.select(classes).to_numpy()
        scores = score_model(values, codes, work.groups, np.random.default_rng(0))
        found = {name: scores[name] for name in ("macro_f1", "accuracy", "ece")}
        if first is not None:
            rng = np.random.default_rng(0)
            difference = paired_difference(values.argmax(1), first, codes, work.groups, rng, metric=macro_f1)
            found["macro_f1_above_base"] = difference
        first = values.argmax(1) if first is None else first
        named = {"work": work.name, "subject": subject, "unit": "share"}
        rows += [{**named, "metric": metric, **estimate.to_dict()} for metric, estimate in found.items()]
        print(f"  {work.name} {subject}: macro_f1 {scores['macro_f1'].value:.3f}", flush=True)
    return rows


if __name__ == "__main__":
    main()
