"""What people entered: entries are added, never changed; each has the hash of the one before.

One journal serves field results and the decisions of officers. What an entry says is its `content`; what
holds now is derived by whoever reads the entries. A store keeps them (`features.journal.file`: one JSON a
line; `features.journal.database`: one row an entry); chaining and checking are the same for all.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.errors import CropcheckError
from features.files import fingerprint, write_json

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
        What it is about: a parcel id, the number of an entry; empty where it is about neither.
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


@dataclass(frozen=True)
class Fault:
    """What does not hold in a journal: `str` is the sentence in English, `kind` and the rest are its parts.

    Attributes
    ----------
    kind
        `altered`, `gap` (the entry does not follow the one before), `replaced` (not the one that was
        entered), `cut` (entries at the end are missing).
    journal
        Its name.
    entry
        The entry it is about; None where entries are missing.
    missing
        Numbers of the first and last entry that are missing.
    """

    kind: str
    journal: str
    entry: Entry | None = None
    missing: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        if self.entry is None:
            first, last = self.missing
            return f"{self.journal} was cut at its end: entries {first} to {last} are missing"
        return f"{self.journal}: entry {_named(self.entry)} {_FAULTS[self.kind]}"


_FAULTS = {
    "altered": "was altered",
    "gap": "does not follow the one before; entries were removed or put in",
    "replaced": "is not the one that was entered",
}


@dataclass(frozen=True)
class Head:
    """How far a journal went when it was last added to: the number and hash of its last entry.

    It is kept apart from the journal: without it, a journal cut at its end would look whole. A process
    killed between the two leaves a journal that goes further than its head; that is no fault.
    """

    number: int
    hash: str

    def write(self, path: Path, **facts: str) -> None:
        """Write the head to a file, with what else is to be known of the journal."""
        write_json(path, {**facts, **asdict(self)})

    @classmethod
    def read(cls, path: Path) -> "Head | None":
        """Return the head that a file holds, or None where it is missing or damaged."""
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            return cls(int(said["number"]), str(said["hash"]))
        except (OSError, ValueError, RecursionError, KeyError, TypeError):
            return None


def chained(
    drafts: Iterable[Draft], last: Entry | Head | None, by: str, at: datetime | None = None
) -> list[Entry]:
    """Turn drafts into entries that follow `last`."""
    when = (at or datetime.now(UTC)).isoformat(timespec="milliseconds")
    number, previous, found = (last.number, last.hash, []) if last else (0, GENESIS, [])
    for draft in drafts:
        number += 1
        entry = Entry(
            number, when, by, draft.kind, draft.subject, draft.content, draft.source, previous
        ).sealed()
        found.append(entry)
        previous = entry.hash
    return found


def faults(entries: Iterable[Entry], what: str, head: Head | None = None) -> Iterator[Fault]:
    """Yield what does not hold in a journal: entries altered, removed, put in or cut off.

    Parameters
    ----------
    what
        The journal's name in the sentences.
    head
        How far the journal went when it was last added to, where that is known.
    """
    previous, place = GENESIS, 0
    for entry in entries:
        if entry.digest() != entry.hash:
            yield Fault("altered", what, entry)
        if entry.previous != previous or entry.number != place + 1:
            yield Fault("gap", what, entry)
        elif head is not None and entry.number == head.number and entry.hash != head.hash:
            yield Fault("replaced", what, entry)
        previous, place = entry.hash, entry.number
    if head is not None and place < head.number:
        yield Fault("cut", what, missing=(place + 1, head.number))


def check_chain(entries: Iterable[Entry], what: str, head: Head | None = None) -> None:
    """Raise a JournalError that names the first entry that was altered, removed or put in."""
    for fault in faults(entries, what, head):
        raise JournalError(f"{fault}. Take the journal from a backup.")


def entry_of(facts: Mapping[str, Any]) -> Entry:
    """Return the entry that stored facts give; raises KeyError or TypeError where they give none."""
    source = Source(**facts["source"]) if facts["source"] else None
    return Entry(**{**facts, "source": source})


def _named(entry: Entry) -> str:
    about = f", {entry.subject}" if entry.subject else ""
    return f"{entry.number} ({entry.kind}{about}, by {entry.by})"
