"""Forests on the wide table, gaps filled with the training median: the baseline, and a more random one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
import xarray as xr

from features.errors import ModelError
from models.crops.estimators.estimator import Arrays, CropEstimator
from models.crops.estimators.options import ExtraTreesOptions, ForestOptions
from models.crops.inputs.table import wide_table


class ForestClassifier(CropEstimator):
    """scikit-learn's forest; it has no format without pickle, so it is refitted, never stored."""

    name = "forest"
    options_type = ForestOptions
    storable = False

    def _fit(self, series: xr.Dataset, codes: np.ndarray, weight: np.ndarray) -> None:
        table = wide_table(series, self.settings.summaries)
        known = np.isfinite(table)
        self.median_ = np.array(
            [np.median(c[k]) if k.any() else 0.0 for c, k in zip(table.T, known.T, strict=True)]
        )
        self.forest_ = self._grower()(
            self.settings.trees,
            min_samples_leaf=self.settings.leaf_parcels,
            max_features=self.settings.column_share or "sqrt",
            n_jobs=self.settings.threads,
            random_state=self.settings.seed,
        )
        self.forest_.fit(self._filled(table), codes, weight)

    def _grower(self) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier

    def _filled(self, table: np.ndarray) -> np.ndarray:
        return np.where(np.isfinite(table), table, self.median_.astype(np.float32))

    def filled_table(self, series: xr.Dataset) -> np.ndarray:
        """Return the wide table that the trees see, medians in its gaps, `(n, column)`."""
        return self._filled(wide_table(series, self.settings.summaries))

    def _scores(self, series: xr.Dataset) -> np.ndarray:
        return np.asarray(self.forest_.predict_proba(self.filled_table(series)))

    def _write(self, folder: Path) -> list[Path]:
        return []

    @classmethod
    def load(cls, folder: Path, expected: str | None = None) -> Self:
        """Refuse: a forest is refitted from its recipe, never stored."""
        raise ModelError(
            f"{folder} holds the recipe of a forest, which is refitted and never stored; train it anew."
        )

    def _read(self, folder: Path, state: dict[str, Any], arrays: Mapping[str, Arrays]) -> NoReturn:
        raise NotImplementedError

    def _weights_digest(self) -> str:
        return f"seed {self.settings.seed}"


class ExtraTreesClassifier(ForestClassifier):
    """The same with random split points: smoother, and less sensitive to wrong labels."""

    name = "extratrees"
    options_type = ExtraTreesOptions

    def _grower(self) -> Any:
        from sklearn.ensemble import ExtraTreesClassifier

        return ExtraTreesClassifier
