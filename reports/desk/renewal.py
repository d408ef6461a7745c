"""The desk over a run as it now is: where the run is made anew, its tables are read again."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from reports.desk.records.store import Store
from reports.desk.state import Desk

AGAIN_S = 30.0  # after which a run that could not be read is tried again
log = logging.getLogger(__name__)
Stamp = tuple[int, ...]


class Renewal:
    """A desk that notices when its run was made anew.

    The tables are read again beside the work; until then pages show those that are open, and say so.
    Accounts, decisions and photos are the same before and after.

    Parameters
    ----------
    desk
        The desk as it was opened.
    reopen
        Opens it again over the same store.
    seal
        The file that a run writes last.
    """

    def __init__(self, desk: Desk, reopen: Callable[[Store], Desk], seal: Path) -> None:
        self._desk, self._reopen, self._seal = desk, reopen, seal
        self._read = self._tried = _stamp(seal)
        self._tried_at = 0.0
        self._lock = threading.Lock()
        self.reading: threading.Thread | None = None

    def desk(self) -> Desk:
        """Return the desk as it is open now; begin to read the run again where it was made anew."""
        now = _stamp(self._seal)
        if now == self._read:
            return self._desk
        with self._lock:
            busy = self.reading is not None and self.reading.is_alive()
            again = now != self._tried or time.monotonic() - self._tried_at > AGAIN_S
            if now and now != self._read and not busy and again:
                self._tried, self._tried_at = now, time.monotonic()
                self._desk.notice = "desk.renewing"
                self.reading = threading.Thread(target=self._renew, args=(now,), daemon=True)
                self.reading.start()
        return self._desk

    def _renew(self, stamp: Stamp) -> None:
        try:
            desk = self._reopen(self._desk.store)
        except Exception:  # whatever is wrong with the new run, the work on the open one goes on
            log.exception("The run was made anew and cannot be read")
            self._desk.notice = "desk.not_renewed"
            return
        desk.accounts = self._desk.accounts  # with the log-ins that failed
        self._desk, self._read = desk, stamp


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino
