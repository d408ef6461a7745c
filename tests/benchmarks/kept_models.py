"""What keeping a season's crop models costs: macro-F1 of models fitted some steps ago, and of today's.

`uv run python -m tests.benchmarks.kept_models RUN [--fitted N ...] [--later N ...] [--models NAME ...]
[--json FILE]`

RUN is a finished run's folder (of `tests.benchmarks.fortnight`, say). Its series are cut after a step of the
calendar, as if nothing later had been seen yet, and filled; models fitted then predict the series as they are
some steps later, each parcel by the model without its fold, and so do models that are fitted anew. Scored
against the declarations; differences with intervals by redrawing holdings.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xarray as xr

from features.files import read_parquet
from features.series.gapfill import gapfill_series
from features.series.options import GapfillOptions
from features.series.parcel_series import read_series
from models.crops.fitting.crossfit import cross_fit
from models.crops.fitting.options import ExplanationOptions, TrainOptions
from models.crops.fitting.task import on_classes
from models.crops.inputs.arrays import take
from models.evaluation.metrics import Estimate, macro_f1, paired_difference, score_model
from pipelines.workspace import Workspace

SETTINGS: dict[str, dict[str, Any]] = {
    "lightgbm": {"rounds": 60, "learning_rate": 0.15, "column_share": 0.05},
    "dense": {},
}  # as conf/synthetic.yaml has them


def main() -> None:
    """Fit at some steps, predict at later ones, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--fitted", type=int, nargs="+", default=[9, 13, 17], help="steps of the calendar")
    parser.add_argument("--later", type=int, nargs="+", default=[1, 2, 3, 4, 6])
    parser.add_argument("--models", nargs="+", default=["lightgbm"], choices=SETTINGS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    region = Region(Workspace(arguments.run), arguments.models)
    rows: list[dict[str, Any]] = []
    for fitted in arguments.fitted:
        for later in arguments.later:
            if fitted + later <= region.steps:
                rows += region.compared(fitted, fitted + later)
                print(*(line(row) for row in rows[-4:]), sep="   ", flush=True)
                if arguments.json:
                    arguments.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


class Region:
    """A run's series as they were at any step, and the models that were fitted then."""

    def __init__(self, run: Workspace, models: list[str]) -> None:
        self.series = read_series(run.series)
        self.steps = self.series.sizes["time"]
        key = pl.DataFrame({"parcel_id": self.series["parcel"].values.astype(str).tolist()})
        declared = read_parquet(run.declarations, columns=["parcel_id", "crop_class"])
        for table in (declared, read_parquet(run.table("folds"))):
            key = key.join(table, on="parcel_id", how="left", maintain_order="left", validate="1:1")
        self.classes = key["crop_class"].to_list()
        self.fold = key["fold"].fill_null(-1).to_numpy()
        self.group = key["group"].fill_null(-1).to_numpy()
        self.options = TrainOptions(
            models={name: SETTINGS[name] for name in models},
            explanation=ExplanationOptions(permutation=False, forest_trees=0),
        )
        self._predicted: dict[tuple[int, int], np.ndarray] = {}
        self._models: dict[int, Any] = {}
        self.names: tuple[str, ...] = ()

    def at(self, step: int) -> xr.Dataset:
        """Return the filled series as they were when `step` steps had been seen."""
        later = np.arange(self.steps) >= step
        seen = self.series["observed"] & ~xr.DataArray(later, dims="time")
        value = self.series["value"].where(seen)
        return gapfill_series(self.series.assign(observed=seen, value=value), GapfillOptions())

    def predicted(self, fitted: int, now: int) -> np.ndarray:
        """Return `(parcel,)` the classes, by number, that models fitted at one step see at another."""
        if fitted not in self._models:
            found = cross_fit(self.at(fitted), self.classes, self.fold, self.options)
            self._models[fitted] = found.models
            self.names = tuple(found.classes.filter("trained")["crop_class"].to_list())
        if (fitted, now) not in self._predicted:
            series = self.at(now)
            total = np.zeros((len(self.fold), len(self.names)))
            for by_fold in self._models[fitted].values():
                for k, model in by_fold.items():
                    rows = np.flatnonzero(self.fold == k)
                    values = model.predict_proba(take(series, rows))
                    total[rows] += on_classes(values, model.classes_, self.names)
            self._predicted[fitted, now] = total
        return self._predicted[fitted, now]

    def compared(self, fitted: int, now: int) -> list[dict[str, Any]]:
        """Return macro-F1 of kept and of new models, their difference, and the loss of agreement with the
        declarations that the rule of `train.keep` looks at.
        """
        kept, anew = self.predicted(fitted, now), self.predicted(now, now)
        before = self.predicted(fitted, fitted)
        code = {name: number for number, name in enumerate(self.names)}
        truth = np.array([code.get(name or "", -1) for name in self.classes])
        truth = np.where(self.fold >= 0, truth, -1)
        rng = np.random.default_rng
        found = {
            "macro_f1_kept": score_model(kept, truth, self.group, rng(0))["macro_f1"],
            "macro_f1_anew": score_model(anew, truth, self.group, rng(0))["macro_f1"],
            "macro_f1_lost": paired_difference(
                anew.argmax(1), kept.argmax(1), truth, self.group, rng(0), metric=macro_f1
            ),
        }
        known = truth >= 0
        fell = float((before.argmax(1) == truth)[known].mean() - (kept.argmax(1) == truth)[known].mean())
        found["agreement_fell"] = Estimate(fell, np.nan, np.nan, int(known.sum()))
        subject = "+".join(self.options.models)
        common = {"work": f"fitted_{fitted:02d}_now_{now:02d}", "subject": subject, "unit": "1"}
        return [{**common, "metric": name, **estimate.to_dict()} for name, estimate in found.items()]


def line(row: dict[str, Any]) -> str:
    """Return a row as it is printed."""
    interval = "" if row["low"] is None else f" [{row['low']:.4f}, {row['high']:.4f}]"
    return f"{row['work']} {row['metric']} {row['value']:.4f}{interval}"


if __name__ == "__main__":
    main()
