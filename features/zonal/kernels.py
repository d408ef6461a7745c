"""Compiled loops of the zonal engine: from pixel runs to statistics, one parcel at a time.

A parcel's pixels lie in runs along the rows of a block. Its usable ones are first copied, closed up, into a
scratch line that stays in the first cache level, and all else is done there. Pixels that are masked, nodata,
not finite or at least `HUGE` in size are not usable. The loops release the interpreter lock, so that the
statistics of one band run beside the decoding of another.
"""

import numpy as np

from features.code.jit import njit
from features.zonal.vectors import (
    above,
    add,
    at_most,
    count,
    equal,
    fetch,
    greater,
    greatest,
    least,
    less,
    lesser,
    load_first,
    load_floats,
    lower_half,
    multiply,
    pick,
    plus_product,
    smaller,
    splat,
    splat_floats,
    squeeze,
    store_floats,
    total,
    upper_half,
)

HUGE = 1e20  # written as a fill value by several tools; no physical quantity read here comes near it
SLACK = 1.05
FEW = np.uint64(32)  # pixels that are sorted rather than narrowed down
ROUNDS = 24  # of narrowing; each at least halves the pixels or ends it
WIDE = np.uint64(16)
NONE, ONE, TWO, FOUR = (np.uint64(number) for number in (0, 1, 2, 4))

WEIGHT, MEAN, SQUARES, LOWEST, HIGHEST, COUNT = range(6)
MOMENTS = 6


@njit(nogil=True, cache=True)
def gather(
    block: np.ndarray, rows: np.ndarray, columns: np.ndarray, lengths: np.ndarray, out: np.ndarray
) -> None:
    """Copy the runs' pixels of a contiguous `block (y, x)` into the line `out`, converted to float32."""
    flat = block.reshape(-1)
    width = np.uint64(block.shape[1])
    position = NONE
    for run in range(np.uint64(rows.size)):
        start = np.uint64(rows[run]) * width + np.uint64(columns[run])
        length = np.uint64(lengths[run])
        whole = length // WIDE * WIDE
        for step in range(NONE, whole, WIDE):
            store_floats(out, position + step, load_floats(flat, start + step))
        for step in range(whole, length):
            out[position + step] = np.float32(flat[start + step])
        position += length


@njit(nogil=True, cache=True)
def mask_weights(
    clear: np.ndarray,
    times: int,
    top: int,
    left: int,
    rows: np.ndarray,
    columns: np.ndarray,
    lengths: np.ndarray,
    weights: np.ndarray,
    out: np.ndarray,
) -> None:
    """Copy the weights, zero where `clear (y, x)`, uint8, is 0 or ends.

    Pixel (r, c) of the runs lies in pixel ((r + top) // times, (c + left) // times) of `clear`.
    """
    height, width = clear.shape
    position = NONE
    for run in range(rows.size):
        row, column, left_over = (rows[run] + top) // times, columns[run] + left, np.int64(lengths[run])
        inside = 0 <= row < height
        coarse = column // times
        step = min(times - (column - coarse * times), left_over)
        while left_over > 0:
            seen = inside and 0 <= coarse < width and clear[row, coarse] > 0
            factor = np.float32(1) if seen else np.float32(0)
            for k in range(np.uint64(step)):
                out[position + k] = weights[position + k] * factor
            position += np.uint64(step)
            left_over -= step
            coarse += 1
            step = min(times, left_over)


@njit(nogil=True, cache=True)
def _take(flat, start, length, weights, at, nodata, room, size, n):
    """Append a run's usable pixels to the line at 0, which holds n; return how many it holds then."""
    nothing, none, limit = splat_floats(np.float32(0)), splat_floats(nodata), splat_floats(np.float32(HUGE))
    for step in range(NONE, length, WIDE):
        left = min(length - step, WIDE)  # also where the vector is whole: a branch would be guessed wrongly
        value, share = load_first(flat, start + step, left), load_first(weights, at + step, left)
        usable = above(share, nothing) & smaller(value, limit) & ~equal(value, none)
        store_floats(room, n, squeeze(usable, value))
        store_floats(room, size + n, squeeze(usable, share))
        n += count(usable)
    return n


