"""The code that a result depends on: a module, all modules of ours that it imports, and their data files."""

import ast
import platform
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from features.files import fingerprint, sha256

ROOT = Path(__file__).parents[2]
ROOMS = ("features", "models", "reports", "pipelines")
DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "PyYAML", "odc": "odc-geo", "PIL": "pillow"}
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")  # of a statement: the statements inside it
NO_DATA = ("__pycache__", "screenshots")  # folders that no code reads


@dataclass(frozen=True)
class Code:
    """What a module is made of.

    Attributes
    ----------
    files
        Sources and data files, by their path below the project's root; name to SHA-256.
    libraries
        Version of each library that one of the modules imports, also inside a function; and of Python.
    """

    files: dict[str, str]
    libraries: dict[str, str]

    @property
    def rooms(self) -> dict[str, str]:
        """One hash a room, by its folder: what is compared, and named where it changed."""
        found: dict[str, dict[str, str]] = {}
        for name, digest in self.files.items():
            found.setdefault("/".join(Path(name).parts[:2][: len(Path(name).parts) - 1]), {})[name] = digest
        return {room: fingerprint(files) for room, files in sorted(found.items())}


@cache
def code_of(module: str, apart: tuple[str, ...] = ()) -> Code:
    """Return the code and data files that a module reaches by imports, wherever in a file they stand.

    Parameters
    ----------
    apart
        Modules that count by their own text alone: their imports are not followed.

    Examples
    --------
    >>> code = code_of("features.files")
    >>> "features/files.py" in code.files, "models" in code.rooms
    (True, False)
    """
    reached, libraries = _reached(module, apart)
    files = [_source(name) for name in reached]
    data = {path for source in files if source for path in _data_beside(source.parent)}
    names = sorted({path for path in files if path} | data)
    return Code({path.relative_to(ROOT).as_posix(): sha256(path) for path in names}, _versions(libraries))


def code_version(module: str) -> str:
    """Return a hash of the code that a module reaches: other code, other results."""
    return fingerprint(code_of(module).files)


def _reached(module: str, apart: tuple[str, ...]) -> tuple[set[str], set[str]]:
    reached: set[str] = set()
    libraries: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in reached or (source := _source(name)) is None:
            continue
        reached.add(name)
        waiting += _parents(name)
        if name not in apart:
            ours, others = _imports(source)
            waiting += ours
            libraries |= others
    return reached, libraries


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


@cache
def _source(name: str) -> Path | None:
    """Return the file of one of our modules; None for anything else, as a name within a module."""
    if name.split(".", 1)[0] not in ROOMS:
        return None
    path = ROOT.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def _imports(source: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Return what a file imports: names of ours (modules, or names in them) and top names of libraries."""
    ours: set[str] = set()
    others: set[str] = set()
    text = source.read_bytes()
    for name in _imported(ast.parse(text), by_name=b"import_module" in text):
        top = name.split(".", 1)[0]
        if top in ROOMS:
            ours.add(name)
        elif top and top not in sys.stdlib_module_names:
            others.add(top)
    return frozenset(ours), frozenset(others)


def _imported(tree: ast.AST, by_name: bool) -> Iterator[str]:
    for node in _executed(tree, by_name):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            yield from _imported_by_name(node)


def _executed(tree: ast.AST, expressions: bool) -> Iterator[ast.AST]:
    """Walk the statements of a tree, and their expressions if asked for, but for what only a type checker
    reads.
    """
    yield tree
    if isinstance(tree, ast.If) and getattr(tree.test, "id", "") == "TYPE_CHECKING":
        children: Iterable[ast.AST] = tree.orelse
    elif expressions:
        children = ast.iter_child_nodes(tree)
    else:
        children = (child for name in BLOCKS for child in getattr(tree, name, ()))
    for child in children:
        yield from _executed(child, expressions)


def _imported_by_name(call: ast.Call) -> Iterable[str]:
    """Return the modules that `import_module(f"some.package.{name}")` may import: all below it."""
    called = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    text = call.args[0] if call.args else None
    if called != "import_module" or not isinstance(text, ast.JoinedStr):
        return []
    start = text.values[0]
    package = str(start.value).rstrip(".") if isinstance(start, ast.Constant) else ""
    folder = ROOT.joinpath(*package.split("."))
    inside = (path.relative_to(folder).with_suffix("").parts for path in sorted(folder.rglob("*.py")))
    return [".".join([package, *parts]) for parts in inside]


@cache
def _data_beside(folder: Path) -> tuple[Path, ...]:
    """Return the files beside a module, and below it, that are no modules: templates, translations, tables.

    The packages of a whole room are left out: they are other rooms.
    """
    whole = folder.parent == ROOT
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in NO_DATA and not (whole and (path / "__init__.py").is_file()):
            found += [file for file in sorted(path.rglob("*")) if _is_data(file)]
        elif path.is_file() and _is_data(path):
            found.append(path)
    return tuple(found)


def _is_data(path: Path) -> bool:
    inside = path.relative_to(ROOT).parts
    named = any(part.startswith(".") or part in NO_DATA for part in inside)
    return path.is_file() and not named and path.suffix not in (".py", ".pyc")


def _versions(libraries: Iterable[str]) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in sorted(libraries):
        distribution = DISTRIBUTIONS.get(name, name)
        if installed := _version(distribution):
            found[distribution] = installed
    return found


@cache
def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
