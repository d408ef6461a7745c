"""How good models and verdicts are, each figure with its n and a 95% interval by bootstrap over groups."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import csr_array
from scipy.stats import beta, t

from models.probability.calibration import expected_calibration_error

REPLICATES = 1_000
REPLICATES_AT_ONCE = 64
LEVEL = 0.95
FEW_GROUPS = 10  # with a hit, or without: below it the bootstrap is too narrow
Metric = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Estimate:
    """A figure, its 95% interval, and how many things it rests on; NaN where n leaves it undefined."""

    value: float
    low: float
    high: float
    n: int

    def to_dict(self) -> dict[str, float | int | None]:
        """Return what JSON can hold: null for NaN."""
        return {"value": _json(self.value), "low": _json(self.low), "high": _json(self.high), "n": self.n}


def _json(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def multiplicities(groups: np.ndarray, rng: np.random.Generator, replicates: int = REPLICATES) -> np.ndarray:
    """How often each group is drawn in each replicate, `(replicate, group)`; groups as `np.unique` sorts."""
    count = len(np.unique(groups))
    chances = np.full(count, 1 / count)
    drawn = np.empty((replicates, count), np.uint16)  # of a million parcels' holdings 250 MB, as int64 1 GB
    for part in _blocks(replicates):
        drawn[part] = rng.multinomial(count, chances, size=part.stop - part.start)
    return drawn


def totals(drawn: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Return `drawn (replicate, group)` times `sums (group, …)` of each group, some replicates at a time."""
    return np.concatenate([drawn[part].astype(float) @ sums for part in _blocks(len(drawn))])


def _blocks(replicates: int) -> list[slice]:
    return [
        slice(start, min(start + REPLICATES_AT_ONCE, replicates))
        for start in range(0, max(replicates, 1), REPLICATES_AT_ONCE)
    ]


def standing_alone(groups: np.ndarray) -> np.ndarray:
    """Give each item `(n)` without a group (a negative number) a separate group.

    Examples
    --------
    >>> standing_alone(np.array([4, -1, 4, -1]))
    array([4, 5, 4, 6])
    """
    groups, alone = groups.astype(int), groups < 0
    groups[alone] = max(int(groups.max(initial=-1)), -1) + 1 + np.arange(alone.sum())
    return groups


