"""Files of a stored model are read only with the SHA-256 that was noted of them."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import ModelError
from features.files import sha256
from models.arrays_file import read_arrays, read_recipe_json

MANIFEST = "manifest.json"
DEEPEST = 4  # folders between a run's own and a model in it


def refuse_other_hash(path: Path, expected: str | None) -> None:
    """Raise a ModelError where a file has another SHA-256; None: none was noted."""
    if expected is not None and (found := sha256(path)) != expected:
        raise ModelError(
            f"{path} has SHA-256 {found[:12]}…, where {expected[:12]}… was expected; it was changed since "
            "it was written and is not loaded. Copy it anew, note its hash anew if it was trained again, or "
            "train again.",
            reason="altered",
        )


def noted_file(folder: Path, entry: dict[str, object]) -> Path:
    """Return the file that a bundle notes, below `folder`.

    Raises
    ------
    ModelError
        Where it lies elsewhere, is missing, or its hash is another.
    """
    path = (folder / str(entry["file"])).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file() or sha256(path) != entry["sha256"]:
        raise ModelError(f"{path} is missing or was altered; copy the run's models anew.", reason="altered")
    return path


def noted_arrays(
    folder: Path, entry: dict[str, Any], may_lack: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Return the arrays that a bundle notes, as `write_arrays` wrote them below `folder`.

    Raises
    ------
    ModelError
        As `noted_file` and `read_arrays` do.
    """
    return read_arrays(noted_file(folder, entry), entry["arrays"], may_lack)


def hash_in_manifest(path: Path) -> str | None:
    """Return the SHA-256 of a file as the manifest of the run that it lies in has it; None where there is
    no manifest, or it does not name the file.

    For models of another run: in a run that goes on, the manifest is of the time before.
    """
    path = path.resolve()
    for folder in path.parents[:DEEPEST]:
        if (folder / MANIFEST).is_file():
            name = path.relative_to(folder).as_posix()
            groups = [
                group for group in read_recipe_json(folder / MANIFEST).values() if isinstance(group, dict)
            ]
            digest = next((group[name] for group in groups if name in group), None)
            return digest if isinstance(digest, str) else None
    return None
