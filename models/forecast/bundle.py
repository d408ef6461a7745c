"""A run's forecast models on disk, without pickle: LightGBM's text, arrays as .npz, the rest as JSON."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import ModelError
from features.files import write_json
from models.arrays_file import read_recipe_json, write_arrays
from models.booster_file import read_booster, write_booster
from models.booster_text import BoosterShape
from models.forecast.climatology import NODES, Curves
from models.forecast.forecaster import ALL, ALWAYS, STEPS, Forecaster, Models
from models.forecast.intervals import LEVELS, SEASONS, Intervals
from models.forecast.learning.basis import Damped
from models.forecast.options import ForecastOptions
from models.noted_hash import hash_in_manifest, noted_arrays, refuse_other_hash

BUNDLE = "forecast.json"
FOLDER = "forecast_models"
CROP = "crop"  # the one column of categories
FORMAT = 2
MAY_LACK = ("curve_mean", "curve_spread", "quantile")  # NaN: never seen
MOST_NAMES = 10_000  # of classes or columns


def write_forecaster(folder: Path, forecaster: Forecaster) -> Path:
    """Write a forecaster below `folder`; return its `forecast.json`."""
    folds = {}
    for fold, (curves, models) in sorted(forecaster.folds.items()):
        name = "all" if fold < 0 else f"fold_{fold}"
        arrays = {"curve_mean": curves.mean, "curve_spread": curves.spread}
        for method, weights in models.weights.items():
            arrays |= {f"{method}_{k:03d}": value for k, value in enumerate(weights)}
        folds[str(fold)] = {
            "arrays": write_arrays(folder, f"{name}.npz", arrays),
            "years": list(curves.years),
            "damped": {"share": models.damped.share, "days": models.damped.days},
            "boosters": {
                method: write_booster(folder, f"{name}_{method}.txt", booster)
                for method, booster in models.boosters.items()
            },
            "networks": {method: len(weights) for method, weights in models.weights.items()},
        }
    shared = {"combination": forecaster.combination, "quantile": forecaster.intervals.quantile}
    scale = None if forecaster.scale is None else write_booster(folder, "scale.txt", forecaster.scale)
    return write_json(
        folder / BUNDLE,
        {
            "format": FORMAT,
            "names": list(forecaster.names),
            "classes": list(forecaster.classes),
            "columns": list(forecaster.columns),
            "weather_ahead": forecaster.weather_ahead,
            "units": forecaster.options.units,
            "methods": list(forecaster.options.methods),
            "shared": write_arrays(folder, "shared.npz", shared),
            "scale": scale,
            "folds": folds,
        },
    )


def forecaster_file(folder: Path) -> Path:
    """Return where a run's folder, or the folder of its forecast models, has its recipe."""
    inside = folder / FOLDER / BUNDLE
    return inside if inside.is_file() else folder / BUNDLE


def read_forecaster(folder: Path, options: ForecastOptions, expected: str | None = None) -> Forecaster:
    """Read a forecaster from a run's folder, or from that of its forecast models.

    Every file's SHA-256 is checked before it is parsed.

    Parameters
    ----------
    expected
        SHA-256 of the recipe `forecast.json`, where it was noted; else the one in the manifest of the run
        that it lies in, if there is one. Those of the other files stand in the recipe.

    Raises
    ------
    ModelError
        Where there is none, a file is missing or altered, it was made by another version, or says what cannot
        be.
    """
    path = forecaster_file(folder)
    if not path.is_file():
        raise ModelError(
            f"{folder} holds no forecast models: it has no {BUNDLE}. Give the output folder of a run that "
            "trained some."
        )
    refuse_other_hash(path, expected or hash_in_manifest(path))
    stored = read_recipe_json(path)
    try:
        if stored["format"] != FORMAT:
            raise ModelError(
                f"{path} is of format {stored['format']}, this version reads {FORMAT}; train anew."
            )
        return _forecaster_in(path.parent, stored, options)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ModelError(f"{path} cannot be read as forecast models ({error!r:.300}); copy anew.") from error


def _forecaster_in(own: Path, stored: dict[str, Any], options: ForecastOptions) -> Forecaster:
    names, classes, columns = (_names(stored, key) for key in ("names", "classes", "columns"))
    said = {"units": stored["units"], "methods": stored["methods"]}
    settings = ForecastOptions.model_validate({**options.model_dump(), **said})
    if set(names) != {*ALWAYS, *settings.methods}:
        raise ValueError(f"it combines {names}, and its methods are {settings.methods}")
    crop = frozenset(k for k, name in enumerate(columns) if name == CROP)
    shape = BoosterShape("regression", len(columns), categorical=crop)
    shared = noted_arrays(own, stored["shared"], MAY_LACK)
    _same_shape("combination", shared["combination"], (STEPS, len(names)))
    _same_shape("quantile", shared["quantile"], (len(classes) + 1, SEASONS + 1, STEPS, len(LEVELS)))
    folds = {
        int(fold): _fold_in(own, entry, classes, names, shape) for fold, entry in stored["folds"].items()
    }
    if ALL not in folds:
        raise ValueError("it has no models of all parcels")
    return Forecaster(
        settings,
        names,
        classes,
        columns,
        str(stored["weather_ahead"]),
        folds,
        shared["combination"],
        None if stored["scale"] is None else read_booster(own, stored["scale"], shape),
        Intervals(shared["quantile"]),
    )


def _fold_in(
    folder: Path, entry: dict[str, Any], classes: tuple[str, ...], names: tuple[str, ...], shape: BoosterShape
) -> tuple[Curves, Models]:
    arrays = noted_arrays(folder, entry["arrays"], MAY_LACK)
    years = tuple(int(year) for year in entry["years"])
    size = ((len(years) + 1) * (len(classes) + 1), NODES)
    for name in ("curve_mean", "curve_spread"):
        _same_shape(name, arrays[name], size)
    damped = Damped(float(entry["damped"]["share"]), float(entry["damped"]["days"]))
    if not (0 <= damped.share <= 1 and 0 < damped.days < math.inf):
        raise ValueError(f"departures of which {damped.share} stays for {damped.days} days")
    boosters = {name: read_booster(folder, one, shape) for name, one in entry["boosters"].items()}
    weights = {
        name: [arrays[f"{name}_{k:03d}"] for k in range(int(n))] for name, n in entry["networks"].items()
    }
    if {*ALWAYS, *boosters, *weights} != set(names):
        raise ValueError(f"a fold has other models than {names}")
    return Curves(classes, years, arrays["curve_mean"], arrays["curve_spread"]), Models(
        damped, boosters, weights
    )


def _names(stored: dict[str, Any], key: str) -> tuple[str, ...]:
    names = tuple(stored[key])
    if len(names) > MOST_NAMES or len(set(names)) != len(names) or not all(isinstance(n, str) for n in names):
        raise ValueError(f"its {key} are not different names, {MOST_NAMES} at most")
    return names


def _same_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype.kind != "f":
        raise ValueError(f"{name} is {array.dtype} {array.shape}, not of floats {shape}")
