"""Whittaker smoothing of the pixels of a block on irregular dates, by the engine of `features.series`.

All bands of a pixel share its mask, so one factorisation per pixel serves them.
"""

import numpy as np

from features.series.whittaker import penalty, smooth_shared

LEAST_GAP_DAYS = 0.5  # frames of one day would divide by zero
LEAST_CLEAR = 3  # clear dates that define a curve worth more than a line
NOISE_DAYS = 5.0  # the penalty at which one observation weighs as much as this many days of the curve
PIXELS_PER_CALL = 8_192  # copied at a time, pixel by pixel


def penalty_bands(days: np.ndarray, smoothness_days: float) -> np.ndarray:
    """Return the diagonals of the penalty matrix, `(3, time)`, main first.

    The penalty is the integral over time of the squared second derivative, so that it does not depend on how
    many frames there are.

    Parameters
    ----------
    days
        `(time,)` days, ascending; three at least.
    smoothness_days
        Time scale of the smoothing.
    """
    gaps = np.maximum(np.diff(days), LEAST_GAP_DAYS)
    positions = np.concatenate([[0.0], np.cumsum(gaps)])
    return penalty(positions, smoothness_days**4 / NOISE_DAYS, integral=True)


def smooth_pixels(reflectance: np.ndarray, clear: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Return the smoothed series, float32 `(time, band, y, x)`; NaN where fewer than three dates are clear.

    Parameters
    ----------
    reflectance
        float32 `(time, band, y, x)`; not read where not clear.
    clear
        `(time, y, x)` bool.
    bands
        Of `penalty_bands`.
    """
    times, count, height, width = reflectance.shape
    out = np.empty(reflectance.shape, np.float32)
    rows = max(1, PIXELS_PER_CALL // width)
    for top in range(0, height, rows):
        part = slice(top, top + rows)
        values = np.ascontiguousarray(reflectance[:, :, part].transpose(2, 3, 0, 1), np.float32)
        weights = np.ascontiguousarray(clear[:, part].transpose(1, 2, 0), np.float64).reshape(-1, times)
        pixels = values.reshape(-1, times, count)
        smooth_shared(pixels, weights, bands, pixels)
        pixels[weights.sum(1) < LEAST_CLEAR] = np.nan
        out[:, :, part] = values.transpose(2, 3, 0, 1)
    return out
