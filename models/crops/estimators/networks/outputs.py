"""The last layer of a network that is to tell more classes than before."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

ROUNDS = 200  # of the fit, at most


def widened(
    kernel: np.ndarray, bias: np.ndarray, place: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel `(unit, count)` and bias `(count,)` whose columns `place (k,)` are those of `kernel
    (unit, k)` and `bias (k,)`; the others are zero.
    """
    wide, wide_bias = np.zeros((len(kernel), count), kernel.dtype), np.zeros(count, bias.dtype)
    wide[:, place], wide_bias[place] = kernel, bias
    return wide, wide_bias


def fit_new(
    hidden: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray,
    codes: np.ndarray,
    weight: np.ndarray,
    place: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias with their new columns fitted to parcels; the others stay.

    Multinomial logistic regression on what the network sees of the parcels, with a ridge penalty that weighs
    as much as one parcel. A network that is trained as a whole from outputs that know nothing would first
    lose what it has learned (Kumar et al., 2022, "Fine-tuning can distort pretrained features").

    Parameters
    ----------
    hidden
        `(n, unit)`, what the outputs read.
    kernel, bias
        `(unit, k)` and `(k,)`.
    codes, weight
        `(n,)` columns of the classes, and sample weights above 0.
    place
        Columns that stay.
    """
    new = np.setdiff1d(np.arange(len(bias)), place)
    inputs = np.column_stack([hidden, np.ones(len(hidden))]).astype(np.float64)
    logits = inputs @ np.vstack([kernel, bias]).astype(np.float64)
    share = weight / weight.sum()
    ridge = np.append(np.full(hidden.shape[1], 1 / len(hidden)), 0)[:, None]  # none on the bias

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        columns = flat.reshape(-1, len(new))
        logits[:, new] = inputs @ columns
        logs = log_softmax(logits, axis=1)
        slope = np.exp(logs[:, new]) - (codes[:, None] == new)
        value = -(share * logs[np.arange(len(codes)), codes]).sum() + (ridge * columns**2).sum() / 2
        return float(value), (inputs.T @ (share[:, None] * slope) + ridge * columns).ravel()

    first = np.zeros(inputs.shape[1] * len(new))
    columns = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": ROUNDS}).x.reshape(
        -1, len(new)
    )
    kernel, bias = kernel.copy(), bias.copy()
    kernel[:, new], bias[new] = columns[:-1], columns[-1]
    return kernel, bias
