"""Lists of files with their SHA-256 that are too long for one JSON document: kept beside it, as `sha256sum`
writes them, so that `sha256sum --check` reads them too."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from features.files import atomic_path, sha256

MOST = 10_000  # files that a JSON document names itself
LISTED = "listed in"


def lines_of(files: Mapping[str, str]) -> Iterator[str]:
    """Yield a line a file, sorted by name.

    Examples
    --------
    >>> print(*lines_of({"b.tif": "22", "a.tif": "11", "two\\nlines": "33"}), sep="")
    11  a.tif
    22  b.tif
    \\33  two\\nlines
    <BLANKLINE>
    """
    for name in sorted(files):
        escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        yield f"{'' if escaped == name else chr(92)}{files[name]}  {escaped}\n"


def files_of(lines: Iterable[str]) -> dict[str, str]:
    """Return name to SHA-256 of such lines.

    Examples
    --------
    >>> files = {"b.tif": "22", "two\\nlines": "33", "back\\\\slash": "44"}
    >>> files_of(lines_of(files)) == files
    True
    """
    found = {}
    for line in lines:
        digest, _, name = line.rstrip("\n").partition("  ")
        if digest.startswith("\\"):
            digest, name = digest[1:], _plain(name)
        found[name] = digest
    return found


def _plain(escaped: str) -> str:
    signs = {"\\": "\\", "n": "\n", "r": "\r"}
    parts = iter(escaped)
    return "".join(signs[next(parts)] if sign == "\\" else sign for sign in parts)


def laid_out(files: Mapping[str, str], beside: Path) -> dict[str, Any]:
    """Return what a JSON document holds of these files: all of them, or where they are listed.

    Parameters
    ----------
    beside
        The list's path, beside the document; deleted where none is needed.
    """
    if len(files) <= MOST:
        beside.unlink(missing_ok=True)
        return dict(files)
    with atomic_path(beside) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines_of(files))
    return {LISTED: {"file": beside.name, "sha256": sha256(beside), "files": len(files)}}


def read_back(said: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return the files that `laid_out` was given.

    Raises
    ------
    ValueError
        Where their list is missing or not as it was written.
    """
    if LISTED not in said:
        return dict(said)
    entry = said[LISTED]
    path = folder / Path(str(entry["file"])).name
    if not path.is_file() or sha256(path) != entry["sha256"]:
        raise ValueError(f"its list {path.name} is missing or was altered")
    with path.open(encoding="utf-8", newline="\n") as file:
        return files_of(file)
