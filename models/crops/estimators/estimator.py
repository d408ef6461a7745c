"""Base of the crop estimators: fitted on a ParcelSeries, saved and loaded without pickle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from sklearn.base import BaseEstimator, ClassifierMixin

from features.errors import ModelError
from features.files import fingerprint, sha256, write_json
from features.messages.listed import listed
from models.arrays_file import describe_arrays, read_arrays, read_recipe_json
from models.crops.estimators.options import RECIPE, EstimatorOptions, TuneFurther
from models.crops.inputs.arrays import Layout, conform, layout_of
from models.noted_hash import refuse_other_hash

MOST_CLASSES = 10_000
Arrays = dict[str, np.ndarray]


class CropEstimator(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Base of the crop estimators; subclasses fill `_fit`, `_scores`, `_write` and `_read`.

    Parameters
    ----------
    options
        The estimator's own options; None for its defaults.
    """

    name: ClassVar[str]
    options_type: ClassVar[type[EstimatorOptions]]
    storable: ClassVar[bool] = True
    tunable: ClassVar[bool] = False  # whether a fitted one can be trained further
    batch: ClassVar[int] = 1  # parcels that are predicted together

    def __init__(self, options: EstimatorOptions | None = None) -> None:
        self.options = options

    @property
    def settings(self) -> Any:
        """The options, or their defaults."""
        return self.options_type() if self.options is None else self.options

    def fit(self, series: xr.Dataset, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Self:
        """Fit on `n` parcels.

        Parameters
        ----------
        y
            `(n,)` class names.
        sample_weight
            `(n,)` non-negative; a parcel of weight 0 has no influence. All ones when omitted.

        Raises
        ------
        ModelError
            With fewer than two classes, or lengths that differ.
        """
        y = np.asarray(y, dtype=str)
        weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, float)
        self._check(series, y, weight)
        keep = weight > 0
        self.layout_: Layout = layout_of(series)
        self.classes_, codes = np.unique(y[keep], return_inverse=True)
        if len(self.classes_) < 2:
            raise ModelError(
                f"{self.name} needs at least two classes; it was given {listed(self.classes_.tolist())}."
            )
        self._fit(series if keep.all() else series.isel(parcel=np.flatnonzero(keep)), codes, weight[keep])
        return self

    def tune_further(
        self,
        series: xr.Dataset,
        y: np.ndarray,
        sample_weight: np.ndarray | None = None,
        options: TuneFurther | None = None,
    ) -> Self:
        """Continue training from the present weights on `n` other parcels, `y (n)`, of the same layout;
        parameters as in `fit`. Classes that it does not know yet are added to those that it knows.

        Raises
        ------
        ModelError
            Where the estimator cannot, or the series does not fit.
        """
        if not self.tunable:
            raise ModelError(f"{self.name} cannot be trained further; fit it anew.")
        y = np.asarray(y, dtype=str)
        weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, float)
        self._check(series, y, weight)
        keep = np.flatnonzero(weight > 0)
        fitting = conform(series, self.layout_).isel(parcel=keep)
        known, self.classes_ = self.classes_, np.union1d(self.classes_, y[keep])
        codes = np.searchsorted(self.classes_, y[keep])
        self._tune(fitting, codes, weight[keep], options or TuneFurther(), known)
        return self

    def predict_proba(self, series: xr.Dataset) -> np.ndarray:
        """Return `(n, k)` float64 probabilities in the order of `classes_`; rows sum to 1."""
        if not hasattr(self, "classes_"):
            raise ModelError(f"{self.name} has not been fitted yet.")
        series = conform(series, self.layout_)
        if not series.sizes["parcel"]:
            return np.empty((0, len(self.classes_)))
        scores = self._scores(series)
        return np.asarray(scores / scores.sum(1, keepdims=True))

    def predict(self, series: xr.Dataset) -> np.ndarray:
        """Return `(n,)` names of the most probable class."""
        return np.asarray(self.classes_[self.predict_proba(series).argmax(1)])

    def save(self, folder: Path) -> Path:
        """Write weights, and `recipe.json` with their SHA-256, into `folder`; return the recipe's path."""
        folder.mkdir(parents=True, exist_ok=True)
        files = self._write(folder)
        recipe = {
            "estimator": self.name,
            "options": self.settings.model_dump(mode="json"),
            "classes": self.classes_.tolist(),
            "layout": self.layout_.as_json(),
            "sha256": {path.name: sha256(path) for path in files},
            "arrays": {path.name: describe_arrays(path) for path in files if path.suffix == ".npz"},
            "state": self._state(),
        }
        return write_json(folder / RECIPE, recipe)

    @classmethod
    def load(cls, folder: Path, expected: str | None = None) -> Self:
        """Read what `save` wrote.

        Parameters
        ----------
        expected
            SHA-256 of `recipe.json` from the run's manifest; checked before it is parsed.

        Raises
        ------
        ModelError
            Where a file is missing, a hash does not match (nothing is parsed then), the recipe is of another
            estimator or beyond the limits, or the weights are not what the recipe says of them.
        """
        recipe = read_recipe(folder, expected)
        try:
            if recipe["estimator"] != cls.name:
                raise ModelError(f"{folder} holds a {recipe['estimator']}, not a {cls.name}.")
            model = cls(cls.options_type.model_validate(recipe["options"]))
            model.classes_ = np.asarray(_checked_classes(recipe["classes"]), dtype=str)
            model.layout_ = Layout.from_json(recipe["layout"])
            arrays = {name: read_arrays(folder / name, noted) for name, noted in recipe["arrays"].items()}
            model._read(folder, recipe["state"], arrays)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ModelError(
                f"{folder / RECIPE} cannot be used ({error}); copy the bundle anew, or train again."
            ) from error
        return model

    def digest(self) -> str:
        """Return a hash of options, classes, layout and weights: equal for equal models."""
        return fingerprint([self.name, self.settings.model_dump(mode="json"), self.classes_.tolist(),
                            self.layout_.as_json(), self._weights_digest()])  # fmt: skip

    def _check(self, series: xr.Dataset, y: np.ndarray, weight: np.ndarray) -> None:
        if not series.sizes["parcel"] == len(y) == len(weight):
            raise ModelError(
                f"{self.name} was given {series.sizes['parcel']} parcels, {len(y)} classes "
                f"and {len(weight)} weights."
            )
        if (weight < 0).any() or not np.isfinite(weight).all():
            raise ModelError(f"{self.name} was given sample weights that are negative or not finite.")

    def _fit(self, series: xr.Dataset, codes: np.ndarray, weight: np.ndarray) -> None:
        raise NotImplementedError

    def _tune(
        self,
        series: xr.Dataset,
        codes: np.ndarray,
        weight: np.ndarray,
        options: TuneFurther,
        known: np.ndarray,
    ) -> None:
        """Train further on `codes (n,)` of `classes_`, which are those `known` before and new ones."""
        raise NotImplementedError

    def _scores(self, series: xr.Dataset) -> np.ndarray:
        raise NotImplementedError

    def _write(self, folder: Path) -> list[Path]:
        raise NotImplementedError

    def _read(self, folder: Path, state: dict[str, Any], arrays: Mapping[str, Arrays]) -> None:
        """Take over the state and, by file, the arrays, which are those that were saved."""
        raise NotImplementedError

    def _state(self) -> dict[str, Any]:
        return {}

    def _weights_digest(self) -> str:
        raise NotImplementedError


