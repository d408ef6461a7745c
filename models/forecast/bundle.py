"""A run's forecast models on disk, without pickle: LightGBM's text, arrays as .npz, the rest as JSON."""

from pathlib import Path
from typing import Any

import numpy as np

from features.errors import ModelError
from features.files import atomic_path, sha256, write_json
from models.arrays_file import Described, describe_arrays, read_arrays, read_recipe_json
from models.booster_file import noted_file, read_booster, write_booster
from models.forecast.basis import Damped
from models.forecast.climatology import Curves
from models.forecast.forecaster import Forecaster, Models
from models.forecast.intervals import Intervals
from models.forecast.options import ForecastOptions

BUNDLE = "forecast.json"
FOLDER = "forecast_models"
FORMAT = 1
MAY_LACK = ("curve_mean", "curve_spread", "quantile")  # NaN: never seen


def write_forecaster(folder: Path, forecaster: Forecaster) -> Path:
    """Write a forecaster below `folder`; return its `forecast.json`."""
    folds = {}
    for fold, (curves, models) in sorted(forecaster.folds.items()):
        name = "all" if fold < 0 else f"fold_{fold}"
        arrays = {"curve_mean": curves.mean, "curve_spread": curves.spread}
        for method, weights in models.weights.items():
            arrays |= {f"{method}_{k:03d}": value for k, value in enumerate(weights)}
        folds[str(fold)] = {
            "arrays": _write_arrays(folder, f"{name}.npz", arrays),
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
            "shared": _write_arrays(folder, "shared.npz", shared),
            "scale": scale,
            "folds": folds,
        },
    )


def forecaster_file(folder: Path) -> Path:
    """Return where a run's folder, or the folder of its forecast models, has its recipe."""
    inside = folder / FOLDER / BUNDLE
    return inside if inside.is_file() else folder / BUNDLE


def read_forecaster(folder: Path, options: ForecastOptions) -> Forecaster:
    """Read a forecaster from a run's folder, or from that of its forecast models.

    Every file's SHA-256 is checked before it is parsed.

    Raises
    ------
    ModelError
        Where there is none, a file is missing or altered, or it was made by another version.
    """
    path = forecaster_file(folder)
    if not path.is_file():
        raise ModelError(
            f"{folder} holds no forecast models: it has no {BUNDLE}. Give the output folder of a run that "
            "trained some."
        )
    stored = read_recipe_json(path)
    try:
        if stored["format"] != FORMAT:
            raise ModelError(
                f"{path} is of format {stored['format']}, this version reads {FORMAT}; train anew."
            )
        own = path.parent
        shared = _read_arrays(own, stored["shared"])
        settings = options.model_copy(
            update={"units": int(stored["units"]), "methods": tuple(stored["methods"])}
        )
        folds = {
            int(fold): _fold_in(own, entry, tuple(stored["classes"]))
            for fold, entry in stored["folds"].items()
        }
        return Forecaster(
            settings,
            tuple(stored["names"]),
            tuple(stored["classes"]),
            tuple(stored["columns"]),
            str(stored["weather_ahead"]),
            folds,
            shared["combination"],
            None if stored["scale"] is None else read_booster(own, stored["scale"]),
            Intervals(shared["quantile"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} cannot be read as forecast models ({error!r}); copy it anew.") from error


def _fold_in(folder: Path, entry: dict[str, Any], classes: tuple[str, ...]) -> tuple[Curves, Models]:
    arrays = _read_arrays(folder, entry["arrays"])
    years = tuple(int(year) for year in entry["years"])
    curves = Curves(classes, years, arrays["curve_mean"], arrays["curve_spread"])
    damped = Damped(float(entry["damped"]["share"]), float(entry["damped"]["days"]))
    boosters = {name: read_booster(folder, one) for name, one in entry["boosters"].items()}
    weights = {
        name: [arrays[f"{name}_{k:03d}"] for k in range(int(n))] for name, n in entry["networks"].items()
    }
    return curves, Models(damped, boosters, weights)


def _write_arrays(folder: Path, name: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / name) as partial, partial.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
    noted: Described = describe_arrays(folder / name)
    return {"file": name, "sha256": sha256(folder / name), "arrays": noted}


def _read_arrays(folder: Path, entry: dict[str, Any]) -> dict[str, np.ndarray]:
    return read_arrays(noted_file(folder, entry), entry["arrays"], MAY_LACK)
