"""A Whittaker smoother per pixel on irregular dates: penalised least squares with second differences.

Eilers, P. H. C. (2003), A perfect smoother, Analytical Chemistry 75(14); divided differences for uneven dates
as in its appendix. One factorisation per pixel serves all bands, because they share the mask.
"""

import numpy as np
from numba import njit


def second_differences(days: np.ndarray) -> np.ndarray:
    """Return `(time - 2, 3)`: weights of the second derivative at each date and the two after it."""
    gaps = np.maximum(np.diff(days), 0.5)  # frames of one day would divide by zero
    first, second = gaps[:-1], gaps[1:]
    total = first + second
    width = np.sqrt(total / 2)  # the integral over time: each derivative stands for its stretch of days
    return (
        np.stack([2 / (first * total), -2 / (first * second), 2 / (second * total)], axis=1) * width[:, None]
    )


def penalty_bands(days: np.ndarray, smoothness_days: float) -> np.ndarray:
    """Return `(3, time)`: the diagonals of the penalty matrix, main first."""
    weights = second_differences(days)
    bands = np.zeros((3, len(days)))
    for k in range(3):
        for j in range(3 - k):
            bands[k, j : j + len(weights)] += weights[:, j] * weights[:, j + k]
    return (
        bands * smoothness_days**4 / 5.0
    )  # 5 days: one observation weighs as much as that stretch of a signal


@njit(cache=True, nogil=True)
def smooth_pixels(  # noqa: PLR0912 - one pass, as numba wants it
    reflectance: np.ndarray, clear: np.ndarray, penalty: np.ndarray
) -> np.ndarray:
    """Return the smoothed series `(time, band, y, x)`; NaN where a pixel has fewer than three clear dates.

    Solves `(W + P) z = W v` by an LDL' factorisation of the five-diagonal matrix.
    """
    times, bands, height, width = reflectance.shape
    out = np.full((times, bands, height, width), np.nan, np.float32)
    for y in range(height):
        d, e, f = np.empty(times), np.zeros(times), np.zeros(times)
        z = np.empty(times)
        for x in range(width):
            if clear[:, y, x].sum() < 3:
                continue
            for t in range(times):
                d[t] = penalty[0, t] + (1.0 if clear[t, y, x] else 0.0)
                e[t], f[t] = penalty[1, t], penalty[2, t]
                if t >= 1:
                    below = e[t - 1] * d[t - 1]
                    d[t] -= e[t - 1] * below
                    e[t] -= e[t - 1] * f[t - 1] * d[t - 1]
                if t >= 2:
                    d[t] -= f[t - 2] * f[t - 2] * d[t - 2]
                e[t] /= d[t]
                f[t] /= d[t]
            for b in range(bands):
                for t in range(times):
                    z[t] = reflectance[t, b, y, x] if clear[t, y, x] else 0.0
                    if t >= 1:
                        z[t] -= e[t - 1] * z[t - 1]
                    if t >= 2:
                        z[t] -= f[t - 2] * z[t - 2]
                for t in range(times - 1, -1, -1):
                    z[t] /= d[t]
                    if t < times - 1:
                        z[t] -= e[t] * z[t + 1]
                    if t < times - 2:
                        z[t] -= f[t] * z[t + 2]
                    out[t, b, y, x] = z[t]
    return out
