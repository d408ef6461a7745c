"""Where compiled functions are kept when neither the installation nor a home can be written."""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"


def settle_cache(installed: Path) -> None:
    """Let Numba keep what it compiles in a temporary folder of this user, where it has no other place.

    Without, importing a compiled function fails: a container's read-only layer, a worker without a home. The
    folder is its owner's alone, since what lies there is run.
    """
    if os.environ.get(VARIABLE) or _writable(installed) or _writable(_user_cache()):
        return
    with contextlib.suppress(OSError):
        os.environ[VARIABLE] = str(_private_folder())
        if "numba" in sys.modules:
            sys.modules["numba"].config.CACHE_DIR = os.environ[VARIABLE]


def _user_cache() -> Path:
    named = os.environ.get("XDG_CACHE_HOME")
    return Path(named) if named else Path(os.environ.get("HOME") or "/nonexistent") / ".cache"


def _writable(folder: Path) -> bool:
    """Say whether a folder can be written, or made where it does not exist."""
    with contextlib.suppress(OSError):
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        return os.access(there, os.W_OK | os.X_OK) and there.is_dir() and not str(there).startswith("/proc")
    return False


def _private_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"cropcheck-compiled-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or folder.is_symlink():
        return Path(tempfile.mkdtemp(prefix="cropcheck-compiled-"))
    return folder
