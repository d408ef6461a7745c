"""Declarations that may be wrong: found out of fold, recorded by parcel, and given less weight in training.

Two signals are looked for. Confident learning (Northcutt, Jiang and Chuang, 2021, JAIR 70): another class is
predicted with more probability than its own members have on average. Cluster outliers: the series lies far
from every cluster of its class and nearer to one of another. Both see a parcel only through models of the
other folds.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
import xarray as xr

from models.crops.estimators.by_name import build
from models.crops.fitting.options import LabelOptions
from models.crops.fitting.task import Sample
from models.crops.inputs.arrays import take
from models.crops.inputs.table import wide_table

SUSPECTS = pl.Schema(
    {
        "parcel_id": pl.String,
        "crop_class": pl.String,  # declared
        "suggested": pl.String,  # most probable other class
        "confidence": pl.Float64,  # probability of the declared class, out of fold
        "mislabel_score": pl.Float64,  # rank by this: higher is more doubtful
        "mislabelled": pl.Boolean,  # by confident learning
        "outlier": pl.Boolean,  # by clusters
        "weight": pl.Float64,  # that training gives the parcel
    }
)
COMPONENTS = 12  # principal components in which clusters are sought
CLUSTERS = 3  # of a class at most: a class is grown in several ways
FAR = 3.0  # robust standard deviations from the nearest cluster of one's own class


# The model that looks for suspects: small and quick, whatever the crop model's own settings are.
SUSPECT_MODEL: dict[str, object] = {
    "learning_rate": 0.15, "leaves": 8, "column_share": 0.2, "least_columns": 1, "summaries": False,
}  # fmt: skip


@dataclass(frozen=True)
class Signals:
    """What was seen of `n` parcels, out of fold."""

    probabilities: np.ndarray  # (n, k)
    outlier: np.ndarray  # (n,) bool


def find_suspects(
    series: xr.Dataset, y: np.ndarray, folds: np.ndarray, options: LabelOptions, seed: int
) -> pl.DataFrame:
    """Look for doubtful declarations among parcels that are all to be trained on.

    Parameters
    ----------
    y, folds
        `(n,)` classes and folds; with fewer than two folds no parcel is suspected.

    Returns
    -------
    pl.DataFrame
        Schema SUSPECTS, one row a parcel in the order of the series.
    """
    classes, codes = np.unique(np.asarray(y, str), return_inverse=True)
    signals = _signals(series, classes, codes, folds, options, seed)
    own = signals.probabilities[np.arange(len(codes)), codes]
    others = signals.probabilities.copy()
    others[np.arange(len(codes)), codes] = -1
    mislabel_score = others.max(1) - own + signals.outlier
    mislabelled = (
        confident_errors(signals.probabilities, codes)
        if len(np.unique(folds)) > 1
        else np.zeros(len(y), bool)
    )
    suspect = _capped(mislabelled | signals.outlier, mislabel_score, codes, options.most)
    weight = {"keep": 1.0, "weigh": options.weight, "drop": 0.0}[options.method]
    return pl.DataFrame(
        {
            "parcel_id": series["parcel"].values.astype(str),
            "crop_class": classes[codes],
            "suggested": classes[others.argmax(1)],
            "confidence": own,
            "mislabel_score": mislabel_score,
            "mislabelled": mislabelled,
            "outlier": signals.outlier,
            "weight": np.where(suspect, weight, 1.0),
        },
        schema=SUSPECTS,
    )


@dataclass(frozen=True, eq=False)
class SuspectUnit:
    """Parcels `rows (k,)` of the sample that are learned from without the folds `held`, with their classes
    and folds, among which wrong declarations are looked for.
    """

    held: tuple[int, ...]
    sample: Sample
    rows: np.ndarray
    y: np.ndarray
    folds: np.ndarray
    options: LabelOptions
    seed: int


def run_suspects(unit: SuspectUnit) -> tuple[tuple[int, ...], pl.DataFrame]:
    """Look for suspects as a work unit; return the folds left out and what was found."""
    found = find_suspects(unit.sample.take(unit.rows), unit.y, unit.folds, unit.options, unit.seed)
    return unit.held, found


def confident_errors(probabilities: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return `(n,)` bool: the off-diagonal members of the confident joint (Northcutt et al., 2021, equations
    1 and 2).

    A parcel is counted to the most probable of those classes whose probability reaches the mean that the
    class's declared members have; where that is not the declared one, the label is in mislabel_score.

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.05, 0.95]])
    >>> confident_errors(p, np.array([0, 0, 1, 1, 0])).tolist()
    [False, False, False, False, True]
    """
    k = probabilities.shape[1]
    threshold = np.array(
        [probabilities[codes == c, c].mean() if (codes == c).any() else np.inf for c in range(k)]
    )
    reached = np.where(probabilities >= threshold, probabilities, -1)
    return np.asarray((reached.max(1) >= 0) & (reached.argmax(1) != codes))


