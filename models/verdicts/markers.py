"""Markers: whether what an intervention asks for was done or left undone, with a promise on false alarms."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import polars as pl

from features.declarations.requirements import GREEN_COVER, Requirement, contradictions
from features.declarations.schemes import Schemes
from features.schema import MARKERS, check_table
from models.verdicts.cover import Cover, cover_of, ground_covered, held_for_days, held_on_share, longest_run

log = logging.getLogger(__name__)
REASONS = {
    "kept": "met",
    "forbidden_event": "not_met",
    "required_event_absent": "not_met",
    "cover_absent": "not_met",
    "window_not_begun": "open",
    "window_not_over": "open",
    "event_not_yet_seen": "open",
    "undecided": "inconclusive",
    "long_gap": "inconclusive",
    "few_observations": "inconclusive",
    "part_of_parcel": "inconclusive",
    "too_few_pixels": "not_monitorable",
    "outside_imagery": "not_monitorable",
    "never_observed": "no_data",
    "outside_season": "no_data",
}
SURE = 0.2  # highest breach score of a requirement that counts as kept
ALARM = 0.9  # how sure a breach must be where no labels calibrate it: of an event, that one by itself
LEAST_LOOKS = 3  # clear looks or passes within a window, below which nothing is decided
LONGEST_GAP = 45  # days of a window without a look or pass, above which nothing is called kept
HALF_COVERED = 0.5  # breach score of cover up to which it is never called absent
COVER_SLACK = 0.25  # share of what is asked for by which cover must fall short to count as surely broken
PARCELS_AT_ONCE = 20_000
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Facts:
    """What is known of one parcel.

    `possible` are its rows of `models.events.table.CHANCES`; `looks` and `ndvi` its clear optical dates,
    `passes` its radar dates.
    """

    possible: list[dict] = field(default_factory=list)
    looks: Sequence[date] = ()
    ndvi: Sequence[float] = ()
    passes: Sequence[date] = ()


@dataclass(frozen=True)
class Season:
    """The season, and the last day whose imagery counts."""

    start: date
    end: date
    until: date


@dataclass(frozen=True)
class Judgement:
    """What a requirement comes to on one parcel: its window, breach scores (0 to 1), what they rest on.

    Scores are NaN where nothing can be said. `score` is compared with that of parcels that keep the
    requirement; `surest` counts where there are none: of the likeliest forbidden event alone; `doubt` must be
    low for a requirement to count as kept; `settled` says whether later observations cannot change a breach.
    """

    window: tuple[date, date] | None
    score: float
    surest: float
    doubt: float
    settled: bool = False
    events: tuple[str, ...] = ()
    n_observations: int = 0
    longest_gap: int = 0
    part: bool = False


def breach(requirement: Requirement, facts: Facts, season: Season) -> Judgement:
    """Return how likely a requirement is broken on a parcel.

    For events it is a probability: that one that is forbidden happened within the window, or that fewer than
    asked for did. An event whose interval lies partly in the window counts with that part. For cover it is
    the share of the ground that was not green as long as is asked, and where no parcels that keep the
    requirement are known, how many of the green days are missing.
    """
    window = requirement.window(season.start, season.end, _begins(requirement, facts))
    if window is None:
        return Judgement(None, np.nan, np.nan, np.nan)
    seen_to = min(window[1], season.until)
    seen = sorted({day for day in (*facts.looks, *facts.passes) if window[0] <= day <= seen_to})
    gap = _longest_gap(seen, max(window[0], season.start), seen_to)
    if requirement.require == GREEN_COVER:
        days = max(window[0], season.start), seen_to
        missing = _cover_missing(requirement, cover_of(facts.looks, facts.ndvi, *days))
        bare = 1 - ground_covered(_held(requirement, facts, *days))
        return Judgement(window, bare, missing, missing, False, (), len(seen), gap)
    names = requirement.forbid or (requirement.require,)
    inside = [
        (row, share)
        for row in facts.possible
        if row["event"] in names and (share := _share_inside(row, window)) > 0
    ]
    chances = np.array([row["chance"] * share for row, share in inside])
    told = tuple(f"{row['event']} {row['date']}" for row, share in inside if row["chance"] * share >= 0.3)
    part = any(row["part"] for row, share in inside if row["chance"] * share >= 0.3)
    if requirement.forbid:
        score, surest = float(1 - np.prod(1 - chances)), float(chances.max(initial=0))
        return Judgement(window, score, surest, score, True, told, len(seen), gap, part)
    score = 1 - at_least(chances, requirement.at_least)
    return Judgement(window, score, score, score, False, told, len(seen), gap, part)


def at_least(chances: np.ndarray, count: int) -> float:
    """Return the probability that at least so many of independent events, of `chances (event,)`, happened.

    Examples
    --------
    >>> at_least(np.array([0.5, 0.5]), 1), at_least(np.array([0.5, 0.5]), 2)
    (0.75, 0.25)
    """
    number = np.zeros(len(chances) + 1)
    number[0] = 1
    for chance in chances:
        number[1:] = number[1:] * (1 - chance) + number[:-1] * chance
        number[0] *= 1 - chance
    return float(number[count:].sum())


def kept_by_labels(
    requirement: Requirement, labels: Sequence[tuple[str, date, date]], season: Season
) -> bool | None:
    """Return whether a parcel keeps a requirement by what is known to have been done (event, first, last).

    None where its window cannot be told.
    """
    begins = [first for event, first, _ in labels if event == requirement.after]
    window = requirement.window(season.start, season.end, min(begins) if begins else None)
    if window is None or window[1] > season.until:
        window = (window[0], season.until) if window and window[0] < season.until else None
    if window is None:
        return None
    first_day, last_day = window
    if requirement.require == GREEN_COVER:
        green = np.zeros((last_day - first_day).days + 1, bool)
        for event, first, last in labels:
            if event == GREEN_COVER:
                a, b = (first - first_day).days, (last - first_day).days
                green[max(a, 0) : max(b + 1, 0)] = True
        if requirement.weeks is not None:
            return bool(longest_run(green) >= 7 * requirement.weeks)
        return bool(green.mean() >= (requirement.share or 0))
    names = requirement.forbid or (requirement.require,)
    inside = [event for event, first, _ in labels if event in names and first_day <= first <= last_day]
    return not inside if requirement.forbid else len(inside) >= requirement.at_least


def rank_p_value(score: float, reference: np.ndarray) -> float:
    """Return the share of compliant parcels, of scores `reference (parcel,)`, that look at least as much like
    a breach, this one with them.

    `(1 + count(reference >= score)) / (1 + n)`: at most `alpha` of compliant parcels have a value up to
    `alpha` (Vovk, Gammerman and Shafer 2005, conformal p-values).

    Examples
    --------
    >>> rank_p_value(0.9, np.array([0.1, 0.2, 0.95]))
    0.5
    """
    return float((1 + np.sum(reference >= score)) / (1 + len(reference)))


def markers_of(
    declarations: pl.DataFrame,
    schemes: Schemes,
    facts: Mapping[str, Facts] | Callable[[Sequence[str]], Mapping[str, Facts]],
    small: Mapping[str, str],
    labels: Mapping[str, Sequence[tuple[str, date, date]]],
    season: Season,
    alpha: float,
    model_id: str,
) -> pl.DataFrame:
    """Give every parcel and requirement of its scheme a state.

    Parameters
    ----------
    declarations
        `parcel_id, intervention, crop_class`.
    facts
        What is known of each parcel, or a function that gives it of some; one that is absent was never
        observed.
    small
        Parcels that cannot be monitored, and the reason: too_few_pixels or outside_imagery.
    labels
        What is known to have been done on the parcels that were watched: events, first and last day. Those
        that keep a requirement, and grow what its claimants declare, calibrate it.
    alpha
        Promised share of compliant parcels that are `not_met`, for each requirement.

    Returns
    -------
    pl.DataFrame
        Schema MARKERS, in order of requirement and parcel.
    """
    facts_of = facts if callable(facts) else lambda names: facts
    _say_contradictions(declarations, schemes)
    claims = _claims(declarations, schemes)
    crop_of = dict(declarations.select("parcel_id", "crop_class").iter_rows())
    watched = facts_of([parcel for parcel in labels if parcel in crop_of])
    references = {
        name: _reference(claim, crop_of, watched, small, labels, season) for name, claim in claims.items()
    }
    found: dict[str, list[pl.DataFrame]] = {name: [] for name in claims}
    asked = list(dict.fromkeys(parcel for claim in claims.values() for parcel in claim.parcels))
    for part in (asked[k : k + PARCELS_AT_ONCE] for k in range(0, len(asked), PARCELS_AT_ONCE)):
        known = facts_of(part)
        for name, claim in claims.items():
            mine = set(claim.parcels).intersection(part)
            rows = [
                _marked(claim.requirement, parcel, known, references[name], small, season, alpha, model_id)
                for parcel in part
                if parcel in mine
            ]
            found[name].append(pl.DataFrame(rows, schema=MARKERS, orient="row"))
    tables = [MARKERS.to_frame(), *(_in_order(found[name], claims[name].parcels) for name in sorted(claims))]
    return check_table(pl.concat(tables), MARKERS, "The markers")


def _say_contradictions(declarations: pl.DataFrame, schemes: Schemes) -> None:
    """Say of which parcels the interventions, each of which can be kept, cannot be kept together."""
    together = declarations.group_by("intervention", maintain_order=True).agg("parcel_id")
    for intervention, parcels in together.drop_nulls().iter_rows():
        found = contradictions(schemes.requirements_of(intervention))
        if found:
            log.warning(
                "What %s asks cannot be kept together (claimed on %d, first parcel %s): %s.",
                intervention, len(parcels), parcels[0], "; ".join(found),
            )  # fmt: skip


@dataclass(frozen=True)
class _Claim:
    """A requirement, the parcels that it applies to, and their declared crops."""

    requirement: Requirement
    parcels: list[str]
    crops: set[str]


def _claims(declarations: pl.DataFrame, schemes: Schemes) -> dict[str, _Claim]:
    claims: dict[str, _Claim] = {}
    for parcel, intervention, crop in declarations.select(
        "parcel_id", "intervention", "crop_class"
    ).iter_rows():
        for requirement in schemes.requirements_of(intervention):
            claim = claims.setdefault(requirement.name, _Claim(requirement, [], set()))
            claim.parcels.append(parcel)
            claim.crops.add(crop)
    return claims


@dataclass(frozen=True)
class _Reference:
    """Breach scores of the watched parcels that keep a requirement: by parcel, and all of them."""

    by_parcel: Mapping[str, float]
    scores: np.ndarray

    def of_others(self, parcel: str) -> np.ndarray:
        if parcel not in self.by_parcel:
            return self.scores
        return np.array([score for other, score in self.by_parcel.items() if other != parcel])


def _reference(
    claim: _Claim,
    crop_of: Mapping[str, str],
    facts: Mapping[str, Facts],
    small: Mapping[str, str],
    labels: Mapping[str, Sequence[tuple[str, date, date]]],
    season: Season,
) -> _Reference:
    found = {
        parcel: judged.score
        for parcel, done in labels.items()
        if crop_of.get(parcel) in claim.crops and parcel in facts and parcel not in small
        and kept_by_labels(claim.requirement, done, season)
        and np.isfinite((judged := breach(claim.requirement, facts[parcel], season)).score)
    }  # fmt: skip
    log.info(
        "%s: %d claims, calibrated by %d compliant parcels",
        claim.requirement.name,
        len(claim.parcels),
        len(found),
    )
    return _Reference(found, np.array(list(found.values())))


def _marked(
    requirement: Requirement,
    parcel: str,
    facts: Mapping[str, Facts],
    reference: _Reference,
    small: Mapping[str, str],
    season: Season,
    alpha: float,
    model_id: str,
) -> tuple:
    known = facts.get(parcel)
    own = breach(requirement, known, season) if known else None
    others = reference.of_others(parcel)
    p_value = None
    if own is not None and np.isfinite(own.score) and len(others) + 1 >= 1 / alpha:
        p_value = rank_p_value(own.score, others)
    reason = small.get(parcel) or _decide(requirement, own, p_value, season, alpha)
    return _row(parcel, requirement, own, reason, p_value, model_id)


def _in_order(parts: Sequence[pl.DataFrame], parcels: Sequence[str]) -> pl.DataFrame:
    """Return the rows of one requirement in the order in which its parcels were declared."""
    place = pl.DataFrame({"parcel_id": parcels, "place": range(len(parcels))})
    return pl.concat(parts).join(place, on="parcel_id").sort("place").drop("place")


def _decide(
    requirement: Requirement, judged: Judgement | None, p_value: float | None, season: Season, alpha: float
) -> str:
    """Return the reason code of a requirement's state."""
    if judged is None:
        return "never_observed"
    if judged.window is None:
        return "event_not_yet_seen"
    over = judged.window[1] <= season.until
    if judged.window[0] > season.until:
        return "window_not_begun"
    likely = p_value <= alpha if p_value is not None else judged.surest >= ALARM
    least = HALF_COVERED if requirement.require == GREEN_COVER else SURE
    broken = likely and judged.score > least and (over or judged.settled)
    if not judged.n_observations:
        return _unseen(judged.window[1], season, over)
    return _broken(requirement, judged) if broken else _kept(requirement, judged, over)


