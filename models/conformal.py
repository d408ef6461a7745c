"""Class-conditional conformal p-values and prediction sets from out-of-fold probabilities.

A parcel's p-value for class c is the share of calibration parcels *declared* c whose score is at most its
own: `p = (1 + #{j : s_j(c) <= s_i(c)}) / (n + 1)` (Vovk, Gammerman and Shafer 2005, chapter 4.5, Mondrian by
label). The score is the margin `log p_c - log max_{k != c} p_k`: the likelihood ratio against the one rival
that fits best. On real series with similar crops swapped it misses fewer of the wrong ones than `p_c` alone
does, which cannot tell one strong rival from several weak ones.

**Who calibrates whom.** A parcel is compared only with parcels outside its own fold, hence of other holdings
and blocks: a holding that declares one thing wrongly on all its parcels must not set its own bar.

**What is promised.** Let the unit be the holding (or block). If a correct declaration's holding is
exchangeable with those that calibrate it, and models that leave out different folds score alike, `P(p <=
alpha) <= alpha` within each class. Scores here come from K models (cross-conformal, Vovk 2015), for which the
guarantee that needs no likeness of models is `2 alpha + (1 - K/n) / (K + 1)` (Barber, Candes, Ramdas and
Tibshirani 2021, Annals of Statistics 49, theorem 4); near `alpha` is what is seen in practice, and
`models.evaluation` reports it. Parcels of one holding are alike, so the effective n is nearer the number of
holdings; the promise holds on average over holdings and not for each (Dunn, Wasserman and Ramdas 2023, JASA
118).

**Wrong labels among the calibration parcels.** A share w of them was declared c and grows something else.
Those score low, fill the bottom of the scale and push p-values of correct declarations up: with wrong ones
entirely at the bottom `p <= alpha` reaches only the lowest `(alpha - w) / (1 - w)` of the correct ones. So
the false alarms stay within the promise (Einbinder et al. 2024, JMLR 25: noise that scores low makes
conformal prediction conservative) and what is lost is power: with `w >= alpha` hardly any correct
declaration, and not every wrong one, is excluded.
"""

import numpy as np

TINY = 1e-12


def margin(probabilities: np.ndarray, accepted: np.ndarray) -> np.ndarray:
    """Log of the probability of all accepted classes together over that of the best other one, `(parcel)`.

    Parameters
    ----------
    probabilities, accepted
        `(parcel, class)` float and bool.

    Examples
    --------
    >>> margin(np.array([[0.2, 0.6, 0.2]]), np.array([[True, False, False]])).round(3)
    array([-1.099])
    """
    own = np.where(accepted, probabilities, 0).sum(1)
    rival = np.where(accepted, 0, probabilities).max(1)
    return np.asarray(np.log(np.maximum(own, TINY)) - np.log(np.maximum(rival, TINY)))


def margins(probabilities: np.ndarray) -> np.ndarray:
    """Margin of every class alone, `(parcel, class)`."""
    logs = np.log(np.maximum(probabilities, TINY))
    if probabilities.shape[1] < 2:
        return np.asarray(logs)
    best, second = np.sort(logs, axis=1)[:, :-3:-1].T[:, :, None]
    return np.asarray(logs - np.where(np.arange(logs.shape[1]) == logs.argmax(1)[:, None], second, best))


def class_p_values(probabilities: np.ndarray, declared: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """p-value of every class for every parcel, `(parcel, class)`.

    Parameters
    ----------
    probabilities
        `(parcel, class)`, out of fold.
    declared
        `(parcel)` index of the declared class, -1 where it is none of them.
    folds
        `(parcel)`; parcels of fold -1 calibrate nobody and are compared with all.

    Returns
    -------
    np.ndarray
        1 where a class has no calibration parcel: nothing can be excluded.
    """
    values = np.ones(probabilities.shape)
    scores = margins(probabilities)
    for number in range(probabilities.shape[1]):
        member = (declared == number) & (folds >= 0)
        values[:, number] = rank_p_values(scores[:, number], member, folds)
    return values


def rank_p_values(scores: np.ndarray, member: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """p-value of each parcel's score among the members outside its own fold."""
    values = np.ones(len(scores))
    for fold in np.unique(folds):
        mine = folds == fold
        others = np.sort(scores[member & ~mine])
        below = np.searchsorted(others, scores[mine], side="right")
        values[mine] = (1 + below) / (len(others) + 1)
    return values


def calibration_counts(declared: np.ndarray, folds: np.ndarray, n_classes: int) -> np.ndarray:
    """Parcels that calibrate each class for each parcel's fold, `(parcel, class)`."""
    counts = np.zeros((len(folds), n_classes), int)
    usable = (declared >= 0) & (folds >= 0)
    for fold in np.unique(folds):
        others = usable & (folds != fold)
        counts[folds == fold] = np.bincount(declared[others], minlength=n_classes)
    return counts


def enough(counts: np.ndarray, alpha: float) -> np.ndarray:
    """Whether n calibration parcels can promise `alpha` at all: the least p-value is `1 / (n + 1)`.

    Examples
    --------
    >>> enough(np.array([18, 19]), 0.05)
    array([False,  True])
    """
    return np.asarray(1 / (counts + 1) <= alpha + 1e-12)


def prediction_sets(p_values: np.ndarray, alpha: float) -> np.ndarray:
    """Classes that cannot be excluded at `alpha`, bool `(parcel, class)`; right with 1 - alpha."""
    return np.asarray(p_values > alpha)
