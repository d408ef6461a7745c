"""Sigma that means what it says: residuals on hidden pixels, by gap length, and conformal factors."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

GAP_EDGES = np.array([3.0, 6.0, 10.0, 15.0, 25.0, 40.0])  # days to the nearer clear observation
Z90 = 1.6448536269514722  # standard normal, two-sided 90%
Z50 = 0.6744897501960817
LEAST_IN_BIN = 500  # residuals a gap length needs for a factor of its own
LEAST = 50  # residuals a bin needs before it speaks for itself


@dataclass(frozen=True)
class GapSigma:
    """Sigma per band and gap length, `(gap bin, band)`, in reflectance."""

    table: np.ndarray

    def at(self, gap_days: np.ndarray) -> np.ndarray:
        """Return float32 `(band, y, x)` for `gap_days (y, x)`."""
        return np.moveaxis(self.table.astype(np.float32)[gap_bin(gap_days)], -1, 0)


def gap_bin(gap_days: np.ndarray) -> np.ndarray:
    """Return the gap-length bin of each distance in days, of any shape."""
    return np.searchsorted(GAP_EDGES, gap_days, side="right")


def fit_gap_sigma(residual: np.ndarray, gap_days: np.ndarray) -> GapSigma:
    """Learn sigma such that `1.645 sigma` covers 90% of the residuals of each gap length.

    Parameters
    ----------
    residual
        `(n, band)`, prediction minus truth on hidden pixels.
    gap_days
        `(n,)`. A bin with too few residuals takes the next smaller bin's sigma, never a smaller one.
    """
    if not len(residual):
        return GapSigma(np.full((len(GAP_EDGES) + 1, residual.shape[1]), np.nan))
    bins = gap_bin(gap_days)
    overall = np.quantile(np.abs(residual), 0.9, axis=0) / Z90
    table = np.empty((len(GAP_EDGES) + 1, residual.shape[1]))
    for k in range(len(table)):
        here = np.abs(residual[bins == k])
        known = np.quantile(here, 0.9, axis=0) / Z90 if len(here) >= LEAST else overall
        table[k] = known if k == 0 or len(here) >= LEAST else np.maximum(known, table[k - 1])
    return GapSigma(table)


def conformal_factor(residual: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return `(band,)`: the factor on sigma with which 90% of held-out residuals lie within 1.645 sigma.

    Split-conformal with the normalised residual as score (Lei et al. 2018, JASA 113(523)).
    """
    n = len(residual)
    level = min(1.0, np.ceil(0.9 * (n + 1)) / n) if n else 0.9
    ratio = np.abs(residual) / np.maximum(sigma, 1e-6)
    return (
        np.asarray(np.quantile(ratio, level, axis=0) / Z90, np.float64) if n else np.ones(residual.shape[1])
    )


def widening(dates: int, level: float = 0.9) -> float:
    """Return how much wider an interval is whose scale was learnt from few dates: Student's t over normal.

    Examples
    --------
    >>> [round(widening(n), 2) for n in (2, 6, 12, 60)]
    [3.84, 1.23, 1.09, 1.02]
    """
    upper = (1 + level) / 2
    return float(student.ppf(upper, max(dates - 1, 1)) / norm.ppf(upper))


@dataclass(frozen=True)
class Residuals:
    """Errors on hidden pixels.

    Attributes
    ----------
    error, sigma
        `(n, band)`, sigma as the network has it.
    gap_days
        `(n,)`, to the nearer clear date.
    dates
        The days they are of.
    """

    error: np.ndarray
    sigma: np.ndarray
    gap_days: np.ndarray
    dates: frozenset[float]


def factors(parts: list[Residuals]) -> np.ndarray:
    """Return conformal factors on sigma, `(gap bin, band)`; a bin with few residuals takes the factor over
    all.

    A date's errors are common, so it is dates that are counted: the fewer, the wider, by Student's t.
    """
    error, sigma, gaps = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("error", "sigma", "gap_days")
    )
    dates = frozenset().union(*(part.dates for part in parts))
    bins = gap_bin(gaps)
    overall = conformal_factor(error, sigma)
    rows = [
        conformal_factor(error[bins == k], sigma[bins == k]) if (bins == k).sum() >= LEAST_IN_BIN else overall
        for k in range(len(GAP_EDGES) + 1)
    ]
    return np.asarray(np.stack(rows) * widening(len(dates)))