def _unseen(last: date, season: Season, over: bool) -> str:
    if not over:
        return "window_not_over"
    return "outside_season" if last < season.start else "never_observed"


def _broken(requirement: Requirement, judged: Judgement) -> str:
    if judged.part:
        return "part_of_parcel"
    if requirement.forbid:
        return "forbidden_event"
    return "cover_absent" if requirement.require == GREEN_COVER else "required_event_absent"


def _kept(requirement: Requirement, judged: Judgement, over: bool) -> str:
    """Return whether a requirement that is not surely broken is kept, or why that is not known."""
    few, blind = judged.n_observations < LEAST_LOOKS, judged.longest_gap > LONGEST_GAP
    lasting = requirement.share is None and not requirement.forbid  # what was done stays done
    if judged.doubt <= SURE and (over or lasting) and not few:
        return "long_gap" if requirement.forbid and blind else "kept"
    reasons = {
        "window_not_over": not over,
        "few_observations": few,
        "part_of_parcel": judged.part,
        "long_gap": blind,
    }
    return next((reason for reason, holds in reasons.items() if holds), "undecided")


def _row(
    parcel: str,
    requirement: Requirement,
    judged: Judgement | None,
    reason: str,
    p_value: float | None,
    model_id: str,
) -> tuple:
    first, last = judged.window if judged and judged.window else (None, None)
    return (
        parcel, requirement.name, REASONS[reason], reason, first, last,
        list(judged.events) if judged else [], judged.n_observations if judged else 0, p_value, model_id,
    )  # fmt: skip


