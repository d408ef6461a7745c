"""The chance that a declaration is wrong (mislabelled), learned from made-up false claims.

**Model.** Parcels declared d are a mixture of right and wrong declarations (the two-group model: Efron 2008,
Statistical Science 23). To see what wrong ones look like, parcels declared as other classes are claimed to be
d. Each such false claim has a weight: the rate at which its class is declared d by mistake. A logistic
function of the signals (what the crop models predict of parcel and claim) is fitted by maximum likelihood to

    P(wrong | signals) = weight x density(claimed) / density(declared)

In a sample of declared and claimed parcels together, the share of claimed ones at given signals is
`r = P / (1 + P)`; the likelihood follows from it. The signals are logarithms of the claim's probability with
several floors (differences below a model's resolution, about one tree in sixty, carry no information), of the
probability of the best other class, and of how common that class is among parcels with this declaration. The
ratio of the two probabilities alone would not separate a parcel that the model knows nothing about from one
that is clearly another crop. The log-odds are those of the most likely parameters: fitted again with an
intercept and a slope on folds that the model did not see, they kept a slope of 0.98 to 1.01 (three simulated
regions, before each class had a rate of its own). Averaging them over the parameters draws them towards 0,
and every chance of a wrong label with it.

**Assumptions.** The assumed share of wrong declarations is an upper bound; it is lowered where fewer declared
parcels look wrong than it implies. Which classes are declared wrongly, and which class a wrong declaration
names, is first taken from the classes that the model confuses, then learned from the suspect parcels
(expectation and maximisation). A correct
declaration of an unusual parcel can look like a wrong one; no series separates the two. Where such parcels
are many the scores are too high, which field results would show.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from models.probability.conformal import margin

FLOORS = (1e-4, 1e-3, 1e-2, 1e-1)  # of the claim's probability
MOST_PARCELS, MOST_CLAIMS = 20_000, 20_000  # used in a fit, drawn at random
FITS_AT_ONCE = 2  # of the folds
LEAST_RATE = 1e-3  # of wrong declarations: the fit needs some false claims, whatever the assumed rate
LEAST_EXPECTED = 10.0  # wrong declarations expected above a score, for their rate to be bounded there
ROUNDS, STEPS = 10, 25  # of expectation and maximisation, and of the fits within
PRIOR = 0.02  # weight of the confusion matrix against what the suspect parcels look like
LEAST_PRIOR = 0.5  # wrong declarations that the common rate counts as, at least, against a class's own
LEVEL_PENALTY, WEIGHT_PENALTY = 4.0, 0.3  # inverse prior variances: shrink the levels of small classes


@dataclass(frozen=True)
class MislabelModel:
    """A fitted `logit P(wrong) = level[class] + weights (signals - mean) / deviation`."""

    mean: np.ndarray  # (signal,)
    deviation: np.ndarray  # (signal,)
    weights: np.ndarray  # (signal,)
    level: np.ndarray  # (class,)
    usual: np.ndarray  # (class, class): mean probability of each class on parcels declared as the row's
    most: float = np.inf  # log-odds beyond which this many wrong declarations can show nothing

    def score(
        self, views: np.ndarray, which: np.ndarray, accepted: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a ranking of the claims and the log-odds that each is wrong, `(parcel,)` each.

        The log-odds are the ranking, bounded: from E wrong declarations no chance of being right below
        `1 / (E + 2)` can be learned (Laplace's rule of succession).

        Parameters
        ----------
        views
            `(model, parcel, class)` probabilities: the calibrated ensemble, then every model's own.
        which, accepted
            `(parcel,)` class claimed, and `(parcel, class)` bool: the classes that satisfy the claim.
        """
        signals = (signals_of(views, which, accepted, self.usual) - self.mean) / self.deviation
        ranking = self.level[which]
        for column, weight in zip(signals.T, self.weights, strict=True):
            ranking = ranking + column * weight  # one by one: the same whatever other rows there are
        return ranking, np.minimum(ranking, self.most)

    def logit(self, signals: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Return log-odds `(row,)` at the most likely parameters, of standardised signals `(row, signal)`."""
        return np.asarray(self.level[which] + signals @ self.weights)


@dataclass(frozen=True)
class Mixture:
    """One row per declared parcel (`n`), then one per false claim (`m`)."""

    signals: np.ndarray  # (n + m, signal)
    declared: np.ndarray  # (n,)
    true: np.ndarray  # (m,) class that the parcel of a false claim is declared as
    claims: np.ndarray  # (m,) class that it is claimed to be
    thinned: float  # number of possible claims that each drawn one represents

    @property
    def which(self) -> np.ndarray:
        """Return `(n + m,)`: the class that each row is declared or claimed to be."""
        return np.concatenate([self.declared, self.claims])

    @property
    def claimed(self) -> np.ndarray:
        """Return `(n + m,)`: 0 for a declared parcel, 1 for a false claim."""
        return np.repeat([0.0, 1.0], [len(self.declared), len(self.claims)])

    def weights(self, noise: np.ndarray) -> np.ndarray:
        """Return `(n + m,)`: 1 for a declared parcel, its rate in `noise (true, claimed)` for a claim."""
        return np.concatenate([np.ones(len(self.declared)), noise[self.true, self.claims] * self.thinned])


def signals_of(views: np.ndarray, which: np.ndarray, accepted: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return the signals against each claim, `(parcel, signal)`.

    All but the last increase with the chance that the claim is wrong. The parameters are those of
    `MislabelModel.score`; `usual` is `(class, class)`, as the model stores it.
    """
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


def fit_mislabel(views: np.ndarray, declared: np.ndarray, noise_rate: float) -> MislabelModel:
    """Fit the model on out-of-fold probabilities.

    Parameters
    ----------
    views
        `(model, parcel, class)` probabilities by models that did not see the parcel; two classes at least.
    declared
        `(parcel,)` class index.
    noise_rate
        Upper bound of the share of wrong declarations.
    """
    kept, rng = _drawn(len(declared))
    return _fitted(views[:, kept], declared[kept], noise_rate, rng)


def _drawn(count: int) -> tuple[np.ndarray, np.random.Generator]:
    """Return which of `count` parcels a fit uses, in order, and the generator of what else it draws."""
    rng = np.random.default_rng(0)
    return np.sort(rng.permutation(count)[:MOST_PARCELS]), rng


def _fitted(
    views: np.ndarray, declared: np.ndarray, noise_rate: float, rng: np.random.Generator
) -> MislabelModel:
    usual, alike = _usual(views[0], declared), _alike(views[0], declared)
    noise = max(noise_rate, LEAST_RATE) * alike
    mixture = _mixture(views, declared, usual, rng)
    mislabel = _fit(mixture, mixture.weights(noise), usual, steps=STEPS)
    for _ in range(ROUNDS):
        noise = _renewed(mislabel, mixture, noise, views[0])
        mislabel = _fit(mixture, mixture.weights(noise), usual, steps=STEPS, start=mislabel)
    mislabel = _fit(mixture, mixture.weights(noise), usual, start=mislabel)
    expected = float((np.bincount(declared, minlength=len(noise))[:, None] * noise).sum())
    return replace(mislabel, most=float(np.log1p(expected)))


def _usual(probabilities: np.ndarray, declared: np.ndarray) -> np.ndarray:
    classes = probabilities.shape[1]
    sums = np.full((classes, classes), 0.5)
    np.add.at(sums, declared, probabilities)
    return np.asarray(sums / sums.sum(1, keepdims=True))


def _alike(probabilities: np.ndarray, declared: np.ndarray) -> np.ndarray:
    """Return `(class, class)`: the chance that a wrong declaration of class t (row) names d, taken from how
    often parcels declared d are predicted as t."""
    sums = np.full(2 * (probabilities.shape[1],), 1e-9)
    np.add.at(sums.T, declared, probabilities)
    np.fill_diagonal(sums, 0)
    return np.asarray(sums / sums.sum(1, keepdims=True))


def _mixture(views: np.ndarray, declared: np.ndarray, usual: np.ndarray, rng: np.random.Generator) -> Mixture:
    n, classes = views.shape[1:]
    rows, claims = np.nonzero(np.arange(classes) != declared[:, None])
    kept = rng.permutation(len(rows))[:MOST_CLAIMS]
    thinned = len(rows) / max(len(kept), 1)
    rows, claims = rows[kept], claims[kept]
    which = np.concatenate([declared, claims])
    seen = views[:, np.concatenate([np.arange(n), rows])]
    signals = signals_of(seen, which, np.arange(classes) == which[:, None], usual)
    return Mixture(signals, declared, declared[rows], claims, thinned)


def _fit(
    mixture: Mixture,
    weight: np.ndarray,
    usual: np.ndarray,
    *,
    steps: int = 500,
    start: MislabelModel | None = None,
) -> MislabelModel:
    """Maximise the likelihood; the weights of all signals but the last are not negative."""
    which, claimed = mixture.which, mixture.claimed
    mean = np.average(mixture.signals, axis=0, weights=weight) if start is None else start.mean
    spread = np.sqrt(np.average((mixture.signals - mean) ** 2, axis=0, weights=weight)) + 1e-9
    deviation = spread if start is None else start.deviation
    signals, (classes, count) = (mixture.signals - mean) / deviation, (len(usual), len(mean))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        common, weights, level = parameters[0], parameters[1 : 1 + count], parameters[1 + count :]
        logit = common + level[which] + signals @ weights
        wrong = expit(logit)
        fit = weight @ (np.log1p(wrong) - claimed * log_expit(logit))
        pull = weight * (wrong * (1 - wrong) / (1 + wrong) - claimed * (1 - wrong))
        penalty = (WEIGHT_PENALTY * weights @ weights + LEVEL_PENALTY * level @ level) / 2
        slopes = [
            [pull.sum()],
            pull @ signals + WEIGHT_PENALTY * weights,
            np.bincount(which, pull, classes) + LEVEL_PENALTY * level,
        ]
        return float(fit + penalty), np.concatenate(slopes)

    bounds = [(None, None), *[(0, None)] * (count - 1), *[(None, None)] * (1 + classes)]
    first = np.concatenate([[-3], np.full(count, 0.2), np.zeros(classes)])
    if start is not None:
        first = np.concatenate([[start.level.mean()], start.weights, start.level - start.level.mean()])
    found = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps}).x
    return MislabelModel(mean, deviation, found[1 : 1 + count], found[0] + found[1 + count :], usual)


