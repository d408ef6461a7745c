"""How likely each parcel was to be drawn: the draw is repeated with other random rankings, and counted."""

from dataclasses import dataclass

import numpy as np

from models.assessment.buckets import DrawRules, RankedRows, fill_buckets

FEWEST_DRAWS, MOST_DRAWS = 20, 400
ROWS_TO_COUNT = 60_000  # drawn rows, all draws together, that probabilities are counted from


def random_order(parcel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an order `(row)` in which parcels stand at random and a parcel's rows stay together."""
    place = rng.permutation(int(parcel.max()) + 1 if len(parcel) else 0)
    return np.argsort(place[parcel], kind="stable")


def draws_for(drawn: int) -> int:
    """Return how often a draw of so many rows is repeated."""
    return int(np.clip(ROWS_TO_COUNT // max(drawn, 1), FEWEST_DRAWS, MOST_DRAWS))


@dataclass(frozen=True)
class Inclusion:
    """Probabilities of being drawn, each `(row)`.

    Attributes
    ----------
    row
        The row into its bucket.
    parcel
        The row's parcel into any bucket.
    holding
        Any parcel of the row's holding into any bucket.
    """

    row: np.ndarray
    parcel: np.ndarray
    holding: np.ndarray


def inclusion(
    rows: RankedRows,
    targets: np.ndarray,
    rules: DrawRules,
    rng: np.random.Generator,
    *,
    draws: int | None = None,
    drawn: np.ndarray | None = None,
) -> Inclusion:
    """Estimate how likely rows, their parcels and their holdings were to be drawn; `targets` is `(group)`.

    A ranking is taken to be a random order of the parcels. Parcels that the rules cannot tell apart have the
    same probability: rows are pooled by group, the parcel's other groups, coverage, and how many rows and
    parcels of each group their holding has.

    Parameters
    ----------
    draws
        Repetitions; by default as many as `draws_for` says.
    drawn
        Rows of the sample itself, which then count as one draw more, so that none of them has probability 0.
    """
    first = drawn if drawn is not None else fill_buckets(rows, targets, rules)
    repeats = draws_for(len(first)) if draws is None else draws
    count, parcels, holdings = np.zeros(len(rows.group)), _Counter(rows.parcel), _Counter(rows.holding)
    for repeat in range(repeats + 1):
        order = random_order(rows.parcel, rng) if repeat else np.arange(len(rows.group))
        taken = order[fill_buckets(rows.ordered(order), targets, rules)] if repeat else first
        count[taken] += 1
        parcels.add(taken)
        holdings.add(taken)
    by_row, by_parcel, by_holding = _alike(rows)
    counted = ((count, by_row), (parcels.count, by_parcel), (holdings.count, by_holding))
    return Inclusion(*(_pooled(of, alike) / (repeats + 1) for of, alike in counted))


class _Counter:
    """How often each row's parcel or holding was drawn."""

    def __init__(self, codes: np.ndarray) -> None:
        self.codes = codes
        self.by_code = np.zeros(int(codes.max()) + 1 if len(codes) else 0)

    def add(self, taken: np.ndarray) -> None:
        self.by_code[np.unique(self.codes[taken])] += 1

    @property
    def count(self) -> np.ndarray:
        return np.asarray(self.by_code[self.codes])


def _alike(rows: RankedRows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which rows, which parcels and which holdings the rules treat alike."""
    signature = _signature(rows.parcel, rows.group)
    rows_of_holding = np.bincount(rows.holding)[rows.holding]
    pair = rows.holding.astype(np.int64) * (int(rows.group.max(initial=0)) + 1) + rows.group
    _, place, sizes = np.unique(pair, return_inverse=True, return_counts=True)
    shared = (signature, rows.covered, rows_of_holding)
    return _codes(rows.group, sizes[place], *shared), _codes(*shared), _codes(rows_of_holding)


def _signature(parcel: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return a number for the set of groups of each row's parcel."""
    bits = np.left_shift(np.uint64(1), (group % 64).astype(np.uint64))
    total = np.zeros(int(parcel.max()) + 1 if len(parcel) else 0, dtype=np.uint64)
    np.bitwise_or.at(total, parcel, bits)
    return np.asarray(total[parcel])


def _codes(*columns: np.ndarray) -> np.ndarray:
    code = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        _, levels = np.unique(column, return_inverse=True)
        _, code = np.unique(code * (int(levels.max(initial=0)) + 1) + levels, return_inverse=True)
    return code


def _pooled(count: np.ndarray, alike: np.ndarray) -> np.ndarray:
    mean = np.bincount(alike, count) / np.maximum(np.bincount(alike), 1)
    return np.asarray(mean[alike])
