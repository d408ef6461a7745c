"""Which rows of a catalog are one acquisition: which of them is kept, which are its parts."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import shapely

from features.catalog.bands import BANDS
from features.catalog.place import box_polygon
from features.catalog.radiometry import baseline_rank
from features.schema import SCENE_CLASS

log = logging.getLogger(__name__)

Row = dict[str, Any]

# Catalogs date a scene by its own sensing, its datatake's start or its middle, up to some minutes apart; the
# next orbit passes 98 minutes later.
ONE_PASS = timedelta(minutes=5)
# One scene replaces another where it covers this part of its ground. Complementary halves and parts beside
# the whole are all kept: of each parcel the one that saw most of it counts.
SAME_GROUND = 0.9
# ESA's ground segment numbers tiles' datastrips by their start, which reprocessing keeps within seconds.
SAME_DATASTRIP = timedelta(seconds=10)
# What the parts of one acquisition agree on.
TOLD_BY = (
    "sensor", "platform", "tile", "orbit_state", "relative_orbit", "processing_baseline", "datetime",
)  # fmt: skip


def find_duplicates(rows: Sequence[Row]) -> list[str | None]:
    """Say of each row why it is not kept; None for those that are.

    Two rows are one acquisition where sensor, satellite, tile, orbit and bands agree, their times lie within
    five minutes, they are of one datastrip where both say, and the one that is kept covers at least nine
    tenths of the other's ground. Where footprints are not known, boxes stand for them; two rows of one box
    and one baseline could then be its complementary parts, and both are kept unless they list the same files.
    Of one acquisition the highest processing baseline is kept
    (99.99, which names no baseline of ESA's, ranks below all), then the one that covers most, then the one
    with most bands, then the one
    processed last, then the last item id: ESA's product names and Earth Search's counters grow with the time
    of processing.

    Returns
    -------
    list
        `superseded` for a row that a higher baseline replaces, `duplicate` for one that is listed twice.
    """
    reasons: list[str | None] = [None] * len(rows)
    for group in _groups(rows):
        kept: list[int] = []
        for position in sorted(group, key=lambda k: _rank(rows[k]), reverse=True):
            same = next((k for k in kept if _is_same(rows[k], rows[position])), None)
            if same is None:
                kept.append(position)
            else:
                reasons[position] = _reason(rows[same], rows[position])
    return reasons


def _groups(rows: Sequence[Row]) -> Iterator[list[int]]:
    """Rows that may be one acquisition, by position: chains of times less than five minutes apart."""
    alike: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        alike[row["sensor"], row["tile"], row["orbit_state"] or ""].append(position)
    for members in alike.values():
        members.sort(key=lambda k: rows[k]["datetime"])
        group = members[:1]
        for before, position in pairwise(members):
            if rows[position]["datetime"] - rows[before]["datetime"] > ONE_PASS:
                yield group
                group = []
            group.append(position)
        yield group


def _rank(row: Row) -> tuple[Any, ...]:
    ground = row.get("ground")
    covered = round(ground.area, 4) if ground is not None else 0.0
    bands = len(row["assets"])
    return (
        baseline_rank(row["processing_baseline"]),
        covered,
        bands,
        row.get("processed") or "",
        row["item_id"],
    )


def _is_same(one: Row, other: Row) -> bool:
    if abs(one["datetime"] - other["datetime"]) > ONE_PASS:
        return False
    for name in ("platform", "relative_orbit"):
        if one[name] is not None and other[name] is not None and one[name] != other[name]:
            return False
    bands, others = ({asset["band"] for asset in row["assets"]} for row in (one, other))
    strips: list[datetime | None] = [row.get("datastrip") for row in (one, other)]
    apart = abs(strips[0] - strips[1]) if strips[0] is not None and strips[1] is not None else None
    if not bands & others or (apart is not None and apart > SAME_DATASTRIP):
        return False
    ground, under = one.get("ground"), other.get("ground")
    if ground is not None and under is not None:
        return _covered(ground, under) >= SAME_GROUND
    boxes = [box_polygon(row["bbox"]) for row in (one, other) if row.get("bbox")]
    if len(boxes) == 2 and _covered(*boxes) < SAME_GROUND:
        return False
    baselines = [row["processing_baseline"] for row in (one, other)]
    return apart is not None or baselines[0] != baselines[1] or _same_listing(one, other)


def _same_listing(one: Row, other: Row) -> bool:
    """The same files or the same item, listed twice."""
    hrefs = [{asset["href"] for asset in row["assets"]} for row in (one, other)]
    return one["item_id"] == other["item_id"] or bool(hrefs[0] & hrefs[1])


def join_parts(rows: Sequence[Row]) -> list[Row]:
    """Join rows that hold other bands of one acquisition, as catalogs with one item a file have them.

    Rows are parts of one where sensor, satellite, tile, direction, orbit, baseline and time agree, they cover
    the same ground, and none of their bands repeats. The joined row is the first part with the assets of all;
    the order stays.
    """
    alike: defaultdict[tuple[Any, ...], list[list[Row]]] = defaultdict(list)
    for row in rows:
        groups = alike[tuple(row[name] for name in TOLD_BY)]
        group = next((group for group in groups if _is_another_part(group, row)), None)
        if group is None:
            groups.append([row])
        else:
            group.append(row)
    joined = {id(group[0]): _joined(group) for groups in alike.values() for group in groups}
    return [joined[id(row)] for row in rows if id(row) in joined]


def _is_another_part(group: Sequence[Row], row: Row) -> bool:
    held = {asset["band"] for part in group for asset in part["assets"]}
    if held & {asset["band"] for asset in row["assets"]}:
        return False
    grounds = [
        ground if ground is not None else box_polygon(part["bbox"]) if part.get("bbox") else None
        for part in (group[0], row)
        for ground in (part.get("ground"),)
    ]
    first, second = grounds
    if first is None or second is None:
        return first is second
    return min(_covered(first, second), _covered(second, first)) >= SAME_GROUND


def _joined(group: Sequence[Row]) -> Row:
    if len(group) == 1:
        return group[0]
    log.info("%d items are parts of one acquisition, %s.", len(group), group[0]["item_id"])
    assets = sorted(
        (asset for part in group for asset in part["assets"]), key=lambda a: BANDS.index(a["band"])
    )
    return {**group[0], "assets": assets}


def has_measurements(row: Row) -> bool:
    """Whether a row holds more than scene classes."""
    return any(asset["band"] != SCENE_CLASS for asset in row["assets"])


def _covered(kept: shapely.Geometry, other: shapely.Geometry) -> float:
    """Part of the other's ground that the kept one covers."""
    return float(kept.intersection(other).area / other.area) if other.area > 0 else 1.0


def _reason(kept: Row, row: Row) -> str:
    newer = baseline_rank(kept["processing_baseline"]) > baseline_rank(row["processing_baseline"])
    return "superseded" if newer else "duplicate"


def distinct_ids(rows: Sequence[Row]) -> list[str]:
    """Return an id for each row that no other has: ids are unique within a collection only.

    Where one repeats, the collection stands before it; where that repeats too, the time stands behind it.

    Examples
    --------
    >>> from datetime import datetime
    >>> day = datetime(2024, 5, 1, 10, 40)
    >>> same = {"item_id": "acq-1", "datetime": day}
    >>> distinct_ids([{**same, "collection": "s1"}, {**same, "collection": "s2"}])
    ['s1/acq-1', 's2/acq-1']
    """
    ids = [str(row["item_id"]) for row in rows]
    prefixed = [f"{row.get('collection') or 'no collection'}/{row['item_id']}" for row in rows]
    ids = _where_repeated(ids, prefixed)
    ids = _where_repeated(ids, [f"{ids[k]}@{row['datetime']:%Y%m%dT%H%M%S}" for k, row in enumerate(rows)])
    met: Counter[str] = Counter()
    numbered = []
    for text in ids:
        met[text] += 1
        numbered.append(f"{text}#{met[text]}")
    return _where_repeated(ids, numbered)


def _where_repeated(ids: list[str], longer: list[str]) -> list[str]:
    counts = Counter(ids)
    return [more if counts[text] > 1 else text for text, more in zip(ids, longer, strict=True)]
