"""Orbits that no item states, told apart by direction and time of day."""

import logging
from collections import Counter, defaultdict
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


def settle_radar_orbits(rows: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """Return the relative orbit of each row; radar without one is numbered by direction and time of day.

    Radar of two directions, or of two orbits, is never averaged: it looks at a field from different sides.
    Ascending orbits are numbered from 901, descending ones from 931, those of unknown direction from 961, in
    order of time of day. A row with neither direction nor time of day keeps None.

    Satellites of one ground track pass a place at one time of day. Where numbers that were derived from
    absolute orbits differ there between satellites, but not within one, the constant of one of them does not
    hold (a satellite was moved): the number that most passes have is taken for all.
    """
    orbits = [row["relative_orbit"] for row in rows]
    radar: defaultdict[tuple[str | None, bool], list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        if row["sensor"] == "s1" and (orbits[position] is None or row.get("orbit_is_derived")):
            radar[row["orbit_state"], orbits[position] is None].append(position)
    for (state, unknown), positions in radar.items():
        times = [time_of_day(rows[k]["datetime"]) for k in positions]
        if state is None and not (unknown and any(times)):
            continue
        groups = group_on_circle(times, SAME_ORBIT / DAY)
        for group in np.unique(groups):
            members = [positions[k] for k in np.flatnonzero(groups == group)]
            number = INFERRED_ORBIT + NUMBERS[state] + int(group) if unknown else _agreed(rows, members)
            for position in members:
                orbits[position] = orbits[position] if number is None else number
    return orbits


def _agreed(rows: Sequence[Mapping[str, Any]], members: Sequence[int]) -> int | None:
    """The orbit number of one track, where satellites contradict each other; None where it stands."""
    found = {(rows[k]["platform"], rows[k]["relative_orbit"]) for k in members}
    satellites = [platform for platform, _ in found]
    if len({orbit for _, orbit in found}) < 2 or len(set(satellites)) < len(satellites):
        return None
    counts = Counter(sorted(rows[k]["relative_orbit"] for k in members))
    log.warning("Absolute orbits of one track give relative orbits %s; the commonest is taken.", dict(counts))
    return int(counts.most_common(1)[0][0])


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
