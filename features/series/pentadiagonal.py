"""Compiled loops of the Whittaker smoother: factor and solve pentadiagonal systems, many parcels at once.

Every `smooth_*` and `variance_lines` takes values, weights `(parcel, time)`, the penalty's three diagonals
`(3, time)` and where to write. The lock is released, so that threads can share the parcels out.
"""

from typing import Any

import numpy as np

from features.code.jit import njit
from features.zonal.vectors import LANES, add, divide, less_product, load, multiply, splat, store, weighted

PARCELS = 16  # factored side by side: two chains of divisions, each of which waits for the one before
WIDE = 3 * LANES  # features solved together: enough chains to hide how long each operation takes
# What a factor leaves of every step, for PARCELS parcels each: 1 / D, and rows of L' one and two steps on.
# Two steps of zeros lie before, so that the first steps need no case of their own.
ROW, FIRST, SECOND = (np.uint64(field * PARCELS) for field in (3, 1, 2))
# unsigned numbers need no check for indices that count from the end
HALVES = np.uint64(PARCELS // LANES)
U_PARCELS, U_LANES, U_WIDE, U_ONE, U_TWO = (np.uint64(number) for number in (PARCELS, LANES, WIDE, 1, 2))

_kernel = njit(cache=True, nogil=True, error_model="numpy")


@_kernel
def _turn(rows: np.ndarray, start: int, lines: np.ndarray) -> None:
    """Lay PARCELS rows from `start` out as `(time, parcel)`; beyond the last row it is repeated."""
    for k in range(PARCELS):
        row = rows[min(start + k, rows.shape[0] - 1)]
        for t in range(np.uint64(row.size)):
            lines[t * U_PARCELS + np.uint64(k)] = row[t]


@_kernel
def _turn_back(lines: np.ndarray, start: int, rows: np.ndarray) -> None:
    for k in range(min(PARCELS, rows.shape[0] - start)):
        for t in range(np.uint64(rows.shape[1])):
            rows[start + k, t] = lines[t * U_PARCELS + np.uint64(k)]


@_kernel
def _factor(lines: np.ndarray, bands: np.ndarray, factors: np.ndarray) -> None:
    """LDL' of `W + penalty` for the weights `lines (time, parcel)`; see LAYOUT."""
    steps = np.uint64(bands.shape[1])
    first_a = second_a = earlier_a = raised_a = first_b = second_b = earlier_b = raised_b = splat(0.0)
    for t in range(steps):
        main, near, far = splat(bands[0, t]), splat(bands[1, t]), splat(bands[2, t])
        reach = splat(bands[2, t - U_TWO] if t > U_ONE else 0.0)
        line, at = t * U_PARCELS, (t + U_TWO) * ROW
        pivot = less_product(add(load(lines, line), main), first_a, raised_a)
        raised_a = less_product(near, second_a, raised_a)
        inverse = divide(splat(1.0), less_product(pivot, earlier_a, reach))
        first_a, earlier_a, second_a = multiply(raised_a, inverse), second_a, multiply(far, inverse)
        _keep(factors, at, inverse, first_a, second_a)
        pivot = less_product(add(load(lines, line + U_LANES), main), first_b, raised_b)
        raised_b = less_product(near, second_b, raised_b)
        inverse = divide(splat(1.0), less_product(pivot, earlier_b, reach))
        first_b, earlier_b, second_b = multiply(raised_b, inverse), second_b, multiply(far, inverse)
        _keep(factors, at + U_LANES, inverse, first_b, second_b)


@_kernel
def _keep(factors: np.ndarray, at: Any, inverse: Any, first: Any, second: Any) -> None:
    store(factors, at, inverse)
    store(factors, at + FIRST, first)
    store(factors, at + SECOND, second)


@_kernel
def _step(held: Any, first: Any, one: Any, second: Any, two: Any) -> Any:
    """The recurrence of both substitutions: what is held less what the two steps before reach into it."""
    return less_product(less_product(held, second, two), first, one)


@_kernel
def _solve_lines(weights: np.ndarray, factors: np.ndarray, values: np.ndarray) -> None:
    """Substitute forward and back in `values (time, parcel)`, in place, each parcel with its own weights."""
    steps = np.uint64(weights.size) // U_PARCELS
    for half in range(HALVES):
        one = two = splat(0.0)
        for t in range(steps):
            at, line = (t + U_TWO) * ROW + half * U_LANES, t * U_PARCELS + half * U_LANES
            pulled = weighted(load(weights, line), load(values, line))
            first, second = load(factors, at - ROW + FIRST), load(factors, at - ROW - ROW + SECOND)
            one, two = _step(pulled, first, one, second, two), one
            store(values, line, one)
        one = two = splat(0.0)
        for back in range(steps):
            now = steps - U_ONE - back
            at, line = (now + U_TWO) * ROW + half * U_LANES, now * U_PARCELS + half * U_LANES
            held = multiply(load(factors, at), load(values, line))
            one, two = _step(held, load(factors, at + FIRST), one, load(factors, at + SECOND), two), one
            store(values, line, one)


@_kernel
def smooth_lines(values: np.ndarray, weights: np.ndarray, bands: np.ndarray, out: np.ndarray) -> None:
    """Each series with its own weights; values `(series, time)`."""
    n, steps = values.shape
    factors, lines, curve = _scratch((steps + 2) * ROW), _scratch(steps * PARCELS), _scratch(steps * PARCELS)
    for start in range(0, n, PARCELS):
        _turn(weights, start, lines)
        _turn(values, start, curve)
        _factor(lines, bands, factors)
        _solve_lines(lines, factors, curve)
        _turn_back(curve, start, out)
    _blank(weights, out)


@_kernel
def _solve_features(
    y: np.ndarray,
    weights: np.ndarray,
    factors: np.ndarray,
    lane: Any,
    curve: np.ndarray,
    out: np.ndarray,
) -> None:
    """Substitute forward and back for all features of one parcel, flat `(time, feature)`, WIDE at a time.

    The last vectors reach back over features done before, so that none remain. `out` may be `y`: all is read
    before any is written.
    """
    steps = np.uint64(weights.size)
    features = np.uint64(y.size) // steps
    last, groups = features - U_LANES, (features + U_WIDE - U_ONE) // U_WIDE
    for group in range(groups):
        place = group * steps * U_WIDE
        a, b, c = _places(group, last)
        one_a = one_b = one_c = two_a = two_b = two_c = splat(0.0)
        for t in range(steps):
            at, here = (t + U_TWO) * ROW + lane, t * features
            weight, first = splat(weights[t]), splat(factors[at - ROW + FIRST])
            second = splat(factors[at - ROW - ROW + SECOND])
            one_a, two_a = _step(weighted(weight, load(y, here + a)), first, one_a, second, two_a), one_a
            one_b, two_b = _step(weighted(weight, load(y, here + b)), first, one_b, second, two_b), one_b
            one_c, two_c = _step(weighted(weight, load(y, here + c)), first, one_c, second, two_c), one_c
            line = place + t * U_WIDE
            store(curve, line, one_a)
            store(curve, line + U_LANES, one_b)
            store(curve, line + U_LANES + U_LANES, one_c)
    for group in range(groups):
        place = group * steps * U_WIDE
        a, b, c = _places(group, last)
        one_a = one_b = one_c = two_a = two_b = two_c = splat(0.0)
        for back in range(steps):
            now = steps - U_ONE - back
            at, here, line = (now + U_TWO) * ROW + lane, now * features, place + now * U_WIDE
            inverse, first, second = (
                splat(factors[at]),
                splat(factors[at + FIRST]),
                splat(factors[at + SECOND]),
            )
            held_a, held_b = load(curve, line), load(curve, line + U_LANES)
            held_c = load(curve, line + U_LANES + U_LANES)
            one_a, two_a = _step(multiply(inverse, held_a), first, one_a, second, two_a), one_a
            one_b, two_b = _step(multiply(inverse, held_b), first, one_b, second, two_b), one_b
            one_c, two_c = _step(multiply(inverse, held_c), first, one_c, second, two_c), one_c
            store(out, here + a, one_a)
            store(out, here + b, one_b)
            store(out, here + c, one_c)


@_kernel
def _places(group: Any, last: Any) -> Any:
    """Where a group's three vectors begin."""
    a = group * U_WIDE
    return min(a, last), min(a + U_LANES, last), min(a + U_LANES + U_LANES, last)


@_kernel
def smooth_parcels(values: np.ndarray, weights: np.ndarray, bands: np.ndarray, out: np.ndarray) -> None:
    """All features of a parcel with its weights; values `(parcel, time, feature)`, 8 features or more."""
    n, steps, features = values.shape
    factors, lines = _scratch((steps + 2) * ROW), _scratch(steps * PARCELS)
    curve = _scratch(steps * (features + WIDE))
    for start in range(0, n, PARCELS):
        _turn(weights, start, lines)
        _factor(lines, bands, factors)
        for k in range(min(PARCELS, n - start)):
            y, z = values[start + k].reshape(-1), out[start + k].reshape(-1)
            _solve_features(y, weights[start + k], factors, np.uint64(k), curve, z)
    _blank(weights, out)


@_kernel
def _blank(weights: np.ndarray, out: np.ndarray) -> None:
    """Leave NaN where fewer than two weights define no curve."""
    for k in range(weights.shape[0]):
        known = 0
        for t in range(weights.shape[1]):
            known += weights[k, t] > 0
        if known < 2:
            out[k] = np.nan


@_kernel
def variance_lines(values: np.ndarray, weights: np.ndarray, bands: np.ndarray, out: np.ndarray) -> None:
    """Write the diagonal of the inverse of `W + penalty` into `out (parcel, time)`; `values` are not read."""
    n, steps = weights.shape
    factors, lines = _scratch((steps + 2) * ROW), _scratch(steps * PARCELS)
    for start in range(0, n, PARCELS):
        _turn(weights, start, lines)
        _factor(lines, bands, factors)
        for half in range(HALVES):
            # of the inverse: (t + 1, t + 2), (t + 1, t + 1), (t + 2, t + 2)
            near = main = beyond = splat(0.0)
            for back in range(np.uint64(steps)):
                t = np.uint64(steps) - U_ONE - back
                at = (t + U_TWO) * ROW + half * U_LANES
                first, second = load(factors, at + FIRST), load(factors, at + SECOND)
                one = less_product(less_product(splat(0.0), first, main), second, near)
                two = less_product(less_product(splat(0.0), first, near), second, beyond)
                beyond, near = main, one
                main = less_product(less_product(load(factors, at), first, one), second, two)
                store(lines, t * U_PARCELS + half * U_LANES, main)
        _turn_back(lines, start, out)
    _blank(weights, out)


@_kernel
def _scratch(size: Any) -> np.ndarray:
    """Zeros that begin where a line of the cache does, so that no vector lies across two."""
    room = np.zeros(size + LANES)
    start = (64 - room.ctypes.data % 64) % 64 // 8
    return room[start:]
