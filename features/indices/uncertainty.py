"""From the remover's sigma of pixels and bands to the error of a parcel's feature.

Uncertainty goes through a feature by first-order propagation, sigma_f^2 = sum over bands of
(df/db sigma_b)^2, bands taken as independent. Filling errors of neighbouring pixels come from the same dates
and are taken as fully correlated within a parcel, so the error of the mean is the coverage-weighted mean of
the pixels' sigma (zero where seen): rather too large than too small.
"""

from collections.abc import Mapping

import numpy as np

from features.code.jit import njit
from features.indices.derivatives import derivative
from features.indices.formulas import evaluate, find_index


def propagate(
    name: str, bands: Mapping[str, np.ndarray], sigmas: Mapping[str, np.ndarray], filled: np.ndarray
) -> np.ndarray:
    """Standard deviation of a feature's error `(pixel)`, from those of its bands; zero where seen.

    First order, bands independent; where a derivative cannot be formed the error is not known (NaN).
    """
    out = np.zeros(len(filled), np.float32)
    at = np.flatnonzero(filled > 0)
    if not len(at):
        return out
    formula = find_index(name).formula
    few = {band: line[at] for band, line in bands.items()}
    total = np.zeros(len(at), np.float32)
    for band in few:
        total += (evaluate(derivative(formula, band), few) * sigmas[band][at]) ** 2
    out[at] = np.sqrt(total)
    return out


def fill_moments(
    value: np.ndarray, sigma: np.ndarray, filled: np.ndarray, weights: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """What filling adds to each parcel's statistics: filled weight, mean sigma, and the weight of that mean.

    Parameters
    ----------
    value, sigma, filled
        float32 lines of gathered pixels: the feature, its error, and 1 where filled; a pixel without a value
        counts for nothing.
    weights, offsets
        Of the coverage; parcel i owns `offsets[i]:offsets[i + 1]`.

    Returns
    -------
    np.ndarray
        float64 (parcel, 3); the mean is NaN where no pixel has a sigma.
    """
    out = np.empty((len(offsets) - 1, 3))
    _fill_moments(value, sigma, filled, weights, np.asarray(offsets, np.int64), out)
    return out


@njit(nogil=True, cache=True)
def _fill_moments(
    value: np.ndarray,
    sigma: np.ndarray,
    filled: np.ndarray,
    weights: np.ndarray,
    offsets: np.ndarray,
    out: np.ndarray,
) -> None:
    for i in range(offsets.size - 1):
        made, error, known = 0.0, 0.0, 0.0
        for pixel in range(offsets[i], offsets[i + 1]):
            if np.isfinite(value[pixel]):
                weight = np.float64(weights[pixel])
                made += weight * filled[pixel]
                if np.isfinite(sigma[pixel]):
                    error += weight * sigma[pixel]
                    known += weight
        out[i, 0], out[i, 1], out[i, 2] = made, error / known if known > 0 else np.nan, known