def _renewed(
    mislabel: MislabelModel, mixture: Mixture, noise: np.ndarray, probabilities: np.ndarray
) -> np.ndarray:
    """Update the noise matrix `(true, claimed)` once by expectation and maximisation.

    Each true class has a rate of its own, drawn towards the common one as `shrunk_rates` has it; the expected
    number of wrong declarations stays that of the assumed rate, or below it where fewer look wrong.
    """
    declared, (n, classes) = mixture.declared, probabilities.shape
    logit = mislabel.logit((mixture.signals - mislabel.mean) / mislabel.deviation, mixture.which)
    rival = probabilities * noise[:, declared].T
    rival[np.arange(n), declared] = 0
    rival /= np.maximum(rival.sum(1, keepdims=True), 1e-300)
    seen = np.zeros((classes, classes))
    np.add.at(seen.T, declared, rival * expit(logit[:n])[:, None])
    parcels = np.bincount(declared, minlength=classes)[:, None]
    expected = float((parcels * noise).sum())
    blend = seen + PRIOR * parcels * noise + 1e-12
    rate = shrunk_rates(seen.sum(1), parcels[:, 0])[:, None]
    renewed = rate * blend / blend.sum(1, keepdims=True)
    expected *= rate_bound(logit[:n], logit[n:], mixture.weights(noise)[n:])
    return np.asarray(renewed * expected / (parcels * renewed).sum())


