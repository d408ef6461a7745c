"""Crop typing, one choice at a time: rare classes, varied training series, members, and inputs left out.

`uv run python -m tests.benchmarks.crop_choices [--sets …] [--run DIR] [--json FILE]`, on the folds and the
scorer of the crop benchmark; finished fits are not done twice. Each subject is beside its base:
`macro_f1_above_base` is the paired difference, 95% by bootstrap over groups.
"""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xarray as xr

from features.schema import ENSEMBLE
from models.crops.fitting.crossfit import cross_fit
from models.crops.fitting.options import TrainOptions
from models.evaluation.metrics import macro_f1, paired_difference, score_model
from models.explanation.ablation import parts_of
from tests.benchmarks.crops import FOLDER, POINTS, SETTINGS, codes_of, table_of
from tests.benchmarks.data.crop_sets import WorkSet, load

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
MEMBERS: dict[str, tuple[str, ...]] = {  # the first as conf/synthetic.yaml has them
    "lightgbm+dense+tempcnn": ("lightgbm", "dense", "tempcnn"),
    "lightgbm+dense+lstm": ("lightgbm", "dense", "lstm"),
    "lightgbm+dense": ("lightgbm", "dense"),
    "lightgbm+tempcnn": ("lightgbm", "tempcnn"),
    "lightgbm+dense+lstm+tempcnn": ("lightgbm", "dense", "lstm", "tempcnn"),
}
Models = dict[str, dict[str, Any]]
Subject = tuple[Models, dict[str, Any], xr.Dataset]  # models with their options, balance, series
LIGHTGBM: Models = {"lightgbm": {}}
BASE = next(iter(MEMBERS))
NETWORK: dict[str, Any] = {"epochs": 15, "least_updates": 150}


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="*", default=POINTS, choices=(*POINTS, "synthetic"))
    parser.add_argument("--run", type=Path, help="folder of a finished simulated run, for 'synthetic'")
    parser.add_argument(
        "--networks", action="store_true", help="compare augmentation and the members of the ensemble too"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data = Path(os.environ.get("CROPCHECK_DATA", "../shared/data"))
    rows: list[dict[str, Any]] = []
    for name in arguments.sets:
        work = load(name, data, arguments.run)
        for what, subjects in choices(work, arguments.networks):
            rows += compared(work, what, subjects)
            if arguments.json:
                arguments.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    print(table_of(rows))


def choices(work: WorkSet, networks: bool) -> Iterator[tuple[str, dict[str, Subject]]]:
    """Yield what is compared, by name; the first of each is the base of the others."""
    parts = parts_of(work.series)
    yield "balance", {k: (LIGHTGBM, v, work.series) for k, v in BALANCES.items()}
    yield "inputs", {k: (LIGHTGBM, {}, part) for k, part in parts.items()}
    if networks:
        own = SETTINGS.get(work.name, {})
        pools = {k: {one: own.get(one, {}) for one in names} for k, names in MEMBERS.items()}
        yield "members", {k: (v, {}, work.series) for k, v in pools.items()}
        varied = {k: {"dense": {**NETWORK, "augmentation": v}} for k, v in AUGMENTATIONS.items()}
        yield "augmentation", {k: (v, {}, work.series) for k, v in varied.items()}
        yield "members_balance", {k: (pools[BASE], v, work.series) for k, v in BALANCES.items()}
        yield "members_inputs", {k: (pools[BASE], {}, v) for k, v in parts.items()}


def compared(work: WorkSet, what: str, subjects: dict[str, Subject]) -> list[dict[str, Any]]:
    """Cross-fit each subject, and score it beside the first."""
    tables = {}
    for name, (models, balance, series) in subjects.items():
        options = TrainOptions.model_validate({"models": models, "balance": balance, "threads": 1})
        folder = FOLDER / "choices" / work.name / what / ("" if what == "members" else name)
        fit = cross_fit(series, work.y.tolist(), work.folds, options, folder)
        told = fit.probabilities.filter(pl.col("model") == ENSEMBLE)
        every = pl.DataFrame({"parcel_id": work.series["parcel"].values.astype(str).tolist()})
        tables[f"{what}:{name}"] = every.join(told, on="parcel_id", how="left", maintain_order="left")
    return _scored(work, tables)


def _scored(work: WorkSet, tables: dict[str, pl.DataFrame]) -> list[dict[str, Any]]:
    """Score each table, and each but the first beside it."""
    rows, first = [], None
    for subject, table in tables.items():
        classes = table.columns[3:]
        told = table["model"].is_not_null().to_numpy()  # without a sensor, some parcels have nothing left
        codes = np.where(told, codes_of(work, classes), -1)
        values = table.select(classes).fill_null(1 / len(classes)).to_numpy()
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
