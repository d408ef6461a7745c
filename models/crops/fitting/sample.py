"""Which parcels models learn from where there are very many: holdings whole, and enough of rare classes."""

from bisect import bisect

import numpy as np

from models.crops.fitting.options import SampleOptions

STEPS = 30  # of the search for the share that is drawn


def draw(classes: np.ndarray, holdings: np.ndarray, options: SampleOptions, seed: int) -> np.ndarray:
    """Return `(n,)` bool: the parcels to learn from.

    Holdings are drawn whole, in an order of chance, until each class has its part: the same share of every
    class. Of a class that then has fewer than `rare` parcels, as many more as make `rare`, or all, are taken
    by themselves. The share is the largest that keeps to `size`; where that many of each class are more than
    `size`, all classes have as many as fit.

    Parameters
    ----------
    classes
        `(n,)` names; "" is never drawn.
    holdings
        `(n,)` numbers, as any labels of groups.
    """
    labelled = classes != ""
    if labelled.sum() <= options.size:
        return np.asarray(labelled)
    _, holding = np.unique(holdings, return_inverse=True)
    order = np.random.default_rng(seed).permutation(holding.max() + 1)[holding]
    names, code = np.unique(classes[labelled], return_inverse=True)
    members = [np.flatnonzero(labelled)[code == number] for number in range(len(names))]
    by_order = [of[np.argsort(order[of], kind="stable")] for of in members]
    least = _least(np.array([len(of) for of in members]), options)
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        fits = _drawn(by_order, holding, labelled, middle, least).sum() <= options.size
        low, high = (middle, high) if fits else (low, middle)
    return _drawn(by_order, holding, labelled, low, least)


def _least(counts: np.ndarray, options: SampleOptions) -> int:
    """Return how many parcels of each class, `counts (class,)`, are taken at least: `rare`, or as many as
    fit.
    """
    sizes = range(1, options.rare + 1)
    return max(bisect(sizes, options.size, key=lambda least: int(np.minimum(counts, least).sum())), 1)


def _drawn(
    by_order: list[np.ndarray], holding: np.ndarray, labelled: np.ndarray, share: float, least: int
) -> np.ndarray:
    """Return the parcels drawn with a share of each class; `by_order` holds the rows of every class."""
    taken = np.zeros(holding.max() + 1, bool)
    for rows in by_order:
        taken[holding[rows[: int(share * len(rows))]]] = True
    drawn = np.asarray(taken[holding] & labelled)
    for rows in by_order:
        absent = max(least - int(drawn[rows].sum()), 0)
        drawn[rows[~drawn[rows]][:absent]] = True
    return drawn


def sample_weights(classes: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return `(n,)` weights under which the drawn parcels stand for all of their class, of mean 1 among those
    drawn; 0 elsewhere. `classes (n,)` names, `drawn (n,)` bool.

    Examples
    --------
    >>> classes = np.array(["hemp", "maize", "maize", "maize"])
    >>> sample_weights(classes, np.array([True, True, False, False])).tolist()
    [0.5, 1.5, 0.0, 0.0]
    """
    weight = np.zeros(len(classes))
    for name in np.unique(classes[drawn]):
        member = classes == name
        weight[member & drawn] = member.sum() / (member & drawn).sum()
    return weight / weight[drawn].mean() if drawn.any() else weight
