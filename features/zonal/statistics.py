"""Statistics as data: what each gathers from pixels, how two parts combine, and how it finishes.

Every statistic is weighted by coverage, the fraction of a pixel that lies in the parcel, over unmasked
pixels.

- `mean`, `std`: weighted mean and population standard deviation, as in exactextract.
- `min`, `max`: of the pixels with any coverage.
- `p25`, `median`, `p75`: weighted quantiles. Sort the n pixels by value; pixel k (from 0) of weight w_k
  stands at s_k = k w_k + (n - 1) (w_0 + ... + w_{k-1}); the quantile q lies at q (n - 1) (w_0 + ... +
  w_{n-1}) and is interpolated linearly between the two pixels around it. With equal weights this is NumPy's
  default quantile. Pixels of one value share their weight equally, so that the order they are met in cannot
  matter.

exactextract places pixels by the same formula and so gives the same quantiles wherever no two pixels have one
value, as in float rasters. In integer rasters it first merges pixels of one value into one of their summed
weight, which takes n to be the number of distinct values and moves the quantile towards rare values, and it
truncates the result to an integer. Neither is done here: ten pixels of value 1 beside one of value 9 have a
median of 1, and the median of 1 and 2 is 1.5.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from features.zonal.kernels import COUNT, HIGHEST, LOWEST, MEAN, MOMENTS, SQUARES, WEIGHT, summarise_line


@dataclass(frozen=True)
class Statistic:
    """One statistic of a parcel's pixels.

    `finish` takes moments (parcel, MOMENTS) or, where `quantile` is set, that quantile of the samples
    (parcel,). `is_spread`: an offset added to every pixel does not change it.
    """

    name: str
    gathers: str  # "moments": combined from sums; "samples": needs the pixels themselves
    finish: Callable[[np.ndarray], np.ndarray]
    quantile: float | None = None
    is_spread: bool = False


def _column(index: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda moments: moments[:, index]


def _deviation(moments: np.ndarray) -> np.ndarray:
    weight = moments[:, WEIGHT]
    empty = np.full(len(weight), np.nan)
    return np.asarray(np.sqrt(np.divide(moments[:, SQUARES], weight, out=empty, where=weight > 0)))


def _same(answers: np.ndarray) -> np.ndarray:
    return answers


STATISTICS: dict[str, Statistic] = {
    statistic.name: statistic
    for statistic in (
        Statistic("mean", "moments", _column(MEAN)),
        Statistic("std", "moments", _deviation, is_spread=True),
        Statistic("min", "moments", _column(LOWEST)),
        Statistic("max", "moments", _column(HIGHEST)),
        Statistic("p25", "samples", _same, quantile=0.25),
        Statistic("median", "samples", _same, quantile=0.5),
        Statistic("p75", "samples", _same, quantile=0.75),
    )
}


@dataclass(frozen=True)
class Part:
    """What some pixels of a list of parcels give: sums always, the pixels themselves where quantiles are
    wanted.

    `moments` is float64 (parcel, MOMENTS), `answers` (parcel, quantile). `values` and `weights` are
    float32 lines; parcel i owns `offsets[i]:offsets[i + 1]`.
    """

    moments: np.ndarray
    answers: np.ndarray
    values: np.ndarray | None = None
    weights: np.ndarray | None = None
    offsets: np.ndarray | None = None

    @property
    def weight(self) -> np.ndarray:
        """Summed coverage of the usable pixels, float64 (parcel,)."""
        return np.asarray(self.moments[:, WEIGHT])

    def split(self, first: np.ndarray, owners: np.ndarray) -> tuple["Owned", "Owned"]:
        """Return the parcels where `first (parcel,)` is True, and the others with their samples, each with
        its `owners (parcel,)`.
        """
        chosen, others = np.flatnonzero(first), np.flatnonzero(~first)
        whole = Part(self.moments[chosen], self.answers[chosen])
        if self.values is None or self.weights is None or self.offsets is None:
            return (owners[chosen], whole), (owners[others], Part(self.moments[others], self.answers[others]))
        at, offsets = ranges(self.offsets, others)
        cut = Part(self.moments[others], self.answers[others], self.values[at], self.weights[at], offsets)
        return (owners[chosen], whole), (owners[others], cut)

    def without_samples_of(self, parcels: np.ndarray) -> "Part":
        """Return the part without the pixels of some `parcels (parcel,)`, bool, that need no further
        combination.
        """
        if self.values is None or self.weights is None or self.offsets is None:
            return self
        sizes = np.where(parcels, 0, np.diff(self.offsets))
        kept = np.repeat(~parcels, np.diff(self.offsets))
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        return Part(self.moments, self.answers, self.values[kept], self.weights[kept], offsets)


Owned = tuple[np.ndarray, Part]  # which parcels, and what some pixels of them give


def ranges(bounds: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the chosen ranges `bounds[i]:bounds[i + 1]`, `chosen (n,)`, one after another,
    and their new bounds `(n + 1,)`.

    Examples
    --------
    >>> at, bounds = ranges(np.array([0, 2, 5, 6]), np.array([0, 2]))
    >>> at.tolist(), bounds.tolist()
    ([0, 1, 5], [0, 2, 3])
    """
    sizes = bounds[chosen + 1] - bounds[chosen]
    ends = np.concatenate([[0], np.cumsum(sizes)])
    return np.repeat(bounds[chosen] - ends[:-1], sizes) + np.arange(ends[-1]), ends


