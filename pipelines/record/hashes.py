"""SHA-256 of files, each computed once a process for as long as the file stays as it is."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from features.files import sha256

READERS = 4
SETTLED_S = 1.0  # a file changed less than this ago may change again without another time of change
_known: dict[tuple[object, ...], str] = {}


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file; it is read again where size, times or inode are not as they were."""
    stat = path.stat()
    key = (str(path.absolute()), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    if key in _known:
        return _known[key]
    digest = sha256(path)
    if time.time() - max(stat.st_mtime, stat.st_ctime) > SETTLED_S:
        _known[key] = digest
    return digest


def hash_all(paths: Iterable[Path]) -> dict[Path, str]:
    """Return the SHA-256 of each file that is there; hashing leaves Python's lock, so files are read side
    by side."""
    present = [path for path in paths if path.is_file()]
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(present, pool.map(file_hash, present), strict=True))


def files_in(path: Path) -> list[Path]:
    """Return a file itself, or every file below a folder; nothing hidden, and none where there is neither."""
    if path.is_dir():
        below = sorted(path.rglob("*"))
        return [file for file in below if file.is_file() and not file.name.startswith(".")]
    return [path] if path.is_file() else []
