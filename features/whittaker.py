"""Whittaker smoothing over irregular positions: pentadiagonal solves, many series at once, in numba.

Minimises `sum w (y - z)^2 + lambda * sum (D z)^2` where `D` takes second divided differences of `z` over the
positions (Eilers 2003, Analytical Chemistry 75, 3631-3636), scaled as his `ddmat` does and the
`whittaker-eilers` package with it: on evenly spaced positions one apart, `D z = (z[i] - 2 z[i+1] + z[i+2]) /
2`.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba as nb
import numpy as np

from features.errors import CropcheckError

LANES = 16  # parcels solved side by side: two AVX-512 or four AVX2 registers of float64
PARCELS_A_TASK = 1_024  # small enough that threads end together
# The scratch of a block of parcels is one flat array, (time, field, lane): the compiler then knows every
# distance and turns loops over lanes into a few vector instructions. Two steps of zeros lie around.
WEIGHT, CURVE, INVERSE, FIRST, SECOND, RAISED = (field * LANES for field in range(6))
FIELDS, PADDING = 6, 2
STEP = FIELDS * LANES
# as unsigned numbers they need no check for indices that count from the end, which would stop the vectoriser
UNSIGNED_LANES, AFTER, U_ONE, U_TWO = (np.uint64(number) for number in (LANES, STEP, 1, 2))
U_WEIGHT, U_CURVE, U_INVERSE, U_FIRST, U_SECOND, U_RAISED = (np.uint64(field * LANES) for field in range(6))


def penalty(positions: np.ndarray, smoothness: float) -> np.ndarray:
    """Return the three diagonals of `lambda * D'D`, `(3, time)`: main, first and second above it.

    Parameters
    ----------
    positions
        Where the steps lie, strictly increasing, at least three.
    smoothness
        lambda, in units of position to the fourth power.
    """
    x = np.asarray(positions, np.float64)
    if len(x) < 3 or not (np.diff(x) > 0).all():
        raise CropcheckError(
            f"Smoothing needs three or more increasing positions; here are {len(x)}: {x[:5]}."
        )
    first, last, span = 1 / np.diff(x)[:-1], 1 / np.diff(x)[1:], 1 / (x[2:] - x[:-2])
    rows = np.stack([first * span, -(first + last) * span, last * span])
    bands = np.zeros((3, len(x)))
    for i in range(3):
        for j in range(i, 3):
            bands[j - i, i : i + len(x) - 2] += rows[i] * rows[j]
    return smoothness * bands


def smooth_rows(values: np.ndarray, weights: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Smooth every row with its own weights.

    Parameters
    ----------
    values, weights
        `(series, time)`, float32 or float64; a value counts for nothing where its weight is 0 and may be NaN
        there.
    bands
        Of `penalty`.

    Returns
    -------
    np.ndarray
        `(series, time)`, of the values' type; NaN where fewer than two weights are above 0 (no curve is
        defined).
    """
    values, weights = np.ascontiguousarray(values), np.ascontiguousarray(weights)
    out = np.empty_like(values)
    _in_threads(_smooth_rows, values, weights, bands, out)
    return out


def smooth_shared(
    values: np.ndarray, weights: np.ndarray, bands: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Smooth all features of a parcel with the weights they share, factoring once a parcel.

    Parameters
    ----------
    values
        `(parcel, time, feature)`, float32 or float64; features contiguous.
    weights
        `(parcel, time)`.
    out
        Where to write, of the values' shape and type and contiguous; a new array where None.

    Returns
    -------
    np.ndarray
        Like `values`; NaN where fewer than two weights are above 0.
    """
    values, weights = np.ascontiguousarray(values), np.ascontiguousarray(weights)
    out = np.empty_like(values) if out is None else out
    _in_threads(_smooth_parcels, values, weights, bands, out)
    return out


def posterior_variance(weights: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Diagonal of `(W + lambda D'D)^-1`, `(series, time)`: times the noise, the curve's variance.

    From the factors alone, in O(time) (Hutchinson and de Hoog 1985, Numerische Mathematik 47, 99-106).
    NaN where fewer than two weights are above 0.
    """
    weights = np.ascontiguousarray(weights)
    out = np.empty((*weights.shape, 1))
    _in_threads(_posterior_variance, out, weights, bands, out)
    return out[:, :, 0]


def _in_threads(
    kernel: Callable, values: np.ndarray, weights: np.ndarray, bands: np.ndarray, out: np.ndarray
) -> None:
    """Run a kernel over parts of the parcels; parcels do not touch each other, so threads change nothing."""
    starts = range(0, len(weights), PARCELS_A_TASK)
    parts = [slice(start, start + PARCELS_A_TASK) for start in starts]
    if len(parts) < 2:
        kernel(values, weights, bands, out)
        return
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(lambda part: kernel(values[part], weights[part], bands, out[part]), parts))


