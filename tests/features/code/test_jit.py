"""Compiled code is that of the source and of the signature, whoever else compiles or is killed meanwhile."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import numba
import pytest

from features.code import jit

JIT = "from features.code.jit import njit\n"
ADD = JIT + "STEP = {step}\n@njit(cache=True)\ndef add(x):\n    return x + STEP\n"
TWICE = JIT + "from adding import add\n@njit(cache=True)\ndef twice(x):\n    return add(add(x))\n"


@pytest.fixture(autouse=True)
def _importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("adding", "doubling"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def imported(name: str, function: str) -> Callable[[float], float]:
    """A function as a new process has it."""
    for module in ("adding", "doubling"):
        sys.modules.pop(module, None)
    jit._hash_of.cache_clear()
    importlib.invalidate_caches()
    return getattr(importlib.import_module(name), function)


def test_it_is_compiled_once(tmp_path: Path) -> None:
    (tmp_path / "adding.py").write_text(ADD.format(step=1))
    assert [imported("adding", "add")(1), imported("adding", "add")(1)] == [2, 2]
    again = imported("adding", "add")
    assert again(1) == 2
    assert (again.stats.cache_hits.total(), again.stats.cache_misses.total()) == (1, 0)


def test_two_that_compile_at_the_same_time_keep_both(tmp_path: Path) -> None:
    (tmp_path / "adding.py").write_text(ADD.format(step=1))
    first, second = imported("adding", "add"), imported("adding", "add")
    keep = first._cache._cache_file._numbered._save_data

    def while_the_other_compiles(name: str, data: object) -> None:
        second(1.5)
        keep(name, data)

    first._cache._cache_file._numbered._save_data = while_the_other_compiles
    assert first(1) == 2
    third = imported("adding", "add")
    assert [third(1), third(1.5)] == [2, 2.5]
    assert (third.stats.cache_hits.total(), third.stats.cache_misses.total()) == (2, 0)


@pytest.mark.parametrize(("changed", "now"), [("adding", 5), ("doubling", 4)])
def test_other_source_is_compiled_anew_also_of_what_is_called(tmp_path: Path, changed: str, now: int) -> None:
    (tmp_path / "adding.py").write_text(ADD.format(step=1))
    (tmp_path / "doubling.py").write_text(TWICE)
    assert imported("doubling", "twice")(1) == 3
    if changed == "adding":
        (tmp_path / "adding.py").write_text(ADD.format(step=2))
    else:
        (tmp_path / "doubling.py").write_text(TWICE.replace("add(add(x))", "add(add(add(x)))"))
    assert imported("doubling", "twice")(1) == now


def test_a_file_that_was_cut_short_is_compiled_anew(tmp_path: Path) -> None:
    (tmp_path / "adding.py").write_text(ADD.format(step=1))
    assert imported("adding", "add")(1) == 2
    (kept,) = (tmp_path / "__pycache__").glob("*.nbc")
    kept.write_bytes(kept.read_bytes()[:100])
    assert imported("adding", "add")(1) == 2


def test_what_is_forgotten_is_gone(tmp_path: Path) -> None:
    (tmp_path / "adding.py").write_text(ADD.format(step=1))
    add = imported("adding", "add")
    assert add(1) == 2
    assert len(list((tmp_path / "__pycache__").glob("*.nbc"))) == 1
    add._cache.flush()
    assert list((tmp_path / "__pycache__").glob("*.nbc")) == []
