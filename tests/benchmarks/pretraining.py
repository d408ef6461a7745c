"""Labels from elsewhere: how many a region needs, with networks trained from nothing and trained further.

`CROPCHECK_DATA=DIR uv run python -m tests.benchmarks.pretraining [--runs cool=DIR mild=DIR warm=DIR]
[--targets …] [--models …] [--sizes 20 50 …] [--seeds 0 1 …] [--tuning '{"epochs": 10}'] [--json FILE]`.

One region after the other is the target. Networks are trained on some of its labelled parcels alone, and
trained further on them from models of the other regions: of all, and of each. Regions are three sets of real
points (Corsica 2022, Flanders 2021, East Africa 2017; twelve months to November), or finished runs of
simulated regions. A parcel is predicted by models of the other folds (blocks, or holdings), from which the
labels are drawn at random: the same for all ways of one seed. Weather, soil and elevation are left out: they
are nearly the same for all parcels of a region. Macro-F1 over all parcels of the target whose class has ten,
all seeds together; 95% intervals by bootstrap over blocks or holdings, those of differences paired. They hold
for the labels and first weights that were drawn.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from models.backend import bring_up
from models.crops.estimators.by_name import FAMILIES, build
from models.crops.estimators.estimator import CropEstimator
from models.crops.estimators.networks import compiled
from models.crops.estimators.options import TuneFurther
from models.crops.inputs.arrays import CONTEXT, take
from models.evaluation.metrics import (
    Estimate,
    confusion,
    estimate,
    macro_f1,
    multiplicities,
    paired_difference,
    resampled_confusions,
)
from tests.benchmarks.data.crop_sets import LEAST, WorkSet, load, synthetic

POINTS = {"corsica": "france_2022", "flanders": "flanders_2021", "east_africa": "east_africa"}
# what is not grown in a simulated region of that name, so that regions do not share all classes
ABSENT = {"cool": ("maize", "sunflower"), "warm": ("winter_rye", "oats", "sugar_beet")}
SIZES = (20, 50, 100, 200)
NOTHING, EVERYWHERE = "nothing", "all others"  # what training starts from
Key = tuple[str, str, int]  # model, what it starts from, labels in the target; 0: all


def main() -> None:
    """Train, score and print; write after every target."""
    arguments = _arguments()
    bring_up()
    compiled.MOST_KINDS = 64  # graphs differ by the number of classes that were drawn
    regions = dict(_regions(arguments))
    tuning = TuneFurther.model_validate(arguments.tuning)
    rows: list[dict[str, Any]] = []
    for target in arguments.targets or regions:
        found: dict[Key, list[np.ndarray]] = {}
        started = time.perf_counter()
        for seed in arguments.seeds:
            for key, predicted in predictions(target, regions, arguments, tuning, seed):
                found.setdefault(key, []).append(predicted)
        rows += scored(target, regions[target], found)
        print(table_of([row for row in rows if row["target"] == target]))
        print(f"{target}: {time.perf_counter() - started:.0f} s", flush=True)
        if arguments.json:
            about = {name: _about(region) for name, region in regions.items()}
            note = {"regions": about, "seeds": arguments.seeds, "tuning": tuning.model_dump()}
            arguments.json.write_text(json.dumps({**note, "rows": rows}, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", nargs="*", default=[], metavar="NAME=DIR", help="of simulated regions")
    parser.add_argument("--targets", nargs="*")
    parser.add_argument("--models", nargs="*", default=["tempcnn", "dense", "lightgbm"])
    parser.add_argument("--starts", nargs="*", help=f"names of regions, '{EVERYWHERE}' or '{NOTHING}'")
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--tuning", type=json.loads, default={}, help="train.transfer.tuning, as JSON")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _regions(arguments: argparse.Namespace) -> Iterator[tuple[str, WorkSet]]:
    data = Path(os.environ.get("CROPCHECK_DATA", "../shared/data"))
    if not arguments.runs:
        for name, stored in POINTS.items():
            work = load(stored, data, None)
            yield name, _usable(work, year_to_november(work.series))
    for name, folder in (of.split("=", 1) for of in arguments.runs):
        work = synthetic(Path(folder))
        yield name, _usable(work, work.series, ABSENT.get(name, ()))


def year_to_november(series: xr.Dataset) -> xr.Dataset:
    """Return twelve months that end with the last November, dated alike whatever the year."""
    last = np.flatnonzero(series["time"].dt.month.values == 11)[-1]
    months = np.datetime64("2021-12", "M") + np.arange(12)
    chosen = series.isel(time=slice(last - 11, last + 1))
    return chosen.assign_coords(time=months.astype("datetime64[ns]"))


def _usable(work: WorkSet, series: xr.Dataset, absent: Sequence[str] = ()) -> WorkSet:
    """Leave out context, classes that are rare or absent, and parcels without a fold."""
    names = [name for name in sorted(series["feature"].values) if not name.startswith("weather_")]
    classes, counts = np.unique(work.y[work.y != ""], return_counts=True)
    kept = set(classes[counts >= LEAST].tolist()) - set(absent)
    rows = np.flatnonzero(np.isin(work.y, list(kept)) & np.isin(work.truth, list(kept)) & (work.folds >= 0))
    slim = take(
        series.drop_vars([CONTEXT, "variable", "degree_days"], errors="ignore").sel(feature=names), rows
    )
    return WorkSet(
        work.name, slim, work.y[rows], work.truth[rows], work.folds[rows], work.groups[rows], work.note
    )


def _about(work: WorkSet) -> dict[str, Any]:
    classes, counts = np.unique(work.truth, return_counts=True)
    return {"parcels": dict(zip(classes.tolist(), counts.tolist(), strict=True)), "note": work.note}


def predictions(
    target: str, regions: dict[str, WorkSet], arguments: argparse.Namespace, tuning: TuneFurther, seed: int
) -> Iterator[tuple[Key, np.ndarray]]:
    """Yield what each way predicts for the target's parcels, as names."""
    work, others = regions[target], [name for name in regions if name != target]
    sources = {NOTHING: [], EVERYWHERE: others, **{name: [name] for name in others}}
    for name in arguments.models:
        for start, of in sources.items():
            left_out = arguments.starts and start not in arguments.starts
            if left_out or (of and name in FAMILIES):
                continue
            first = _fitted(name, seed, [regions[source] for source in of]) if of else None
            for size in [*(n for n in arguments.sizes if n < 0.75 * len(work.y)), 0]:
                yield (name, start, size), _out_of_fold(work, name, first, size, tuning, seed)


