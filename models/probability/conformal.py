"""Class-conditional conformal p-values and prediction sets from out-of-fold scores.

A parcel's p-value for class c is the share of correct declarations of c whose score is at most its own:

    p = (1 + sum of w_j over calibration parcels j *declared* c with s_j(c) <= s_i(c)) / (1 + sum of w_j)

(Vovk, Gammerman and Shafer 2005, chapter 4.5, Mondrian by label). The score is the log-odds that the claim
is right by `models.probability.mislabel`; w_j is that probability for j's own declaration. All w_j = 1 is the
textbook form.

**Calibration parcels.** A parcel is compared only with parcels outside its own fold, hence of other holdings
and blocks. Otherwise a holding with one wrong declaration on all its parcels would be compared with itself.

**What is promised.** Let the unit be the holding (or block). If a correct declaration's holding is
exchangeable with those that calibrate it, and models that leave out different folds score alike, `P(p <=
alpha) <= alpha` within each class. Scores here come from K models (cross-conformal, Vovk 2015), for which the
guarantee that needs no likeness of models is `2 alpha + (1 - K/n) / (K + 1)` (Barber, Candes, Ramdas and
Tibshirani 2021, Annals of Statistics 49, theorem 4); near `alpha` is what is seen in practice, and
`models.evaluation.metrics` reports it. Parcels of one holding are alike, so the effective n is nearer the
number of holdings; the promise holds on average over holdings and not for each (Dunn, Wasserman and Ramdas
2023, JASA 118).

**Wrong labels among the calibration parcels.** A share of them was declared c and grows something else. With
all w_j = 1 these fill the bottom of the scale, and in a class with as many wrong ones as alpha hardly any
correct declaration, and not every wrong one, could be excluded (noise that scores low makes conformal
prediction conservative: Einbinder et al. 2024, JMLR 25). Weighed by the probability that they are right, the
correct declarations alone set the bar (the correction of Sesia, Wang and Tong 2024, JRSS B, with chances of
each parcel in place of those of each class), and alpha is used up. This part of the promise is model-based:
it holds where the weights do not remove more than is wrong, of which `models.probability.mislabel` keeps a
bound.
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


class RankedScores:
    """The scores of the parcels that calibrate one class, sorted, so that any others are compared with them.

    Parameters
    ----------
    scores, folds
        `(parcel,)` of the parcels that calibrate; none of fold -1.
    weights
        `(parcel,)` probability that each one's own declaration is right; None: all are.
    """

    def __init__(self, scores: np.ndarray, folds: np.ndarray, weights: np.ndarray | None = None) -> None:
        weights = np.ones(len(scores)) if weights is None else weights
        order = np.argsort(scores, kind="stable")
        scores, folds, weights = scores[order], folds[order], weights[order]
        self._all = _ranked(scores, weights)
        self._without = {
            int(fold): _ranked(scores[folds != fold], weights[folds != fold]) for fold in np.unique(folds)
        }

    def p_values(self, scores: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """Return `(parcel,)`: the p-value of each score among those outside its own fold; 1 where there are
        none: nothing can be excluded.
        """
        values = np.ones(len(scores))
        for fold in np.unique(folds):
            mine, (ranked, sums) = folds == fold, self._without.get(int(fold), self._all)
            below = np.searchsorted(ranked, scores[mine], side="right")
            values[mine] = (1 + sums[below]) / (1 + sums[-1])
        return values

    def least(self, folds: np.ndarray) -> np.ndarray:
        """Return `(parcel,)`: the smallest p-value there can be, `1 / (1 + sum of w_j)`."""
        values = np.ones(len(folds))
        for fold in np.unique(folds):
            values[folds == fold] = 1 / (1 + self._without.get(int(fold), self._all)[1][-1])
        return values


def _ranked(scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted scores, and the sums of weights below each and in all."""
    return scores, np.concatenate([[0.0], np.cumsum(weights)])


def class_p_values(
    scores: np.ndarray, declared: np.ndarray, folds: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """p-value of every class for every parcel, `(parcel, class)`.

    Parameters
    ----------
    scores
        `(parcel, class)`, out of fold; the higher, the more like the class.
    declared
        `(parcel)` index of the declared class, -1 where it is none of them.
    folds
        `(parcel)`; parcels of fold -1 are left out of calibration and compared with all others.
    weights
        `(parcel)` probability that the parcel's own declaration is right; None: all are.

    Returns
    -------
    np.ndarray
        1 where a class has no calibration parcel: nothing can be excluded.
    """
    values = np.ones(scores.shape)
    for number in range(scores.shape[1]):
        member = (declared == number) & (folds >= 0)
        values[:, number] = rank_p_values(scores[:, number], member, folds, weights)
    return values


def rank_p_values(
    scores: np.ndarray, member: np.ndarray, folds: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return `(parcel,)`: the p-value of each score among the members outside its own fold; all arrays are
    `(parcel,)`.

    Examples
    --------
    >>> scores, folds = np.array([0.0, 1, 2, 3]), np.array([0, 1, 1, 1])
    >>> rank_p_values(scores, np.array([False, True, True, True]), folds)[0].item()
    0.25
    >>> rank_p_values(scores, np.array([False, True, True, True]), folds, np.array([1, 0, 1, 1]))[0].item()
    0.3333333333333333
    """
    calibrate = RankedScores(scores[member], folds[member], None if weights is None else weights[member])
    return calibrate.p_values(scores, folds)


def least_p_values(member: np.ndarray, folds: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Smallest p-value that `rank_p_values` can give each parcel, `(parcel)`: `1 / (1 + sum of w_j)`.

    Examples
    --------
    >>> folds, member = np.array([0, 1, 1, 1]), np.array([False, True, True, True])
    >>> least_p_values(member, folds)[0].item()
    0.25
    >>> least_p_values(member, folds, np.array([1, 0, 1, 0]))[0].item()
    0.5
    """
    weight = np.where(member, 1.0 if weights is None else weights, 0.0)
    totals = {fold: weight[folds != fold].sum() for fold in np.unique(folds)}
    return np.array([1 / (1 + totals[fold]) for fold in folds])


def can_promise(least: np.ndarray, alpha: float) -> np.ndarray:
    """Whether `alpha` can be promised at all, `(parcel)`: only where the least possible p-value reaches down
    to it.

    With n parcels that surely are right, `1 / (n + 1)`: 19 of them promise 5%; where they weigh less, more
    are needed.

    Examples
    --------
    >>> can_promise(np.array([1 / 19, 1 / 20]), 0.05)
    array([False,  True])
    """
    return np.asarray(least <= alpha + 1e-12)


def prediction_sets(p_values: np.ndarray, alpha: float) -> np.ndarray:
    """Classes that cannot be excluded at `alpha`, bool `(parcel, class)`; right with 1 - alpha."""
    return np.asarray(p_values > alpha)