@njit(nogil=True, cache=True)
def _end(room, at, size, n, value):
    """Write a vector of one value, without weight, behind the n pixels of a line: loops then run over whole
    vectors."""
    store_floats(room, at + n, splat_floats(value))
    store_floats(room, at + size + n, splat_floats(np.float32(0)))


@njit(nogil=True, cache=True)
def _moments(room, size, n, moments, i):
    """Weight, mean, sum of squared deviations, extremes and count of n > 0 pixels at 0, into row i."""
    _end(room, NONE, size, n, room[0])
    away = np.float64(room[0])  # deviations from one of the values: no cancellation where all are alike
    shift = splat(away)
    weight = first = second = splat(0.0)
    low = high = splat_floats(room[0])
    for step in range(NONE, n, WIDE):
        value, share = load_floats(room, step), load_floats(room, size + step)
        low, high = lesser(value, low), greater(value, high)
        one, two = less(lower_half(value), shift), less(upper_half(value), shift)
        here, there = lower_half(share), upper_half(share)
        weight = add(weight, add(here, there))
        here, there = multiply(here, one), multiply(there, two)
        first = add(first, add(here, there))
        second = plus_product(plus_product(second, here, one), there, two)
    whole, deviation = total(weight), total(first)
    moments[i, WEIGHT] = whole
    moments[i, MEAN] = away + deviation / whole
    moments[i, SQUARES] = max(total(second) - deviation * deviation / whole, 0.0)
    moments[i, LOWEST], moments[i, HIGHEST] = np.float64(least(low)), np.float64(greatest(high))
    moments[i, COUNT] = n


@njit(nogil=True, cache=True)
def _narrow(room, source, target, size, n, one, two):
    """Copy the pixels in (one, two] from the line at `source` to that at `target`.

    Returns the count and the weight of the pixels up to `one`, and of those copied.
    """
    _end(room, source, size, n, np.float32(np.inf))
    nothing = splat_floats(np.float32(0))
    first, second = splat_floats(one), splat_floats(two)
    below, found = NONE, NONE
    weight_below = weight_found = splat(0.0)
    for step in range(source, source + n, WIDE):
        value, share = load_floats(room, step), load_floats(room, size + step)
        under = at_most(value, first)
        chosen = at_most(value, second) & ~under
        store_floats(room, target + found, squeeze(chosen, value))
        store_floats(room, target + size + found, squeeze(chosen, share))
        below += count(under)
        found += count(chosen)
        low, inner = pick(under, share, nothing), pick(chosen, share, nothing)
        weight_below = add(weight_below, add(lower_half(low), upper_half(low)))
        weight_found = add(weight_found, add(lower_half(inner), upper_half(inner)))
    return below, total(weight_below), found, total(weight_found)


@njit(nogil=True, cache=True)
def _rank(room, source, target, size, n):
    """Copy up to FEW pixels in order of their values; each goes where the number of smaller ones says."""
    _end(room, source, size, n, np.float32(np.inf))
    one, two = load_floats(room, source), load_floats(room, source + WIDE)
    for k in range(n):
        value = splat_floats(room[source + k])
        before = (ONE << k) - ONE  # those of the same value keep their order
        place = target + count(above(value, one)) + count(equal(value, one) & before)
        if n > WIDE:
            place += count(above(value, two)) + count(equal(value, two) & (before >> WIDE))
        room[place], room[size + place] = room[source + k], room[source + size + k]


