"""A run's fitted models as a bundle that another season or region can load, use, or train further."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from features.errors import ModelError
from features.files import fingerprint, sha256, write_json
from models.arrays_file import read_recipe_json
from models.crops.estimators.by_name import estimator_type
from models.crops.estimators.options import RECIPE
from models.crops.fitting.combination import combine
from models.crops.fitting.options import TrainOptions
from models.crops.inputs.ranges import QUANTILES, Range
from models.noted_hash import hash_in_manifest, refuse_other_hash
from models.probability.calibration import Calibrator, calibrator_from, fit_calibrator

if TYPE_CHECKING:
    from models.crops.estimators.estimator import CropEstimator

BUNDLE = "bundle.json"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Bundle:
    """What `write_bundle` wrote.

    Attributes
    ----------
    folder
        Holds `bundle.json` and each model's own folder, `<model>/fold_<k>`.
    classes
        Names of the models' classes, in order.
    models
        Options of each model by its name, as `TrainOptions.models` has them.
    recipes
        SHA-256 of each model's recipe, by name and fold.
    weights
        Of the ensemble, by fold and name.
    calibrator
        Of the ensemble's probabilities, fitted out of fold.
    sets
        What is to be said of public sets that the models were trained on: title, licence, citation.
    ranges
        How the values of each feature were spread that the models learned from, as
        `models.crops.inputs.ranges` has it; empty where the bundle does not say.
    digest
        Hash of the above: equal for equal bundles.
    """

    folder: Path
    classes: tuple[str, ...]
    models: dict[str, dict[str, Any]]
    recipes: dict[str, dict[int, str]]
    weights: dict[int, dict[str, float]]
    calibrator: Calibrator
    digest: str
    sets: tuple[dict[str, Any], ...] = ()
    ranges: dict[str, Range] = field(default_factory=dict)

    def estimator(self, name: str, fold: int) -> "CropEstimator":
        """Load the model that was fitted without `fold`; folds beyond those of the bundle begin anew."""
        folds = sorted(self.recipes[name])
        chosen = folds[fold % len(folds)]
        kind = estimator_type(str(self.models[name].get("model", name)))
        return kind.load(self.folder / name / f"fold_{chosen}", self.recipes[name][chosen])

    def weights_of(self, fold: int) -> np.ndarray:
        """Return `(model,)` the ensemble's weights for a fold, in the order of `models`."""
        folds = sorted(self.weights)
        return np.array([self.weights[folds[fold % len(folds)]][name] for name in self.models])


def write_bundle(
    folder: Path,
    options: TrainOptions,
    models: Mapping[str, Iterable[int]],
    weights: pl.DataFrame,
    probabilities: pl.DataFrame,
    declared: pl.DataFrame,
    sets: Sequence[Mapping[str, Any]] = (),
    ranges: Mapping[str, Range] | None = None,
) -> Path | None:
    """Write `bundle.json` beside the models that a cross-fitting kept in `folder`; return its path.

    Parameters
    ----------
    models
        Folds by name of the fitted models.
    weights, probabilities
        As `models.crops.fitting.crossfit.CrossFit` has them.
    declared
        `parcel_id, crop_class`, for the calibration.
    sets
        What is to be said of public sets that were trained on.
    ranges
        How the values of each feature are spread that are learned from.

    Returns
    -------
    Path or None
        None where no model can be stored (forests cannot).
    """
    names = [name for name in models if estimator_type(options.kind(name)).storable]
    if not names:
        return None
    of_fold = {
        int(fold): _shared(rows, names) for (fold,), rows in weights.group_by("fold", maintain_order=True)
    }
    document = {
        "classes": probabilities.columns[3:],
        "models": [{"name": name, "options": options.models[name]} for name in names],
        "config": options.model_dump(mode="json", exclude={"models", "transfer", "threads", "keep", "chunk"}),
        "recipes": {
            name: {str(k): sha256(folder / name / f"fold_{k}" / RECIPE) for k in models[name]}
            for name in names
        },
        "weights": {str(fold): of for fold, of in of_fold.items()},
        "calibration": _calibration(names, of_fold, probabilities, declared).to_dict(),
    }
    if ranges:
        document["ranges"] = {name: list(of) for name, of in ranges.items()}
    if sets:
        document["sets"] = [dict(of) for of in sets]
    return write_json(folder / BUNDLE, document)


