"""What was decided about each parcel: derived from the journal, which is only ever added to."""

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from features.journal import database as journal
from features.journal.entries import Draft, Entry
from reports.desk.records.refusal import Refused
from reports.desk.records.store import Store

DECISIONS = ("in_order", "contact", "visit", "accept", "refer")
SETTLED = ("in_order", "accept", "refer")  # nothing more to do at the desk
LONGEST_REMARK = 4000
MOST_AT_ONCE = 5000
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """The decision that stands for a parcel."""

    number: int  # of its entry
    at: str
    by: str
    decision: str
    remark: str
    assigned_to: str
    due: str  # ISO 8601, or empty
    model_id: str  # of the verdict that the person looked at
    evidence: tuple[str, ...] = ()  # SHA-256 of the parcel's photos at that moment

    @property
    def done(self) -> bool:
        """Whether nothing more is to be done at the desk."""
        return self.decision in SETTLED

    def late(self, today: date) -> bool:
        """Whether it was to be done before today and is not."""
        return not self.done and bool(self.due) and self.due < today.isoformat()


class ConflictError(Exception):
    """Somebody else decided about a parcel since the form was opened."""

    def __init__(self, parcel_id: str, standing: Decision | None) -> None:
        super().__init__(parcel_id)
        self.parcel_id, self.standing = parcel_id, standing


@dataclass(frozen=True)
class Wish:
    """A decision as it was entered, before it is saved."""

    decision: str
    remark: str = ""
    assigned_to: str = ""
    due: str = ""

    def check(self) -> "Wish":
        """Return the wish, its day as `2026-05-31`; raise Refused where it cannot be."""
        if self.decision not in DECISIONS:
            raise Refused("refused.decision", decision=repr(self.decision), decisions=", ".join(DECISIONS))
        if len(self.remark) > LONGEST_REMARK:
            raise Refused("refused.remark", most=LONGEST_REMARK, n=len(self.remark))
        if not self.due:
            return self
        try:
            return replace(self, due=date.fromisoformat(self.due).isoformat())
        except ValueError as error:
            raise Refused("refused.due", due=repr(self.due)) from error


class Decisions:
    """The decisions of one desk, kept up to date with the journal; several threads may ask at once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._last = 0
        self._of: dict[str, list[Decision]] = {}
        self._parcel_of: dict[int, str] = {}  # parcel of each decision's entry
        self._by: dict[int, str] = {}  # who made it
        self._photos: dict[str, list[str]] = {}  # SHA-256 of each parcel's
        self._undone: set[int] = set()
        self._stands: dict[str, Decision] = {}
        self._lock = threading.Lock()

    def standing(self) -> dict[str, Decision]:
        """Return the decision that stands for each parcel that has one."""
        return self._after(self.store.entries(after=self._last))

    def of(self, parcel_id: str) -> Decision | None:
        """Return the decision that stands for a parcel."""
        return self.standing().get(parcel_id)

    def save(
        self, by: str, wish: Wish, parcels: Iterable[tuple[str, str]], seen: dict[str, int]
    ) -> list[Entry]:
        """Save one decision for one or several parcels, all or none.

        Parameters
        ----------
        parcels
            Parcel id, and `model_id` of the verdict that was looked at.
        seen
            Parcel id to the number of the decision that stood when the form was opened (0: none).

        Raises
        ------
        ConflictError
            Where another decision has been saved for one of them since.
        Refused
            Where the decision cannot be, or too many parcels are named.
        """
        wish = wish.check()
        rows = list(parcels)
        if not 0 < len(rows) <= MOST_AT_ONCE:
            raise Refused("refused.at_once", most=MOST_AT_ONCE, n=len(rows))
        with self.store.writing() as connection:
            standing = self._after(journal.entries(connection, after=self._last))
            for parcel_id, _ in rows:
                now = standing.get(parcel_id)
                if (now.number if now else 0) != seen.get(parcel_id, 0):
                    raise ConflictError(parcel_id, now)
            drafts = [
                Draft(
                    "decision", parcel_id, {**vars(wish), "model_id": model_id, **self._evidence(parcel_id)}
                )
                for parcel_id, model_id in rows
            ]
            return journal.append(connection, drafts, by)

    def undo(self, by: str, number: int) -> Entry:
        """Take a decision back; the entry stays, and so does the taking back.

        Raises
        ------
        Refused
            Where there is no such decision, or it was taken back already.
        """
        with self.store.writing() as connection:
            self._after(journal.entries(connection, after=self._last))
            if number not in self._parcel_of or number in self._undone:
                raise Refused("refused.undo", number=number)
            draft = Draft("undo", self._parcel_of[number], {"number": number})
            return journal.append(connection, [draft], by)[0]

    def undo_own(self, by: str, first: int, count: int) -> list[Entry]:
        """Take back what a person decided in `count` entries from number `first`, as one act.

        Raises
        ------
        Refused
            Where none of them is a decision of theirs that has not been taken back.
        """
        with self.store.writing() as connection:
            self._after(journal.entries(connection, after=self._last))
            with self._lock:
                among = range(first, first + min(count, MOST_AT_ONCE))
                drafts = [
                    Draft("undo", self._parcel_of[number], {"number": number})
                    for number in among
                    if self._by.get(number) == by and number not in self._undone
                ]
            if not drafts:
                raise Refused("refused.undo_none")
            return journal.append(connection, drafts, by)

    def _evidence(self, parcel_id: str) -> dict[str, list[str]]:
        photos = self._photos.get(parcel_id)
        return {"evidence": list(photos)} if photos else {}

    def _after(self, entries: Iterable[Entry]) -> dict[str, Decision]:
        """Take over entries that are not known yet, and return what stands then.

        Entries are read before the lock is taken: a thread that waits for the database holds up no other.
        """
        read = list(entries)
        with self._lock:
            for entry in read:
                if entry.number > self._last:
                    self._take(entry)
                    self._last = entry.number
            return dict(self._stands)

    def _take(self, entry: Entry) -> None:
        try:
            if entry.kind == "decision":
                self._of.setdefault(entry.subject, []).append(_decision(entry))
                self._parcel_of[entry.number], self._by[entry.number] = entry.subject, entry.by
            elif entry.kind == "photo":
                self._photos.setdefault(entry.subject, []).append(str(entry.content["sha256"]))
                return
            elif entry.kind == "undo":
                self._undone.add(int(entry.content["number"]))
            else:
                return
        except (LookupError, TypeError, ValueError):  # altered by hand: the log and `verify` name it
            log.warning("Entry %d of the desk's journal was altered and cannot be read.", entry.number)
            return
        kept = [made for made in self._of.get(entry.subject, ()) if made.number not in self._undone]
        if kept:
            self._stands[entry.subject] = kept[-1]
        else:
            self._stands.pop(entry.subject, None)


def _decision(entry: Entry) -> Decision:
    content: Mapping[str, Any] = entry.content
    return Decision(
        number=entry.number,
        at=entry.at,
        by=entry.by,
        decision=str(content["decision"]),
        remark=str(content["remark"]),
        assigned_to=str(content["assigned_to"]),
        due=str(content["due"]),
        model_id=str(content["model_id"]),
        evidence=tuple(map(str, content.get("evidence", ()))),
    )