@njit(nogil=True, cache=True)
def _sort(room, at, size, n):
    """Shell sort of the n pixels of a line, weights alongside, in place."""
    values, shares = room[at : at + n], room[at + size : at + size + n]
    gap = 1
    while gap < n // 9:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            value, share = values[i], shares[i]
            j = i
            while j >= gap and values[j - gap] > value:
                values[j], shares[j] = values[j - gap], shares[j - gap]
                j -= gap
            values[j], shares[j] = value, share
        gap //= 3


@njit(nogil=True, cache=True)
def _interpolate(room, at, size, found, count_below, weight_below, pixels, target):
    """Weighted quantile from the sorted pixels of a line, those of one value sharing their weight equally.

    Pixel k of n (from 0, sorted) stands at k w_k + (n - 1) (w_0 + ... + w_{k-1}); `target` is on that scale.
    """
    answer = np.float64(room[at])
    last = -1.0
    before = np.float64(count_below)
    heavier = weight_below
    i = NONE
    while i < found:
        j = i
        group = 0.0
        while j < found and room[at + j] == room[at + i]:
            group += room[at + size + j]
            j += ONE
        share = group / (j - i)
        first = before * share + (pixels - 1) * heavier
        if first > target:
            if i > 0 and target > last:
                return answer + (target - last) / (first - last) * (np.float64(room[at + i]) - answer)
            return answer
        answer = np.float64(room[at + i])
        before += j - i
        heavier += group
        last = (before - 1) * share + (pixels - 1) * (heavier - share)
        i = j
    return answer


@njit(nogil=True, cache=True)
def _quantile(room, size, n, moments, i, q, z):
    """Quantile of one parcel: keep narrowing to a few pixels around the answer, then put those in order.

    Pixels up to a bound are let go where their weight, or that of the others, is more than one pixel (with
    slack for rounding) away from the target: neither the answer nor the neighbour it is interpolated with is
    among them.
    """
    source, here, there = NONE, TWO * size, FOUR * size  # lines; the first is kept for the next quantile
    low, high = np.float32(-np.inf), np.float32(moments[i, HIGHEST])
    before, weight_before, weight = NONE, 0.0, moments[i, WEIGHT]
    target = q * weight
    deviation = np.sqrt(moments[i, SQUARES] / weight)
    middle, reach = moments[i, MEAN] + z * deviation, 0.15 * deviation
    stuck = 0
    for _ in range(ROUNDS):
        if n <= FEW or stuck > 1:
            break
        one, two = np.float32(middle - reach), np.float32(middle + reach)
        below, weight_below, found, weight_found = _narrow(room, source, here, size, n, one, two)
        weight_one = weight_before + weight_below
        weight_two = weight_one + weight_found
        if weight_one <= target - SLACK and weight_two > target + SLACK:
            low, high = max(low, one), min(high, two)
        else:
            low, high = _bounds(low, high, one, two, weight_one, weight_two, target)
            below, weight_below, found, weight_found = _narrow(room, source, here, size, n, low, high)
        stuck = stuck + 1 if found == n else 0
        before, weight_before, weight, n = before + below, weight_before + weight_below, weight_found, found
        source, here, there = here, there, here
        start = max(np.float64(low), moments[i, LOWEST])
        slope = (np.float64(high) - start) / weight
        middle, reach = start + slope * (target - weight_before), slope * (1.5 + 0.04 * weight)
    if n <= FEW:
        _rank(room, source, here, size, n)
    else:
        _narrow(room, source, here, size, n, np.float32(-np.inf), high)  # a copy
        _sort(room, here, size, np.int64(n))
    pixels = moments[i, COUNT]
    return _interpolate(room, here, size, n, before, weight_before, pixels, target * (pixels - 1))


@njit(nogil=True, cache=True)
def _bounds(low, high, one, two, weight_one, weight_two, target):
    """Bounds (low, high] tightened by whichever of two values has its weight clearly beside the target."""
    bottom, top = low, high
    if weight_two <= target - SLACK:
        bottom = max(low, two)
    elif weight_one <= target - SLACK:
        bottom = max(low, one)
    if weight_one > target + SLACK:
        top = min(high, one)
    elif weight_two > target + SLACK:
        top = min(high, two)
    return bottom, top