def _begins(requirement: Requirement, facts: Facts) -> date | None:
    """Return the day after which the window begins: the likeliest event of its kind, if it is likely."""
    if requirement.after is None:
        return None
    some = [row for row in facts.possible if row["event"] == requirement.after and row["chance"] >= 0.5]
    return max(some, key=lambda row: row["chance"])["date"] if some else None


def _share_inside(row: dict, window: tuple[date, date]) -> float:
    """Return which part of a possible event's interval (after `start`, by `end`) lies in the window."""
    first, last = max(row["start"] + ONE_DAY, window[0]), min(row["end"], window[1])
    length = max((row["end"] - row["start"]).days, 1)
    return float(max((last - first).days + 1, 0) / length)


def _longest_gap(seen: Sequence[date], first: date, last: date) -> int:
    """Return the longest time within a window without a look or pass, days."""
    days = [first, *seen, last]
    return max(((b - a).days for a, b in pairwise(days)), default=0)


def _held(requirement: Requirement, facts: Facts, first: date, last: date) -> float:
    """Return the NDVI that a field kept as long as is asked for; NaN: not known."""
    if requirement.weeks is not None:
        return held_for_days(facts.looks, facts.ndvi, first, last, round(7 * requirement.weeks))
    return held_on_share(facts.looks, facts.ndvi, first, last, requirement.share or 1)


def _cover_missing(requirement: Requirement, cover: Cover | None) -> float:
    """Return how much of the cover that is asked for is missing, relative to COVER_SLACK; NaN: not known."""
    if cover is None:
        return float("nan")
    if requirement.weeks is not None:
        missing = 1 - cover.longest_days / (7 * requirement.weeks)
    else:
        missing = 1 - cover.share / (requirement.share or 1)
    return float(np.clip(0.5 + missing / (2 * COVER_SLACK), 0, 1))
