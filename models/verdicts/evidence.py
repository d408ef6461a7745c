"""The input of the decision rule: calibrated probabilities, p-values, prediction sets, mislabel scores.

What is learned from all parcels is small: calibrators, mislabel models, and for every class the sorted scores
of the parcels that declare it. With them each parcel stands for itself, so that parcels are scored some at a
time, and the result does not depend on how many.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.special import expit
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from features.declarations.crop_codes import CropGroups
from features.declarations.schemes import Schemes, accepted_classes
from models.probability.calibration import Calibrator, fit_calibrator, rows_fitted
from models.probability.conformal import RankedScores, can_promise, prediction_sets
from models.probability.mislabel import cross_fit_mislabel
from models.verdicts.options import JudgeOptions
from models.verdicts.predicted import Predicted, Table, ensemble_of, taken

ROWS_TO_CALIBRATE = 10  # least number of inner rows per class
RESOLUTION = 1e-4  # smaller differences of probability carry no information


@dataclass(frozen=True)
class Evidence:
    """What the decision rule reads, one row per parcel that has probabilities."""

    at: np.ndarray  # (parcel,): row in the declarations
    probabilities: np.ndarray  # (parcel, class), calibrated
    classes: np.ndarray  # (class,) names
    declared: np.ndarray  # (parcel,) class index, -1 where the class is not modelled
    fold: np.ndarray  # (parcel,)
    accepted: np.ndarray  # (parcel, class) bool: classes that satisfy the scheme
    p_value: np.ndarray  # (parcel,): of the hypothesis that the scheme's requirement is met
    sets: np.ndarray  # (parcel, class) bool: prediction sets
    typical: np.ndarray  # (parcel,): largest p-value of any class by its own probability: low where none fits
    promised: np.ndarray  # (parcel,) bool: the p-value, with its weights, can get down to alpha
    right: (
        np.ndarray
    )  # (parcel,): probability that the requirement is met; NaN where no model could be fitted

    @property
    def predicted(self) -> np.ndarray:
        """Return `(parcel,)`: the index of the most probable class."""
        return np.asarray(self.probabilities.argmax(1))


@dataclass(frozen=True)
class _Claims:
    """What each parcel has to meet: `kind (parcel,)` is the row of `allowed (kind, class)` bool, the classes
    that satisfy its scheme; -1 where its declaration names no class."""

    kind: np.ndarray
    allowed: np.ndarray

    def accepted(self, rows: np.ndarray) -> np.ndarray:
        """Return `(row, class)` bool: the classes that satisfy each parcel's scheme; none where there is no
        declared class."""
        found: np.ndarray = self.allowed[self.kind[rows]]
        found[self.kind[rows] < 0] = False
        return found


class Scoring:
    """Evidence on parcels, some at a time.

    Parameters
    ----------
    probabilities, inner
        As `models.verdicts.judge.judge` takes them.
    table
        At least `parcel_id, crop_class, intervention`, one row per parcel.
    per_chunk
        Parcels in memory at a time, None: as many as it allows; the evidence does not depend on it.

    Raises
    ------
    StageError
        Where the probabilities hold no rows of the ensemble.
    """

    def __init__(
        self,
        probabilities: Table,
        table: pl.DataFrame,
        options: JudgeOptions,
        schemes: Schemes,
        groups: CropGroups,
        *,
        inner: Table | None = None,
        per_chunk: int | None = None,
    ) -> None:
        self._predicted, self._options = Predicted(probabilities, table), options
        self._per_chunk = per_chunk or self._predicted.at_once()
        rows, self.classes = self._predicted.rows, self._predicted.classes
        self.at, self._fold = rows["at"].to_numpy(), rows["fold"].to_numpy()
        self._declared = _index_of(rows["crop_class"], self.classes)
        self._claims = _claims(rows, self.classes, schemes, groups)
        with threadpool_limits(1, "blas"):  # sums in one order: the same verdicts on any number of cores
            self._calibrators = self._calibrate(None if inner is None else ensemble_of(inner.lazy()))
            self._mislabel = cross_fit_mislabel(self._views, self._declared, self._fold, options.noise_rate)
            self._score_declarations()

    def chunks(self) -> Iterator[np.ndarray]:
        """Yield indices `(n)` of parcels that have probabilities, `per_chunk` at a time, in order."""
        count = len(self._fold)
        for start in range(0, max(count, 1), self._per_chunk):
            yield np.arange(start, min(start + self._per_chunk, count))

    def evidence(self, rows: np.ndarray) -> Evidence:
        """Return the evidence on the parcels of these indices, `(n)`."""
        fold, declared = self._fold[rows], self._declared[rows]
        with threadpool_limits(1, "blas"):
            views = self._views(rows)
            own, sets = np.ones((2, *views.shape[1:]))
            logs = np.log(views[0] + RESOLUTION)
            for number in range(len(self.classes)):
                claimed, allowed = np.full(len(rows), number), np.arange(len(self.classes)) == number
                score, _ = self._mislabel.score(views, fold, claimed, np.tile(allowed, (len(rows), 1)))
                own[:, number] = self._own[number].p_values(logs[:, number], fold)
                sets[:, number] = self._alone[number].p_values(-score, fold)
        return Evidence(
            at=self.at[rows],
            probabilities=views[0],
            classes=self.classes,
            declared=declared,
            fold=fold,
            accepted=self._claims.accepted(rows),
            p_value=self._p_value[rows],
            sets=prediction_sets(sets, 1 - self._options.set_level),
            typical=own.max(1),
            promised=can_promise(self._least[rows], self._options.alpha) & (declared >= 0),
            right=self._right[rows],
        )

    def _views(self, rows: np.ndarray) -> np.ndarray:
        """Return `(model, row, class)`: the calibrated ensemble, then each model's own probabilities."""
        views, fold = self._predicted.of(rows), self._fold[rows]
        for number in np.unique(fold):
            mine = fold == number
            views[0, mine] = self._calibrators[int(number)].apply(views[0, mine])
        return views

    def _calibrate(self, inner: pl.LazyFrame | None) -> Mapping[int, Calibrator]:
        """Fit each fold's calibrator: on its inner rows, or on the other folds where these are too few."""
        name, fold, declared = self._options.calibration, self._fold, self._declared
        least = ROWS_TO_CALIBRATE * len(self.classes)
        found: dict[int, Calibrator] = {}
        for number in map(int, np.unique(fold)):
            sample = None if inner is None else self._inner_rows(inner, number, least)
            if sample is None:
                others = np.flatnonzero((fold != number) & (fold >= 0) & (declared >= 0))
                use = others[rows_fitted(len(others))]
                sample = self._predicted.of(use)[0], declared[use], fold[use]
            found[number] = fit_calibrator(name, *sample)
        return found

    def _inner_rows(self, inner: pl.LazyFrame, number: int, least: int) -> tuple[np.ndarray, ...] | None:
        """Return probabilities, labels and folds of one fold's inner rows; None where there are too few."""
        held = inner.filter(pl.col("fold") == number)
        own = self._predicted.rows.select("parcel_id", own="fold", label=pl.Series(self._declared))
        keys = (
            held.select("parcel_id").collect().join(own, on="parcel_id", how="inner", maintain_order="left")
        )
        keys = keys.filter(pl.col("label") >= 0)
        if len(keys) < least:
            return None
        keys = keys.gather_every(rows_fitted(len(keys)).step)
        names = self.classes.tolist()
        found = keys.join(taken(held, keys), on="parcel_id", how="left", maintain_order="left")
        values = np.ascontiguousarray(found.select(names).to_numpy())
        return values, found["label"].to_numpy(), found["own"].to_numpy()

    def _score_declarations(self) -> None:
        """Score every declaration, and what its scheme allows, once: what others are compared with."""
        alone, chance, own = np.full((3, len(self._fold)), np.nan)
        asked = {(number, kind): _Asked(self._of(number)) for number, kind in self._pairs()}
        for rows in self.chunks():
            views, fold, declared = self._views(rows), self._fold[rows], self._declared[rows]
            claimed = np.maximum(declared, 0)
            one = claimed[:, None] == np.arange(len(self.classes))
            alone[rows], odds = self._mislabel.score(views, fold, claimed, one)
            chance[rows] = expit(-odds)
            own[rows] = np.log(views[0, np.arange(len(rows)), claimed] + RESOLUTION)
            for (number, kind), said in asked.items():
                mine = np.flatnonzero(declared == number)
                claims = np.tile(self._claims.allowed[kind], (len(mine), 1))
                said.add(*self._mislabel.score(views[:, mine], fold[mine], declared[mine], claims))
        self._own = [self._ranked(number, own, chance) for number in range(len(self.classes))]
        self._alone = [self._ranked(number, -alone, chance) for number in range(len(self.classes))]
        self._require(asked)

    def _of(self, number: int) -> np.ndarray:
        return np.flatnonzero(self._declared == number)

    def _pairs(self) -> list[tuple[int, int]]:
        """Return every class with each kind of claim that its parcels make."""
        known = self._declared >= 0
        return sorted({*zip(self._declared[known].tolist(), self._claims.kind[known].tolist(), strict=True)})

    def _ranked(self, number: int, scores: np.ndarray, chance: np.ndarray) -> RankedScores:
        member = (self._declared == number) & (self._fold >= 0)
        return RankedScores(scores[member], self._fold[member], chance[member])

    def _require(self, asked: "Mapping[tuple[int, int], _Asked]") -> None:
        """Compare each declaration with those of its class as if all had to meet what it has to meet."""
        self._p_value, self._right, self._least = np.full((3, len(self._fold)), np.nan)
        for (_, kind), said in asked.items():
            fold, (ranking, odds) = self._fold[said.member], said.joined
            chance, calibrates = expit(-odds), fold >= 0
            mine = self._claims.kind[said.member] == kind
            ranked = RankedScores(-ranking[calibrates], fold[calibrates], chance[calibrates])
            to = said.member[mine]
            self._p_value[to] = ranked.p_values(-ranking[mine], fold[mine])
            self._least[to] = ranked.least(fold[mine])
            self._right[to] = np.where(self._mislabel.known(fold[mine]), chance[mine], np.nan)


