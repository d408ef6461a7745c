"""Temporary folders that do not stay, also where the process that made them was killed."""

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "cropcheck-"
HELD = ".held"


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """Yield an empty folder that is removed afterwards; folders that killed processes left go first.

    It lies in `parent`, by default the system's folder for temporary files.

    A folder in use is locked by its owner (`flock`), whichever container that one runs in. It gets the name
    under which others look for left ones only once it is locked.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    _sweep(parent)
    unlocked = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=parent))
    folder = unlocked.with_name(unlocked.name.removeprefix("."))
    try:
        with (unlocked / HELD).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            unlocked.rename(folder)
            inside = folder / "files"
            inside.mkdir()
            yield inside
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(unlocked, ignore_errors=True)


def _sweep(parent: Path) -> None:
    for lock in parent.glob(f"{PREFIX}*/{HELD}"):
        with contextlib.suppress(OSError), lock.open("r+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
