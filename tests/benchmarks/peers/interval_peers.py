"""Other intervals of a share from a sample by design, each with the same variance as ours."""

import numpy as np
from scipy.optimize import brentq
from scipy.stats import gamma, t

from models.assessment.estimator import Visited, variance, weights

Ends = tuple[float, float]
TAIL = 0.025


def peers(hit: np.ndarray, visited: Visited, totals: np.ndarray, known: np.ndarray) -> dict[str, Ends]:
    """Return the 95% intervals of each method.

    - `satterthwaite_t`: value +- t sqrt(variance), with Satterthwaite's (1946) degrees of freedom from the
      holdings' own sums, so that a variance which rests on two or three holdings counts as such;
    - `midp_gamma`: the gamma interval of weighted counts (Fay & Feuer 1997, Statistics in Medicine 16) with
      one mean error more at its upper end (Tiwari, Clegg & Zou 2006, Statistical Methods in Medical
      Research 15), the two ends mixed as a mid-P interval (Fay & Kim 2017, Biometrical Journal 59).
    """
    weight = weights(visited, known, totals)
    share_of = weight * visited.size / (weight * visited.size).sum()
    value = float((share_of * hit).sum())
    residual = visited.size * (hit - value)
    spread = variance(residual, weight, visited, known) / (weight * visited.size).sum() ** 2
    left = float(1 - (visited.probability * share_of).sum())
    return {
        "satterthwaite_t": _satterthwaite(value, spread, share_of * (hit - value), visited.cluster),
        "midp_gamma": _midp_gamma(value, spread, share_of, left),
    }


def _satterthwaite(value: float, spread: float, parts: np.ndarray, cluster: np.ndarray) -> Ends:
    _, place = np.unique(cluster, return_inverse=True)
    squares = np.bincount(place, parts) ** 2
    degrees = max(float(squares.sum() ** 2 / (squares**2).sum()) - 1, 1.0) if squares.any() else 1.0
    half = float(t.ppf(1 - TAIL, degrees)) * float(np.sqrt(spread))
    return max(value - half, 0.0), min(value + half, 1.0)


def _midp_gamma(value: float, spread: float, share_of: np.ndarray, left: float) -> Ends:
    more = value + 1 / len(share_of)
    more_spread = spread + left * float((share_of**2).mean())
    upper = gamma(more**2 / more_spread, scale=more_spread / more)
    if value <= 0 or spread <= 0:
        return 0.0, float(upper.ppf(1 - 2 * TAIL))
    lower = gamma(value**2 / spread, scale=spread / value)

    def end(level: float) -> float:
        return float(brentq(lambda x: (lower.cdf(x) + upper.cdf(x)) / 2 - level, 0, 10))

    return end(TAIL), min(end(1 - TAIL), 1.0)