@njit(nogil=True, cache=True)
def _finish_parcel(room, size, n, quantiles, scores, moments, answers, i):
    if n == 0:
        moments[i, :] = np.nan
        moments[i, WEIGHT] = 0.0
        moments[i, COUNT] = 0.0
        answers[i, :] = np.nan
        return
    _moments(room, size, n, moments, i)
    for k in range(quantiles.size):
        answers[i, k] = _quantile(room, size, n, moments, i, quantiles[k], scores[k])


@njit(nogil=True, cache=True)
def _scratch(offsets):
    """Room for three lines of values and weights, in turn, of so many pixels as the largest parcel has and a
    vector more; and how long each is."""
    longest = 0
    for i in range(offsets.size - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    size = (longest // 16 + 3) * 16
    room = np.empty(6 * size + 16, np.float32)
    start = (64 - room.ctypes.data % 64) % 64 // 4  # where a line of the cache begins
    return room[start:], np.uint64(size)


@njit(nogil=True, cache=True)
def summarise_block(
    block: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    lengths: np.ndarray,
    runs: np.ndarray,
    weights: np.ndarray,
    offsets: np.ndarray,
    nodata: np.float32,
    quantiles: np.ndarray,
    scores: np.ndarray,
    moments: np.ndarray,
    answers: np.ndarray,
) -> None:
    """Statistics of every parcel straight from a pixel block, in one pass over its runs.

    Parameters
    ----------
    block
        `(y, x)`, any number type; values are compared as float32, sums kept as float64.
    rows, columns, lengths
        One entry per run of pixels; parcel i owns runs `runs[i]:runs[i + 1]`.
    weights
        float32, one per pixel of the runs, zero where masked; parcel i owns `offsets[i]:offsets[i + 1]`.
    quantiles, scores
        The quantiles wanted, 0 to 1, and the normal deviate of each (only a first guess).
    moments, answers
        Written: `(parcel, MOMENTS)` and `(parcel, quantile)`, float64.
    """
    room, size = _scratch(offsets)
    flat = block.reshape(-1)
    width = np.uint64(block.shape[1])
    line = np.uint64(64 // block.itemsize)
    for i in range(offsets.size - 1):
        n, at = NONE, np.uint64(offsets[i])
        for run in range(np.uint64(runs[i]), np.uint64(runs[i + 1])):
            start = np.uint64(rows[run]) * width + np.uint64(columns[run])
            length = np.uint64(lengths[run])
            n = _take(flat, start, length, weights, at, nodata, room, size, n)
            at += length
        if i + 2 < offsets.size:  # while this parcel is computed, the next one's rows come from memory
            for run in range(np.uint64(runs[i + 1]), np.uint64(runs[i + 2])):
                start = np.uint64(rows[run]) * width + np.uint64(columns[run])
                for step in range(NONE, np.uint64(lengths[run]), line):
                    fetch(flat, start + step)
        _finish_parcel(room, size, n, quantiles, scores, moments, answers, i)


@njit(nogil=True, cache=True)
def summarise_line(
    values: np.ndarray,
    weights: np.ndarray,
    offsets: np.ndarray,
    nodata: np.float32,
    quantiles: np.ndarray,
    scores: np.ndarray,
    moments: np.ndarray,
    answers: np.ndarray,
) -> None:
    """Statistics of every parcel from gathered pixels: as `summarise_block`, `values` one per weight."""
    room, size = _scratch(offsets)
    for i in range(offsets.size - 1):
        start = np.uint64(offsets[i])
        length = np.uint64(offsets[i + 1]) - start
        n = _take(values, start, length, weights, start, nodata, room, size, NONE)
        _finish_parcel(room, size, n, quantiles, scores, moments, answers, i)
