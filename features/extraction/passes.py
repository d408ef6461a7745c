"""Which acquisitions are of one pass of a satellite: they saw a parcel at the same moment."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

# Slices and tiles of one pass follow each other within seconds, listings of one scene within minutes; the
# next orbit passes 98 minutes later.
ONE_PASS = timedelta(minutes=5)


def number_passes(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Number the passes of some acquisitions: rows of one number are of one pass.

    Acquisitions are of one pass where sensor, direction and relative orbit agree and their times form a chain
    whose steps are at most five minutes.

    Examples
    --------
    >>> from datetime import datetime
    >>> s1 = {"sensor": "s1", "orbit_state": None, "relative_orbit": 37}
    >>> times = [datetime(2024, 5, 3, 17, 32, 10), datetime(2024, 5, 3, 17, 32, 35), datetime(2024, 5, 15)]
    >>> number_passes([{**s1, "datetime": time} for time in times])
    [0, 0, 1]
    """
    alike: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        alike[row["sensor"], row["orbit_state"], row["relative_orbit"]].append(position)
    numbers = [0] * len(rows)
    number = -1
    for members in alike.values():
        before = None
        for position in sorted(members, key=lambda k: rows[k]["datetime"]):
            moment = rows[position]["datetime"]
            number += before is None or moment - before > ONE_PASS
            numbers[position], before = number, moment
    return numbers