class _Asked:
    """Rankings and log-odds of one class's parcels under one claim, as they come."""

    def __init__(self, member: np.ndarray) -> None:
        self.member, self._parts = member, list[tuple[np.ndarray, np.ndarray]]()

    def add(self, ranking: np.ndarray, odds: np.ndarray) -> None:
        self._parts.append((ranking, odds))

    @property
    def joined(self) -> tuple[np.ndarray, np.ndarray]:
        """Return both, `(member,)` each."""
        ranking, odds = zip(*self._parts, strict=True)
        return np.concatenate(ranking), np.concatenate(odds)


def _index_of(names: pl.Series, classes: np.ndarray) -> np.ndarray:
    number = {name: index for index, name in enumerate(classes)}
    return np.array([number.get(name, -1) for name in names.to_list()], dtype=int)


def _claims(rows: pl.DataFrame, classes: np.ndarray, schemes: Schemes, groups: CropGroups) -> _Claims:
    kind = np.full(len(rows), -1)
    known: dict[tuple[str, str], int] = {}
    place: dict[bytes, int] = {}
    allowed: list[np.ndarray] = []
    for index, (name, intervention) in enumerate(rows.select("crop_class", "intervention").iter_rows()):
        if name is None:
            continue
        key = (schemes.rule_of(intervention), name)
        if key not in known:
            found = np.isin(classes, list(accepted_classes(key[0], name, classes, groups)))
            known[key] = place.setdefault(found.tobytes(), len(allowed))
            if known[key] == len(allowed):
                allowed.append(found)
        kind[index] = known[key]
    return _Claims(kind, np.array(allowed or [np.zeros(len(classes), bool)]))
