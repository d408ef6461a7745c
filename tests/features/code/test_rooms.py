"""Rooms stay small enough to be found by their name, then the file."""

import re
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


@pytest.mark.parametrize("room", ["features", "models", "reports", "pipelines"])
def test_the_tables_of_contributing_name_every_room_and_no_other(room: str) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index(f"| `{room}/` |") :].split("\n\n")[0].splitlines()[2:]
    first = {name for row in table for name in re.findall(r"`([a-z_]+)/`", row.split("|")[1])}
    named = {name for row in table for name in re.findall(r"`([a-z_]+)/`", row)}
    there = {path.parent.name for path in (ROOT / room).glob("*/__init__.py")}
    assert there - named == set()
    assert first - there == set()
