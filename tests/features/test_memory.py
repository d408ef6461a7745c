"""How much memory a run may use, as the user says it or as the system has it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from features import memory
from features.errors import ConfigError


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(memory.VARIABLE, "")
    monkeypatch.setenv(memory.FOUND, "")
    memory._set.cache_clear()
    yield
    memory._set.cache_clear()


def test_workers_share_what_all_may_use_and_inherit_it() -> None:
    assert memory.allow("6GiB", workers=3) == 2 << 30
    assert memory.budget() == 2 << 30
    assert os.environ[memory.VARIABLE] == str(2 << 30)


@pytest.mark.parametrize("size", ["", "much", "-1GiB", "1TiB", "1 GiB and more", "GiB"])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(ConfigError, match="6GiB"):
        memory.allow(size)


def test_less_than_libraries_need_is_refused_with_the_cure() -> None:
    with pytest.raises(ConfigError, match="256 MiB for each of 4 workers"):
        memory.allow("1GiB", workers=4)


def test_without_a_word_it_is_three_quarters_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free", lambda: 8 << 30)
    assert memory.budget() == 6 << 30
    assert memory.allow(None, workers=2) == 3 << 30
    monkeypatch.setattr(memory, "free", lambda: 80 << 30)
    assert memory.budget() == 3 << 30, "what was found at first holds, in workers too"
    assert not memory.is_said()
    monkeypatch.setenv(memory.VARIABLE, str(1 << 30))
    memory._set.cache_clear()
    assert (memory.allow(None), memory.is_said()) == (1 << 30, True)


def test_a_group_of_processes_has_no_more_than_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(memory, "LIMITS", ((str(limit), str(used)),))
    limit.write_text("max\n")
    whole = memory.free()
    assert whole > 0
    limit.write_text("300000000\n")
    used.write_text("200000000\n")
    assert memory.free() == 100_000_000
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 50000000\n")
    assert memory.free() == 150_000_000  # files that can be dropped count as free
