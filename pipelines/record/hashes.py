"""SHA-256 of files, each computed once a process for as long as the file stays as it is."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from features.files import sha256

READERS = 4
SETTLED_S = 1.0  # a file changed less than this ago may change again without another time of change
Stamp = tuple[str, int, int, int, int, int]
_known: dict[Stamp, str] = {}


def stamp_of(path: Path) -> Stamp:
    """Return what a file's hash is known by: its path, device, inode, size, and times of modification and
    change, ns.
    """
    stat = path.stat()
    times = (stat.st_mtime_ns, stat.st_ctime_ns)
    return (str(path.absolute()), stat.st_dev, stat.st_ino, stat.st_size, *times)


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file; it is read again where size, times or inode are not as they were."""
    stamp = stamp_of(path)
    if stamp in _known:
        return _known[stamp]
    digest = sha256(path)
    if time.time() - max(stamp[-2:]) / 1e9 > SETTLED_S:
        _known[stamp] = digest
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
