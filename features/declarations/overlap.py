"""Overlap of pairs of parcels by slabs: exact, with no topology, and several times faster than an overlay.

Between two neighbouring vertex heights every border is a straight line, so both parcels are trapezoids there
and the width that a trapezoid of one shares with one of the other is a concave, piecewise linear function of
height: it is integrated in closed form. Borders that coincide but for rounding give areas of rounding size.
"""

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import shapely

PAIRS_PER_TASK = 20_000


def overlap_areas(shapes: np.ndarray, first: np.ndarray, second: np.ndarray, threads: int = 2) -> np.ndarray:
    """Return the area that each pair of valid (multi)polygons shares, in square units of the coordinates.

    Parameters
    ----------
    shapes
        Geometries, `(n,)`.
    first, second
        Indices of the pairs, `(pairs,)`.
    """
    edges, starts = _edges(shapes)
    bounds = shapely.bounds(shapes)
    lower, upper = (
        np.maximum(bounds[first, :2], bounds[second, :2]),
        np.minimum(bounds[first, 2:], bounds[second, 2:]),
    )
    boxes = np.hstack([lower, upper])
    pairs = np.column_stack([starts[first], starts[first + 1], starts[second], starts[second + 1]])
    areas = np.zeros(len(first))
    parts = [slice(at, at + PAIRS_PER_TASK) for at in range(0, len(first), PAIRS_PER_TASK)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: _fill(edges, pairs[part], boxes[part], areas[part]), parts))
    return areas


