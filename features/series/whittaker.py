"""Whittaker smoothing over irregular positions: pentadiagonal solves, many series at once, in numba.

Minimises `sum w (y - z)^2 + lambda * sum (D z)^2` where `D` takes second divided differences of `z` over the
positions (Eilers 2003, Analytical Chemistry 75, 3631-3636), scaled as his `ddmat` does and the
`whittaker-eilers` package with it: on evenly spaced positions one apart, `D z = (z[i] - 2 z[i+1] + z[i+2]) /
2`.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from features.errors import CropcheckError
from features.series.pentadiagonal import smooth_lines, smooth_parcels, variance_lines
from features.zonal.vectors import LANES

PARCELS_PER_TASK = 1_024  # small enough that threads end together


def penalty(positions: np.ndarray, smoothness: float, integral: bool = False) -> np.ndarray:
    """Return the three diagonals of `lambda * D'D`, float64 `(3, time)`: main, first and second above it.

    Parameters
    ----------
    positions
        `(time,)` where the steps lie, strictly increasing, at least three.
    smoothness
        lambda, in units of position to the fourth power, or to the third where `integral`.
    integral
        Approximate the integral of the squared second derivative over the positions (each difference times
        the stretch of positions that it stands for) instead of the sum of squared divided differences.

    Raises
    ------
    CropcheckError
        Where there are fewer than three positions, or they do not increase.
    """
    x = np.asarray(positions, np.float64)
    if len(x) < 3 or not (np.diff(x) > 0).all():
        raise CropcheckError(
            f"Smoothing needs three or more increasing positions; here are {len(x)}: {x[:5]}."
        )
    first, last, span = 1 / np.diff(x)[:-1], 1 / np.diff(x)[1:], 1 / (x[2:] - x[:-2])
    rows = np.stack([first * span, -(first + last) * span, last * span])
    if integral:  # f'' is twice the divided difference, and stands for half of its positions' span
        rows *= np.sqrt(2 / span)
    bands = np.zeros((3, len(x)))
    for i in range(3):
        for j in range(i, 3):
            bands[j - i, i : i + len(x) - 2] += rows[i] * rows[j]
    return smoothness * bands


def smooth_rows(
    values: np.ndarray, weights: np.ndarray, bands: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Smooth every row with its own weights.

    Parameters
    ----------
    values, weights
        `(series, time)`, float32 or float64; a value counts for nothing where its weight is 0 and may be NaN
        there.
    bands
        Of `penalty`.
    out
        Where to write, of the values' shape and type and contiguous, best the values themselves: smoothing
        in place spares the memory half of its work. A new array where None.

    Returns
    -------
    np.ndarray
        `(series, time)`, of the values' type; NaN where fewer than two weights are above 0 (no curve is
        defined).
    """
    values, weights = np.ascontiguousarray(values), np.ascontiguousarray(weights)
    out = np.empty_like(values) if out is None else out
    _in_threads(smooth_lines, values, weights, bands, out)
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
        As in `smooth_rows`.

    Returns
    -------
    np.ndarray
        Like `values`; NaN where fewer than two weights are above 0.
    """
    values, weights = np.ascontiguousarray(values), np.ascontiguousarray(weights)
    narrow = LANES - values.shape[2]
    if narrow > 0:
        wide = np.pad(values, ((0, 0), (0, 0), (0, narrow)))
        found = smooth_shared(wide, weights, bands, wide)[:, :, :-narrow]
        if out is None:
            return found
        out[:] = found
        return out
    out = np.empty_like(values) if out is None else out
    _in_threads(smooth_parcels, values, weights, bands, out)
    return out


def posterior_variance(weights: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Return the diagonal of `(W + lambda D'D)^-1` for `weights (series, time)`, `(series, time)`: times the
    noise variance, it is the variance of the curve.

    From the factors alone, in O(time) (Hutchinson and de Hoog 1985, Numerische Mathematik 47, 99-106).
    NaN where fewer than two weights are above 0.
    """
    weights = np.ascontiguousarray(weights)
    out = np.empty(weights.shape)
    _in_threads(variance_lines, out, weights, bands, out)
    return out


def _in_threads(
    kernel: Callable[..., None], values: np.ndarray, weights: np.ndarray, bands: np.ndarray, out: np.ndarray
) -> None:
    """Run a kernel over parts of the parcels; parcels do not touch each other, so threads change nothing."""
    starts = range(0, len(weights), PARCELS_PER_TASK)
    parts = [slice(start, start + PARCELS_PER_TASK) for start in starts]
    if len(parts) < 2:
        kernel(values, weights, bands, out)
        return
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(lambda part: kernel(values[part], weights[part], bands, out[part]), parts))
