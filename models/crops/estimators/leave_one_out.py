"""Ridge regression to the classes; leave-one-out scores, exact and at no extra fit, choose what is free."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

PENALTIES = (0.1, 1.0, 10.0, 100.0)  # times the mean eigenvalue; smaller ones overfit near-identical parcels
SHARPEST, FLATTEST = 1e-3, 10.0


@dataclass(frozen=True)
class RidgeFit:
    """Linear scores and the temperature that makes probabilities of them."""

    coefficients: np.ndarray  # (column, class) float32
    intercept: np.ndarray  # (class,)
    temperature: float
    penalty: float

    def probabilities(self, table: np.ndarray) -> np.ndarray:
        """Return `(n, class)` of `(n, column)`."""
        scores = (table @ self.coefficients + self.intercept).astype(np.float64)
        return np.asarray(np.exp(log_softmax(scores / self.temperature, axis=1)))


def fit_ridge(table: np.ndarray, codes: np.ndarray, n_classes: int, weight: np.ndarray) -> RidgeFit:
    """Fit one-hot targets; the penalty and temperature with the least leave-one-out log-loss are taken.

    Leave-one-out scores of a ridge need no second fit: the residual over one less the leverage (Allen, 1974,
    Technometrics 16). The dual form serves where there are more columns than rows.

    Parameters
    ----------
    table
        `(n, column)`, standardised, without gaps.
    """
    share = weight / weight.sum()
    target = np.eye(n_classes)[codes]
    middle, base = share @ table, share @ target
    root = np.sqrt(weight / weight.mean())[:, None]
    x, y = (root * (table - middle)).astype(np.float64), root * (target - base)
    solved = _dual if x.shape[1] > x.shape[0] else _primal
    gram = x @ x.T if solved is _dual else x.T @ x
    mean = np.trace(gram) / len(gram)
    best: tuple[float, float, float, np.ndarray] | None = None
    for penalty in PENALTIES:
        coefficients, left_out = solved(x, y, gram, penalty * mean)
        temperature, loss = _temperature(left_out / root + base, codes, share)
        if best is None or loss < best[0]:
            best = (loss, temperature, penalty, coefficients)
    assert best is not None
    _, temperature, penalty, coefficients = best
    return RidgeFit(coefficients.astype(np.float32), base - middle @ coefficients, temperature, penalty)


def _primal(x: np.ndarray, y: np.ndarray, gram: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    factor = cho_factor(gram + penalty * np.eye(len(gram)), lower=True)
    coefficients = cho_solve(factor, x.T @ y)
    leverage = (solve_triangular(factor[0], x.T, lower=True) ** 2).sum(0)[:, None]
    fitted = x @ coefficients
    return coefficients, (fitted - leverage * y) / np.maximum(1 - leverage, 1e-6)


def _dual(x: np.ndarray, y: np.ndarray, gram: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    inverse = cho_solve(cho_factor(gram + penalty * np.eye(len(gram)), lower=True), np.eye(len(gram)))
    dual = inverse @ y
    return x.T @ dual, y - dual / np.diag(inverse)[:, None]


def _temperature(scores: np.ndarray, codes: np.ndarray, share: np.ndarray) -> tuple[float, float]:
    """Return the temperature with the least log-loss, and that loss."""

    def loss(log_temperature: float) -> float:
        log_p = log_softmax(scores / np.exp(log_temperature), axis=1)
        return float(-(share * log_p[np.arange(len(codes)), codes]).sum())

    found = minimize_scalar(loss, bounds=(np.log(SHARPEST), np.log(FLATTEST)), method="bounded")
    return float(np.exp(found.x)), float(found.fun)
