"""The draw of the Union Level Methodology: a ranked list of parcels fills one bucket a unit-amount group.

Parcels are taken in the order of the ranking. The first parcel of a holding brings up to three parcels of
that holding into each bucket; later parcels of it count one by one. A full bucket is closed, and its rows
leave the list. The rules are those of the Union Level Methodology (2024, chapters 3 and 4) as the JRC's tool
QUASSA v2.10 applies them, the order of its passes included.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from models.assessment.options import PER_HOLDING

ROWS_AT_ONCE = 4096  # of the list, while it is gone down
Covered = Literal[0, 1, 2]


@dataclass(frozen=True)
class DrawRules:
    """How buckets are filled.

    Attributes
    ----------
    most_holdings
        Once this many holdings are in the sample, only their parcels are taken (the rule of 3%); then one
        further holding for each bucket that stays empty. None: no limit.
    new_parcels_only
        Whether, once that limit is reached, parcels that are in a bucket do not enter further ones: the
        reading of Flanders' own tool (ec-jrc/cbm, iacs_qa/sample_extraction/BEFL). QUASSA lets them.
    covered
        0: all parcels; 1: parcels covered by very-high-resolution images first; 2: only these.
    keep_non_contributing
        Whether the first parcel of a holding stays in the list when its bucket is full, and so still brings
        its holding in.
    per_holding
        Parcels that a holding brings into a bucket when it is met.
    """

    most_holdings: int | None = None
    new_parcels_only: bool = False
    covered: Covered = 0
    keep_non_contributing: bool = False
    per_holding: int = PER_HOLDING


@dataclass(frozen=True)
class RankedRows:
    """The ranked list in numbers, one row a parcel and group, each `(row)`, best rank first.

    Attributes
    ----------
    holding, parcel, group
        Codes from 0. A parcel's rows have one rank, but need not have one holding.
    covered
        bool.
    """

    holding: np.ndarray
    parcel: np.ndarray
    group: np.ndarray
    covered: np.ndarray

    def ordered(self, order: np.ndarray) -> "RankedRows":
        """Return the rows in another order, `(row)`."""
        return RankedRows(self.holding[order], self.parcel[order], self.group[order], self.covered[order])


def fill_buckets(rows: RankedRows, targets: np.ndarray, rules: DrawRules) -> np.ndarray:
    """Return the rows drawn, in the order in which they were added.

    Parameters
    ----------
    targets
        `(group)`: how many rows each bucket takes.
    """
    return _Draw(rows, targets, rules).run()


class _Draw:
    """One draw: the buckets as they fill."""

    def __init__(self, rows: RankedRows, targets: np.ndarray, rules: DrawRules) -> None:
        self.rows, self.rules = rows, rules
        self.holding, self.parcel, self.group = map(_as_ints, (rows.holding, rows.parcel, rows.group))
        self.of_holding, self.of_parcel = _Members(rows.holding), _Members(rows.parcel)
        self.first = _first_of_each(rows.holding) if rules.keep_non_contributing else None
        self.targets = targets.tolist()
        self.sizes = [0] * len(self.targets)
        self.still_open = sum(target > 0 for target in self.targets)
        self.taken = bytearray(len(self.group))
        self.drawn: list[int] = []
        self.holdings: set[int] = set()
        self.closed: set[int] = set()  # full buckets whose rows have left the list
        self.limited = False
        self.beyond: np.ndarray | None = None  # rows outside the holdings of the limit
        self.alive = np.zeros(0, bool)

    def run(self) -> np.ndarray:
        everything = np.ones(len(self.group), bool)
        seen = self.rows.covered
        self._walk(everything if self.rules.covered == 0 else seen, set())
        unseen = self._uncovered(~seen) if self.rules.covered == 1 and self.still_open else None
        if self.limited and self.beyond is not None and self._some_empty():
            self._one_holding_each(self.beyond)
            if unseen is not None:
                self._one_holding_each(unseen)
        return np.array(self.drawn, dtype=np.int64)

    def _uncovered(self, unseen: np.ndarray) -> np.ndarray:
        """Take uncovered parcels: of holdings in the sample, then of others; return the others' rows."""
        inside = np.isin(self.rows.holding, list(self.holdings))
        own, others = (self._without(self.closed, unseen & which) for which in (inside, ~inside))
        checked: set[int] = set()
        self._walk(own, checked)
        if self.rules.most_holdings is None:
            self._walk(others, checked)
        return others

    def _walk(self, alive: np.ndarray, checked: set[int]) -> None:
        """Go down the list; when a bucket fills up, its rows leave and the list is gone down again.

        Going down again changes nothing for parcels whose rows are all taken or closed, so only the rows
        after the last one and those that could still be added are visited.
        """
        self.alive = alive.copy()
        ahead = np.flatnonzero(self.alive)
        while len(ahead) and self.still_open:
            again: list[int] = []
            place = next(
                (
                    start + place
                    for start in range(0, len(ahead), ROWS_AT_ONCE)
                    if (place := self._until_event(ahead[start : start + ROWS_AT_ONCE], checked, again))
                    is not None
                ),
                None,
            )
            if place is None:
                return
            self._close_full()
            self._limit_holdings()
            ahead = np.concatenate([np.array(again, dtype=np.int64), ahead[place + 1 :]])
            ahead = ahead[self.alive[ahead]]

    def _until_event(self, ahead: np.ndarray, checked: set[int], again: list[int]) -> int | None:
        """Visit rows until a bucket is full or the limit of holdings is reached; return where that was.

        Rows that could still be added later are added to `again`.
        """
        for place, row in enumerate(ahead.tolist()):
            if not self.still_open:
                return None
            holding = self.holding[row]
            if holding in checked:
                self._take_parcel(self.parcel[row], None, None)
            else:
                checked.add(holding)
                self._take_holding(holding)
                if self._addable(self.parcel[row]):
                    again.append(row)
            if self._full_count() != len(self.closed) or self._reaches_limit():
                return place
        return None

    def _take_holding(self, holding: int) -> None:
        counts = [0] * len(self.targets)
        rows = [row for row in self.of_holding[holding] if self.alive[row]]
        if self.rules.covered == 1:  # what the holding already gave counts
            for row in self.of_holding[holding]:
                counts[self.group[row]] += self.taken[row]
        for row in rows:
            if not self.still_open or all(count == self.rules.per_holding for count in counts):
                return
            self._take_parcel(self.parcel[row], holding, counts)

    def _take_parcel(self, parcel: int, holding: int | None, counts: list[int] | None) -> None:
        """Add a parcel's rows to open buckets; with counts, of one holding and to its share only."""
        for row in self.of_parcel[parcel]:
            group = self.group[row]
            if self.taken[row] or self.sizes[group] >= self.targets[group] or not self.alive[row]:
                continue
            if counts is not None:
                if self.holding[row] != holding or counts[group] >= self.rules.per_holding:
                    continue
                counts[group] += 1
            self._add(row)

    def _add(self, row: int) -> None:
        group = self.group[row]
        self.taken[row] = 1
        self.drawn.append(row)
        self.holdings.add(self.holding[row])
        self.sizes[group] += 1
        self.still_open -= self.sizes[group] == self.targets[group]

    def _addable(self, parcel: int) -> bool:
        return any(
            self.alive[row] and not self.taken[row] and self._is_open(self.group[row])
            for row in self.of_parcel[parcel]
        )

    def _is_open(self, group: int) -> bool:
        return bool(self.sizes[group] < self.targets[group])

    def _full_count(self) -> int:
        return len(self.targets) - int(self.still_open)

    def _reaches_limit(self) -> bool:
        most = self.rules.most_holdings
        return most is not None and not self.limited and len(self.holdings) >= most

    def _close_full(self) -> None:
        """Let the rows of full buckets leave, one bucket after the other while the list holds rows."""
        for group in range(len(self.targets)):
            if group not in self.closed and not self._is_open(group) and self.alive.any():
                self.closed.add(group)
                self.alive = self._without({group}, self.alive)

    def _limit_holdings(self) -> None:
        if self._reaches_limit():
            self.limited = True
            inside = np.isin(self.rows.holding, list(self.holdings))
            self.beyond = self.alive & ~inside
            self.alive = self.alive & inside
            if self.rules.new_parcels_only:
                self.alive &= ~np.isin(self.rows.parcel, self.rows.parcel[self.drawn])

    def _without(self, groups: set[int], alive: np.ndarray) -> np.ndarray:
        full = np.zeros(len(self.targets), bool)
        full[list(groups)] = True
        leaves: np.ndarray = full[self.rows.group]
        return np.asarray(alive & ~(leaves if self.first is None else leaves & ~self.first))

    def _some_empty(self) -> bool:
        return any(size == 0 < target for size, target in zip(self.sizes, self.targets, strict=True))

    def _one_holding_each(self, among: np.ndarray) -> None:
        """Give every empty bucket the parcels of the best-ranked holding that has some."""
        for group, target in enumerate(self.targets):
            rows = np.flatnonzero(among & (self.rows.group == group))
            if self.sizes[group] == 0 and len(rows):
                for row in rows[self.rows.holding[rows] == self.rows.holding[rows[0]]][:target].tolist():
                    self._add(row)