def confusion(
    truth: np.ndarray, predicted: np.ndarray, n_classes: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """Confusion matrix, truth in rows, `(class, class)`; counts, or sums of weights such as hectares."""
    cells = np.bincount(truth * n_classes + predicted, weights, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes).astype(float)


def accuracy(matrix: np.ndarray) -> np.ndarray:
    """Return the share on the diagonal of matrices `(…, class, class)`, `(…)`."""
    return _divide(np.trace(matrix, axis1=-2, axis2=-1), matrix.sum((-2, -1)))


def f1_scores(matrix: np.ndarray) -> np.ndarray:
    """F1 of each class, `(..., class)`: `2 TP / (truth + predicted)`; NaN for a class without truth."""
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    truth = matrix.sum(-1)
    return np.where(truth > 0, _divide(2 * hits, truth + matrix.sum(-2)), np.nan)


def macro_f1(matrix: np.ndarray) -> np.ndarray:
    """Return the mean F1 of the classes that have truth, of matrices `(…, class, class)`, `(…)`."""
    scores = f1_scores(matrix)
    known = np.isfinite(scores)
    return _divide(np.where(known, scores, 0).sum(-1), known.sum(-1))


def weighted_f1(matrix: np.ndarray) -> np.ndarray:
    """Return the mean F1 weighted by the truth of each class, of matrices `(…, class, class)`, `(…)`."""
    truth = matrix.sum(-1)
    return _divide((np.nan_to_num(f1_scores(matrix)) * truth).sum(-1), truth.sum(-1))


def kappa(matrix: np.ndarray) -> np.ndarray:
    """Return Cohen's kappa (1960, Educational and Psychological Measurement 20) of matrices `(…, class,
    class)`, `(…)`.
    """
    total = matrix.sum((-2, -1))
    chance = _divide((matrix.sum(-1) * matrix.sum(-2)).sum(-1), total**2)
    return _divide(accuracy(matrix) - chance, 1 - chance)


METRICS: dict[str, Metric] = {
    "macro_f1": macro_f1,
    "accuracy": accuracy,
    "weighted_f1": weighted_f1,
    "kappa": kappa,
}


def score_model(
    probabilities: np.ndarray,
    truth: np.ndarray,
    groups: np.ndarray,
    rng: np.random.Generator,
    replicates: int = REPLICATES,
) -> dict[str, Estimate]:
    """Macro-F1, accuracy, weighted F1, kappa and ECE of out-of-fold probabilities.

    Parameters
    ----------
    probabilities
        `(parcel, class)`.
    truth
        `(parcel)` class index; -1 (a class that is not modelled, or unknown) is left out.
    groups
        `(parcel)` holding or block: drawn with replacement for the intervals.
    """
    known = truth >= 0
    probabilities, truth, groups = probabilities[known], truth[known], groups[known]
    n = int(known.sum())
    if n == 0:
        return dict.fromkeys([*METRICS, "ece"], Estimate(np.nan, np.nan, np.nan, 0))
    drawn = multiplicities(groups, rng, replicates)
    predicted, k = probabilities.argmax(1), probabilities.shape[1]
    whole, resampled = (
        confusion(truth, predicted, k),
        resampled_confusions(truth, predicted, groups, k, drawn),
    )
    found = {name: estimate(float(metric(whole)), metric(resampled), n) for name, metric in METRICS.items()}
    return found | {"ece": _ece_estimate(probabilities, truth, groups, drawn)}


def resampled_confusions(
    truth: np.ndarray, predicted: np.ndarray, groups: np.ndarray, n_classes: int, drawn: np.ndarray
) -> np.ndarray:
    """Confusion matrix of every replicate, `(replicate, class, class)`."""
    _, group = np.unique(groups, return_inverse=True)
    cells = csr_array(
        (np.ones(len(truth)), (group, truth * n_classes + predicted)), shape=(drawn.shape[1], n_classes**2)
    )
    return _resampled(cells, drawn).reshape(len(drawn), n_classes, n_classes)


def _resampled(cells: csr_array, drawn: np.ndarray) -> np.ndarray:
    """Return the sums of `cells (group, cell)` in every replicate, `(replicate, cell)`."""
    parts = [(cells.T @ drawn[part].T.astype(float)).T for part in _blocks(len(drawn))]
    return np.concatenate(parts)


def paired_difference(
    ours: np.ndarray,
    theirs: np.ndarray,
    truth: np.ndarray,
    groups: np.ndarray,
    rng: np.random.Generator,
    *,
    metric: Metric = macro_f1,
) -> Estimate:
    """Return the difference of a metric between two predictions of the same parcels; `ours`, `theirs`,
    `truth` (class indices) and `groups` are `(parcel,)`.
    """
    known = truth >= 0
    ours, theirs, truth, groups = ours[known], theirs[known], truth[known], groups[known]
    k = int(max(ours.max(), theirs.max(), truth.max())) + 1
    drawn = multiplicities(groups, rng)
    value = metric(confusion(truth, ours, k)) - metric(confusion(truth, theirs, k))
    resampled = [
        metric(resampled_confusions(truth, predicted, groups, k, drawn)) for predicted in (ours, theirs)
    ]
    return estimate(float(value), resampled[0] - resampled[1], int(known.sum()))


def ratio(hits: np.ndarray, weights: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> Estimate:
    """Weighted share of hits with an interval that follows the groups.

    Whole groups are drawn with replacement (percentile bootstrap over clusters: Davison & Hinkley 1997,
    section 3.8). Where fewer than FEW_GROUPS groups have a hit, or a thing that is none, the bootstrap knows
    too little of their spread (with one hit its lower end is 0, with none so is its upper end); then it is
    Clopper and Pearson's interval at the effective number of groups (Korn & Graubard 1998, Survey Methodology
    24), see `rare_share`.

    Parameters
    ----------
    hits, weights
        `(thing)`: whether it counts, and how much it weighs (1, or hectares).
    groups
        `(thing)` holding or block; things of one group may err together.
    """
    hits = hits.astype(bool)
    if not len(hits) or weights.sum() <= 0:
        return Estimate(np.nan, np.nan, np.nan, len(hits))
    _, group = np.unique(groups, return_inverse=True)
    hit, whole = np.bincount(group, weights * hits), np.bincount(group, weights)
    value = float(hit.sum() / whole.sum())
    if min((hit > 0).sum(), (hit < whole).sum()) < FEW_GROUPS:
        low, high = rare_share(hit, whole, weights.sum() ** 2 / (weights**2).sum())
        return Estimate(value, low, high, len(hits))
    drawn = multiplicities(groups, rng)
    return estimate(value, _divide(totals(drawn, hit), totals(drawn, whole)), len(hits))


def rare_share(hit: np.ndarray, whole: np.ndarray, most: float, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a share of which few groups, or none, have a hit: Korn and Graubard's (1998).

    Clopper and Pearson's interval of `share * m` hits in m things. The effective number m is
    `share (1 - share) / variance`, with the variance of the linearised ratio between groups (Cochran 1977,
    section 6.11), times the squared ratio of Student's quantiles of m and of the groups' degrees of freedom.
    Where the groups show no spread it is Kish's `(sum w)^2 / sum w^2` of the groups.

    Parameters
    ----------
    hit, whole
        `(group)` weight of the hits, and of all.
    most
        Things there are: m is no more.

    Examples
    --------
    >>> low, high = rare_share(np.zeros(50), np.ones(50), 50)
    >>> low, round(high, 3)  # 1 - 0.025 ** (1 / 50)
    (0.0, 0.071)
    """
    hit, whole = hit[whole > 0], whole[whole > 0]
    count, share = len(whole), hit.sum() / whole.sum()
    variance = count / max(count - 1, 1) * ((hit - share * whole) ** 2).sum() / whole.sum() ** 2
    if variance <= 0:
        return clopper_pearson(share, whole.sum() ** 2 / (whole**2).sum(), level)
    upper = 0.5 + level / 2
    freedom = (t.ppf(upper, max(most - 1, 1)) / t.ppf(upper, count - 1)) ** 2
    return clopper_pearson(share, min(share * (1 - share) / variance, most) * freedom, level)


def clopper_pearson(share: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Clopper and Pearson's interval (1934, Biometrika 26) of a share of n things; n need not be whole."""
    tail = (1 - level) / 2
    low = beta.ppf(tail, share * n, n - share * n + 1) if share > 0 else 0.0
    high = beta.ppf(1 - tail, share * n + 1, n - share * n) if share < 1 else 1.0
    return float(low), float(high)


def class_scores(
    truth: np.ndarray,
    predicted: np.ndarray,
    groups: np.ndarray,
    classes: Sequence[str],
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Return precision, recall and F1 of each class, schema CLASS_SCORES; `truth`, `predicted` (class
    indices) and `groups` are `(parcel,)`; n counts the truth.
    """
    k = len(classes)
    drawn = multiplicities(groups, rng)
    whole, resampled = (
        confusion(truth, predicted, k),
        resampled_confusions(truth, predicted, groups, k, drawn),
    )
    rows = []
    for name, metric in {"precision": precisions, "recall": recalls, "f1": f1_scores}.items():
        values, spread = metric(whole), metric(resampled)
        for index, crop_class in enumerate(classes):
            found = estimate(float(values[index]), spread[:, index], int(whole[index].sum()))
            rows.append({"crop_class": crop_class, "metric": name, **found.to_dict()})
    return pl.DataFrame(rows, schema=CLASS_SCORES)


CLASS_SCORES = pl.Schema(
    {
        "crop_class": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
    }
)


def precisions(matrix: np.ndarray) -> np.ndarray:
    """Share of what is predicted as a class that is of it, `(..., class)`; NaN where nothing is."""
    return _divide(np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-2))


def recalls(matrix: np.ndarray) -> np.ndarray:
    """Share of a class that is predicted as it, `(..., class)`; NaN where there is none of it."""
    return _divide(np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1))


def confusion_table(
    truth: np.ndarray, predicted: np.ndarray, area_ha: np.ndarray, classes: Sequence[str]
) -> pl.DataFrame:
    """Return confusion by count and hectares for every pair of classes, `truth, predicted, parcels,
    hectares`; the arrays are `(parcel,)`.
    """
    k = len(classes)
    count, area = confusion(truth, predicted, k), confusion(truth, predicted, k, area_ha)
    names = np.array(classes, dtype=object)
    return pl.DataFrame(
        {
            "truth": np.repeat(names, k).tolist(),
            "predicted": np.tile(names, k).tolist(),
            "parcels": count.ravel().astype(np.int64),
            "hectares": area.ravel(),
        },
        schema={"truth": pl.String, "predicted": pl.String, "parcels": pl.Int64, "hectares": pl.Float64},
    )


def _ece_estimate(
    probabilities: np.ndarray, truth: np.ndarray, groups: np.ndarray, drawn: np.ndarray, bins: int = 15
) -> Estimate:
    """ECE; its interval is centred on the estimate, for resampling adds to the gaps it measures."""
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == truth
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    _, group = np.unique(groups, return_inverse=True)
    shape = (drawn.shape[1], bins)
    gap = csr_array((confidence - hit, (group, which)), shape=shape)
    errors = np.abs(_resampled(gap, drawn)).sum(1) / np.maximum(totals(drawn, np.bincount(group)), 1)
    value = expected_calibration_error(probabilities, truth, bins)
    low, high = np.quantile(errors - np.median(errors), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, max(value + low, 0.0), value + high, len(truth))


def estimate(value: float, resampled: np.ndarray, n: int) -> Estimate:
    """Return a figure with the 95% interval of its replicates `(replicate,)`."""
    known = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or not len(known):
        return Estimate(value, np.nan, np.nan, n)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(min(low, value)), float(max(high, value)), n)


def _divide(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    top, bottom = np.asarray(top, float), np.asarray(bottom, float)
    undefined = np.full(np.broadcast_shapes(top.shape, bottom.shape), np.nan)
    return np.asarray(np.divide(top, bottom, out=undefined, where=bottom > 0))


def calibration_error(
    probabilities: np.ndarray, truth: np.ndarray, groups: np.ndarray, rng: np.random.Generator
) -> Estimate:
    """Return the expected calibration error with its interval; parameters as for `score_model`: `(parcel,
    class)` and `(parcel,)`.
    """
    known = truth >= 0
    if not known.any():
        return Estimate(np.nan, np.nan, np.nan, 0)
    return _ece_estimate(
        probabilities[known], truth[known], groups[known], multiplicities(groups[known], rng)
    )
