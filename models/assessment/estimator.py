"""Shares of a population from a sample of parcels in holdings, with intervals that follow the design."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from models.evaluation.metrics import LEVEL, Estimate, clopper_pearson

FEW = 5  # errors; chosen on 36 made-up populations, and checked on others (`tests.benchmarks.assessment`)


@dataclass(frozen=True)
class Visited:
    """The visited part of a sample, each `(visited)`.

    Attributes
    ----------
    stratum
        Bucket or intervention, as codes from 0.
    cluster
        Holding, as codes: parcels of one holding are drawn together and err together.
    probability
        Inclusion probability, above 0 and at most 1.
    cluster_probability
        That any parcel of the holding was drawn; not below `probability`.
    size
        1, or hectares.
    """

    stratum: np.ndarray
    cluster: np.ndarray
    probability: np.ndarray
    cluster_probability: np.ndarray
    size: np.ndarray

    def of(self, rows: np.ndarray) -> "Visited":
        """Return some of the rows, by number `(n)` or by a bool `(visited)`."""
        columns = (self.stratum, self.cluster, self.probability, self.cluster_probability, self.size)
        return Visited(*(column[rows] for column in columns))


def weights(visited: Visited, known: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return how much of the population each visited parcel stands for, `(visited)`.

    The reciprocal of the inclusion probability, scaled in each stratum so that `known` adds up to the
    stratum's total (the ratio estimator; Sarndal, Swensson & Wretman 1992, Model Assisted Survey Sampling,
    7.3).

    Parameters
    ----------
    known
        `(visited)`: what the totals are of, ones or hectares.
    totals
        `(stratum)`: parcels or hectares of the population.
    """
    raw = 1 / visited.probability
    seen = np.bincount(visited.stratum, raw * known, minlength=len(totals))
    scale = np.divide(totals, seen, out=np.zeros(len(totals)), where=seen > 0)
    return np.asarray(raw * scale[visited.stratum])


def share(
    hit: np.ndarray, domain: np.ndarray, visited: Visited, totals: np.ndarray, known: np.ndarray
) -> Estimate:
    """Estimate which share of a domain is hit, with a 95% interval.

    Parameters
    ----------
    hit, domain
        `(visited)` bool.
    totals, known
        As `weights` takes them.

    Returns
    -------
    Estimate
        n counts the visited parcels of the domain. The interval has width 0 only where all was visited.
    """
    n = int(domain.sum())
    weight = weights(visited, known, totals)
    below = weight * visited.size * domain
    if n == 0 or below.sum() <= 0:
        return Estimate(np.nan, np.nan, np.nan, n)
    value = min(max(float((below * hit).sum() / below.sum()), 0.0), 1.0)
    residual = visited.size * domain * (hit - value)
    spread = variance(residual, weight, visited, known) / below.sum() ** 2
    clusters = len(np.unique(visited.cluster[domain]))
    left = _left_out(visited.probability[domain], below[domain])
    hits = int((hit & domain).sum())
    parcels = kish(below) / _unexplained(hit, domain, below, visited.stratum)
    independent = value * (1 - value) * left / parcels
    spread = _steadied(spread, independent, min(hits, n - hits))
    low, high = interval(value, spread, kish(_sums(below, visited.cluster)), clusters, left, n)
    return Estimate(value, low, high, n)


def _steadied(spread: float, independent: float, seen: int) -> float:
    """Return a variance drawn towards the one that independent parcels would give, where that is larger.

    A variance taken from few errors is too low when the large parcels among the wrong ones happen not to be
    drawn, and then the share is too low as well. `FEW` errors count as much as those seen.

    Parameters
    ----------
    seen
        Visited parcels that were hit, or that were not, whichever are fewer.
    """
    return spread + max(independent - spread, 0.0) * FEW / (seen + FEW)


def _unexplained(hit: np.ndarray, domain: np.ndarray, below: np.ndarray, stratum: np.ndarray) -> float:
    """Share of the variance of single parcels that strata leave, 0 to 1: what no luck in the draw undercuts.

    Each stratum's rate is taken with one parcel more of either kind, so that few visits without an error do
    not look like none.
    """
    count = np.bincount(stratum[domain]).astype(float)
    weight = np.bincount(stratum[domain], below[domain])
    seen = weight > 0
    hits = np.bincount(stratum[domain], (below * hit)[domain])[seen] / weight[seen] * count[seen]
    rates, weight = (hits + 1) / (count[seen] + 2), weight[seen] / weight.sum()
    mean = float((weight * rates).sum())
    return float((weight * rates * (1 - rates)).sum() / (mean * (1 - mean)))


