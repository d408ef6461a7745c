"""The follow-up list: which declarations to look at first, and how far down the list still pays.

Model-based: it rests on the rate of wrong declarations that is assumed, and on wrong ones looking like other
parcels of the class they really are. It is to be checked on field results. Benjamini-Hochberg over class-
conditional p-values, which would need neither, lists nothing at these class sizes: its p-values end at
1 / (n + 1).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from sklearn.isotonic import IsotonicRegression

MOST_OTHERS = 400_000  # rows that show what wrong declarations look like; thinned evenly beyond


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


def right_probability(
    margins: np.ndarray, declared: np.ndarray, folds: np.ndarray, noise: Mapping[int, np.ndarray]
) -> np.ndarray:
    """Probability that each declaration is right, `(parcel)`; NaN where the class is not modelled.

    A two-group model (Efron 2008, Statistical Science 23): parcels declared d are a mixture of right and
    wrong ones. What wrong ones look like is seen on parcels declared as something else, weighed by how often
    their class is declared d by mistake: `P(wrong | margin) = weight x density(others) / density(declared)`.
    Each class gives its margins a level and a slope (maximum likelihood, logistic); on that common scale the
    ratio of densities is estimated by isotonic regression over all classes. Both are fitted without the
    parcel's own fold. So the list does not hang on what a classifier's lowest probabilities are worth, as a
    direct use of Bayes' rule would.

    Parameters
    ----------
    margins
        `(parcel, class)`: log-probability of a class less that of the best other one, out of fold.
    declared
        `(parcel)` class index, -1 where the class is not modelled.
    folds
        `(parcel)`; -1 is judged by all others.
    noise
        By fold, the `noise_matrix` learnt without it.
    """
    right = np.full(len(declared), np.nan)
    for fold, matrix in noise.items():
        learn = (folds != fold) & (folds >= 0) & (declared >= 0)
        mine = np.flatnonzero((folds == fold) & (declared >= 0))
        if len(mine):
            groups = _two_groups(margins[learn], declared[learn], matrix)
            right[mine] = 1 - _fit_wrong(groups)(margins[mine, declared[mine]], declared[mine])
    return right


@dataclass(frozen=True)
class Groups:
    """Parcels declared as a class (`other` 0), and what stands for wrong ones (`other` 1), one row each."""

    margin: np.ndarray
    which: np.ndarray  # the class that the margin is of
    weight: np.ndarray
    other: np.ndarray
    classes: int


def _two_groups(margins: np.ndarray, declared: np.ndarray, noise: np.ndarray) -> Groups:
    n, classes = margins.shape
    rows, as_class = np.nonzero(np.arange(classes) != declared[:, None])
    every = max(len(rows) // MOST_OTHERS, 1)
    rows, as_class = rows[::every], as_class[::every]
    return Groups(
        margin=np.concatenate([margins[np.arange(n), declared], margins[rows, as_class]]),
        which=np.concatenate([declared, as_class]),
        weight=np.concatenate([np.ones(n), noise[declared[rows], as_class] * every]),
        other=np.repeat([0.0, 1.0], [n, len(rows)]),
        classes=classes,
    )


def _fit_wrong(groups: Groups) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return P(wrong) as a function of margin and class.

    Where a parcel and what stands for a wrong one are drawn side by side, the latter comes up with
    probability `r = P / (1 + P)`, at most a half; so `P = r / (1 - r)`.
    """
    level, slope = _fit_scale(groups)
    scale = level[groups.which] + slope[groups.which] * groups.margin
    curve = IsotonicRegression(y_min=0, y_max=0.5, out_of_bounds="clip")
    curve.fit(scale, groups.other, sample_weight=groups.weight)

    def wrong(margin: np.ndarray, which: np.ndarray) -> np.ndarray:
        ratio = curve.predict(level[which] + slope[which] * margin)
        return np.asarray(ratio / (1 - ratio))

    return wrong


def _fit_scale(groups: Groups) -> tuple[np.ndarray, np.ndarray]:
    """Return level and slope of `logit P(wrong | margin)` of each class.

    They are drawn to their means by normals of deviation 1 and 1/2: small classes show few of either group.
    """
    k, which, margin = groups.classes, groups.which, groups.margin

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        level, slope = parameters[2 : 2 + k], parameters[2 + k :]
        z = parameters[0] + level[which] + (parameters[1] + slope[which]) * margin
        p = expit(z)
        fit = groups.weight * (np.log1p(p) - groups.other * log_expit(z))
        pull = groups.weight * (p * (1 - p) / (1 + p) - groups.other * (1 - p))
        by_level, by_slope = np.bincount(which, pull, k), np.bincount(which, pull * margin, k)
        gradient = [[by_level.sum(), by_slope.sum()], by_level + level, by_slope + 4 * slope]
        penalty = 0.5 * (level**2).sum() + 2 * (slope**2).sum()
        return float(fit.sum() + penalty), np.concatenate(gradient)

    found = minimize(loss, np.concatenate([[-3, -1], np.zeros(2 * k)]), jac=True, method="L-BFGS-B").x
    return found[0] + found[2 : 2 + k], found[1] + found[2 + k :]


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
