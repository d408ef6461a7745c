"""Whether a set's folder holds what it should, and how to say so where it does not."""

from functools import partial
from pathlib import Path

from features.errors import ConfigError
from models.crops.sets.sample import Lost, Unit

ARCHIVES = (".zip", ".gz", ".tgz", ".tar", ".7z")


def refuse(title: str, folder: Path, lacks: str) -> ConfigError:
    """Return the error for a folder that is not the set, or is only half unpacked."""
    packed = sorted(path.name for path in folder.glob("*") if path.suffix in ARCHIVES)
    cure = f"unpack {packed[0]}" if packed else "name the folder that the set was unpacked to"
    return ConfigError(f"train.transfer.sets: {folder} lacks {lacks} of {title}; {cure}.")


def another_version(title: str, path: Path, found: str, known: str) -> ConfigError:
    """Return the error for a file that is not of the version that is read."""
    return ConfigError(
        f"train.transfer.sets: {path} of {title} has {found}, where the version that is read here has "
        f"{known}. It is of another version; take that one, or bring it as a table (series.tables)."
    )


def unlike(title: str, path: Path, error: Exception) -> ConfigError:
    """Return the error for a table or list that lacks what is read of it."""
    return ConfigError(
        f"train.transfer.sets: {path} of {title} lacks what is read here, or is of another version "
        f"({error!r})."
    )


def lost(name: str, reason: str) -> Unit:
    """Return a unit that gives nothing but the reason why its sample cannot be used."""
    return Unit(name, None, partial(_only, Lost(name, reason)))


def _only(one: Lost) -> list[Lost]:
    return [one]
