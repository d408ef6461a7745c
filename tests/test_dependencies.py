"""Declared dependencies are those imported, and no others."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("features", "models", "reports", "pipelines")
# named by the format that another library is asked for
ENGINES = {"h5netcdf": 'engine="h5netcdf"', "python-multipart": ".form("}


def imported(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", one)[0].lower().replace("_", "-") for one in requirements}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = names(project["project"]["dependencies"])
    optional = names([one for group in project["project"]["optional-dependencies"].values() for one in group])
    groups = names([one for group in project["dependency-groups"].values() for one in group])
    distributions = packages_distributions()
    modules = (
        {name for room in ROOMS for name in imported(ROOT / room)} - set(ROOMS) - sys.stdlib_module_names
    )
    of_module = {name: names(distributions.get(name, [name])) for name in modules}
    allowed = declared | optional | groups
    assert sorted(name for name, found in of_module.items() if not found & allowed) == []
    code = "".join(path.read_text(encoding="utf-8") for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    used = set().union(*of_module.values(), (name for name, asked in ENGINES.items() if asked in code))
    assert sorted(declared - used) == []
