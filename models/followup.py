"""The follow-up list: which declarations to look at first, and how far down the list still pays.

Model-based: it rests on the calibrated probabilities being right about the low end, where few parcels lie,
and on the rate of wrong declarations that is assumed. It is to be checked on field results.
Benjamini-Hochberg over class- conditional p-values, which would need neither, lists nothing at these class
sizes: its p-values end at 1 / (n + 1).
"""

import numpy as np


def noise_matrix(probabilities: np.ndarray, declared: np.ndarray, noise_rate: float) -> np.ndarray:
    """Chance that a parcel of true class t (row) is declared d (column), `(class, class)`; rows sum to 1.

    A share `noise_rate` of each class is declared as something else: half of it in proportion to how often
    the other classes are declared, half in proportion to how much probability the model gives class t on
    parcels declared d (alike crops are mistaken, or passed off, for each other more often).

    Parameters
    ----------
    probabilities, declared
        `(parcel, class)` and `(parcel)`, of the parcels to learn from.
    """
    classes = probabilities.shape[1]
    common = np.tile(np.bincount(declared, minlength=classes).astype(float) + 1, (classes, 1))
    alike = np.zeros((classes, classes))
    np.add.at(alike.T, declared, probabilities)
    shares = []
    for table in (common, alike + 1e-9):
        np.fill_diagonal(table, 0)
        shares.append(table / np.maximum(table.sum(1, keepdims=True), 1e-300))
    return np.asarray(np.eye(classes) * (1 - noise_rate) + noise_rate * (shares[0] + shares[1]) / 2)


def right_probability(probabilities: np.ndarray, declared: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Probability that each declaration is right, given the imagery and that it was made, `(parcel)`.

    Bayes with the noise matrix T: `T[d, d] p_d / sum_t T[t, d] p_t`.

    Examples
    --------
    >>> noise = np.array([[0.96, 0.04], [0.04, 0.96]])
    >>> right_probability(np.array([[0.5, 0.5], [0.04, 0.96]]), np.array([0, 0]), noise).round(2)
    array([0.96, 0.5 ])
    """
    rows = np.arange(len(declared))
    chance = (probabilities * noise[:, declared].T).sum(1)
    return np.asarray(probabilities[rows, declared] * noise[declared, declared] / np.maximum(chance, 1e-300))


def follow_up_q(right: np.ndarray) -> np.ndarray:
    """Smallest q at which each parcel is on the list: the mean of `right` over it and all before it.

    The list at q is the longest prefix, least likely to be right first, whose mean probability of being right
    stays at or below q: so many of its entries are expected to be in order. Ties stand together. NaN is not
    listed.

    Examples
    --------
    >>> follow_up_q(np.array([0.3, 0.0, 0.9, np.nan]))
    array([0.15, 0.  , 0.4 ,  nan])
    """
    q = np.full(len(right), np.nan)
    known = np.flatnonzero(np.isfinite(right))
    order = known[np.argsort(right[known], kind="stable")]
    ranked = right[order]
    means = np.cumsum(ranked) / np.arange(1, len(order) + 1)
    q[order] = means[np.searchsorted(ranked, ranked, side="right") - 1]
    return q
