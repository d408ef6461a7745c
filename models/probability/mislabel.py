"""How much there is to doubt of a declaration: learnt by declaring parcels as what they are not.

**What is learnt.** Parcels declared d are a mixture of right and wrong ones (the two-group model: Efron 2008,
Statistical Science 23). What wrong ones look like is seen on parcels declared otherwise and claimed to be d,
each weighed by how often its class is declared d by mistake. Both are laid side by side, and a logistic
function of what the models say of parcel and claim is fitted by maximum likelihood to

    P(wrong | signs) = weight x density(claimed) / density(declared)

Where a claimed and a declared one are drawn together the former comes up with `r = P / (1 + P)`, whence the
likelihood. The signs are logarithms of the claim's probability with several floors (below a model's
resolution, one tree in sixty say, a smaller probability says no more), of the best rival's, and of how usual
that rival is for the class. A lone ratio of the two would put a parcel that the model knows nothing of beside
one that it is sure is something else. A small region leaves the parameters open: the doubt is averaged over
them (MacKay 1992, Neural Computation 4, the evidence framework applied to classification), so that a list is
no surer than the region allows.

**What it rests on.** The share of wrong declarations that is assumed, taken as an upper bound: where fewer
declared parcels look wrong than it would have, it is lowered. What they name is at first thought to be crops
that the model confuses with the true one, and then learnt from the parcels in doubt (expectation and
maximisation). A right declaration of an odd parcel may look just like a wrong one, and no series tells them
apart: where these are many the doubt is too high, which field results would show.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from models.probability.conformal import margin

FLOORS = (1e-4, 1e-3, 1e-2, 1e-1)  # of the claim's probability
MOST_PARCELS, MOST_CLAIMS = 20_000, 20_000  # that doubt is learnt from, drawn evenly
LEAST_RATE = 1e-3  # of wrong declarations that the picture is drawn with
LEAST_EXPECTED = 10.0  # wrong declarations above a level of doubt, for their rate to be bounded there
ROUNDS, STEPS = 3, 25  # of expectation and maximisation, and of the fits within
PRIOR = 0.1  # weight of what the model confuses against what the parcels in doubt are likest to
LEVEL_PENALTY, WEIGHT_PENALTY = 4.0, 0.3  # inverse prior variances: small classes show little of their own


@dataclass(frozen=True)
class Doubt:
    """A fitted `logit P(wrong) = level[class] + weights (signs - mean) / deviation`."""

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    level: np.ndarray  # (class,)
    usual: np.ndarray  # (class, class): mean probability of each class on parcels declared as the row's
    covariance: np.ndarray | None = None  # of common level, levels and weights, where it was asked for

    def score(
        self, views: np.ndarray, which: np.ndarray, accepted: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log-odds that the claim is wrong, `(parcel)`: at the likeliest parameters, and averaged over them.

        Ranks are told by the first, probabilities by the second.

        Parameters
        ----------
        views
            `(model, parcel, class)` probabilities: the calibrated ensemble, then every model's own.
        which, accepted
            `(parcel)` class claimed, and `(parcel, class)` bool: all that would do for it.
        """
        signs = (signs_of(views, which, accepted, self.usual) - self.mean) / self.deviation
        logit = self.logit(signs, which)
        if self.covariance is None:
            return logit, logit
        return logit, logit / np.sqrt(1 + np.pi / 8 * self._variance(signs, which))

    def logit(self, signs: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Log-odds at the likeliest parameters, of standardised signs."""
        return np.asarray(self.level[which] + signs @ self.weights)

    def _variance(self, signs: np.ndarray, which: np.ndarray) -> np.ndarray:
        assert self.covariance is not None
        first, of = 1 + len(self.level), 1 + which
        levels = self.covariance[0, 0] + 2 * self.covariance[0, of] + self.covariance[of, of]
        both = self.covariance[0, first:] + self.covariance[of, first:]
        return np.asarray(levels + ((2 * both + signs @ self.covariance[first:, first:]) * signs).sum(1))


@dataclass(frozen=True)
class Groups:
    """`n` declared parcels, then parcels claimed to be what they are not declared as, a row each."""

    signs: np.ndarray
    declared: np.ndarray  # (n,)
    true: np.ndarray  # class that a claimed one is declared as
    claims: np.ndarray  # class that it is claimed to be
    thinned: float  # how many claims each stands for

    @property
    def which(self) -> np.ndarray:
        """Class that each row's signs are of."""
        return np.concatenate([self.declared, self.claims])

    @property
    def claimed(self) -> np.ndarray:
        """0 for the declared, 1 for the claimed."""
        return np.repeat([0.0, 1.0], [len(self.declared), len(self.claims)])

    def weights(self, noise: np.ndarray) -> np.ndarray:
        """1 for the declared; for a claim the chance (true, claimed) that it is made."""
        return np.concatenate([np.ones(len(self.declared)), noise[self.true, self.claims] * self.thinned])


def signs_of(views: np.ndarray, which: np.ndarray, accepted: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """What speaks against each claim, `(parcel, sign)`; all but the last grow with doubt by construction."""
    columns = []
    for number, view in enumerate(views):
        own, rivals = np.where(accepted, view, 0).sum(1), np.where(accepted, 0, view)
        rival = rivals.max(1)
        if number == 0:
            columns += [-np.log(own + floor) for floor in FLOORS]
            columns += [np.log(rival + 0.02), *(-np.log(1.02 - rival), -np.log(1.002 - rival))]
            strangeness = -np.log(usual[which, rivals.argmax(1)])
        else:
            columns += [-np.log(own + 0.01), -np.log(own + 0.1), -np.log(1.01 - rival)]
    return np.column_stack([*columns, strangeness])


def learn_doubt(views: np.ndarray, declared: np.ndarray, noise_rate: float) -> Doubt:
    """Fit doubt on parcels whose own probabilities came from models that did not see them.

    Parameters
    ----------
    views
        `(model, parcel, class)`; two classes at least.
    declared
        `(parcel)` class index.
    noise_rate
        Share of wrong declarations, at most.
    """
    rng = np.random.default_rng(0)
    kept = np.sort(rng.permutation(len(declared))[:MOST_PARCELS])
    views, declared = views[:, kept], declared[kept]
    usual, alike = _usual(views[0], declared), _alike(views[0], declared)
    noise = max(noise_rate, LEAST_RATE) * alike
    groups = _groups(views, declared, usual, rng)
    doubt = _fit(groups, groups.weights(noise), usual, steps=STEPS)
    for _ in range(ROUNDS):
        noise = _renewed(doubt, groups, noise, views[0])
        doubt = _fit(groups, groups.weights(noise), usual, steps=STEPS, start=doubt)
    doubt = _fit(groups, groups.weights(noise), usual, start=doubt)
    return replace(doubt, covariance=_covariance(doubt, groups, groups.weights(noise)))


def _usual(probabilities: np.ndarray, declared: np.ndarray) -> np.ndarray:
    classes = probabilities.shape[1]
    sums = np.full((classes, classes), 0.5)
    np.add.at(sums, declared, probabilities)
    return np.asarray(sums / sums.sum(1, keepdims=True))


def _alike(probabilities: np.ndarray, declared: np.ndarray) -> np.ndarray:
    """Chance that a wrong declaration of class t (row) names d: by how much those declared d look like t."""
    sums = np.full(2 * (probabilities.shape[1],), 1e-9)
    np.add.at(sums.T, declared, probabilities)
    np.fill_diagonal(sums, 0)
    return np.asarray(sums / sums.sum(1, keepdims=True))


def _groups(views: np.ndarray, declared: np.ndarray, usual: np.ndarray, rng: np.random.Generator) -> Groups:
    n, classes = views.shape[1:]
    rows, claims = np.nonzero(np.arange(classes) != declared[:, None])
    kept = rng.permutation(len(rows))[:MOST_CLAIMS]
    thinned = len(rows) / max(len(kept), 1)
    rows, claims = rows[kept], claims[kept]
    which = np.concatenate([declared, claims])
    seen = views[:, np.concatenate([np.arange(n), rows])]
    signs = signs_of(seen, which, np.arange(classes) == which[:, None], usual)
    return Groups(signs, declared, declared[rows], claims, thinned)


def _fit(
    groups: Groups, weight: np.ndarray, usual: np.ndarray, *, steps: int = 500, start: Doubt | None = None
) -> Doubt:
    """Maximise the likelihood; every sign but the last may only add to doubt."""
    which, claimed = groups.which, groups.claimed
    mean = np.average(groups.signs, axis=0, weights=weight) if start is None else start.mean
    spread = np.sqrt(np.average((groups.signs - mean) ** 2, axis=0, weights=weight)) + 1e-9
    deviation = spread if start is None else start.deviation
    signs, (classes, count) = (groups.signs - mean) / deviation, (len(usual), len(mean))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        common, weights, level = parameters[0], parameters[1 : 1 + count], parameters[1 + count :]
        logit = common + level[which] + signs @ weights
        wrong = expit(logit)
        fit = weight @ (np.log1p(wrong) - claimed * log_expit(logit))
        pull = weight * (wrong * (1 - wrong) / (1 + wrong) - claimed * (1 - wrong))
        penalty = (WEIGHT_PENALTY * weights @ weights + LEVEL_PENALTY * level @ level) / 2
        slopes = [
            [pull.sum()],
            pull @ signs + WEIGHT_PENALTY * weights,
            np.bincount(which, pull, classes) + LEVEL_PENALTY * level,
        ]
        return float(fit + penalty), np.concatenate(slopes)

    bounds = [(None, None), *[(0, None)] * (count - 1), *[(None, None)] * (1 + classes)]
    first = np.concatenate([[-3], np.full(count, 0.2), np.zeros(classes)])
    if start is not None:
        first = np.concatenate([[start.level.mean()], start.weights, start.level - start.level.mean()])
    found = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps}).x
    return Doubt(mean, deviation, found[1 : 1 + count], found[0] + found[1 + count :], usual)


