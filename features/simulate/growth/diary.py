"""What was done on every field, and when: the truth about events."""

from dataclasses import dataclass, field

import numpy as np

from features.simulate.land.states import States

BARE_LEAF, BARE_STRAW, BARE_DAYS = 0.3, 0.25, 7  # below these for so long, the soil lies bare
GREEN_LEAF, GREEN_DAYS = 0.6, 7  # leaf area index from which a field counts as green, for so long
EMERGED = 0.15  # leaf area index of a stand that has come up


@dataclass
class Diary:
    """Events as lists of arrays: field number, name, first and last day of year (day 0 is 1 January)."""

    rows: list[np.ndarray] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    first: list[np.ndarray] = field(default_factory=list)
    last: list[np.ndarray] = field(default_factory=list)

    def note(
        self, event: str, first: np.ndarray, where: np.ndarray | None = None, last: np.ndarray | None = None
    ) -> None:
        """Note an event on the fields of `where` (field,), on days `first` (field,) to `last`."""
        chosen = np.flatnonzero(np.ones(len(first), bool) if where is None else where)
        end = first if last is None else last
        self.rows.append(chosen)
        self.names.append(event)
        self.first.append(np.round(np.asarray(first, float)[chosen]))
        self.last.append(np.round(np.asarray(end, float)[chosen]))

    def take_over(self, other: "Diary", rows: np.ndarray) -> None:
        """Add another diary's events, whose fields are `rows (field)` here."""
        self.rows += [rows[own] for own in other.rows]
        self.names += other.names
        self.first += other.first
        self.last += other.last

    def table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return field, event, first and last day, each `(event)`, in order of field and day."""
        if not self.rows:
            none = np.zeros(0)
            return none.astype(int), none.astype(str), none, none
        row = np.concatenate(self.rows)
        name = np.concatenate(
            [np.full(len(own), event) for own, event in zip(self.rows, self.names, strict=True)]
        )
        first, last = np.concatenate(self.first), np.concatenate(self.last)
        order = np.lexsort((name, first, row))
        return row[order], name[order], first[order], last[order]


def note_bare_soil(diary: Diary, states: States) -> None:
    """Note every spell of bare soil: hardly a leaf and hardly any straw for a week or more."""
    bare = (states.leaf_area < BARE_LEAF) & (states.straw < BARE_STRAW) & (states.standing_dead < BARE_STRAW)
    _note_spells(diary, "bare_soil", bare, BARE_DAYS)


def note_green_cover(diary: Diary, states: States) -> None:
    """Note every spell of green cover: living leaves over most of the ground for a week or more."""
    alive = states.leaf_area * (1 - states.senescence)
    _note_spells(diary, "green_cover", alive >= GREEN_LEAF, GREEN_DAYS)


def _note_spells(diary: Diary, event: str, lasting: np.ndarray, least: int) -> None:
    """Note every run of days (field, day) that lasts at least so long."""
    edges = np.diff(np.pad(lasting, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, begin = np.nonzero(edges == 1)
    _, end = np.nonzero(edges == -1)
    long = end - begin >= least
    diary.rows.append(row[long])
    diary.names.append(event)
    diary.first.append(begin[long].astype(float))
    diary.last.append(end[long].astype(float) - 1)


def day_reached(values: np.ndarray, level: float, since: np.ndarray) -> np.ndarray:
    """Return the first day from `since` (field,) on at which values (field, day) reach a level; -1: never."""
    after = np.arange(values.shape[1])[None, :] >= since[:, None]
    reached = (values >= level) & after
    return np.where(reached.any(1), reached.argmax(1), -1)