def read_recipe(folder: Path, expected: str | None = None) -> dict[str, Any]:
    """Read a bundle's recipe after checking its own hash and then those of the files it names.

    Raises
    ------
    ModelError
        Where a file is missing, a hash differs, or a name would leave the folder.
    """
    path = folder / RECIPE
    if not path.is_file():
        raise ModelError(
            f"{folder} is not a model bundle: it has no {RECIPE}. Run the train stage to make one."
        )
    refuse_other_hash(path, expected)
    recipe = read_recipe_json(path)
    try:
        hashes = dict(recipe["sha256"])
        if any(name not in hashes for name in recipe["arrays"]):
            raise ValueError("arrays of a file that it has no hash of")
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} cannot be read as a recipe ({error}); copy the bundle anew.") from error
    for name, digest in hashes.items():
        if Path(name).name != name or not (folder / name).is_file():
            raise ModelError(
                f"{path} names {name!r}, which is not a file of the bundle; copy the bundle anew."
            )
        refuse_other_hash(folder / name, digest)
    return recipe


def _checked_classes(classes: Any) -> list[str]:
    named = isinstance(classes, list) and all(isinstance(name, str) and name for name in classes)
    if not named or not 2 <= len(classes) <= MOST_CLASSES or len(set(classes)) != len(classes):
        raise ValueError(f"its classes are not 2 to {MOST_CLASSES} different names")
    return list(classes)
