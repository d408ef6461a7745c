"""A fitted method on disk: JSON and plain arrays with their hashes; nothing that can run code when loaded."""

from pathlib import Path
from typing import Any

import numpy as np

from features.errors import ModelError
from features.files import atomic_path, sha256, write_json
from models.arrays_file import describe_arrays, read_arrays, read_recipe_json
from models.noted_hash import refuse_other_hash

META = "model.json"
WEIGHTS = "weights.npz"
UNKNOWN = ("gap_sigma",)  # NaN where no gap was that long


def write_bundle(folder: Path, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Path:
    """Write arrays of any shape as `weights.npz`, then `model.json` with their SHA-256; return the path of
    `model.json`.
    """
    weights = folder / WEIGHTS
    with atomic_path(weights) as partial:
        np.savez(partial, **arrays)  # type: ignore[arg-type]
    noted = {"weights_sha256": sha256(weights), "arrays": describe_arrays(weights)}
    return write_json(folder / META, {**meta, **noted})


def read_bundle(
    folder: Path, expected: str | None = None, command: str = "clear"
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read the description and the arrays, by name and in their stored shapes, that `write_bundle` wrote.

    Parameters
    ----------
    expected
        SHA-256 of `model.json` as the run's manifest has it; null skips that one check, never the weights'.
    command
        Of cropcheck: what fits the model again, for the error.

    Raises
    ------
    ModelError
        Where a file is absent, a hash differs, or arrays are not those that were written; nothing is parsed
        before its hash has been checked.
    """
    meta_path, weights = folder / META, folder / WEIGHTS
    for path in (meta_path, weights):
        if not path.is_file():
            raise ModelError(f"{path} is not there; run `cropcheck {command}` to fit the model again.")
    refuse_other_hash(meta_path, expected)
    meta = read_recipe_json(meta_path)
    refuse_other_hash(weights, str(meta.get("weights_sha256")))
    return meta, read_arrays(weights, meta.get("arrays"), may_lack=UNKNOWN)
