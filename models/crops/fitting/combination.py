"""Combination of several models' probabilities: a weighted product, its weights learned out of fold."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

FLOOR = 1e-4  # added to probabilities, so that a zero from one model does not exclude a class
PULL = 10.0  # weights are drawn to all the same as by this many parcels; matters only where there are few


def combine(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return `(n, k)`: the logarithmic opinion pool of `(model, n, k)` probabilities.

    Weights that sum to 1 average; a larger or smaller sum also sharpens or softens, so that learned weights
    calibrate. (Genest and Zidek, 1986; the sum as a temperature: Guo et al., 2017.)
    """
    scores = np.zeros(probabilities.shape[1:])
    for weight, own in zip(weights, probabilities, strict=True):  # in one order, however many rows there are
        scores += weight * np.log(own + FLOOR)
    return np.asarray(np.exp(log_softmax(scores, axis=1)))


def learn_weights(
    probabilities: np.ndarray, codes: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Return `(model,)` non-negative weights that minimise the log-loss of `combine`.

    Parameters
    ----------
    probabilities
        `(model, n, k)`, out of fold.
    codes
        `(n,)` columns of the declared classes.
    weight
        `(n,)` sample weights; equal when omitted.
    """
    logs = np.log(probabilities + FLOOR)
    models, n, _ = logs.shape
    equal = np.full(models, 1 / models)
    own = logs[:, np.arange(n), codes]
    share = np.full(n, 1 / n) if weight is None else weight / weight.sum()

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = np.tensordot(weights, logs, axes=1)
        log_p = log_softmax(scores, axis=1)
        pull = PULL * models / n
        value = -share @ log_p[np.arange(n), codes] + pull * ((weights - equal) ** 2).sum()
        expected = np.einsum("nk,mnk->mn", np.exp(log_p), logs)
        gradient = (expected - own) @ share + 2 * pull * (weights - equal)
        return float(value), gradient

    found = minimize(loss, equal, jac=True, method="L-BFGS-B", bounds=[(0, 5)] * models)
    return np.asarray(found.x)