def variance(residual: np.ndarray, weight: np.ndarray, visited: Visited, known: np.ndarray) -> float:
    """Variance of a weighted total of residuals `(visited)`, less what the strata's totals explain.

    Two parts (Sarndal, Swensson & Wretman 1992, 4.3): between holdings, taken as drawn independently, each
    times the chance that it was not drawn; and within holdings, times the chance that a parcel of a drawn
    holding was not drawn. The first part takes the holdings' estimated sums, so it holds some of the second.
    """
    explained = _explained(residual, weight, visited, known)
    part = weight * (residual - known * explained)
    _, place, counts = np.unique(visited.cluster, return_inverse=True, return_counts=True)
    number, sums = len(counts), np.bincount(place, part)
    chance = np.minimum(np.bincount(place, visited.cluster_probability) / counts, 1)
    between = (sums**2 * (1 - chance)).sum() * number / max(number - 1, 1)
    inside = np.clip(visited.probability / np.maximum(chance[place], visited.probability), 0, 1)
    apart = np.where(counts[place] > 1, part - (sums / counts)[place], part)
    spread = (1 - inside) * apart**2 * (counts / np.maximum(counts - 1, 1))[place]
    return float(between + (chance[place] * spread).sum())


def _explained(residual: np.ndarray, weight: np.ndarray, visited: Visited, known: np.ndarray) -> np.ndarray:
    top = np.bincount(visited.stratum, weight * residual)
    bottom = np.bincount(visited.stratum, weight * known)
    return np.asarray(np.divide(top, bottom, out=np.zeros(len(top)), where=bottom > 0)[visited.stratum])


def _sums(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    _, place = np.unique(codes, return_inverse=True)
    return np.bincount(place, values)


def _left_out(probability: np.ndarray, weight: np.ndarray) -> float:
    return float(1 - (probability * weight).sum() / weight.sum())


def kish(weight: np.ndarray) -> float:
    """Return how many equal weights carry as much as `weight (n,)` (Kish 1965, Survey Sampling)."""
    total = float((weight**2).sum())
    return float(weight.sum() ** 2 / total) if total > 0 else 0.0


def interval(
    value: float, spread: float, holdings: float, clusters: int, left: float, parcels: int
) -> tuple[float, float]:
    """Return the 95% interval of a share.

    Wilson's interval (1927, JASA 22) at the effective number of parcels, corrected for the degrees of
    freedom (Korn & Graubard 1998, Survey Methodology 24). Where nothing or everything was hit the sample
    says nothing of how errors gather in holdings; then the exact bound with each holding as one unit
    stands in.

    An interval with 2.5% at either side holds the truth too often where errors are rare: a true share so
    small that the sample may well hold no error can never be missed from above. As Blaker (2000, Canadian
    Journal of Statistics 28) has it, the 5% then all lie at the side that can be missed.

    Parameters
    ----------
    spread
        Variance of the share.
    holdings
        Effective number of the domain's holdings (see `kish`).
    clusters
        Holdings with a parcel of the domain.
    left
        Share of the population that was not drawn, 0 to 1.
    parcels
        Visited parcels of the domain.
    """
    if left <= 0:
        return value, value
    if not 0 < value < 1 or spread <= 0:
        return clopper_pearson(value, holdings / left)
    degrees = max(clusters - 1, 1)
    effective = value * (1 - value) / spread
    low, high = _wilson(value, effective, float(t.ppf(0.5 + LEVEL / 2, degrees)))
    lower, upper = _wilson(value, effective, float(t.ppf(LEVEL, degrees)))
    rare = 1 - (1 - LEVEL) ** (1 / parcels)  # below it, a sample without an error has a chance above 5%
    return max(low, min(lower, rare)), min(high, max(upper, 1 - rare))


def _wilson(value: float, n: float, z: float) -> tuple[float, float]:
    middle, scale = value + z**2 / (2 * n), 1 + z**2 / n
    half = z * np.sqrt(value * (1 - value) / n + z**2 / (4 * n**2))
    return max(float((middle - half) / scale), 0.0), min(float((middle + half) / scale), 1.0)


def naive(hits: int, n: int) -> tuple[float, float]:
    """The binomial interval that takes parcels as independent: `p +- 1.96 sqrt(p (1 - p) / n)`."""
    value = hits / n
    half = float(norm.ppf(0.5 + LEVEL / 2)) * float(np.sqrt(value * (1 - value) / n))
    return max(value - half, 0.0), min(value + half, 1.0)