class _Members:
    """The rows of each code, best rank first."""

    def __init__(self, codes: np.ndarray) -> None:
        self.rows = _as_ints(places_by_code(codes))
        self.ends: list[int] = np.cumsum(np.bincount(codes)).tolist() if len(codes) else []

    def __getitem__(self, code: int) -> list[int]:
        return self.rows[self.ends[code - 1] if code else 0 : self.ends[code]].tolist()


def places_by_code(codes: np.ndarray) -> np.ndarray:
    """Return the places of codes `(n)` from 0, sorted by code and then by place: a counting sort.

    Examples
    --------
    >>> places_by_code(np.array([1, 0, 1, 0])).tolist()
    [1, 3, 0, 2]
    """
    count = len(codes)
    if not count:
        return np.zeros(0, dtype=np.int64)
    marks = csr_array((np.ones(count, bool), (codes, np.arange(count))))
    return np.asarray(marks.indices)


def codes_of_numbers(values: np.ndarray) -> np.ndarray:
    """Return the place of each number `(n)` among the distinct ones, by size.

    Examples
    --------
    >>> codes_of_numbers(np.array([30, 10, 30])).tolist()
    [1, 0, 1]
    """
    span = int(values.max(initial=0)) - int(values.min(initial=0))
    if span > 4 * len(values):  # too sparse to count
        return np.asarray(np.unique(values, return_inverse=True)[1])
    from_least = values - values.min(initial=0)
    met = np.zeros(span + 1, bool)
    met[from_least] = True
    return np.asarray((np.cumsum(met) - 1)[from_least])


def _as_ints(codes: np.ndarray) -> memoryview:
    """Return codes so that single ones are read as Python's numbers, without a list of all."""
    return np.ascontiguousarray(codes).data


def _first_of_each(codes: np.ndarray) -> np.ndarray:
    first = np.zeros(len(codes), bool)
    first[np.unique(codes, return_index=True)[1]] = True
    return first