def _fitted(name: str, seed: int, works: list[WorkSet]) -> CropEstimator:
    together = xr.concat([work.series for work in works], "parcel", join="exact", coords="minimal")
    return build(name, seed=seed, threads=1).fit(together, np.concatenate([work.y for work in works]))


def _out_of_fold(
    work: WorkSet, name: str, first: CropEstimator | None, size: int, tuning: TuneFurther, seed: int
) -> np.ndarray:
    found = np.full(len(work.y), "", dtype=object)
    for fold in np.unique(work.folds):
        pool = np.flatnonzero(work.folds != fold)
        drawn = np.random.default_rng([seed, int(fold)]).permutation(pool)
        rows = np.sort(drawn[: size or None])
        series, y = take(work.series, rows), work.y[rows]
        if first is None:
            model = build(name, seed=seed, threads=1).fit(series, y)
        else:
            model = deepcopy(first).tune_further(series, y, options=tuning)
        held = np.flatnonzero(work.folds == fold)
        found[held] = model.predict(take(work.series, held))
    return found.astype(str)


def scored(target: str, work: WorkSet, found: dict[Key, list[np.ndarray]]) -> list[dict[str, Any]]:
    """Return one row a way: its macro-F1, and what it is above the same network trained from nothing."""
    classes = np.unique(work.truth)
    place = {name: code for code, name in enumerate(classes)}
    rows = []
    for (name, start, size), runs in found.items():
        truth = np.tile(np.searchsorted(classes, work.truth), len(runs))
        groups = np.tile(work.groups, len(runs))
        codes = _codes(runs, place)
        row = {"target": target, "model": name, "start": start, "labels": size or "all"}
        row["by_seed"] = [float(macro_f1(_matrix(_codes([run], place), truth, place))) for run in runs]
        row["seen_as_not_grown_here"] = float(np.mean(codes == len(place)))
        row["macro_f1"] = _score(codes, truth, groups, place).to_dict()
        beside = found.get((name, NOTHING, size))
        if start != NOTHING and beside:
            own = _codes(beside, place)
            rng = np.random.default_rng(0)
            row["above_nothing"] = paired_difference(codes, own, truth, groups, rng).to_dict()
        rows.append(row)
    every = round(np.mean([(work.folds != fold).sum() for fold in np.unique(work.folds)]))
    for row in rows:
        if "above_nothing" in row:
            row["worth_labels"] = worth(row, rows, every)
    return rows


def worth(row: dict[str, Any], rows: list[dict[str, Any]], every: int) -> int | str:
    """Return how many labels the same network needs from nothing for that macro-F1: between sizes, by the
    logarithm of their number; `every` is that of all.
    """
    curve = [of for of in rows if (of["model"], of["start"]) == (row["model"], NOTHING)]
    labels = np.array([every if of["labels"] == "all" else of["labels"] for of in curve], float)
    reached = np.maximum.accumulate([of["macro_f1"]["value"] for of in curve])
    wanted = row["macro_f1"]["value"]
    if wanted > reached[-1]:
        return f"more than {every}"
    if wanted < reached[0]:
        return f"fewer than {labels[0]:.0f}"
    return round(float(np.exp(np.interp(wanted, reached, np.log(labels)))))


def _codes(runs: list[np.ndarray], place: dict[str, int]) -> np.ndarray:
    """Return class numbers; a class that the target has none of is one more."""
    return np.array([place.get(name, len(place)) for run in runs for name in run])


def _matrix(codes: np.ndarray, truth: np.ndarray, place: dict[str, int]) -> np.ndarray:
    return confusion(truth[: len(codes)], codes, len(place) + 1)


def _score(codes: np.ndarray, truth: np.ndarray, groups: np.ndarray, place: dict[str, int]) -> Estimate:
    drawn = multiplicities(groups, np.random.default_rng(0))
    resampled = resampled_confusions(truth, codes, groups, len(place) + 1, drawn)
    return estimate(float(macro_f1(_matrix(codes, truth, place))), macro_f1(resampled), len(codes))


def table_of(rows: list[dict[str, Any]]) -> str:
    """Return a line a way: macro-F1, the difference to training from nothing, and labels that it is worth."""
    lines = []
    for row in rows:
        parts = [row["target"], row["model"], row["start"], str(row["labels"])]
        for name in ("macro_f1", "above_nothing"):
            if name in row:
                of = row[name]
                parts.append(f"{of['value']:.3f} [{of['low']:.3f}, {of['high']:.3f}]")
        lines.append("\t".join([*parts, str(row.get("worth_labels", ""))]))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
