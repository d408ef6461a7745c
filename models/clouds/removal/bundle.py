"""A fitted method on disk: JSON and plain arrays with their hashes; nothing that can run code when loaded."""

from pathlib import Path
from typing import Any

import numpy as np

from features.errors import ModelError
from features.files import write_json
from models.arrays_file import read_arrays, read_recipe_json, write_arrays
from models.noted_hash import refuse_other_hash

META = "model.json"
WEIGHTS = "weights.npz"
UNKNOWN = ("gap_sigma",)  # NaN where no gap was that long


def write_bundle(folder: Path, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Path:
    """Write arrays of any shape as `weights.npz`, then `model.json` with their SHA-256; return the path of
    `model.json`.
    """
    noted = write_arrays(folder, WEIGHTS, arrays)
    return write_json(folder / META, {**meta, "weights_sha256": noted["sha256"], "arrays": noted["arrays"]})


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
