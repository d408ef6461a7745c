"""A LightGBM model in its own file: written as text; read after its hash and its structure were checked."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import ModelError
from features.files import sha256, write_text
from models.booster_text import MOST_BYTES, BoosterShape, check_booster_text
from models.noted_hash import noted_file

if TYPE_CHECKING:
    from lightgbm import Booster


def booster_text(booster: "Booster") -> str:
    """Return a booster as LightGBM's own text, without the threads it was fitted with."""
    lines = booster.model_to_string().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("[num_threads:"))


def write_booster(folder: Path, name: str, booster: "Booster") -> dict[str, str]:
    """Write a booster to `folder / name`; return what a bundle notes of it: `file` and `sha256`."""
    return {"file": name, "sha256": sha256(write_text(folder / name, booster_text(booster)))}


def read_booster(folder: Path, entry: dict[str, Any], shape: BoosterShape) -> "Booster":
    """Read the booster that a bundle notes.

    Raises
    ------
    ModelError
        Where its hash is another (nothing is parsed then), or as `parse_booster` does.
    """
    return parse_booster(noted_file(folder, entry), shape)


def parse_booster(path: Path, shape: BoosterShape) -> "Booster":
    """Read a booster, after a check of its structure, whether or not its hash has been checked.

    Raises
    ------
    ModelError
        Where it is not of that shape, or not as LightGBM writes it.
    """
    import lightgbm

    if path.stat().st_size > MOST_BYTES:
        raise ModelError(f"{path} is larger than any model of ours; train again.")
    try:
        text = path.read_text(encoding="utf-8")
        check_booster_text(text, shape)
        return lightgbm.Booster(model_str=text)
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is no text; copy the run's models anew, or train again.") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error} Copy the run's models anew, or train again.") from error
    except lightgbm.basic.LightGBMError as error:
        raise ModelError(f"LightGBM cannot read {path} ({error}); train again.") from error
