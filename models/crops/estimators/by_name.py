"""The crop estimators by name; an estimator's module is imported at first use."""

import difflib
from importlib import import_module
from typing import TYPE_CHECKING

from pydantic import ValidationError

from features.errors import ModelError
from features.messages.option_faults import option_faults
from models.crops.estimators import options as settings

if TYPE_CHECKING:
    from models.crops.estimators.estimator import CropEstimator

WHERE = {
    "lightgbm": ("boosting", "LightgbmClassifier"),
    "dense": ("networks.dense", "DenseClassifier"),
    "lstm": ("networks.recurrent", "LstmClassifier"),
    "bilstm": ("networks.recurrent", "BilstmClassifier"),
    "tempcnn": ("networks.convolution", "TempcnnClassifier"),
    "resnet": ("networks.convolution", "ResnetClassifier"),
    "ltae": ("networks.attention", "LtaeClassifier"),
    "ridge": ("ridge", "RidgeClassifier"),
    "rocket": ("ridge", "RocketClassifier"),
    "extratrees": ("forest", "ExtraTreesClassifier"),
    "forest": ("forest", "ForestClassifier"),
}
NAMES = tuple(WHERE)
OPTIONS: dict[str, type[settings.EstimatorOptions]] = {
    "lightgbm": settings.LightgbmOptions,
    "dense": settings.DenseOptions,
    "lstm": settings.LstmOptions,
    "bilstm": settings.BilstmOptions,
    "tempcnn": settings.TempcnnOptions,
    "resnet": settings.ResnetOptions,
    "ltae": settings.LtaeOptions,
    "ridge": settings.RidgeOptions,
    "rocket": settings.RocketOptions,
    "extratrees": settings.ExtraTreesOptions,
    "forest": settings.ForestOptions,
}
FAMILIES = {  # every other model is a network
    "lightgbm": "trees", "forest": "trees", "extratrees": "trees", "ridge": "linear", "rocket": "linear",
}  # fmt: skip


def libraries_of(name: str) -> tuple[str, ...]:
    """Return the libraries that an estimator's files are loaded with, besides NumPy.

    Examples
    --------
    >>> libraries_of("lightgbm"), libraries_of("lstm")
    (('lightgbm',), ('keras', 'tensorflow'))
    """
    if name == "lightgbm":
        return ("lightgbm",)
    return ("scikit-learn",) if name in FAMILIES else ("keras", "tensorflow")


def estimator_type(name: str) -> "type[CropEstimator]":
    """Return the estimator's class; raises ModelError, with the nearest name, where there is none.

    Examples
    --------
    >>> estimator_type("lightgbn")
    Traceback (most recent call last):
        ...
    features.errors.ModelError: There is no crop model 'lightgbn'; did you mean 'lightgbm'? ...
    """
    _refuse_unknown(name)
    module, kind = WHERE[name]
    chosen: type[CropEstimator] = getattr(import_module(f"models.crops.estimators.{module}"), kind)
    return chosen


def read_options(name: str, **options: object) -> settings.EstimatorOptions:
    """Return an estimator's options; the estimator itself, and the libraries that fit it, are not imported.

    Raises
    ------
    ModelError
        As `build`.
    """
    _refuse_unknown(name)
    kind = OPTIONS[name]
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        raise ModelError(f"{name}: {' '.join(option_faults(error, kind))}") from error


def build(name: str, **options: object) -> "CropEstimator":
    """Return an unfitted estimator.

    Parameters
    ----------
    name
        One of NAMES.
    options
        The estimator's own options; those not given have its defaults.

    Raises
    ------
    ModelError
        For a model, an option or a value that does not exist: the message names the nearest that does.
    """
    return estimator_type(name)(read_options(name, **options))


def _refuse_unknown(name: str) -> None:
    if name not in WHERE:
        near = difflib.get_close_matches(name, NAMES, 1, 0)
        raise ModelError(
            f"There is no crop model {name!r}; did you mean {near[0]!r}? The models are {', '.join(NAMES)}."
        )
