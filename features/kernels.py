"""Compiled loops of the zonal engine: from pixel runs to statistics, one parcel at a time.

A parcel's pixels lie in runs along the rows of a block. Each loop copies them into a scratch line that
stays in the first cache level and does all else there. Pixels that are masked, nodata, not finite or
at least `HUGE` in size carry weight zero. The loops release the interpreter lock, so that the
statistics of one band run beside the decoding of another.
"""

from typing import Any

import numpy as np
from numba import njit

HUGE = 1e20  # written as a fill value by several tools; no physical quantity read here comes near it
FEW = 32  # pixels that are sorted rather than narrowed down
LOOSE: Any = {"reassoc", "nsz", "contract"}  # sums may be reordered into vector lanes; NaN and inf stay exact

WEIGHT, MEAN, SQUARES, LOWEST, HIGHEST, COUNT = range(6)
MOMENTS = 6


@njit(nogil=True, cache=True)
def gather(block, rows, columns, lengths, out):  # type: ignore[no-untyped-def]
    """Copy the runs' pixels of a contiguous `block (y, x)` into the line `out`, converted to float32."""
    flat = block.reshape(-1)
    width = np.uint64(block.shape[1])
    position = np.uint64(0)
    for run in range(rows.size):
        start = np.uint64(rows[run]) * width + np.uint64(columns[run])
        length = np.uint64(lengths[run])
        for step in range(length):
            out[position + step] = np.float32(flat[start + step])
        position += length


@njit(nogil=True, cache=True)
def mask_weights(clear, rows, columns, lengths, weights, out):  # type: ignore[no-untyped-def]
    """Copy the weights, zero where a contiguous `clear (y, x)` is False."""
    flat = clear.reshape(-1)
    width = np.uint64(clear.shape[1])
    position = np.uint64(0)
    for run in range(rows.size):
        start = np.uint64(rows[run]) * width + np.uint64(columns[run])
        length = np.uint64(lengths[run])
        for step in range(length):
            out[position + step] = weights[position + step] if flat[start + step] else np.float32(0)
        position += length


@njit(nogil=True, cache=True, fastmath=LOOSE)
def _sums(values, weights, n, shift):  # type: ignore[no-untyped-def]
    total = 0.0
    first = 0.0
    second = 0.0
    for i in range(n):
        weight = np.float64(weights[i])
        away = np.float64(values[i]) - shift
        part = weight * away
        total += weight
        first += part
        second += part * away
    return total, first, second


@njit(nogil=True, cache=True)
def _extremes(bits, n):  # type: ignore[no-untyped-def]
    """Least and greatest of float32 numbers given as int32 bits, which vector units compare fastest.

    Flipping all but the sign of negative numbers makes the order of the bits the order of the numbers.
    """
    low = np.int32(2147483647)
    high = np.int32(-2147483648)
    for i in range(n):
        key = bits[i] ^ ((bits[i] >> np.int32(31)) & np.int32(0x7FFFFFFF))
        low = min(low, key)
        high = max(high, key)
    return low, high


@njit(nogil=True, cache=True)
def _bits_of(key):  # type: ignore[no-untyped-def]
    return key ^ ((key >> np.int32(31)) & np.int32(0x7FFFFFFF))


@njit(nogil=True, cache=True)
def _moments(values, bits, weights, n, moments, i):  # type: ignore[no-untyped-def]
    """Weight, mean, sum of squared deviations, extremes and count of n > 0 pixels, into row i."""
    shift = np.float64(values[0])  # deviations from one of the values: no cancellation where all are alike
    total, first, second = _sums(values, weights, n, shift)
    low, high = _extremes(bits, n)
    moments[i, WEIGHT] = total
    moments[i, MEAN] = shift + first / total
    moments[i, SQUARES] = max(second - first * first / total, 0.0)
    moments[i, COUNT] = n
    bits[n] = _bits_of(low)  # one place beyond the pixels, to read the bits as numbers again
    moments[i, LOWEST] = np.float64(values[n])
    bits[n] = _bits_of(high)
    moments[i, HIGHEST] = np.float64(values[n])


