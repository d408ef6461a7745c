"""A detector of events: boosters over intervals, a network over steps, or both, cross-fitted, with the
chance that what they find is right.
"""

import logging
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from features.errors import ModelError
from models.events.intervals import Intervals, find_intervals
from models.events.kinds import EVENTS, SAME_CHANGE, kind_of
from models.events.labels import Labels, days_of, targets
from models.events.learning.boosting import binned, fit_booster, learning_sets, rows_of, worth_a_look
from models.events.learning.chance import (
    Chance,
    best_threshold,
    fit_chance,
    kept_above,
    reported_from,
    right_events,
)
from models.events.learning.combination import best_share, joined, mean_of
from models.events.options import EventOptions
from models.events.peaks import Peaks, find_peaks, surroundings
from models.events.rules import rule_scores
from models.events.series import EventSeries

if TYPE_CHECKING:
    from models.events.learning.network import StepNetwork

log = logging.getLogger(__name__)
FEW_LABELS = "few_labels"  # the reason of a fit that is not possible
LEAST_EVENTS = 10  # labelled events of a kind below which a rule decides it
LEAST_DATED = 20  # exactly dated events from which on the place of a date in its interval is taken from them
ALL = -1  # the fold of parcels that no model saw: the booster of all labels


@dataclass
class KindModel:
    """What finds one kind of event.

    `boosters` (several where labels are few: the mean of their log-odds counts), `network_share` (the
    network's part in the score, 0 to 1) and `chances` by fold; those of `ALL` saw every label and serve
    parcels without one. With neither boosters nor a network the rule decides.
    """

    boosters: dict[int, list[Any]] = field(default_factory=dict)
    network_share: dict[int, float] = field(default_factory=dict)
    chances: dict[int, Chance] = field(default_factory=dict)
    date_share: float = 0.5
    events: int = 0

    @property
    def learned(self) -> bool:
        """Whether labels stand behind it."""
        return bool(self.boosters or self.network_share)