# error_model and contract let LLVM vectorise the division and fuse multiply with add
_kernel = nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


@_kernel
def _factor(weights: np.ndarray, start: int, bands: np.ndarray, scratch: np.ndarray) -> None:
    """LDL' of `W + penalty` for the parcels from `start`: INVERSE is 1 / D, FIRST and SECOND rows of L'."""
    last, steps = weights.shape[0] - 1, weights.shape[1]
    for k in range(LANES):
        row = min(start + k, last)  # lanes beyond the last parcel repeat it
        for t in range(steps):
            scratch[(t + PADDING) * STEP + WEIGHT + k] = weights[row, t]
    for t in range(steps):
        p0, p1, p2 = bands[0, t], bands[1, t], bands[2, t]
        earlier = bands[2, t - 2] if t > 1 else 0.0
        two = np.uint64(t * STEP)
        one, now = two + AFTER, two + AFTER + AFTER
        for k in range(UNSIGNED_LANES):
            raised = scratch[one + U_RAISED + k]
            d = scratch[now + U_WEIGHT + k] + p0 - scratch[one + U_FIRST + k] * raised
            above = p1 - scratch[one + U_SECOND + k] * raised
            inverse = 1.0 / (d - scratch[two + U_SECOND + k] * earlier)
            scratch[now + U_INVERSE + k] = inverse
            scratch[now + U_RAISED + k] = above
            scratch[now + U_FIRST + k] = above * inverse
            scratch[now + U_SECOND + k] = p2 * inverse


@_kernel
def _copy(source: np.ndarray, target: np.ndarray, size: np.uint64) -> None:
    for i in range(size):
        target[i] = source[i]


