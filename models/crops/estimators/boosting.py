"""Gradient boosting (LightGBM) on the wide table; a missing value goes where the split sends it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from features.files import write_text
from models.booster_file import booster_text, parse_booster
from models.booster_text import BoosterShape
from models.crops.estimators.estimator import Arrays, CropEstimator
from models.crops.estimators.options import LightgbmOptions
from models.crops.inputs.table import columns_of, wide_table

WEIGHTS = "booster.txt"


class LightgbmClassifier(CropEstimator):
    """LightGBM over every channel and date of a ParcelSeries."""

    name = "lightgbm"
    options_type = LightgbmOptions

    def parameters(self, n_classes: int, n_columns: int) -> dict[str, Any]:
        """Return LightGBM's own parameters for these options and a table of so many columns."""
        options: LightgbmOptions = self.settings
        share = min(max(options.column_share, options.least_columns / n_columns), 1.0)
        return {
            "objective": "multiclass", "num_class": n_classes, "num_threads": options.threads,
            "learning_rate": options.learning_rate, "num_leaves": options.leaves,
            "feature_fraction": share, "max_bin": options.bins,
            "bagging_fraction": options.row_share, "bagging_freq": int(options.row_share < 1),
            "min_data_in_leaf": options.leaf_parcels, "lambda_l2": options.l2,
            "path_smooth": options.path_smoothing, "seed": options.seed, "deterministic": True,
            "force_col_wise": True, "verbosity": -1, "extra_trees": options.extra_random,
        }  # fmt: skip

    def _fit(self, series: xr.Dataset, codes: np.ndarray, weight: np.ndarray) -> None:
        import lightgbm

        table = wide_table(series, self.settings.summaries)
        parameters = self.parameters(len(self.classes_), table.shape[1])
        data = lightgbm.Dataset(table, codes, weight=weight, params=parameters, free_raw_data=True)
        self.booster_ = lightgbm.train(parameters, data, num_boost_round=self.settings.rounds)

    def _scores(self, series: xr.Dataset) -> np.ndarray:
        table = wide_table(series, self.settings.summaries)
        return np.asarray(self.booster_.predict(table, num_threads=self.settings.threads))

    def _write(self, folder: Path) -> list[Path]:
        return [write_text(folder / WEIGHTS, self.text())]

    def _read(self, folder: Path, state: dict[str, Any], arrays: Mapping[str, Arrays]) -> None:
        classes, options = len(self.classes_), self.settings
        shape = BoosterShape(
            objective=f"multiclass num_class:{classes}",
            columns=len(columns_of(self.layout_, options.summaries)),
            classes=classes,
            most_leaves=options.leaves,
            most_trees=options.rounds * classes,
        )
        self.booster_ = parse_booster(folder / WEIGHTS, shape)

    def text(self) -> str:
        """Return the booster as LightGBM's own text, without the threads it was fitted with."""
        booster, text = getattr(self, "_text", (None, ""))
        if booster is not self.booster_:  # a large model takes a third of a second to write
            text = booster_text(self.booster_)
            self._text = (self.booster_, text)
        return text

    def _weights_digest(self) -> str:
        return hashlib.sha256(self.text().encode()).hexdigest()