def shrunk_rates(found: np.ndarray, parcels: np.ndarray) -> np.ndarray:
    """Return each class's rate of wrong declarations `(class,)`, drawn towards the common rate.

    Empirical Bayes for rates (Clayton & Kaldor 1987, Biometrics 43): classes' rates vary about the common one
    by a gamma distribution whose shape follows from the moments. Where the numbers found differ no more than
    equal rates would let them, all classes have the common rate: a few unusual parcels of one class then do
    not raise the rate of that class, and with it every suspicion in it.

    Parameters
    ----------
    found, parcels
        `(class,)`: wrong declarations that are expected among the parcels declared, and these parcels.

    Examples
    --------
    >>> shrunk_rates(np.array([3.0, 2.0, 4.0]), np.array([100, 100, 100])).round(3)
    array([0.03, 0.03, 0.03])
    >>> shrunk_rates(np.array([1.0, 2.0, 60.0]), np.array([100, 100, 100])).round(2)
    array([0.02, 0.03, 0.59])
    """
    common = max(float(found.sum()), 1e-9) / parcels.sum()
    equal = parcels * common
    more = ((found - equal) ** 2 - equal).sum()  # than chance alone lets numbers of equal rates differ
    if more <= 0:
        return np.full(len(found), common)
    prior = max(float((equal**2).sum() / more), LEAST_PRIOR)
    return np.asarray((found + prior) / (parcels + prior / common))


