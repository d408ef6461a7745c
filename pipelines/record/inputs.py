"""What a stage stands on, as one declaration: freshness, manifest and `model_id` are derived from it.

A stage declares options, files, outputs of earlier stages and its code. `entries` turns that into a flat
table, name to value, that is kept in the stage's receipt; where the table differs, the stage runs again, and
the names say why. `handed` gives the stage its config with nothing in it but what it declares.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from features.code.version import code_of
from features.errors import StageError
from features.files import fingerprint
from features.storage.siblings import siblings
from pipelines.config import RunConfig
from pipelines.record.hashes import files_in, hash_all
from pipelines.record.receipt import Receipt, needed
from pipelines.workspace import Workspace

EVERYTHING = ("*",)
CONFIG_CODE = ("pipelines.config",)  # option values count by themselves; the rooms it imports do not
# where things lie, how many cores work, and how much is asked for at once: no result depends on it
WITHOUT_EFFECT = ("declarations.path", "imagery.catalog", "imagery.page_size")
WITHOUT_EFFECT_ANYWHERE = ("threads", "read_ahead_mb")
Entries = dict[str, object]


def no_files(config: RunConfig, workspace: Workspace) -> Mapping[str, Path]:
    """Return no file: most stages read nothing but what earlier stages left."""
    return {}


def nothing_else(config: RunConfig, workspace: Workspace) -> Mapping[str, object]:
    """Return nothing: most stages look at nothing but files and options."""
    return {}


@dataclass(frozen=True)
class Inputs:
    """All that a stage reads.

    Attributes
    ----------
    options
        Dotted config keys, of sections or of single options; `EVERYTHING` for the whole config.
    after
        Earlier stages, and patterns of those outputs of theirs that are read (`*` spans folders; a pattern
        that begins with `!` leaves out).
    files
        What is read from outside, by its role: files and folders, by content. A role whose file is absent
        counts as absent.
    other
        What is looked at beside files and options, such as a key from the environment: JSON, by name.
    """

    options: tuple[str, ...] = ()
    after: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Callable[[RunConfig, Workspace], Mapping[str, Path]] = no_files
    other: Callable[[RunConfig, Workspace], Mapping[str, Any]] = nothing_else


def entries(name: str, module: str, inputs: Inputs, config: RunConfig, workspace: Workspace) -> Entries:
    """Return all that a stage stands on now, name to value: options as they are, everything else hashed.

    Raises
    ------
    StageError
        Where an earlier stage has not left what this one reads.
    """
    code = code_of(module, CONFIG_CODE)
    return {
        **{f"option {key}": value for key, value in option_values(config, inputs.options).items()},
        **file_entries(inputs.files(config, workspace)),
        **{f"other {key}": value for key, value in inputs.other(config, workspace).items()},
        **{
            f"output {before} {pattern}": fingerprint(chosen)
            for before, patterns in inputs.after.items()
            for pattern, chosen in _by_pattern(needed(workspace, before, name), patterns).items()
        },
        **{f"code {room}": digest for room, digest in code.rooms.items()},
        **{f"library {library}": version for library, version in code.libraries.items()},
    }


def outputs_read(receipt: Receipt, patterns: Iterable[str]) -> dict[str, str]:
    """Return those of a stage's outputs that patterns choose: name to SHA-256."""
    return {
        name: digest
        for chosen in _by_pattern(receipt, tuple(patterns)).values()
        for name, digest in chosen.items()
    }


def _by_pattern(receipt: Receipt, patterns: tuple[str, ...]) -> dict[str, dict[str, str]]:
    left_out = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    kept = {
        name: digest
        for name, digest in receipt.outputs.items()
        if not any(fnmatchcase(name, pattern) for pattern in left_out)
    }
    return {
        pattern: {name: digest for name, digest in kept.items() if fnmatchcase(name, pattern)}
        for pattern in patterns
        if not pattern.startswith("!")
    }


