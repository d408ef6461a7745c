"""Ridge classifiers on the standardised season, with or without random convolutions."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from features.errors import ModelError
from features.files import atomic_path
from models.crops.estimators.estimator import Arrays, CropEstimator
from models.crops.estimators.kernels import Kernels
from models.crops.estimators.leave_one_out import RidgeFit, fit_ridge
from models.crops.estimators.options import RidgeOptions, RocketOptions
from models.crops.inputs.arrays import season_days, values_of
from models.crops.inputs.scaling import Scaler
from models.crops.inputs.table import SUMMARIES, summarise

WEIGHTS = "ridge.npz"
LARGEST = 6.0  # standard deviations


class RidgeClassifier(CropEstimator):
    """Linear, with its penalty and temperature by leave-one-out."""

    name = "ridge"
    options_type = RidgeOptions

    def _fit(self, series: xr.Dataset, codes: np.ndarray, weight: np.ndarray) -> None:
        options: RidgeOptions = self.settings
        self.scaler_ = Scaler.fitted(series)
        values = self._values(series)
        rng = np.random.default_rng(options.seed)
        self.kernels_ = Kernels.drawn(values, options.kernels, options.levels, rng)
        table = self._raw(series)
        self.mean_ = np.nan_to_num(np.nanmean(np.where(np.isfinite(table).any(0), table, 0), axis=0))
        deviation = np.nan_to_num(np.sqrt(np.nanmean((table - self.mean_) ** 2, axis=0)))
        self.scale_ = np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0).astype(np.float32)
        self.ridge_ = fit_ridge(self._standard(table), codes, len(self.classes_), weight)

    def _values(self, series: xr.Dataset) -> np.ndarray:
        return self.scaler_.assemble(self.scaler_.tensors(series))

    def _raw(self, series: xr.Dataset) -> np.ndarray:
        """Return `(n, column)`, NaN where unknown: the season, its convolutions, its summaries, context."""
        values = self._values(series)
        parts = [values.reshape(len(values), -1), self.kernels_.transform(values)]
        if self.settings.summaries:
            found = summarise(values_of(series), season_days(series["time"].values))
            parts.append(found[..., list(self.scaler_.channels)].reshape(len(values), -1))
        return np.concatenate([*parts, self.scaler_.tensors(series).context], axis=1)

    def _standard(self, table: np.ndarray) -> np.ndarray:
        scaled = (table - self.mean_) * self.scale_
        return np.clip(np.where(np.isfinite(scaled), scaled, 0), -LARGEST, LARGEST).astype(np.float32)

    def _scores(self, series: xr.Dataset) -> np.ndarray:
        return self.ridge_.probabilities(self._standard(self._raw(series)))

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            "mean": self.mean_,
            "scale": self.scale_,
            "coefficients": self.ridge_.coefficients,
            "intercept": self.ridge_.intercept,
            "fit": np.array([self.ridge_.temperature, self.ridge_.penalty]),
        }

    def _write(self, folder: Path) -> list[Path]:
        arrays: dict[str, Any] = self._arrays()
        with atomic_path(folder / WEIGHTS) as partial:
            np.savez(partial, **arrays)
        return [folder / WEIGHTS]

    def _state(self) -> dict[str, Any]:
        return {"scaler": self.scaler_.as_json(), "kernels": self.kernels_.as_json()}

    def _read(self, folder: Path, state: dict[str, Any], arrays: Mapping[str, Arrays]) -> None:
        steps = len(self.layout_.days)
        self.scaler_ = Scaler.from_json(state["scaler"], self.layout_)
        self.kernels_ = Kernels.from_json(state["kernels"], steps, self.scaler_.width)
        found = arrays[WEIGHTS]
        summaries = len(SUMMARIES) * len(self.scaler_.channels) if self.settings.summaries else 0
        columns = (
            steps * self.scaler_.width + self.kernels_.columns + summaries + 2 * len(self.layout_.context)
        )
        _check_shapes(found, columns, len(self.classes_))
        self.mean_, self.scale_ = found["mean"], found["scale"]
        temperature, penalty = map(float, found["fit"])
        if temperature <= 0:
            raise ModelError(f"{folder} has a temperature of {temperature}; it must be above 0. Train again.")
        self.ridge_ = RidgeFit(found["coefficients"], found["intercept"], temperature, penalty)

    def _weights_digest(self) -> str:
        digest = hashlib.sha256(repr((self.scaler_, self.kernels_)).encode())
        for value in self._arrays().values():
            digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()


def _check_shapes(found: Arrays, columns: int, classes: int) -> None:
    wanted = {
        "mean": (columns,), "scale": (columns,), "coefficients": (columns, classes), "intercept": (classes,),
        "fit": (2,),
    }  # fmt: skip
    other = [name for name, shape in wanted.items() if found[name].shape != shape]
    if other:
        raise ValueError(f"{other[0]} has the shape {found[other[0]].shape}, not {wanted[other[0]]}")


class RocketClassifier(RidgeClassifier):
    """Shapes through the season by many random convolutions."""

    name = "rocket"
    options_type = RocketOptions
