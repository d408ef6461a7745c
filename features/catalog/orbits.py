"""Orbits that no item states, told apart by direction and time of day."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

log = logging.getLogger(__name__)

# Orbits told apart by their times only are numbered from here: Sentinel-1 has 175 relative orbits and
# Sentinel-2 143, so no inferred number can be taken for a real one.
INFERRED_ORBIT = 901
# Neighbouring orbits pass a place some eight minutes apart in local time; one orbit keeps its time within a
# minute.
SAME_ORBIT = timedelta(minutes=3)
DAY = timedelta(days=1)
# So many numbers each for ascending, descending and unknown: a direction's first orbit keeps its number
# whatever the others have.
NUMBERS = {"ascending": 0, "descending": 30, None: 60}


Track = tuple[str | None, int | None]  # direction and relative orbit


def settle_radar_orbits(rows: Sequence[Mapping[str, Any]]) -> list[Track]:
    """Return direction and relative orbit of each row, those of radar completed.

    Satellites of one ground track pass a place at one time of day, within some seconds. So a radar row that
    lacks its direction or its orbit takes those of the rows that pass within three minutes of it, where these
    agree. Where the numbers that absolute orbits gave differ there between satellites, but not within one,
    the constant of one of them does not hold (a satellite was moved): the number that is stated, else the one
    that most passes have, is taken for all.

    Radar of two directions, or of two orbits, is never averaged: it looks at a field from different sides.
    What still has no number is numbered by direction and time of day: ascending orbits from 901, descending
    ones from 931, those of unknown direction from 961. A row with neither direction nor time of day keeps
    None.
    """
    tracks: list[Track] = [(row["orbit_state"], row["relative_orbit"]) for row in rows]
    radar = [k for k, row in enumerate(rows) if row["sensor"] == "s1"]
    times = {k: time_of_day(rows[k]["datetime"]) for k in radar}
    for k, state in _completed(radar, times, {k: tracks[k][0] for k in radar}).items():
        tracks[k] = state, tracks[k][1]
    for state in {tracks[k][0] for k in radar}:
        members = [k for k in radar if tracks[k][0] == state]
        orbits = _agreed(rows, {k: tracks[k][1] for k in members}, times)
        orbits = _completed(members, times, orbits)
        tracks = [(tracks[k][0], orbits.get(k, tracks[k][1])) for k in range(len(rows))]
        unknown = [k for k in members if orbits[k] is None]
        if state is not None or any(times[k] for k in unknown):
            groups = group_on_circle([times[k] for k in unknown], SAME_ORBIT / DAY)
            for k, group in zip(unknown, groups, strict=True):
                tracks[k] = state, INFERRED_ORBIT + NUMBERS[state] + int(group)
    return tracks


def _completed(
    positions: Sequence[int], times: Mapping[int, float], known: Mapping[int, Any]
) -> dict[int, Any]:
    """Give rows without a value that of the rows that pass at the same time of day, where these have one.

    Rows that are dated by the day only have no time of day.
    """
    sure = sorted({(round(times[k], 4), known[k]) for k in positions if known[k] is not None and times[k]})
    places = np.array([place for place, _ in sure])
    found = dict(known)
    for k in positions:
        if known[k] is None and times[k] and sure:
            apart = np.abs((places - times[k] + 0.5) % 1 - 0.5)
            values = {sure[j][1] for j in np.flatnonzero(apart <= SAME_ORBIT / DAY)}
            found[k] = values.pop() if len(values) == 1 else None
    return found


def _agreed(
    rows: Sequence[Mapping[str, Any]], orbits: Mapping[int, int | None], times: Mapping[int, float]
) -> dict[int, int | None]:
    """Settle numbers on which the satellites of one track contradict each other; all others stand."""
    settled = dict(orbits)
    known = [k for k, orbit in orbits.items() if orbit is not None and times[k]]
    groups = group_on_circle([times[k] for k in known], SAME_ORBIT / DAY)
    for group in np.unique(groups):
        members = [known[k] for k in np.flatnonzero(groups == group)]
        satellites = [platform for platform, _ in {(rows[k]["platform"], orbits[k]) for k in members}]
        derived = [k for k in members if rows[k].get("orbit_is_derived")]
        stated = Counter(orbits[k] for k in members if k not in derived)
        numbers = stated or Counter(orbits[k] for k in members)
        contradicts_itself = len(set(satellites)) < len(satellites)
        if len({orbits[k] for k in members}) < 2 or len(stated) > 1 or contradicts_itself or not derived:
            continue
        number = max(numbers, key=lambda orbit: (numbers[orbit], -(orbit or 0)))
        log.warning(
            "Orbits of one track: %s; those that follow from absolute orbits are taken as %d.",
            dict(Counter(orbits[k] for k in members)), number,
        )  # fmt: skip
        settled |= dict.fromkeys(derived, number)
    return settled


def time_of_day(moment: datetime) -> float:
    """Share of the day that has passed, 0 to 1."""
    return (moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)) / DAY


def group_on_circle(places: Sequence[float], gap: float) -> np.ndarray:
    """Number groups of places on a circle of length 1 that a gap parts, from the widest gap on; int (n,).

    Examples
    --------
    >>> group_on_circle([0.9, 0.1, 0.11, 0.5, 0.905], gap=0.05)
    array([0, 1, 1, 2, 0])
    """
    if not len(places):
        return np.zeros(0, int)
    order = np.argsort(places, kind="stable")
    turned = np.asarray(places, float)[order]
    steps = np.diff(np.append(turned, turned[0] + 1))
    start = (int(np.argmax(steps)) + 1) % len(order)
    before = np.roll(steps, 1 - start)
    groups = np.empty(len(order), int)
    groups[np.roll(order, -start)] = np.cumsum(np.append(0, before[1:] > gap))
    return groups
