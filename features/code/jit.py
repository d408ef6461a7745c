"""numba's `njit`, with compiled code kept in one file a signature that says itself what it was made of.

numba numbers the compilations of a function, keeps an index of signature to number, and writes the index
first. Two processes that compile two signatures at the same time may both take one number; a process that is
killed between index and code leaves a number under which code of older source lies. A later process then runs
machine code for other types, or of other source: wrong numbers, or the end of the process. numba also looks
at a function's own file alone: where only a function that it calls changed, or a constant of another file, it
goes on with the old code.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Protocol, TypeVar

import numba
import numpy as np

from features.files import sha256

Compiled = TypeVar("Compiled", bound=Callable[..., object])
ROOMS = ("features", "models")
CONSTANTS = (bool, int, float, str, bytes, tuple, np.generic)


def njit(**options: object) -> Callable[[Compiled], Compiled]:
    """Return numba's decorator `njit` with these options; `cache` keeps code as `OneFileEach` does."""
    compile_with: Callable[[Compiled], Compiled] = numba.njit(**options)  # type: ignore[call-overload]

    def compiled(function: Compiled) -> Compiled:
        made: Compiled = compile_with(function)
        if options.get("cache"):
            kept = vars(made)["_cache"]
            kept._cache_file = OneFileEach(kept._cache_file, made)
        return made

    return compiled


class Numbered(Protocol):
    """What is used of numba's keeper of files."""

    _cache_path: str

    def _save_data(self, name: str, data: object) -> None: ...
    def _load_data(self, name: str) -> tuple[str, object]: ...
    def _data_name(self, number: int) -> str: ...


class OneFileEach:
    """A function's compilations, in place of numba's index and numbered files.

    Parameters
    ----------
    numbered
        numba's own keeper of these files, which writes and reads single ones.
    dispatcher
        The function as numba's decorator returns it.
    """

    def __init__(self, numbered: Numbered, dispatcher: object) -> None:
        self._numbered = numbered
        self._dispatcher = dispatcher

    def save(self, key: tuple[object, ...], data: object) -> None:
        """Keep what was compiled for a signature and processor."""
        self._numbered._save_data(self._name(key), (self._made_of(key), data))

    def load(self, key: tuple[object, ...]) -> object:
        """Return what was compiled for a signature and processor; None where nothing fit is there."""
        try:
            made_of, data = self._numbered._load_data(self._name(key))
        except Exception:  # absent, cut short, of another version: it is compiled anew
            return None
        return data if made_of == self._made_of(key) else None

    def flush(self) -> None:
        """Forget everything: what is compiled next replaces it."""
        folder = Path(self._numbered._cache_path)
        for path in folder.glob(f"{self._name(())[:-36]}*.nbc"):
            path.unlink(missing_ok=True)

    def _name(self, key: tuple[object, ...]) -> str:
        """Return the file's name: of one signature and processor, the newest replaces the last."""
        name = self._numbered._data_name(0)
        return f"{name.removesuffix('0.nbc')}{_short(repr(key[:2]))}.nbc"

    def _made_of(self, key: tuple[object, ...]) -> str:
        return _short(repr((numba.__version__, key, list(_sources(self._dispatcher, set())))))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _sources(dispatcher: object, met: set[str]) -> Iterator[tuple[str, str]]:
    """Yield what code is compiled from: files of ours and constants, of a function and all that it calls."""
    function = getattr(dispatcher, "py_func", dispatcher)
    code, known = getattr(function, "__code__", None), getattr(function, "__globals__", {})
    yield "", _hash_of(getattr(function, "__module__", ""))
    for name in code.co_names if code else ():
        value = known.get(name)
        if isinstance(value, CONSTANTS):
            yield name, repr(value)
        elif isinstance(value, np.ndarray):
            yield name, _short(f"{value.dtype.str} {value.shape} {value.tobytes().hex()}")
        elif f"{getattr(value, '__module__', '')}.{name}" not in met and _is_ours(value):
            met.add(f"{value.__module__}.{name}")
            yield from _sources(value, met)


def _is_ours(value: object) -> bool:
    room = str(getattr(value, "__module__", "")).split(".", 1)[0]
    return callable(value) and (room in ROOMS or hasattr(value, "py_func"))


@cache
def _hash_of(module: str) -> str:
    """Return the hash of a module's source; empty where it has none."""
    path = Path(getattr(sys.modules.get(module), "__file__", None) or "")
    return sha256(path) if path.is_file() else ""