def option_values(config: RunConfig, wanted: tuple[str, ...]) -> dict[str, object]:
    """Return the options below dotted keys, one a leaf; those without effect on results are left out."""
    values: dict[str, Any] = {}
    for key in type(config).model_fields if wanted == EVERYTHING else wanted:
        found: Any = config
        for part in key.split("."):
            found = None if found is None else getattr(found, part)
        values |= _leaves(key, found)
    return values


def _leaves(key: str, value: object) -> dict[str, object]:
    if key in WITHOUT_EFFECT or key.rsplit(".", 1)[-1] in WITHOUT_EFFECT_ANYWHERE or isinstance(value, Path):
        return {}
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping) and value:  # an empty one, as of a model with its defaults, is a leaf
        return {
            name: leaf
            for part, inner in value.items()
            for name, leaf in _leaves(f"{key}.{part}", inner).items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return {key: [_plain(part) for part in value if not isinstance(part, Path)]}
    return {key: _plain(value)}


def _plain(value: object) -> object:
    """Return a value as JSON gives it back, so that it can be compared with what a receipt holds."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def file_entries(named: Mapping[str, Path]) -> Entries:
    """Return the hash of each file that roles name, with the files that belong to it; null where absent."""
    found = expanded(named)
    hashes = hash_all(found.values())
    return {f"file {role}": hashes.get(path) for role, path in found.items()}


def expanded(named: Mapping[str, Path]) -> dict[str, Path]:
    """Return every single file that roles name: those in folders, and those that belong to another one."""
    found: dict[str, Path] = {}
    for role, path in named.items():
        inside = files_in(path)
        found |= {} if inside else {role: path}
        for file in inside:
            label = role if path.is_file() else f"{role} {file.relative_to(path).as_posix()}"
            found[label] = file
            found |= {f"{label} ({sibling.name})": sibling for sibling in siblings(file)}
    return found


def handed(config: RunConfig, stage: str, inputs: Inputs) -> RunConfig:
    """Return the config as a stage gets it: reading an option that it does not declare is refused."""
    if inputs.options == EVERYTHING:
        return config
    return cast(RunConfig, _Handed(config, inputs.options, "", stage))


class _Handed:
    """A part of the config of which only some keys may be read."""

    def __init__(self, value: BaseModel, allowed: tuple[str, ...], prefix: str, stage: str) -> None:
        self._value, self._allowed, self._prefix, self._stage = value, allowed, prefix, stage

    def __getattr__(self, name: str) -> object:
        key = f"{self._prefix}{name}"
        if any(key == allowed or key.startswith(f"{allowed}.") for allowed in self._allowed):
            return getattr(self._value, name)
        if any(allowed.startswith(f"{key}.") for allowed in self._allowed):
            return _Handed(getattr(self._value, name), self._allowed, f"{key}.", self._stage)
        raise StageError(
            f"{self._stage} reads the option {key}, which it does not declare as an input; this is a fault "
            "of cropcheck, please report it."
        )

    def __reduce__(self) -> Any:
        raise TypeError("a stage's config is not sent to workers; send the options that they need")


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Say in a few words each what a stage stands on that is not as it was."""
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return [_difference(name, before, now) for name in changed]


def _difference(name: str, before: Mapping[str, object], now: Mapping[str, object]) -> str:
    kind, _, what = name.partition(" ")
    if kind == "output":
        stage, _, pattern = what.partition(" ")
        return f"what {stage} left changed ({pattern})"
    if kind == "code":
        return f"the code of {what} changed"
    if kind == "file":
        gone = "is gone" if now.get(name) is None else "changed"
        return f"{what} {'is new' if before.get(name) is None else gone}"
    if _is_hash(before.get(name)) and _is_hash(now.get(name)):
        return f"the {what} changed"
    return f"{what} was {_short(before.get(name))}, is {_short(now.get(name))}"


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{16,64}", value) is not None


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