def _covariance(doubt: Doubt, groups: Groups, weight: np.ndarray) -> np.ndarray:
    """Inverse of the Fisher information and prior; weights held at zero by their bound do not vary."""
    signs, classes = (groups.signs - doubt.mean) / doubt.deviation, len(doubt.level)
    wrong = expit(doubt.logit(signs, groups.which))
    drawn = wrong / (1 + wrong)
    information = weight * drawn * (1 - drawn) * (1 - wrong) ** 2
    design = np.column_stack([np.ones(len(signs)), groups.which[:, None] == np.arange(classes), signs])
    prior = np.repeat([0.0, LEVEL_PENALTY, WEIGHT_PENALTY], [1, classes, signs.shape[1]])
    free = np.concatenate([np.ones(1 + classes, bool), doubt.weights > 0])
    precision = (design.T * information) @ design + np.diag(prior)
    covariance = np.zeros_like(precision)
    covariance[np.ix_(free, free)] = np.linalg.inv(precision[np.ix_(free, free)])
    return np.asarray(covariance)


def _renewed(doubt: Doubt, groups: Groups, noise: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """One step over what wrong declarations name, and a bound on their rate."""
    declared, (n, classes) = groups.declared, probabilities.shape
    logit = doubt.logit((groups.signs - doubt.mean) / doubt.deviation, groups.which)
    rival = probabilities * noise[:, declared].T
    rival[np.arange(n), declared] = 0
    rival /= np.maximum(rival.sum(1, keepdims=True), 1e-300)
    seen = np.zeros((classes, classes))
    np.add.at(seen.T, declared, rival * expit(logit[:n])[:, None])
    blend = seen + PRIOR * np.bincount(declared, minlength=classes)[:, None] * noise + 1e-12
    rate = noise.sum(1, keepdims=True) * rate_bound(logit[:n], logit[n:], groups.weights(noise)[n:])
    return np.asarray(rate * blend / blend.sum(1, keepdims=True))


def rate_bound(declared: np.ndarray, claimed: np.ndarray, weight: np.ndarray) -> float:
    """Factor, at most 1, by which the rate of wrong declarations must shrink to be possible at all.

    Above any level of doubt no more can be wrong than are declared (as Storey 2002, Journal of the Royal
    Statistical Society B 64, bounds the share of nulls); their count is given two standard deviations.

    Examples
    --------
    >>> scores = np.arange(100) / 100
    >>> round(rate_bound(scores, scores, np.full(100, 0.5)), 2)  # half as many expected as are there
    1.0
    >>> round(rate_bound(scores, scores, np.full(100, 4.0)), 2)  # 400 expected, 100 are there
    0.3
    """
    order = np.argsort(-claimed, kind="stable")
    expected = np.cumsum(weight[order])
    above = len(declared) - np.searchsorted(np.sort(declared), claimed[order], side="left")
    use = expected >= LEAST_EXPECTED
    factor = (above[use] + 2 * np.sqrt(above[use] + 1)) / expected[use]
    return float(min(1.0, factor.min(initial=1.0)))


@dataclass(frozen=True)
class CrossDoubt:
    """Doubt of `n` parcels, each by what was learnt without its fold."""

    views: np.ndarray  # (model, n, class)
    folds: np.ndarray
    fitted: Mapping[int, Doubt | None]  # None where there was nothing to learn from

    @property
    def known(self) -> np.ndarray:
        """Whether doubt could be learnt for each parcel's fold, `(n)` bool."""
        return np.array([self.fitted[int(fold)] is not None for fold in self.folds], dtype=bool)

    def score(
        self, rows: np.ndarray, which: np.ndarray, accepted: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log-odds that the claims of those rows are wrong, as `Doubt.score` has them.

        Where nothing could be learnt: less the margin, and minus infinity (all are right).
        """
        ranking = -margin(self.views[0, rows], accepted)
        averaged = np.full(len(rows), -np.inf)
        for fold, doubt in self.fitted.items():
            mine = np.flatnonzero(self.folds[rows] == fold)
            if doubt is not None and len(mine):
                found = doubt.score(self.views[:, rows[mine]], which[mine], accepted[mine])
                ranking[mine], averaged[mine] = found
        return ranking, averaged


def cross_doubt(views: np.ndarray, declared: np.ndarray, folds: np.ndarray, noise_rate: float) -> CrossDoubt:
    """Learn doubt once a fold, from the parcels of all others.

    Parameters
    ----------
    declared
        `(parcel)` class index; -1 (none of the classes) is learnt nothing from.
    folds
        `(parcel)`; -1 is judged by all others and teaches nothing.
    """
    fitted: dict[int, Doubt | None] = {}
    for fold in np.unique(folds):
        others = (folds != fold) & (folds >= 0) & (declared >= 0)
        enough = len(np.unique(declared[others])) > 1
        fitted[int(fold)] = learn_doubt(views[:, others], declared[others], noise_rate) if enough else None
    return CrossDoubt(views, folds, fitted)