@_kernel
def _forward(y: np.ndarray, factors: np.ndarray, lane: np.uint64, width: tuple, z: np.ndarray) -> None:
    """Forward substitution of one parcel, flat `(time, feature)`, into `z` with two steps of zeros before.

    `y` has room for two more steps behind, where its solution is to go.
    """
    features, lanes = width
    for t in range(np.uint64(y.size) // features - U_TWO):
        at = t * AFTER + lane
        e, c, w = (
            factors[at + U_SECOND],
            factors[at + AFTER + U_FIRST],
            factors[at + AFTER + AFTER + U_WEIGHT],
        )
        for chunk in range((features + lanes - U_ONE) // lanes):
            two = t * features + min(
                chunk * lanes, features - lanes
            )  # the last chunk reaches back: no remainder
            one, now = two + features, two + features + features
            if w > 0:
                for f in range(lanes):
                    z[now + f] = w * y[two + f] - e * z[two + f] - c * z[one + f]
            else:
                for f in range(lanes):
                    z[now + f] = -e * z[two + f] - c * z[one + f]


@_kernel
def _backward(z: np.ndarray, factors: np.ndarray, lane: np.uint64, width: tuple, curve: np.ndarray) -> None:
    """Back substitution of one parcel from `z` into `curve`, which has two steps of zeros behind."""
    features, lanes = width
    steps = np.uint64(z.size) // features - U_TWO
    for back in range(steps):
        t = steps - U_ONE - back
        at = (t + U_TWO) * AFTER + lane
        inverse, c, e = factors[at + U_INVERSE], factors[at + U_FIRST], factors[at + U_SECOND]
        for chunk in range((features + lanes - U_ONE) // lanes):
            now = t * features + min(chunk * lanes, features - lanes)
            one, two = now + features, now + features + features
            for f in range(lanes):
                curve[now + f] = inverse * z[two + f] - e * curve[two + f] - c * curve[one + f]


@_kernel
def _smooth_parcels(values: np.ndarray, weights: np.ndarray, bands: np.ndarray, out: np.ndarray) -> None:
    n, steps, features = values.shape
    factors = np.zeros((steps + 2 * PADDING) * STEP)
    z, curve = np.zeros((steps + PADDING) * features), np.zeros((steps + PADDING) * features)
    width = np.uint64(features), np.uint64(min(features, LANES))
    for start in range(0, n, LANES):
        _factor(weights, start, bands, factors)
        for k in range(min(LANES, n - start)):
            size = np.uint64(steps * features)
            _copy(values[start + k].reshape(-1), curve, size)
            _forward(curve, factors, np.uint64(k), width, z)
            _backward(z, factors, np.uint64(k), width, curve)
            _copy(curve, out[start + k].reshape(-1), size)
        _blank(weights[start : start + LANES], out[start : start + LANES])


@_kernel
def _solve(scratch: np.ndarray, steps: int, lanes: np.uint64) -> None:
    """Forward and back substitution of CURVE, in place; `lanes` is LANES, told late against unrolling."""
    for t in range(steps):
        two = np.uint64(t * STEP)
        one, now = two + AFTER, two + AFTER + AFTER
        for k in range(lanes):
            weight, value = scratch[now + U_WEIGHT + k], scratch[now + U_CURVE + k]
            pulled = weight * value if weight > 0 else 0.0
            pulled -= scratch[two + U_SECOND + k] * scratch[two + U_CURVE + k]
            scratch[now + U_CURVE + k] = pulled - scratch[one + U_FIRST + k] * scratch[one + U_CURVE + k]
    for t in range(steps - 1, -1, -1):
        now = np.uint64((t + PADDING) * STEP)
        one, two = now + AFTER, now + AFTER + AFTER
        for k in range(lanes):
            held = scratch[now + U_CURVE + k] * scratch[now + U_INVERSE + k]
            held -= scratch[now + U_SECOND + k] * scratch[two + U_CURVE + k]
            scratch[now + U_CURVE + k] = held - scratch[now + U_FIRST + k] * scratch[one + U_CURVE + k]


@_kernel
def _smooth_rows(values: np.ndarray, weights: np.ndarray, bands: np.ndarray, out: np.ndarray) -> None:
    n, steps = values.shape
    scratch = np.zeros((steps + 2 * PADDING) * STEP)
    for start in range(0, n, LANES):
        _factor(weights, start, bands, scratch)
        used = min(LANES, n - start)
        for k in range(used):
            for t in range(steps):
                scratch[(t + PADDING) * STEP + CURVE + k] = values[start + k, t]
        _solve(scratch, steps, np.uint64(scratch.size // (steps + 2 * PADDING) // FIELDS))
        for k in range(used):
            for t in range(steps):
                out[start + k, t] = scratch[(t + PADDING) * STEP + CURVE + k]
        _blank(weights[start : start + LANES], out[start : start + LANES])


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
def _posterior_variance(values: np.ndarray, weights: np.ndarray, bands: np.ndarray, out: np.ndarray) -> None:
    n, steps = weights.shape
    scratch = np.zeros((steps + 2 * PADDING) * STEP)
    for start in range(0, n, LANES):
        _factor(weights, start, bands, scratch)
        used = min(LANES, n - start)
        for k in range(used):
            near, main, beyond = (
                0.0,
                0.0,
                0.0,
            )  # of the inverse: (t + 1, t + 2), (t + 1, t + 1), (t + 2, t + 2)
            for t in range(steps - 1, -1, -1):
                now = (t + PADDING) * STEP + k
                one = -scratch[now + FIRST] * main - scratch[now + SECOND] * near
                two = -scratch[now + FIRST] * near - scratch[now + SECOND] * beyond
                beyond = main
                main = scratch[now + INVERSE] - scratch[now + FIRST] * one - scratch[now + SECOND] * two
                out[start + k, t, 0], near = main, one
        _blank(weights[start : start + LANES], out[start : start + LANES])