def bundle_file(folder: Path) -> Path:
    """Return where a run's folder, or the folder of its models, has its bundle."""
    inside = folder / "models" / BUNDLE
    return inside if inside.is_file() else folder / BUNDLE


def read_bundle(folder: Path, expected: str | None = None) -> Bundle:
    """Read a bundle from a run's folder, or from the folder of its models.

    Parameters
    ----------
    expected
        SHA-256 of `bundle.json`, where it was noted; else the one in the manifest of the run that the bundle
        lies in, if there is one. Checked before the file is parsed.

    Raises
    ------
    ModelError
        Where there is none, its hash differs, or it cannot be read or says what cannot be.
    """
    path = bundle_file(folder)
    if not path.is_file():
        raise ModelError(
            f"{folder} holds no trained models: it has no {BUNDLE}. Give the output folder of a finished run."
        )
    refuse_other_hash(path, expected or hash_in_manifest(path))
    stored = read_recipe_json(path)
    try:
        _check_stored(stored)
        return Bundle(
            folder=path.parent,
            classes=tuple(stored["classes"]),
            models={model["name"]: model["options"] for model in stored["models"]},
            recipes={name: {int(k): h for k, h in of.items()} for name, of in stored["recipes"].items()},
            weights={int(k): of for k, of in stored["weights"].items()},
            calibrator=calibrator_from(stored["calibration"]),
            digest=fingerprint(stored),
            sets=tuple(dict(of) for of in stored.get("sets", ())),
            ranges={name: tuple(map(float, of)) for name, of in stored.get("ranges", {}).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, ModelError) as error:
        raise ModelError(f"{path} cannot be read as a bundle ({error}); copy it anew.") from error


def _check_stored(stored: Mapping[str, Any]) -> None:
    """Check names, hashes and weights of a bundle, which may be anybody's."""
    classes, models = stored["classes"], [model["name"] for model in stored["models"]]
    if not all(isinstance(name, str) and name for name in classes) or len(set(classes)) != len(classes):
        raise ValueError("its classes are not different names")
    if len(set(models)) != len(models) or not all(_PLAIN.fullmatch(name) for name in models):
        raise ValueError("its models are not different plain names")
    for name in models:
        if not stored["recipes"][name] or not all(map(_HASH.fullmatch, stored["recipes"][name].values())):
            raise ValueError(f"its recipes of {name} have no hashes")
    for name, of in stored.get("ranges", {}).items():
        values = np.array(of, float)
        if values.shape != (len(QUANTILES),) or not np.isfinite(values).all() or (np.diff(values) < 0).any():
            raise ValueError(f"its range of {name} is none")
    for fold, weights in stored["weights"].items():
        values = np.array([weights[name] for name in models], float)
        if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
            raise ValueError(f"its weights of fold {fold} are not numbers from 0 up")


def _shared(rows: pl.DataFrame, names: Sequence[str]) -> dict[str, float]:
    """Return the weights of the models that are stored, raised to the sum of all."""
    of = dict(rows.select("model", "weight").iter_rows())
    kept, total = sum(of[name] for name in names), sum(of.values())
    if kept <= 0:
        return {name: 1 / len(names) for name in names}
    return {name: float(of[name] * total / kept) for name in names}


def _calibration(
    names: Sequence[str],
    weights: Mapping[int, Mapping[str, float]],
    probabilities: pl.DataFrame,
    declared: pl.DataFrame,
) -> Calibrator:
    """Fit on the out-of-fold probabilities of the stored models, combined."""
    table = probabilities.filter(pl.col("fold") >= 0)
    classes = table.columns[3:]
    keys = table.filter(pl.col("model") == names[0]).join(
        declared, on="parcel_id", how="left", maintain_order="left"
    )
    fold = keys["fold"].to_numpy()
    single = np.stack([table.filter(pl.col("model") == name).select(classes).to_numpy() for name in names])
    together = np.empty(single.shape[1:])
    for k in np.unique(fold):
        mine = fold == k
        together[mine] = combine(single[:, mine], np.array([weights[int(k)][name] for name in names]))
    place = {name: index for index, name in enumerate(classes)}
    labels = np.array([place.get(name, -1) for name in keys["crop_class"].to_list()], dtype=int)
    known = labels >= 0
    return fit_calibrator("choose", together[known], labels[known], fold[known])
