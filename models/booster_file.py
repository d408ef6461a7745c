"""A LightGBM model in a file of its own: written as its text, read only where its hash is the one noted."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import ModelError
from features.files import sha256, write_text

if TYPE_CHECKING:
    from lightgbm import Booster


def booster_text(booster: "Booster") -> str:
    """Return a booster as LightGBM's own text, without the threads it was fitted with."""
    lines = booster.model_to_string().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("[num_threads:"))


def write_booster(folder: Path, name: str, booster: "Booster") -> dict[str, str]:
    """Write a booster to `folder / name`; return what a bundle notes of it: `file` and `sha256`."""
    return {"file": name, "sha256": sha256(write_text(folder / name, booster_text(booster)))}


def noted_file(folder: Path, entry: dict[str, Any]) -> Path:
    """Return the file that a bundle notes, below `folder`.

    Raises
    ------
    ModelError
        Where it lies elsewhere, is missing, or its hash is another.
    """
    path = (folder / str(entry["file"])).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file() or sha256(path) != entry["sha256"]:
        raise ModelError(f"{path} is missing or was altered; copy the run's models anew.")
    return path


def read_booster(folder: Path, entry: dict[str, Any]) -> "Booster":
    """Read the booster that a bundle notes, after its hash has been checked as `noted_file` does."""
    import lightgbm

    return lightgbm.Booster(model_str=noted_file(folder, entry).read_text(encoding="utf-8"))
