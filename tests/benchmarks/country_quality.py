"""What it costs to learn from a sample: macro-F1 by size of the sample, on a generated country.

`uv run python -m tests.benchmarks.country_quality [--parcels N] [--samples N ...] [--folder F]
[--set KEY=VALUE] [--json FILE]`

The country is that of `tests.benchmarks.country`, up to its filled series. Then the train stage runs once for
each size, in a process of its own, and every parcel is predicted out of fold. Scored against what was
declared, of which 2% is wrong; differences are to the largest sample, on the same parcels, with intervals by
redrawing holdings. Of each class a twenty-fifth of the sample's size is taken at least, as by default (2,000
of 50,000).
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.schema import ENSEMBLE
from models.evaluation.metrics import macro_f1, paired_difference, score_model
from tests.benchmarks.country import STAGES, measured, write_country

RARE_OF = 25
BEFORE = STAGES[: STAGES.index("train")]


def main() -> None:
    """Make the country, train on each sample, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parcels", type=int, default=20_000)
    parser.add_argument("--samples", type=int, nargs="+", default=[1_000, 2_500, 5_000, 10_000, 20_000])
    parser.add_argument(
        "--rare-of", type=int, default=RARE_OF, help="the sample's size by the least of a class"
    )
    parser.add_argument("--folder", type=Path, default=Path("out/country"))
    parser.add_argument("--set", action="append", default=[], help="as `cropcheck run` takes it")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    config, run = write_country(folder, arguments.parcels), folder / "run"
    for stage in BEFORE:
        measured(stage, config, run, [], arguments.parcels)
    rows: list[dict[str, Any]] = []
    best: np.ndarray | None = None
    for size in sorted(arguments.samples, reverse=True):
        sample = f"train.sample={{size: {size}, rare: {max(size // arguments.rare_of, 10)}}}"
        settings = [*arguments.set, sample, "train.keep.models=false"]
        cost = measured("train", config, run, settings, arguments.parcels)
        found, predicted = scored(run, size, best)
        best = predicted if best is None else best
        rows += found + [row | {"subject": f"sample_{size}"} for row in cost]
        print(*(_line(row) for row in [*found, *rows[-len(cost) :]]), sep="   ", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


def scored(run: Path, size: int, best: np.ndarray | None) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Return rows of macro-F1, of its difference to what `best (parcel,)` predicted, and of the parcels that
    were learned from; and the predictions.
    """
    table = pl.read_parquet(run / "probabilities.parquet").filter(pl.col("model") == ENSEMBLE)
    declared = pl.read_parquet(
        run / "declarations.parquet", columns=["parcel_id", "holding_id", "crop_class"]
    )
    table = table.join(declared, on="parcel_id", how="left", maintain_order="left").filter(
        pl.col("fold") >= 0
    )
    classes = [name for name in table.columns[3:] if name not in declared.columns]
    values = table.select(classes).to_numpy()
    code = {name: number for number, name in enumerate(classes)}
    truth = np.array([code[name] for name in table["crop_class"]])
    holdings = table["holding_id"].rank("dense").to_numpy().astype(int)
    score = score_model(values, truth, holdings, np.random.default_rng(0))["macro_f1"]
    predicted = values.argmax(1)
    found = {"macro_f1": score}
    if best is not None:
        found["macro_f1_above_largest"] = paired_difference(
            predicted, best, truth, holdings, np.random.default_rng(0), metric=macro_f1
        )
    common = {"work": "series_1m", "subject": f"sample_{size}", "unit": "1"}
    rows = [{**common, "metric": name, **estimate.to_dict()} for name, estimate in found.items()]
    receipt = json.loads((run / "receipts" / "train.json").read_text(encoding="utf-8"))
    learned = {"metric": "trained_on", "value": receipt["facts"]["trained_on"], "low": None, "high": None}
    return [*rows, {**common, **learned, "n": len(truth)}], predicted


def _line(row: dict[str, Any]) -> str:
    interval = "" if row["low"] is None else f" [{row['low']:.4f}, {row['high']:.4f}]"
    return f"{row['subject']} {row['metric']} {row['value']:.4f}{interval} {row['unit']}"


if __name__ == "__main__":
    main()
