"""A journal of what people entered: entries are added, never changed; each has the hash of the one before.

One journal serves field results and the decisions of officers. What an entry says is its `content`; what
holds now is derived by whoever reads the entries. A store keeps them (`FileJournal`: one JSON a line; a
database has one row an entry, with the same columns); chaining and checking are the same for all.
"""

import fcntl
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from features.errors import CropcheckError
from features.files import fingerprint, write_text

GENESIS = "0" * 64


class JournalError(CropcheckError):
    """A journal that was altered, or cannot be read."""


@dataclass(frozen=True)
class Source:
    """Where an entry came from: a file's name and the SHA-256 of its bytes."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Draft:
    """What someone enters.

    Attributes
    ----------
    kind
        `result`, `correction`, `undo`, `decision` ...
    subject
        What it is about: a parcel id, or the number of an entry.
    content
        What can be written as JSON.
    """

    kind: str
    subject: str
    content: Mapping[str, Any]
    source: Source | None = None


@dataclass(frozen=True)
class Entry:
    """One entry: a draft, its number from 1, who entered it and when (UTC), and its place in the chain."""

    number: int
    at: str
    by: str
    kind: str
    subject: str
    content: Mapping[str, Any]
    source: Source | None
    previous: str
    hash: str = field(default="")

    def sealed(self) -> "Entry":
        """Return the entry with its hash."""
        return Entry(**{**vars(self), "hash": self.digest()})

    def digest(self) -> str:
        """Return the SHA-256 of everything in the entry but the hash."""
        return fingerprint({name: value for name, value in asdict(self).items() if name != "hash"})


class Journal(Protocol):
    """What a store of entries offers."""

    def entries(self) -> list[Entry]:
        """Return all entries, oldest first, after checking their chain."""

    def append(self, drafts: Sequence[Draft], by: str, at: datetime | None = None) -> list[Entry]:
        """Add all drafts or none, and return their entries."""


def chained(drafts: Iterable[Draft], last: Entry | None, by: str, at: datetime | None = None) -> list[Entry]:
    """Turn drafts into entries that follow `last`."""
    when = (at or datetime.now(UTC)).isoformat(timespec="seconds")
    number, previous, found = (last.number, last.hash, []) if last else (0, GENESIS, [])
    for draft in drafts:
        number += 1
        entry = Entry(
            number, when, by, draft.kind, draft.subject, draft.content, draft.source, previous
        ).sealed()
        found.append(entry)
        previous = entry.hash
    return found


def check_chain(entries: Sequence[Entry], what: str) -> None:
    """Raise a JournalError that names the first entry that was altered, removed or put in."""
    previous = GENESIS
    for place, entry in enumerate(entries, start=1):
        if entry.digest() != entry.hash:
            raise JournalError(f"{what}: entry {place} was altered; take the journal from a backup.")
        if entry.previous != previous or entry.number != place:
            raise JournalError(
                f"{what}: entry {place} does not follow the one before; entries were removed or put in. Take "
                "the journal from a backup."
            )
        previous = entry.hash


class FileJournal:
    """A journal in a file, one entry a line.

    An addition writes the file anew beside the old one and renames it, under a lock: a killed process leaves
    the old journal or the new one, and two processes do not lose each other's entries.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> list[Entry]:
        """Return all entries, oldest first.

        Raises
        ------
        JournalError
            Where a line is no entry or the chain does not hold.
        """
        if not self.path.is_file():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        found = [self._entry(line, number) for number, line in enumerate(lines, start=1)]
        check_chain(found, str(self.path))
        return found

    def append(self, drafts: Sequence[Draft], by: str, at: datetime | None = None) -> list[Entry]:
        """Add all drafts or none, and return their entries; without drafts the file stays as it is."""
        if not drafts:
            return []
        with self._locked():
            known = self.entries()
            added = chained(drafts, known[-1] if known else None, by, at)
            write_text(self.path, "".join(_line(entry) for entry in [*known, *added]))
        return added

    def _entry(self, line: str, number: int) -> Entry:
        try:
            content = json.loads(line)
            source = Source(**content["source"]) if content["source"] else None
            return Entry(**{**content, "source": source})
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