def _edges(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges that are not level, lower end first, as x, y, x, y; and where each shape's start."""
    parts, shape_of_part = shapely.get_parts(shapes, return_index=True)
    rings, part_of_ring = shapely.get_rings(parts, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    within = (ring[1:] == ring[:-1]) & (points[1:, 1] != points[:-1, 1])
    owner = shape_of_part[part_of_ring[ring[:-1][within]]]
    start, end = points[:-1][within], points[1:][within]
    upward = (start[:, 1] < end[:, 1])[:, None]
    edges = np.hstack([np.where(upward, start, end), np.where(upward, end, start)])
    return np.ascontiguousarray(edges), np.searchsorted(owner, np.arange(len(shapes) + 1))


@numba.njit(cache=True, nogil=True)
def _fill(edges: np.ndarray, pairs: np.ndarray, boxes: np.ndarray, areas: np.ndarray) -> None:
    """Write the shared area of each pair."""
    longest = 2
    for row in range(len(pairs)):
        longest = max(longest, pairs[row, 1] - pairs[row, 0], pairs[row, 3] - pairs[row, 2])
    heights = np.empty(4 * longest + 2)
    ours, theirs = np.empty((longest, 4)), np.empty((longest, 4))
    our_lines, their_lines = np.empty((longest + 2, 2)), np.empty((longest + 2, 2))
    for row in range(len(pairs)):
        box = boxes[row]
        if box[0] >= box[2] or box[1] >= box[3]:
            continue
        a = _clip(edges[pairs[row, 0] : pairs[row, 1]], box, ours)
        b = _clip(edges[pairs[row, 2] : pairs[row, 3]], box, theirs)
        for at in range(_heights(a, b, box, heights) - 1):
            lower, upper = heights[at], heights[at + 1]
            if upper > lower:
                many = _lines(a, lower, upper, box, our_lines)
                more = _lines(b, lower, upper, box, their_lines) if many > 0 else 0
                areas[row] += (upper - lower) * _shared(our_lines, many, their_lines, more)


@numba.njit(cache=True, nogil=True)
def _clip(edges: np.ndarray, box: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the edges that matter in the box: none above, below or right; those left become its side."""
    left, low, right, high = box
    count = 0
    for edge in range(len(edges)):
        x0, y0, x1, y1 = edges[edge]
        if y0 < high and y1 > low and (x0 < right or x1 < right):
            beside = x0 <= left and x1 <= left
            kept[count, 0], kept[count, 1] = left if beside else x0, y0
            kept[count, 2], kept[count, 3] = left if beside else x1, y1
            count += 1
    return kept[:count]


@numba.njit(cache=True, nogil=True)
def _heights(a: np.ndarray, b: np.ndarray, box: np.ndarray, heights: np.ndarray) -> int:
    """Fill `heights` with the box's ends and the vertices between them, sorted; return how many.

    Edges on the left side only tell inside from outside, so they need no slabs of their own.
    """
    left, low, _, high = box
    heights[0], heights[1] = low, high
    count = 2
    for shape in (a, b):
        for edge in range(len(shape)):
            if shape[edge, 0] > left or shape[edge, 2] > left:
                for y in (shape[edge, 1], shape[edge, 3]):
                    if low < y < high:
                        heights[count] = y
                        count += 1
    heights[:count].sort()
    return count


@numba.njit(cache=True, nogil=True)
def _lines(edges: np.ndarray, lower: float, upper: float, box: np.ndarray, lines: np.ndarray) -> int:
    """Fill `lines` with the x of the borders at both ends of the slab, an even number; return how many.

    What lies right of the box was left out; where a line then lacks its partner, the box's side closes it.
    """
    left, right = box[0], box[2]
    middle = (lower + upper) / 2
    beside, count = 0, 0
    for edge in range(len(edges)):
        x0, y0, x1, y1 = edges[edge]
        if y0 <= middle < y1:
            if x0 <= left and x1 <= left:
                beside += 1
                continue
            slope = (x1 - x0) / (y1 - y0)
            at_lower, at_upper = x0 + (lower - y0) * slope, x0 + (upper - y0) * slope
            place = count
            while place > 0 and lines[place - 1, 0] + lines[place - 1, 1] > at_lower + at_upper:
                lines[place] = lines[place - 1]
                place -= 1
            lines[place, 0], lines[place, 1] = at_lower, at_upper
            count += 1
    if beside % 2 == 1:
        for place in range(count, 0, -1):
            lines[place] = lines[place - 1]
        lines[0, 0], lines[0, 1] = left, left
        count += 1
    if count % 2 == 1:
        lines[count, 0], lines[count, 1] = max(right, lines[count - 1, 0]), max(right, lines[count - 1, 1])
        count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _shared(ours: np.ndarray, many: int, theirs: np.ndarray, more: int) -> float:
    """Return the shared area of two sets of trapezoids in a slab of unit height."""
    total = 0.0
    for i in range(0, many, 2):
        for j in range(0, more, 2):
            if max(ours[i + 1, 0], ours[i + 1, 1]) <= min(theirs[j, 0], theirs[j, 1]):
                break
            total += _trapezoids(ours[i], ours[i + 1], theirs[j], theirs[j + 1])
    return total


@numba.njit(cache=True, nogil=True)
def _trapezoids(
    left: np.ndarray, right: np.ndarray, other_left: np.ndarray, other_right: np.ndarray
) -> float:
    """Integrate the positive part of min(rights) - max(lefts) over the slab, exactly."""
    first = _meeting(left, other_left)
    second = _meeting(right, other_right)
    if first > second:
        first, second = second, first
    total, from_, width = 0.0, 0.0, _width(left, right, other_left, other_right, 0.0)
    for to in (first, second, 1.0):
        after = _width(left, right, other_left, other_right, to)
        if width >= 0 and after >= 0:
            total += (to - from_) * (width + after) / 2
        elif width > 0 or after > 0:
            top = max(width, after)
            total += (to - from_) * top * top / (2 * abs(width - after))
        from_, width = to, after
    return total


@numba.njit(cache=True, nogil=True)
def _meeting(one: np.ndarray, other: np.ndarray) -> float:
    """Return where two lines meet in the slab, 1 where they do not."""
    below, above = one[0] - other[0], one[1] - other[1]
    return below / (below - above) if below * above < 0 else 1.0


@numba.njit(cache=True, nogil=True)
def _width(
    left: np.ndarray, right: np.ndarray, other_left: np.ndarray, other_right: np.ndarray, at: float
) -> float:
    """Return the shared width at a height of the slab, negative where the trapezoids are apart."""
    ends = min(right[0] + (right[1] - right[0]) * at, other_right[0] + (other_right[1] - other_right[0]) * at)
    starts = max(left[0] + (left[1] - left[0]) * at, other_left[0] + (other_left[1] - other_left[0]) * at)
    return float(ends - starts)
