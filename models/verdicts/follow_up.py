"""The follow-up list: declarations ranked by the chance of an error, and the rate of each list length.

Model-based: it rests on `models.probability.mislabel` being right about how many of the likeliest wrong ones
are wrong, and is to be checked on field results. Benjamini-Hochberg over class-conditional p-values, which
would need no model, lists nothing at these class sizes: its p-values end at 1 / (n + 1).
"""

import numpy as np


def follow_up_q(right: np.ndarray) -> np.ndarray:
    """Return `(parcel,)`: the smallest q at which each parcel is on the list, the mean of `right (parcel,)`
    over it and all before it.

    The list at q is the longest prefix, least likely to be right first, whose mean probability of being right
    stays at or below q, the expected share of correct declarations on it. Ties stand together. NaN is not
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
