"""Which files this process, its threads and the processes it starts open below some folders (Linux).

Libraries open files in C or Rust, where no hook of Python sees them: the kernel's inotify does.
"""

import ctypes
import os
import struct
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

OPENED, IS_FOLDER, LOST = 0x20, 0x40000000, 0x4000  # of <sys/inotify.h>
EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name
BUFFER_BYTES = 1 << 20
POLL_SECONDS = 0.05  # the kernel keeps 16,384 events


@contextmanager
def opened_files(folders: Sequence[Path]) -> Iterator[set[Path]]:
    """Yield a set that holds, once the block has ended, every file below `folders` that was opened in it.

    Folders made in the block are not watched: what is in them was made in it too.
    """
    found: set[Path] = set()
    watcher, ended = _Watcher(folders), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(watcher.read_until, ended)
        try:
            yield found
        finally:
            ended.set()
            found |= reading.result()
            watcher.close()


class _Watcher:
    """An inotify descriptor, and the folder that each of its watches is of."""

    def __init__(self, folders: Sequence[Path]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._handle = libc.inotify_init1(os.O_NONBLOCK)
        self._folders: dict[int, Path] = {}
        for place in (Path(place) for folder in folders for place, _, _ in os.walk(folder)):
            number = libc.inotify_add_watch(self._handle, os.fsencode(place), OPENED)
            if number < 0:
                raise OSError(ctypes.get_errno(), f"{place} cannot be watched")
            self._folders[number] = place

    def read_until(self, ended: threading.Event) -> set[Path]:
        """Return the files that are opened until something has ended."""
        found = set()
        last = False
        while not last:
            last = ended.wait(POLL_SECONDS)
            while content := self._read():
                found |= set(self._names(content))
        return found

    def _names(self, content: bytes) -> Iterator[Path]:
        at = 0
        while at < len(content):
            number, mask, _, length = EVENT.unpack_from(content, at)
            name = content[at + EVENT.size : at + EVENT.size + length].rstrip(b"\0")
            at += EVENT.size + length
            if mask & LOST:
                raise OSError("files were opened faster than they were noted")
            if name and not mask & IS_FOLDER:
                yield self._folders[number] / os.fsdecode(name)

    def _read(self) -> bytes:
        try:
            return os.read(self._handle, BUFFER_BYTES)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Stop watching."""
        os.close(self._handle)