@dataclass
class Detector:
    """Finds events of every kind in series; `networks` by fold, where a network has a part in it."""

    kinds: dict[str, KindModel]
    options: EventOptions
    networks: dict[int, "StepNetwork"] = field(default_factory=dict)

    def intervals(self, series: EventSeries, fold: np.ndarray) -> Intervals:
        """Return the intervals of a series, with what the networks say of them.

        `fold` `(parcel,)` says which models saw no label of a parcel.
        """
        found = find_intervals(series)
        if not self.networks:
            return found
        from models.events.learning.steps import over_intervals

        chance = np.zeros((len(found), len(EVENTS)))
        for k, network in self.networks.items():
            rows = np.flatnonzero(fold == k)
            mine = np.flatnonzero(fold[found.row] == k)
            if len(mine):
                own = replace(found.take(mine), row=np.searchsorted(rows, found.row[mine]))
                chance[mine] = over_intervals(network.density(series.take(rows)), own)
        return replace(found, by_network=chance)

    def scores(self, intervals: Intervals, event: str, fold: np.ndarray) -> np.ndarray:
        """Return `(interval,)` a score from 0 to 1; `fold` `(parcel,)` says which booster saw no label of
        it.
        """
        model = self.kinds[event]
        if not model.learned:
            return rule_scores(intervals, event)
        score = np.zeros(len(intervals))
        looked = worth_a_look(intervals, event)
        of = fold[intervals.row]
        for k in {**model.boosters, **model.network_share}:
            mine = np.flatnonzero(looked & (of == k))
            if len(mine):
                score[mine] = self._score(model, event, k, intervals.take(mine))
        return score

    def all_scores(self, intervals: Intervals, fold: np.ndarray) -> dict[str, np.ndarray]:
        """Return the scores `(interval,)` of every kind; `fold` is `(parcel,)`."""
        return {event: self.scores(intervals, event, fold) for event in self.kinds}

    def _score(self, model: KindModel, event: str, fold: int, intervals: Intervals) -> np.ndarray:
        """Return what the models of a fold say of intervals."""
        share = model.network_share.get(fold, 0.0)
        by_network = (
            intervals.by_network[:, EVENTS.index(event)] if intervals.by_network is not None else None
        )
        if by_network is not None and fold not in model.boosters:
            return by_network
        boosted = mean_of(
            [booster.predict(intervals.features, num_threads=1) for booster in model.boosters[fold]]
        )
        return joined(boosted, by_network, share) if by_network is not None and share else boosted

    def peaks(
        self, intervals: Intervals, event: str, scores: Mapping[str, np.ndarray], fold: np.ndarray
    ) -> tuple[Peaks, np.ndarray]:
        """Return possible events of a kind, and the chance of each, `(event)`; `scores` are those of every
        kind, `fold` is `(parcel)`.
        """
        model = self.kinds[event]
        found, inputs = self.possible(intervals, event, scores)
        chance = np.zeros(len(found))
        of = fold[intervals.row[found.interval]]
        for k, curve in model.chances.items():
            mine = of == k
            chance[mine] = curve.of(inputs[mine])
        return (found, chance) if model.chances else (found, found.score)

    def possible(
        self, intervals: Intervals, event: str, scores: Mapping[str, np.ndarray]
    ) -> tuple[Peaks, np.ndarray]:
        """Return possible events of a kind, and what the chance of each is judged by, `(event, 5)`."""
        found = find_peaks(intervals, scores[event], kind_of(event).apart, self.kinds[event].date_share)
        return found, surroundings(found, intervals, self.rivals(event, scores))

    def rivals(self, event: str, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return `(interval,)` the highest score of the learned events that look like this one."""
        alike = [
            name
            for name in (SAME_CHANGE if event in SAME_CHANGE else ())
            if name != event and name in self.kinds and self.kinds[name].learned
        ]
        none = np.zeros(len(scores[event]))
        return np.asarray(np.max([none, *(scores[name] for name in alike)], axis=0))

    def reported_from(self, event: str) -> float:
        """Return the chance from which on a kind is reported."""
        model = self.kinds[event]
        return model.chances[ALL].reported_from if model.chances else 0.5


def rule_detector(options: EventOptions) -> Detector:
    """Return the detector of runs without labels: rules alone, whose scores are no calibrated chances."""
    return Detector({name: KindModel(date_share=kind_of(name).date_share) for name in EVENTS}, options)


def fit_detector(
    series: EventSeries, labels: Labels, fold: np.ndarray, options: EventOptions
) -> tuple[Detector, np.ndarray]:
    """Fit a detector on labelled parcels.

    Parameters
    ----------
    series
        All parcels; those of `labels.watched` are learned from.
    fold
        `(parcel,)` grouped by holding and block; -1 where a parcel has none (it is then left out).

    Returns
    -------
    tuple
        The detector, and `(parcel,)` the fold whose models saw no label of it: its own for a watched parcel,
        ALL for every other.

    Raises
    ------
    ModelError
        Where the watched parcels lie in fewer than two folds; its reason is FEW_LABELS.
    """
    watched = np.isin(np.array(series.parcel_ids), labels.watched) & (fold >= 0)
    if len(np.unique(fold[watched])) < 2:
        raise ModelError(
            f"{int(watched.sum())} labelled parcels lie in fewer than two folds of holdings and blocks; "
            "label parcels of more holdings, or take another run's models (events.from_run).",
            reason=FEW_LABELS,
        )
    rows = np.flatnonzero(watched)
    taught, own = series.take(rows), fold[rows]
    kinds = _fit_kinds(taught, labels, own, options)
    detector = Detector(kinds, options, _fit_networks(taught, labels, own, options))
    whole = detector.intervals(taught, own)
    for event in EVENTS:
        kinds[event].date_share = _date_share(whole, taught, labels, event)
        _share_with_network(detector, event, whole, taught, labels, own)
    with ThreadPoolExecutor(options.threads) as pool:
        scores = dict(
            zip(kinds, pool.map(lambda event: detector.scores(whole, event, own), kinds), strict=True)
        )
        learned = [event for event, model in kinds.items() if model.learned]
        curves = pool.map(
            lambda event: _fit_chances(detector, event, whole, scores, taught, labels, own), learned
        )
        for event, chances in zip(learned, list(curves), strict=True):
            kinds[event].chances = chances
    return detector, np.where(watched, fold, ALL)


def _fit_kinds(
    series: EventSeries, labels: Labels, fold: np.ndarray, options: EventOptions
) -> dict[str, KindModel]:
    """Fit the boosters of every kind that has labels enough; a network is fitted after them."""
    kinds = {
        event: KindModel(
            date_share=kind_of(event).date_share, events=len(_expected(labels, event, series)[1])
        )
        for event in EVENTS
    }
    taught = [
        event for event, model in kinds.items() if event in labels.kinds and model.events >= LEAST_EVENTS
    ]
    if options.method == "network":
        for event in taught:
            kinds[event].network_share = dict.fromkeys([*np.unique(fold).tolist(), ALL], 1.0)
    elif taught:
        for event, boosters in _fit_boosters(taught, series, labels, fold, options).items():
            kinds[event].boosters = boosters
    return kinds


def _fit_boosters(
    events: list[str], series: EventSeries, labels: Labels, fold: np.ndarray, options: EventOptions
) -> dict[str, dict[int, list[Any]]]:
    """Fit the boosters of these kinds, one a set: a fold's without its parcels, and those of all."""
    fits: list[tuple[str, int, Future[Any]]] = []
    with ThreadPoolExecutor(options.threads) as pool:
        for member, own in enumerate(learning_sets(series, options)):
            seed = options.seed + member
            data = binned(own, options, seed)
            for event in events:
                rows, y, of = rows_of(own, labels, event, fold)
                for k in (*np.unique(fold).tolist(), ALL):
                    mine = of != k
                    if 0 < y[mine].sum() < mine.sum():
                        fit = pool.submit(fit_booster, data, rows[mine], y[mine], options, seed)
                        fits.append((event, int(k), fit))
        boosters: dict[str, dict[int, list[Any]]] = {event: {} for event in events}
        for event, k, fit in fits:
            boosters[event].setdefault(k, []).append(fit.result())
    return boosters


def _fit_networks(
    series: EventSeries, labels: Labels, fold: np.ndarray, options: EventOptions
) -> "dict[int, StepNetwork]":
    """Fit the networks one after another: one a fold without its parcels, and one on all."""
    if options.method == "boosting" or not labels.kinds:
        return {}
    from models.events.learning.network import fit_network

    every = (*np.unique(fold).tolist(), ALL)
    return {int(k): fit_network(series.take(np.flatnonzero(fold != k)), labels, options) for k in every}


def _share_with_network(
    detector: Detector, event: str, whole: Intervals, series: EventSeries, labels: Labels, fold: np.ndarray
) -> None:
    """Set the network's part in the score of a kind from what both say out of fold; of a fold, by others."""
    model = detector.kinds[event]
    if not model.boosters or whole.by_network is None:
        return
    hit, weight = targets(whole, series, labels, event)
    rows = np.flatnonzero((weight > 0) & worth_a_look(whole, event))
    of, y = fold[whole.row[rows]], hit[rows] > 0
    boosted = detector.scores(whole, event, fold)[rows]  # the network has no part yet
    by_network = whole.by_network[rows, EVENTS.index(event)]
    for k in model.boosters:
        model.network_share[k] = best_share(boosted[of != k], by_network[of != k], y[of != k])
    log.info("%s: the network has a part of %.2f", event, model.network_share[ALL])


def _expected(
    labels: Labels, event: str, series: EventSeries
) -> tuple[dict[str, list[tuple[int, int]]], list[tuple[int, int]]]:
    """Return the labelled days of a kind by parcel of the series, and all of them."""
    known = set(series.parcel_ids)
    of = {name: days for name, days in days_of(labels, event, series).items() if name in known}
    return of, [day for days in of.values() for day in days]


def _fit_chances(
    detector: Detector,
    event: str,
    whole: Intervals,
    scores: Mapping[str, np.ndarray],
    series: EventSeries,
    labels: Labels,
    fold: np.ndarray,
) -> dict[int, Chance]:
    """Fit the curves of one kind on what was found out of fold: one a fold without its parcels, and one on
    all; they share the threshold.
    """
    share = detector.options.wrong_share
    found, inputs = detector.possible(whole, event, scores)
    rows = whole.row[found.interval]
    expected, every = _expected(labels, event, series)
    right = right_events(found.day, [series.parcel_ids[row] for row in rows], expected)
    at = fold[rows]
    curves = {int(k): fit_chance(inputs[at != k], right[at != k], share) for k in np.unique(fold)}
    out_of_fold = np.zeros(len(found))
    for k, curve in curves.items():
        out_of_fold[at == k] = curve.of(inputs[at == k])
    curves[ALL] = fit_chance(inputs, right, share)
    threshold = 0.5
    if curves[ALL].weights:
        promised = reported_from(out_of_fold, right, share)
        threshold = max(promised, best_threshold(out_of_fold, right, len(every)))
    if event == "mowing" and curves[ALL].weights:
        named, _ = _expected(labels, "grazing", series)
        grazed = np.array([name in named for name in series.parcel_ids], bool)
        wrong = np.zeros(len(series))
        np.maximum.at(wrong, rows[~right], out_of_fold[~right])
        threshold = max(threshold, kept_above(wrong[grazed], detector.options.grazed_share))
    log.info("%s: %d labelled events, reported from a chance of %.2f", event, len(every), threshold)
    return {k: Chance(curve.weights, curve.intercept, threshold, curve.n) for k, curve in curves.items()}


def _date_share(intervals: Intervals, series: EventSeries, labels: Labels, event: str) -> float:
    """Return where in their interval exactly dated events lie, in the mean; the kind's own with few of them.

    A day that is that of a look is left out: it may be the look that was dated, and not the event.
    """
    own = kind_of(event).date_share
    exact = Labels(labels.events.filter("exact"), labels.watched, labels.kinds)
    if event == "grazing":
        return own
    first = np.searchsorted(intervals.row, np.arange(len(series) + 1))
    row_of = {name: row for row, name in enumerate(series.parcel_ids)}
    shares = []
    for name, days in days_of(exact, event, series).items():
        row = row_of.get(name)
        span = slice(first[row], first[row + 1]) if row is not None else slice(0, 0)
        start, end = intervals.start[span], intervals.end[span]
        for day, _ in days:
            held = np.flatnonzero((start < day) & (day < end))
            shares += [(day - start[k]) / (end[k] - start[k]) for k in held]
    return float(np.clip(np.mean(shares), 0.05, 0.95)) if len(shares) >= LEAST_DATED else own