def rate_bound(declared: np.ndarray, claimed: np.ndarray, weight: np.ndarray) -> float:
    """Return the factor, at most 1, that brings the rate of wrong declarations down to what is possible.

    Above any score the expected number of wrong declarations cannot exceed the number of declarations there
    (the bound of Storey 2002, Journal of the Royal Statistical Society B 64, on the share of nulls), plus two
    standard deviations of that number.

    Parameters
    ----------
    declared
        `(n,)` scores of the declared parcels.
    claimed, weight
        `(m,)` scores of the false claims, and how many wrong declarations each represents.

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
class CrossFittedMislabel:
    """Mislabel models, each fitted without the parcels of one fold."""

    fitted: Mapping[int, MislabelModel | None]  # None where the training parcels hold fewer than two classes

    def known(self, folds: np.ndarray) -> np.ndarray:
        """Return `(parcel,)` bool: whether a model could be fitted for each parcel's fold."""
        return np.isin(folds, [fold for fold, model in self.fitted.items() if model is not None])

    def score(
        self, views: np.ndarray, folds: np.ndarray, which: np.ndarray, accepted: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a ranking of the claims and the log-odds that they are wrong, `(parcel,)` each; those of a
        parcel do not depend on which others are given with it.

        Where no model could be fitted, the ranking is the negative margin and the log-odds are minus infinity
        (every claim counts as right); elsewhere both are as `MislabelModel.score` gives them.

        Parameters
        ----------
        folds
            `(parcel,)`.
        views, which, accepted
            As for `MislabelModel.score`.
        """
        ranking = -margin(views[0], accepted)
        odds = np.full(len(folds), -np.inf)
        for fold in np.unique(folds):
            mine, mislabel = np.flatnonzero(folds == fold), self.fitted[int(fold)]
            if mislabel is not None:
                ranking[mine], odds[mine] = mislabel.score(views[:, mine], which[mine], accepted[mine])
        return ranking, odds


def cross_fit_mislabel(
    views: Callable[[np.ndarray], np.ndarray], declared: np.ndarray, folds: np.ndarray, noise_rate: float
) -> CrossFittedMislabel:
    """Fit one model per fold, on parcels of all other folds, MOST_PARCELS at most.

    Parameters
    ----------
    views
        From indices of parcels `(row,)` to their `(model, row, class)` probabilities by models that did not
        see them.
    declared
        `(parcel,)` class index; parcels of -1 (none of the classes) are left out of the fits.
    folds
        `(parcel,)`; parcels of fold -1 are scored by a model of all folds and left out of the fits.
    noise_rate
        Upper bound of the share of wrong declarations.
    """

    def without(fold: int) -> MislabelModel | None:
        others = np.flatnonzero((folds != fold) & (folds >= 0) & (declared >= 0))
        if len(np.unique(declared[others])) < 2:
            return None
        kept, rng = _drawn(len(others))
        return _fitted(views(others[kept]), declared[others[kept]], noise_rate, rng)

    every = np.unique(folds).tolist()
    with ThreadPoolExecutor(FITS_AT_ONCE) as pool:
        return CrossFittedMislabel(dict(zip(every, pool.map(without, every), strict=True)))
