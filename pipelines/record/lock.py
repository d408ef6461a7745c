"""One run at a time in a folder: a lock file that names who is there."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from features.errors import StageError
from features.files import PARTIALS
from pipelines.record.disk import sentence

NAME = ".lock"


@contextmanager
def locked(folder: Path, command: str) -> Iterator[None]:
    """Hold a folder for one run; it is made where it is missing.

    The operating system frees the lock when its process ends, however it ends. What a run of this host left
    behind is therefore taken over; of a run on another host nothing can be known, and its lock stands until
    somebody deletes it.

    Raises
    ------
    StageError
        Where another run holds the folder (naming host, process and time), or the folder cannot be written.
    """
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _take(path)
    except OSError as error:
        raise StageError(sentence(error, folder)) from error
    try:
        try:
            _sign(handle, command)
        except OSError as error:
            raise StageError(sentence(error, folder)) from error
        _sweep(folder)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _sweep(folder: Path) -> None:
    """Delete the half-written tables of a killed run."""
    for inside in (folder, folder / "evaluation"):
        for leftover in inside.glob(PARTIALS):
            leftover.unlink(missing_ok=True)


def _take(path: Path) -> int:
    """Open and lock the file; again where its last holder deleted it in between."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise _in_use(path) from None
        except OSError:  # a file system without locks: what the file says must do
            if _is_alive(_said(path)):
                os.close(handle)
                raise _in_use(path) from None
        said = _said(path)
        if said.get("host") not in (None, socket.gethostname()):
            os.close(handle)
            raise StageError(
                f"{path.parent} is in use by {_holder(said)}, which cannot be seen from here. If that run is "
                f"no longer there, delete {path} and run the same command again."
            )
        if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
            return handle
        os.close(handle)


def _in_use(path: Path) -> StageError:
    holder = _holder(_said(path))
    return StageError(
        f"{path.parent} is in use by {holder}; wait until it has ended, or name another folder with --out."
    )


def _is_alive(said: dict[str, object]) -> bool:
    """Whether the process that a lock file of this host names is still there."""
    pid = said.get("pid")
    if said.get("host") != socket.gethostname() or not isinstance(pid, int) or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sign(handle: int, command: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    said = {"host": socket.gethostname(), "pid": os.getpid(), "since": now, "command": command}
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(said).encode(), 0)
    os.fsync(handle)


def _said(path: Path) -> dict[str, object]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _holder(said: dict[str, object]) -> str:
    if not said:
        return "another run"
    what = f"`cropcheck {said.get('command')}`"
    return f"{what} on host {said.get('host')}, process {said.get('pid')}, since {said.get('since')}"
