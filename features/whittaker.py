"""Whittaker smoothing over irregular positions: pentadiagonal solves, many series at once, in numba.

Minimises `sum w (y - z)^2 + lambda * sum (D z)^2` where `D` takes second divided differences of `z` over the
positions (Eilers 2003, Analytical Chemistry 75, 3631-3636), scaled as his `ddmat` does and the
`whittaker-eilers` package with it: on evenly spaced positions one apart, `D z = (z[i] - 2 z[i+1] + z[i+2]) /
2`.
"""

import numba as nb
import numpy as np

from features.errors import CropcheckError

LANES = 16  # series solved side by side: two AVX-512 or four AVX2 registers of float64


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
    out = np.empty_like(values)
    _smooth_rows(np.ascontiguousarray(values), np.ascontiguousarray(weights), bands, out)
    return out


def smooth_shared(values: np.ndarray, weights: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Smooth all features of a parcel with the weights they share, factoring once a parcel.

    Parameters
    ----------
    values
        `(parcel, time, feature)`, float32 or float64; features contiguous.
    weights
        `(parcel, time)`.

    Returns
    -------
    np.ndarray
        Like `values`; NaN where fewer than two weights are above 0.
    """
    out = np.empty_like(values, order="C")
    _smooth_shared(np.ascontiguousarray(values), np.ascontiguousarray(weights), bands, out)
    return out


def posterior_variance(weights: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Diagonal of `(W + lambda D'D)^-1`, `(series, time)`: times the noise variance, that of the curve.

    From the factors alone, in O(time) (Hutchinson and de Hoog 1985, Numerische Mathematik 47, 99-106).
    NaN where fewer than two weights are above 0.
    """
    out = np.empty(weights.shape)
    _posterior_variance(np.ascontiguousarray(weights), bands, out)
    return out


# error_model and contract let LLVM turn the loops over lanes into vector instructions
_vectorised = nb.njit(cache=True, error_model="numpy", fastmath={"contract"}, inline="never")
_parallel = nb.njit(cache=True, error_model="numpy", fastmath={"contract"}, parallel=True)


@_vectorised
def _factor(w: np.ndarray, bands: np.ndarray, inverse: np.ndarray, c: np.ndarray, e: np.ndarray) -> None:
    """LDL' of `W + penalty` for LANES series, `(time, LANES)` each; `inverse` holds 1 / D."""
    raised = np.zeros(LANES)  # c * D of the row before
    for t in range(w.shape[0]):
        p0, p1, p2 = bands[0, t], bands[1, t], bands[2, t]
        for k in range(LANES):
            d, above = w[t, k] + p0, p1
            if t > 0:
                d -= c[t - 1, k] * raised[k]
                above -= e[t - 1, k] * raised[k]
            if t > 1:
                d -= e[t - 2, k] * bands[2, t - 2]
            inverse[t, k] = 1.0 / d
            raised[k] = above
            c[t, k] = above * inverse[t, k]
            e[t, k] = p2 * inverse[t, k]


@_vectorised
def _load(weights: np.ndarray, start: int, w: np.ndarray) -> None:
    """Turn rows `start...` into lanes; lanes beyond the last row repeat it."""
    last = weights.shape[0] - 1
    for k in range(LANES):
        row = weights[min(start + k, last)]
        for t in range(row.shape[0]):
            w[t, k] = row[t]


@_vectorised
def _undefined(w: np.ndarray, k: int) -> bool:
    known = 0
    for t in range(w.shape[0]):
        known += w[t, k] > 0
    return known < 2


@_vectorised
def _solve(z: np.ndarray, inverse: np.ndarray, c: np.ndarray, e: np.ndarray) -> None:
    """Forward and back substitution in place, `(time, LANES)`."""
    steps = z.shape[0]
    for k in range(LANES):
        z[1, k] -= c[0, k] * z[0, k]
    for t in range(2, steps):
        for k in range(LANES):
            z[t, k] -= c[t - 1, k] * z[t - 1, k] + e[t - 2, k] * z[t - 2, k]
    for k in range(LANES):
        z[steps - 1, k] *= inverse[steps - 1, k]
        z[steps - 2, k] = z[steps - 2, k] * inverse[steps - 2, k] - c[steps - 2, k] * z[steps - 1, k]
    for t in range(steps - 3, -1, -1):
        for k in range(LANES):
            z[t, k] = z[t, k] * inverse[t, k] - c[t, k] * z[t + 1, k] - e[t, k] * z[t + 2, k]


@_parallel
def _smooth_rows(values: np.ndarray, weights: np.ndarray, bands: np.ndarray, out: np.ndarray) -> None:
    n, steps = values.shape
    for block in nb.prange((n + LANES - 1) // LANES):
        start = block * LANES
        scratch = np.empty((5, steps, LANES))
        w, z, inverse, c, e = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
        _load(weights, start, w)
        _load(values, start, z)
        for t in range(steps):
            for k in range(LANES):
                z[t, k] = w[t, k] * z[t, k] if w[t, k] > 0 else 0.0
        _factor(w, bands, inverse, c, e)
        _solve(z, inverse, c, e)
        for k in range(min(LANES, n - start)):
            undefined = _undefined(w, k)
            for t in range(steps):
                out[start + k, t] = np.nan if undefined else z[t, k]


@_parallel
def _smooth_shared(values: np.ndarray, weights: np.ndarray, bands: np.ndarray, out: np.ndarray) -> None:
    n, steps, features = values.shape
    for block in nb.prange((n + LANES - 1) // LANES):
        start = block * LANES
        scratch = np.empty((4, steps, LANES))
        w, inverse, c, e = scratch[0], scratch[1], scratch[2], scratch[3]
        z = np.empty((steps, features))
        _load(weights, start, w)
        _factor(w, bands, inverse, c, e)
        for k in range(min(LANES, n - start)):
            if _undefined(w, k):
                out[start + k] = np.nan
            else:
                _solve_shared(values[start + k], w[:, k], inverse[:, k], c[:, k], e[:, k], z, out[start + k])


@_vectorised
def _solve_shared(
    y: np.ndarray,
    w: np.ndarray,
    inverse: np.ndarray,
    c: np.ndarray,
    e: np.ndarray,
    z: np.ndarray,
    out: np.ndarray,
) -> None:
    """Substitution for all features of one parcel, `(time, feature)`, through float64 scratch `z`."""
    steps, features = y.shape
    for t in range(steps):
        one, two = c[t - 1] if t > 0 else 0.0, e[t - 2] if t > 1 else 0.0
        before, earlier = z[max(t - 1, 0)], z[max(t - 2, 0)]
        for f in range(features):
            z[t, f] = w[t] * y[t, f] if w[t] > 0 else 0.0
        if t > 0:
            for f in range(features):
                z[t, f] -= one * before[f] + two * earlier[f]
    for t in range(steps - 1, -1, -1):
        after, later = z[min(t + 1, steps - 1)], z[min(t + 2, steps - 1)]
        one, two = c[t] if t + 1 < steps else 0.0, e[t] if t + 2 < steps else 0.0
        for f in range(features):
            z[t, f] = z[t, f] * inverse[t] - one * after[f] - two * later[f]
            out[t, f] = z[t, f]


@_parallel
def _posterior_variance(weights: np.ndarray, bands: np.ndarray, out: np.ndarray) -> None:
    n, steps = weights.shape
    for block in nb.prange((n + LANES - 1) // LANES):
        start = block * LANES
        scratch = np.empty((5, steps, LANES))
        w, inverse, c, e, main = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
        _load(weights, start, w)
        _factor(w, bands, inverse, c, e)
        _inverse_diagonal(inverse, c, e, main)
        for k in range(min(LANES, n - start)):
            undefined = _undefined(w, k)
            for t in range(steps):
                out[start + k, t] = np.nan if undefined else main[t, k]


@_vectorised
def _inverse_diagonal(inverse: np.ndarray, c: np.ndarray, e: np.ndarray, main: np.ndarray) -> None:
    steps = inverse.shape[0]
    near = np.zeros(LANES)  # inverse[t + 1, t + 2]
    for k in range(LANES):
        main[steps - 1, k] = inverse[steps - 1, k]
    for t in range(steps - 2, -1, -1):
        for k in range(LANES):
            beyond = main[t + 2, k] if t + 2 < steps else 0.0
            one = -c[t, k] * main[t + 1, k] - e[t, k] * near[k]
            two = -c[t, k] * near[k] - e[t, k] * beyond
            main[t, k] = inverse[t, k] - c[t, k] * one - e[t, k] * two
            near[k] = one
