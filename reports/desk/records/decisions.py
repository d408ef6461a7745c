"""What was decided about each parcel: derived from the journal, which is only ever added to."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from features.errors import ConfigError
from reports.desk.records import journal
from reports.desk.records.journal import Entry
from reports.desk.records.store import Store

DECISIONS = ("in_order", "contact", "visit", "accept", "refer")
SETTLED = ("in_order", "accept", "refer")  # nothing more to do at the desk
LONGEST_REMARK = 4000
MOST_AT_ONCE = 5000


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
        """Return the wish; raise a ConfigError where it cannot be."""
        if self.decision not in DECISIONS:
            raise ConfigError(f"There is no decision {self.decision!r}; they are {', '.join(DECISIONS)}.")
        if len(self.remark) > LONGEST_REMARK:
            raise ConfigError(
                f"A remark has at most {LONGEST_REMARK} characters; this one has {len(self.remark)}."
            )
        if self.due:
            try:
                date.fromisoformat(self.due)
            except ValueError as error:
                raise ConfigError(f"{self.due!r} is not a date such as 2026-05-31.") from error
        return self


class Decisions:
    """The decisions of one desk, kept up to date with the journal."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._last = 0
        self._of: dict[str, list[Decision]] = {}
        self._undone: set[int] = set()

    def standing(self) -> dict[str, Decision]:
        """Return the decision that stands for each parcel that has one."""
        self._catch_up(self.store)
        return self._standing()

    def _standing(self) -> dict[str, Decision]:
        found = {}
        for parcel_id, made in self._of.items():
            kept = [decision for decision in made if decision.number not in self._undone]
            if kept:
                found[parcel_id] = kept[-1]
        return found

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
        ConfigError
            Where the decision cannot be, or too many parcels are named.
        """
        wish.check()
        rows = list(parcels)
        if not 0 < len(rows) <= MOST_AT_ONCE:
            raise ConfigError(
                f"A decision is saved for 1 to {MOST_AT_ONCE} parcels at once; here are {len(rows)}."
            )
        with self.store.writing() as connection:
            self._catch_up(connection)
            standing = self._standing()
            for parcel_id, _ in rows:
                now = standing.get(parcel_id)
                if (now.number if now else 0) != seen.get(parcel_id, 0):
                    raise ConflictError(parcel_id, now)
            content = {**vars(wish)}
            return [
                journal.add(connection, by, "decision", {**content, "model_id": model_id}, parcel_id)
                for parcel_id, model_id in rows
            ]

    def undo(self, by: str, number: int) -> Entry:
        """Take a decision back; the entry stays, and so does the taking back.

        Raises
        ------
        ConfigError
            Where there is no such decision, or it was taken back already.
        """
        with self.store.writing() as connection:
            self._catch_up(connection)
            made = {decision.number: name for name, all_of in self._of.items() for decision in all_of}
            if number not in made or number in self._undone:
                raise ConfigError(f"Entry {number} is no decision that stands, so it cannot be taken back.")
            return journal.add(connection, by, "undo", {"number": number}, made[number])

    def _catch_up(self, source: Store | sa.Connection) -> None:
        for entry in journal.entries(source, after=self._last):
            if entry.kind == "decision" and entry.parcel_id is not None:
                self._of.setdefault(entry.parcel_id, []).append(_decision(entry))
            elif entry.kind == "undo":
                self._undone.add(int(entry.content["number"]))
            self._last = entry.number


def _decision(entry: Entry) -> Decision:
    content: dict[str, Any] = entry.content
    return Decision(
        number=entry.number,
        at=entry.at,
        by=entry.by,
        decision=str(content["decision"]),
        remark=str(content["remark"]),
        assigned_to=str(content["assigned_to"]),
        due=str(content["due"]),
        model_id=str(content["model_id"]),
    )
