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


def chance_right(q: np.ndarray) -> np.ndarray:
    """Return `(parcel,)`: each parcel's own chance of being right, from the rates of `follow_up_q`.

    A rate is the mean over the list up to a parcel; what a parcel adds to the sum is its own chance. NaN
    stays NaN.

    Examples
    --------
    >>> chance_right(np.array([0.15, 0.0, 0.4, np.nan])).round(6)
    array([0.3, 0. , 0.9, nan])
    """
    own = np.full(len(q), np.nan)
    known = np.flatnonzero(np.isfinite(q))
    rates, place, size = np.unique(np.asarray(q)[known], return_inverse=True, return_counts=True)
    last = np.cumsum(size)
    sums = np.diff(rates.astype(float) * last, prepend=0.0)
    own[known] = np.clip(sums / np.maximum(size, 1), 0, 1)[place]
    return own
