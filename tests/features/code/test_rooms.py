"""Rooms stay small enough to be found by their name, then the file."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ROOMS = ("features", "models", "reports", "pipelines", "tests")
ONE_FILE_A_COMMAND = ("tests/benchmarks",)


@pytest.mark.parametrize("room", ROOMS)
def test_a_folder_holds_under_a_dozen_modules(room: str) -> None:
    sizes: dict[str, int] = {}
    for path in (ROOT / room).rglob("*.py"):
        if path.name != "__init__.py":
            folder = path.parent.relative_to(ROOT).as_posix()
            sizes[folder] = sizes.get(folder, 0) + 1
    assert {name: n for name, n in sizes.items() if n >= 12 and name not in ONE_FILE_A_COMMAND} == {}