def _capped(suspect: np.ndarray, mislabel_score: np.ndarray, codes: np.ndarray, most: float) -> np.ndarray:
    """Keep at most the share `most` of each class, the most doubtful first."""
    kept = np.zeros_like(suspect)
    for code in np.unique(codes):
        members = np.flatnonzero(suspect & (codes == code))
        allowed = int(most * (codes == code).sum())
        kept[members[np.argsort(-mislabel_score[members], kind="stable")[:allowed]]] = True
    return kept


def _signals(
    series: xr.Dataset,
    classes: np.ndarray,
    codes: np.ndarray,
    folds: np.ndarray,
    options: LabelOptions,
    seed: int,
) -> Signals:
    probabilities = np.full((len(codes), len(classes)), 1 / len(classes))
    outlier = np.zeros(len(codes), bool)
    points = _components(wide_table(series, summaries=False), seed)
    for fold in np.unique(folds):
        held, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if len(np.unique(codes[rest])) < 2:
            continue
        model = build("lightgbm", rounds=options.rounds, **SUSPECT_MODEL, threads=1, seed=seed)
        model.fit(take(series, rest), classes[codes[rest]])
        probabilities[held] = 0
        probabilities[np.ix_(held, np.searchsorted(classes, model.classes_))] = model.predict_proba(
            take(series, held)
        )
        if options.outliers:
            outlier[held] = _outliers(points, codes, rest, held, seed)
    return Signals(probabilities, outlier)


def _components(table: np.ndarray, seed: int) -> np.ndarray:
    """Return principal components of the standardised table, unknown values at their column's mean."""
    from sklearn.decomposition import PCA

    known = np.isfinite(table)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, table, 0).sum(0) / count
    centred = np.where(known, table - mean, 0)
    deviation = np.sqrt((centred**2).sum(0) / count)
    scaled = np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)
    width = min(COMPONENTS, *scaled.shape)
    return np.asarray(PCA(width, random_state=seed, svd_solver="randomized").fit_transform(scaled))


def _outliers(
    points: np.ndarray, codes: np.ndarray, rest: np.ndarray, held: np.ndarray, seed: int
) -> np.ndarray:
    """Return whether each held parcel is far from its class's clusters and nearer to another class's."""
    from sklearn.cluster import KMeans

    near = np.full((len(held), codes.max() + 1), np.inf)
    limit = np.full(codes.max() + 1, np.inf)
    for code in np.unique(codes[rest]):
        members = points[rest[codes[rest] == code]]
        clusters = max(min(CLUSTERS, len(members) // 20), 1)
        centres = KMeans(clusters, n_init=2, random_state=seed).fit(members)
        own = centres.transform(members).min(1)
        middle = np.median(own)
        limit[code] = middle + FAR * 1.4826 * np.median(np.abs(own - middle))
        near[:, code] = centres.transform(points[held]).min(1)
    own = near[np.arange(len(held)), codes[held]]
    return np.asarray((own > limit[codes[held]]) & (near.argmin(1) != codes[held]))


def recall_precision_at(mislabel_score: np.ndarray, wrong: np.ndarray, k: int) -> tuple[float, float]:
    """Return recall and precision of the `k` most doubtful parcels against the truly wrong; both `(parcel,)`.

    Examples
    --------
    >>> recall_precision_at(np.array([0.9, 0.1, 0.8, 0.2]), np.array([True, True, False, False]), 2)
    (0.5, 0.5)
    """
    top = np.argsort(-mislabel_score, kind="stable")[:k]
    hits = int(wrong[top].sum())
    return hits / max(int(wrong.sum()), 1), hits / max(k, 1)