def quantiles_of(statistics: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the quantiles that the statistics need, `(quantile,)`, and the normal deviate of each (where its
    search starts).
    """
    from scipy.special import ndtri  # its import takes longer than a small check

    wanted = [STATISTICS[name].quantile for name in statistics]
    quantiles = np.array([quantile for quantile in wanted if quantile is not None], dtype=np.float64)
    return quantiles, ndtri(quantiles)


def combine_moments(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return moments `(parcel, MOMENTS)` of the union of two disjoint sets of pixels, parcel by parcel.

    Chan, Golub and LeVeque (1979), Updating formulae and a pairwise algorithm for computing sample variances,
    Stanford STAN-CS-79-773, equation 1.5 with weights for counts.
    """
    weight = one[:, WEIGHT] + two[:, WEIGHT]
    both = (one[:, WEIGHT] > 0) & (two[:, WEIGHT] > 0)
    share = np.divide(two[:, WEIGHT], weight, out=np.zeros(len(weight)), where=weight > 0)
    away = np.where(both, two[:, MEAN] - one[:, MEAN], 0.0)
    first = np.where(one[:, WEIGHT] > 0, one[:, MEAN], two[:, MEAN])
    out = np.empty((len(weight), MOMENTS))
    out[:, WEIGHT] = weight
    out[:, COUNT] = one[:, COUNT] + two[:, COUNT]
    out[:, MEAN] = first + away * share
    squares = np.nan_to_num(one[:, SQUARES]) + np.nan_to_num(two[:, SQUARES])
    out[:, SQUARES] = np.where(weight > 0, squares + away**2 * one[:, WEIGHT] * share, np.nan)
    out[:, LOWEST] = np.fmin(one[:, LOWEST], two[:, LOWEST])
    out[:, HIGHEST] = np.fmax(one[:, HIGHEST], two[:, HIGHEST])
    return out


def empty_part(n: int, statistics: Sequence[str]) -> Part:
    """The part of n parcels of which no pixel was usable."""
    part = Part(np.full((n, MOMENTS), np.nan), np.full((n, len(quantiles_of(statistics)[0])), np.nan))
    part.moments[:, [WEIGHT, COUNT]] = 0.0
    return part


def combine(parts: Sequence[Owned], statistics: Sequence[str], n: int) -> Part:
    """Statistics of n parcels from any number of disjoint sets of their pixels.

    Raises
    ------
    ValueError
        Where a statistic needs the pixels of a parcel that stands in several parts, and one does not
        carry them.
    """
    out = empty_part(n, statistics)
    seen = np.bincount(
        np.concatenate([owners for owners, _ in parts] or [np.zeros(0, np.int64)]), minlength=n
    )
    shared: list[Owned] = []
    for owners, part in parts:
        alone, together = part.split(seen[owners] == 1, owners)
        out.moments[alone[0]], out.answers[alone[0]] = alone[1].moments, alone[1].answers
        if len(together[0]):
            shared.append(together)
    for owners, part in shared:
        out.moments[owners] = combine_moments(out.moments[owners], part.moments)
    if shared and out.answers.shape[1]:
        _requantile(out, shared, statistics)
    return out


def _requantile(out: Part, shared: Sequence[Owned], statistics: Sequence[str]) -> None:
    """Quantiles of parcels that stand in several parts, from all their pixels."""
    if any(part.values is None for _, part in shared):
        raise ValueError("Quantiles are combined from the pixels themselves; make the parts with samples.")
    sizes = [np.diff(np.asarray(part.offsets)) for _, part in shared]
    owner = np.concatenate([np.repeat(owners, n) for (owners, _), n in zip(shared, sizes, strict=True)])
    order = np.argsort(owner, kind="stable")
    values = np.concatenate([np.asarray(part.values) for _, part in shared])[order]
    weights = np.concatenate([np.asarray(part.weights) for _, part in shared])[order]
    parcels, counts = np.unique(owner, return_counts=True)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    quantiles, scores = quantiles_of(statistics)
    moments, answers = np.empty((len(parcels), MOMENTS)), np.empty((len(parcels), len(quantiles)))
    summarise_line(values, weights, offsets, np.float32(np.nan), quantiles, scores, moments, answers)
    out.answers[parcels] = answers


def finish(part: Part, statistics: Sequence[str], scale: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """Statistics in physical units, raw * scale + offset; float64 (parcel, statistic), NaN where no
    pixel was usable.

    Raises
    ------
    ValueError
        Where scale is not above zero: extremes and quantiles would change places.
    """
    if scale <= 0:
        raise ValueError(f"A scale of {scale} turns minima into maxima; convert the pixels first.")
    out = np.empty((len(part.moments), len(statistics)))
    at = 0
    for k, name in enumerate(statistics):
        statistic = STATISTICS[name]
        source = part.moments if statistic.quantile is None else part.answers[:, at]
        at += statistic.quantile is not None
        out[:, k] = statistic.finish(source) * scale + (0.0 if statistic.is_spread else offset)
    return out
