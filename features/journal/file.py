"""A journal in a file, one entry a line."""

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from features.files import write_text
from features.journal.entries import Draft, Entry, Head, JournalError, chained, check_chain, entry_of, faults


class FileJournal:
    """A journal in a file, one entry a line, and beside it how far it goes.

    An addition writes the file anew beside the old one and renames it, under a lock: a killed process leaves
    the old journal or the new one, and two processes do not lose each other's entries.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def head(self) -> Path:
        """The file that says how far the journal goes."""
        return self.path.with_suffix(".head.json")

    def entries(self) -> list[Entry]:
        """Return all entries, oldest first.

        Raises
        ------
        JournalError
            Where a line is no entry, the chain does not hold, or the end is missing.
        """
        found = self._read()
        check_chain(found, str(self.path), Head.read(self.head))
        return found

    def append(self, drafts: Sequence[Draft], by: str, at: datetime | None = None) -> list[Entry]:
        """Add all drafts or none, and return their entries; without drafts the file stays as it is."""
        if not drafts:
            return []
        with self._locked():
            known = self.entries()
            added = chained(drafts, known[-1] if known else None, by, at)
            write_text(self.path, "".join(_line(entry) for entry in [*known, *added]))
            Head(added[-1].number, added[-1].hash).write(self.head)
        return added

    def faults(self, what: str) -> list[str]:
        """Return what does not hold in the journal, a sentence each, under the name `what`."""
        head = Head.read(self.head)
        if not self.path.is_file():
            return [f"{what} is missing"] if self.head.exists() else []
        unknown = f"{what}: {self.head.name} is missing or damaged, so whether its end is whole is not known"
        try:
            found = [str(fault) for fault in faults(self._read(), what, head)]
        except JournalError as error:
            return [f"{what}: {error}"]
        return found if head is not None else [*found, unknown]

    def _read(self) -> list[Entry]:
        if not self.path.is_file():
            return []
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise JournalError(f"{self.path} is no text; take the journal from a backup.") from error
        return [self._entry(line, number) for number, line in enumerate(lines, start=1)]

    def _entry(self, line: str, number: int) -> Entry:
        try:
            return entry_of(json.loads(line))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise JournalError(
                f"{self.path} line {number} is no entry; take the journal from a backup."
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _line(entry: Entry) -> str:
    return json.dumps(asdict(entry), sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