@njit(nogil=True, cache=True, fastmath=LOOSE)
def _below(values, weights, n, one, two):  # type: ignore[no-untyped-def]
    """Count and weight of the pixels at or below each of two pivots, in one pass.

    float32 lanes are exact for the counts; the weights only steer the search, see `_collect`.
    """
    count_one = np.float32(0)
    count_two = np.float32(0)
    weight_one = np.float32(0)
    weight_two = np.float32(0)
    for i in range(n):
        value = values[i]
        weight = weights[i]
        count_one += np.float32(1) if value <= one else np.float32(0)
        count_two += np.float32(1) if value <= two else np.float32(0)
        weight_one += weight if value <= one else np.float32(0)
        weight_two += weight if value <= two else np.float32(0)
    return count_one, weight_one, count_two, weight_two


@njit(nogil=True, cache=True)
def _sort(values, weights, n):  # type: ignore[no-untyped-def]
    """Shell sort of `values[:n]`, weights alongside, in place."""
    gap = 1
    while gap < n // 9:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            value = values[i]
            weight = weights[i]
            j = i
            while j >= gap and values[j - gap] > value:
                values[j] = values[j - gap]
                weights[j] = weights[j - gap]
                j -= gap
            values[j] = value
            weights[j] = weight
        gap //= 3


@njit(nogil=True, cache=True, fastmath=LOOSE)
def _weight_below(values, weights, n, low):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(n):
        total += np.float64(weights[i]) if values[i] <= low else 0.0
    return total


@njit(nogil=True, cache=True)
def _collect(values, weights, n, low, high, some, theirs):  # type: ignore[no-untyped-def]
    """Copy the pixels in (low, high]; also return the weight at or below `low`, summed in float64.

    Every pixel is written, and kept or not by arithmetic: a branch would be guessed wrongly half of the time.
    """
    found = np.uint64(0)
    for i in range(np.uint64(n)):  # unsigned: no check for negative indices
        value = values[i]
        some[found] = value
        theirs[found] = weights[i]
        found += np.uint64(value > low) & np.uint64(value <= high)
    return np.int64(found), _weight_below(values, weights, n, low)


@njit(nogil=True, cache=True)
def _interpolate(some, theirs, found, count_below, weight_below, count, target):  # type: ignore[no-untyped-def]
    """Weighted quantile from sorted pixels, those of one value sharing their weight equally.

    Pixel k of n (from 0, sorted) stands at k w_k + (n - 1) (w_0 + ... + w_{k-1}); `target` is on that scale.
    """
    answer = some[0]
    last = -1.0
    before = np.float64(count_below)
    heavier = weight_below
    i = 0
    while i < found:
        j = i
        group = 0.0
        while j < found and some[j] == some[i]:
            group += theirs[j]
            j += 1
        share = group / (j - i)
        first = before * share + (count - 1) * heavier
        if first > target:
            if i > 0 and target > last:
                return answer + (target - last) / (first - last) * (np.float64(some[i]) - answer)
            return answer
        answer = np.float64(some[i])
        before += j - i
        heavier += group
        last = (before - 1) * share + (count - 1) * (heavier - share)
        i = j
    return answer


@njit(nogil=True, cache=True)
def _quantile(values, weights, n, moments, i, q, z, some, theirs):  # type: ignore[no-untyped-def]
    """Quantile of one parcel: narrow the values down to a few around the answer, then sort those.

    A bound holds when the weight at or below it is more than one pixel (with slack for rounding) away from
    the target, so that neither the answer nor the neighbour it is interpolated with can lie outside.
    """
    target = q * moments[i, WEIGHT]
    low, weight_low, count_low = -np.inf, 0.0, np.int64(0)
    high, weight_high, count_high = (
        np.float64(moments[i, HIGHEST]),
        moments[i, WEIGHT],
        np.int64(moments[i, COUNT]),
    )
    deviation = np.sqrt(moments[i, SQUARES] / moments[i, WEIGHT])
    pivots = (moments[i, MEAN] + (z - 0.15) * deviation, moments[i, MEAN] + (z + 0.15) * deviation)
    for _ in range(12):
        inside = count_high - count_low
        if inside <= FEW:
            break
        one, two = np.float32(pivots[0]), np.float32(pivots[1])
        count_one, weight_one, count_two, weight_two = _below(values, weights, n, one, two)
        for pivot, number, weight in ((one, count_one, weight_one), (two, count_two, weight_two)):
            if weight <= target - 1.05 and pivot > low:
                low, weight_low, count_low = np.float64(pivot), weight, np.int64(number)
            elif weight > target + 1.05 and pivot < high:
                high, weight_high, count_high = np.float64(pivot), weight, np.int64(number)
        if count_high - count_low == inside:  # as narrow as ties allow
            break
        start = max(low, np.float64(moments[i, LOWEST]))
        slope = (high - start) / (weight_high - weight_low)
        margin = 1.5 + 0.04 * (weight_high - weight_low)
        pivots = (
            start + slope * (target - margin - weight_low),
            start + slope * (target + margin - weight_low),
        )
    found, below = _collect(values, weights, n, np.float32(low), np.float32(high), some, theirs)
    _sort(some, theirs, found)
    return _interpolate(
        some, theirs, found, count_low, below, moments[i, COUNT], target * (moments[i, COUNT] - 1)
    )


