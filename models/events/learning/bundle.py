"""A run's fitted detector on disk, without pickle: boosters as LightGBM's text, the rest as JSON."""

import math
from pathlib import Path
from typing import Any

from features.errors import ModelError
from features.files import fingerprint, write_json
from models.arrays_file import read_recipe_json, write_arrays
from models.booster_file import read_booster, write_booster
from models.booster_text import BoosterShape
from models.events.intervals import NAMES
from models.events.kinds import EVENTS, kind_of
from models.events.learning.chance import INPUTS, Chance
from models.events.learning.detector import ALL, Detector, KindModel
from models.events.learning.network import StepNetwork, weight_shapes
from models.events.learning.steps import SCALED
from models.events.options import EventOptions
from models.noted_hash import hash_in_manifest, noted_arrays, refuse_other_hash

BUNDLE = "events.json"
MOST_MEMBERS = 100
FOLDER = "event_models"
SHAPE = BoosterShape("binary sigmoid:1", len(NAMES))
# what a model's figures depend on; threads and chunks are the caller's
OWN = (
    "method", "epochs", "filters", "rounds", "learning_rate", "leaves", "column_share", "rows_wanted",
    "wrong_share", "grazed_share", "seed",
)  # fmt: skip


def write_detector(folder: Path, detector: Detector) -> Path:
    """Write a detector below `folder`, each booster in a file of its own; return its `events.json`."""
    kinds = {}
    for name, model in detector.kinds.items():
        files = {}
        for fold, members in sorted(model.boosters.items()):
            files[str(fold)] = [
                write_booster(folder, f"{name}/{_label(fold)}{f'_{k}' if k else ''}.txt", booster)
                for k, booster in enumerate(members)
            ]
        kinds[name] = {
            "boosters": files,
            "network_share": {str(fold): share for fold, share in sorted(model.network_share.items())},
            "chances": {str(fold): _chance_out(chance) for fold, chance in sorted(model.chances.items())},
            "date_share": model.date_share,
            "events": model.events,
        }
    networks = {
        str(fold): _network_out(folder, f"network/{_label(fold)}.npz", network)
        for fold, network in sorted(detector.networks.items())
    }
    options = detector.options.model_dump(mode="json", include=set(OWN))
    return write_json(
        folder / BUNDLE,
        {"features": fingerprint(list(NAMES)), "options": options, "kinds": kinds, "networks": networks},
    )


def _label(fold: int) -> str:
    return "all" if fold < 0 else f"fold_{fold}"


def detector_file(folder: Path) -> Path:
    """Return where a run's folder, or the folder of its event models, has its detector."""
    inside = folder / FOLDER / BUNDLE
    return inside if inside.is_file() else folder / BUNDLE


def read_detector(folder: Path, options: EventOptions, expected: str | None = None) -> Detector:
    """Read a detector from a run's folder, or from the folder of its event models.

    Parameters
    ----------
    expected
        SHA-256 of `events.json`, where it was noted; else the one in the manifest of the run that it lies in,
        if there is one. Checked before the file is parsed. The hash of every booster stands in it and is
        checked before that is parsed.

    Raises
    ------
    ModelError
        Where there is none, a hash differs, it was made for other features, it cannot be read, or it says
        what cannot be.
    """
    path = detector_file(folder)
    if not path.is_file():
        raise ModelError(
            f"{folder} holds no event models: it has no {BUNDLE}. Give the output folder of a run that had "
            "labels of events (events.labels)."
        )
    refuse_other_hash(path, expected or hash_in_manifest(path))
    stored = read_recipe_json(path)
    try:
        if stored["features"] != fingerprint(list(NAMES)):
            raise ModelError(
                f"{path} was made by another version of cropcheck, for other features; train it anew."
            )
        kinds = {
            name: _kind_in(path.parent, entry) for name, entry in stored["kinds"].items() if name in EVENTS
        }
        networks = {int(fold): _network_in(path.parent, entry) for fold, entry in stored["networks"].items()}
        if networks.keys() != {fold for kind in kinds.values() for fold in kind.network_share}:
            raise ValueError("parts of networks that are not there")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ModelError(f"{path} cannot be read as event models ({error!r:.300}); copy it anew.") from error
    missing = {name: KindModel(date_share=kind_of(name).date_share) for name in EVENTS if name not in kinds}
    return Detector({**kinds, **missing}, options, networks)


def _kind_in(folder: Path, stored: dict[str, Any]) -> KindModel:
    boosters = {
        int(fold): [read_booster(folder, entry, SHAPE) for entry in entries[:MOST_MEMBERS]]
        for fold, entries in stored["boosters"].items()
    }
    if not all(boosters.values()):
        raise ValueError("a fold without a booster")
    chances = {int(fold): _chance_in(entry) for fold, entry in stored["chances"].items()}
    share = float(stored["date_share"])
    if not 0 <= share <= 1:
        raise ValueError(f"a date at {share} of an interval")
    parts = {int(fold): float(part) for fold, part in stored["network_share"].items()}
    if not all(0 <= part <= 1 for part in parts.values()):
        raise ValueError("a network whose part in the score is not between 0 and 1")
    if any(models and ALL not in models for models in (boosters, parts, chances)):
        raise ValueError("models of folds, and none of all labels")
    return KindModel(boosters, parts, chances, share, int(stored["events"]))


def _network_out(folder: Path, name: str, network: StepNetwork) -> dict[str, Any]:
    arrays = {f"weight_{k:03d}": value for k, value in enumerate(network.weights)}
    noted = write_arrays(folder, name, {**arrays, "mean": network.mean, "scale": network.scale})
    return {**noted, "filters": network.filters, "weights": len(network.weights)}


def _network_in(folder: Path, entry: dict[str, Any]) -> StepNetwork:
    arrays = noted_arrays(folder, entry)
    weights = [arrays[f"weight_{k:03d}"] for k in range(int(entry["weights"]))]
    if not arrays["mean"].shape == arrays["scale"].shape == (SCALED,) or (arrays["scale"] <= 0).any():
        raise ValueError("a network whose inputs are scaled by nothing")
    filters = int(entry["filters"])
    if [value.shape for value in weights] != weight_shapes(filters):
        raise ValueError(f"weights that are not those of a network of {filters} filters")
    return StepNetwork(weights, arrays["mean"], arrays["scale"], filters)


def _chance_out(chance: Chance) -> dict[str, Any]:
    return {
        "weights": [float(weight) for weight in chance.weights],
        "intercept": float(chance.intercept),
        "reported_from": float(chance.reported_from),
        "n": int(chance.n),
    }


def _chance_in(stored: dict[str, Any]) -> Chance:
    weights = tuple(float(weight) for weight in stored["weights"])
    intercept, reported_from = float(stored["intercept"]), float(stored["reported_from"])
    if len(weights) not in (0, INPUTS) or not all(map(math.isfinite, (*weights, intercept, reported_from))):
        raise ValueError("a chance whose numbers are too few or not finite")
    return Chance(weights, intercept, reported_from, int(stored["n"]))