@njit(nogil=True, cache=True)
def _drop(values, weights, n, nodata):  # type: ignore[no-untyped-def]
    """Close up over unusable pixels, in place, and return how many remain."""
    kept = 0
    for i in range(n):
        value = values[i]
        weight = weights[i]
        values[kept] = value
        weights[kept] = weight
        kept += (weight > 0) & (value != nodata) & (abs(value) < HUGE)
    return kept


@njit(nogil=True, cache=True)
def _usable(values, weights, n, nodata):  # type: ignore[no-untyped-def]
    count = np.int32(0)
    for i in range(n):
        good = (weights[i] > np.float32(0)) & (values[i] != nodata) & (abs(values[i]) < np.float32(HUGE))
        count += np.int32(1) if good else np.int32(0)
    return count


@njit(nogil=True, cache=True)
def _finish_parcel(  # type: ignore[no-untyped-def]
    values, bits, weights, n, nodata, quantiles, scores, moments, answers, i, some, theirs
):
    if _usable(values, weights, n, nodata) < n:
        n = _drop(values, weights, n, nodata)
    if n == 0:
        moments[i, :] = np.nan
        moments[i, WEIGHT] = 0.0
        moments[i, COUNT] = 0.0
        answers[i, :] = np.nan
        return
    _moments(values, bits, weights, n, moments, i)
    for k in range(quantiles.size):
        answers[i, k] = _quantile(values, weights, n, moments, i, quantiles[k], scores[k], some, theirs)


@njit(nogil=True, cache=True)
def _longest(offsets):  # type: ignore[no-untyped-def]
    longest = 0
    for i in range(offsets.size - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    return longest + 1


@njit(nogil=True, cache=True)
def _copy(source, start, target, n):  # type: ignore[no-untyped-def]
    for i in range(n):
        target[i] = source[start + i]


@njit(nogil=True, cache=True)
def summarise_block(  # type: ignore[no-untyped-def]
    block, rows, columns, lengths, runs, weights, offsets, nodata, quantiles, scores, moments, answers
):
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
    longest = _longest(offsets)
    line, share = np.empty(longest, np.float32), np.empty(longest, np.float32)
    some, theirs = np.empty(longest, np.float32), np.empty(longest, np.float32)
    bits = line.view(np.int32)
    flat = block.reshape(-1)
    width = np.uint64(block.shape[1])
    for i in range(offsets.size - 1):
        n = np.uint64(0)
        for run in range(np.uint64(runs[i]), np.uint64(runs[i + 1])):
            start = np.uint64(rows[run]) * width + np.uint64(columns[run])
            length = np.uint64(lengths[run])
            for step in range(length):  # unsigned: no check for negative indices
                line[n + step] = np.float32(flat[start + step])
            n += length
        _copy(weights, np.uint64(offsets[i]), share, n)
        _finish_parcel(
            line, bits, share, np.int64(n), nodata, quantiles, scores, moments, answers, i, some, theirs
        )


@njit(nogil=True, cache=True)
def summarise_line(values, weights, offsets, nodata, quantiles, scores, moments, answers):  # type: ignore[no-untyped-def]
    """Statistics of every parcel from gathered pixels: as `summarise_block`, `values` one per weight."""
    longest = _longest(offsets)
    line, share = np.empty(longest, np.float32), np.empty(longest, np.float32)
    some, theirs = np.empty(longest, np.float32), np.empty(longest, np.float32)
    bits = line.view(np.int32)
    for i in range(offsets.size - 1):
        start = np.uint64(offsets[i])
        n = np.uint64(offsets[i + 1]) - start
        _copy(values, start, line, n)
        _copy(weights, start, share, n)
        _finish_parcel(
            line, bits, share, np.int64(n), nodata, quantiles, scores, moments, answers, i, some, theirs
        )
