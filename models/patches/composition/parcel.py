"""The composition of one parcel, from the chances of its pixels."""

from dataclasses import dataclass

import numpy as np

from models.patches.composition.clusters import cluster_sizes
from models.patches.composition.sides import two_sides
from models.patches.inputs.labels import ParcelPixels
from models.patches.options import CompositionOptions

LEAST_CHANCE = 0.01  # below, a chance says no more
NONE = -1
OUTSIDE = 1e-3  # of a pixel, outside the inner buffer


@dataclass(frozen=True)
class Part:
    """What one class takes of a parcel.

    Attributes
    ----------
    share
        Of the parcel's area.
    clusters
        Sizes of its clusters that count.
    odds
        `(class,)`: mean log-odds of this class against every other over its pixels.
    """

    number: int
    share: float
    pixels: int
    clusters: tuple[int, ...]
    odds: tuple[float, ...] = ()

    def speaks_against(self, accepted: set[int], least: float) -> bool:
        """Say whether its pixels are no class of `accepted`, with mean log-odds of at least `least`."""
        return self.number not in accepted and all(self.odds[other] >= least for other in accepted)


@dataclass(frozen=True)
class Parcel:
    """The composition of a parcel.

    Attributes
    ----------
    parts
        Largest share first; shares sum to one where any pixel was seen.
    pixels
        Whole pixels within the outline's inner buffer or on its border that were seen.
    seen
        Share of the parcel's area that was seen.
    classes
        Class `(pixel,)` after small clusters were taken for the classes around them; -1 where not seen.
    """

    parts: tuple[Part, ...]
    pixels: int
    seen: float
    classes: np.ndarray

    @property
    def clusters(self) -> int:
        """Clusters that count, of all classes: more than one means that the outline holds several fields."""
        return sum(len(part.clusters) for part in self.parts)

    def heterogeneous(self, options: CompositionOptions) -> bool:
        """Say whether the largest class holds between two shares, and another has a cluster that counts."""
        counted = [part for part in self.parts if part.clusters]
        if self.pixels < options.least_pixels or len(counted) < 2:
            return False
        return options.least_share <= self.parts[0].share <= options.most_share

    def share_without(self, accepted: set[int], least: float) -> float:
        """Return the share of the area whose pixels contradict all `accepted` classes."""
        return float(sum(part.share for part in self.parts if part.speaks_against(accepted, least)))


def compose(
    pixels: ParcelPixels,
    chances: np.ndarray,
    options: CompositionOptions,
    seen: np.ndarray | None = None,
) -> Parcel:
    """Return the composition of the parcel that `pixels` are of.

    Pixels outside the inner buffer count `options.border_weight` of their area. A class counts where it has a
    cluster of at least `options.least_cluster` pixels that differ from the parcel's main class, by the
    chances of either side and by what was seen; other pixels go to the likeliest class that counts.
    Where that leaves one crop, the two sides that look least alike get their classes as wholes: single pixels
    of one field may be taken for the crop of the other.

    Parameters
    ----------
    chances
        `(pixel, class)`; NaN where a pixel was not seen.
    seen
        Reflectance `(pixel, step * band)`; without it, chances alone decide.
    """
    weight = options.border_weight * pixels.share + (1 - options.border_weight) * pixels.inner
    known = np.isfinite(chances).all(axis=1)
    if not known.any() or not (weight[known] > 0).any():
        return Parcel((), 0, 0.0, np.full(len(pixels), NONE))
    chances = np.nan_to_num(chances)
    whole = known & (pixels.share >= 0.5)
    likely = np.where(known, chances.argmax(axis=1), NONE)
    main = int((chances * weight[:, None]).sum(axis=0).argmax())
    inside = whole & (pixels.inner >= 1 - OUTSIDE)
    kept = [main]
    size_at, _ = _sizes(pixels, np.where(whole, likely, NONE), options.neighbours)
    large = size_at >= options.least_cluster
    for number in np.unique(likely[large & whole]).tolist():
        mine, others = inside & large & (likely == number), inside & (likely == main)
        if number != main and _differ(chances, seen, (mine, number), (others, main), options):
            kept.append(number)
    classes = np.where(known, np.array(kept)[chances[:, kept].argmax(axis=1)], NONE)
    found = _composed(pixels, chances, classes, weight, options)
    if seen is None or found.heterogeneous(options):
        return found
    by_side = _by_side(pixels, chances, seen, inside & known, options)
    if by_side is None:
        return found
    other = _composed(pixels, chances, np.where(known, by_side, NONE), weight, options)
    return other if other.heterogeneous(options) else found


def _composed(
    pixels: ParcelPixels,
    chances: np.ndarray,
    classes: np.ndarray,
    weight: np.ndarray,
    options: CompositionOptions,
) -> Parcel:
    """Return the composition of a parcel whose pixels have `classes`, NONE where not seen."""
    known = classes != NONE
    whole = known & (pixels.share >= 0.5)
    total, found = float(weight.sum()), float(weight[known].sum())
    sizes = _sizes(pixels, np.where(whole, classes, NONE), options.neighbours)[1]
    parts = [
        Part(
            number,
            float(weight[classes == number].sum()) / found,
            int((whole & (classes == number)).sum()),
            tuple(size for size in sizes.get(number, []) if size >= options.least_cluster),
            _odds(chances[classes == number], number),
        )
        for number in np.unique(classes[known]).tolist()
    ]
    parts.sort(key=lambda part: (-part.share, part.number))
    some = tuple(part for part in parts if part.share > 0)
    return Parcel(some, int(whole.sum()), found / total if total else 0.0, classes)


def _by_side(
    pixels: ParcelPixels,
    chances: np.ndarray,
    seen: np.ndarray,
    inside: np.ndarray,
    options: CompositionOptions,
) -> np.ndarray | None:
    """Return the class of each pixel `(pixel,)` by the side that it lies on; None where the parcel has no two
    sides that look different and have different classes."""
    level = np.log(np.maximum(chances, LEAST_CHANCE))
    if not _may_hold_another(level[inside], options.least_cluster):
        return None
    side = two_sides(pixels.row, pixels.column, inside, seen, options.least_cluster)
    if side is None:
        return None
    first, second = inside & side, inside & ~side
    one, other = level[first].mean(axis=0), level[second].mean(axis=0)
    number, main = int(one.argmax()), int(other.argmax())
    if number == main or min(one[number] - one[main], other[main] - other[number]) < options.side_evidence:
        return None
    if contrast(seen[first], seen[second]) < options.side_contrast:
        return None
    return np.where(side, number, main)


def _may_hold_another(level: np.ndarray, least: int) -> bool:
    """Say whether any `least` pixels of logarithms of chances `(pixel, class)` are likelier on average of
    another class than of the one that is likeliest for all: a side of another class has such pixels."""
    if len(level) < 2 * least:
        return False
    odds = level - level[:, [int(level.sum(axis=0).argmax())]]
    best = np.partition(odds, len(odds) - least, axis=0)[len(odds) - least :].mean(axis=0)
    return bool((best >= 0).sum() > 1)


def _odds(chances: np.ndarray, number: int) -> tuple[float, ...]:
    """Return `(class,)`: mean log-odds of a class against every other over pixels `(pixel, class)`."""
    if not len(chances):
        return (0.0,) * int(chances.shape[1])
    level: np.ndarray = np.log(np.maximum(chances, LEAST_CHANCE)).mean(axis=0)
    return tuple(float(level[number] - other) for other in level)


Side = tuple[np.ndarray, int]  # pixels `(pixel,)` bool, and their class


def _differ(
    chances: np.ndarray, seen: np.ndarray | None, first: Side, second: Side, options: CompositionOptions
) -> bool:
    """Say whether two sides of a parcel are two crops, and not one that the model cannot name."""
    (mine, number), (others, main) = first, second
    if not mine.any() or not others.any():
        return False
    odds = np.log(np.maximum(chances[:, number], LEAST_CHANCE) / np.maximum(chances[:, main], LEAST_CHANCE))
    if min(odds[mine].mean(), -odds[others].mean()) < options.least_evidence:
        return False
    return seen is None or contrast(seen[mine], seen[others]) >= options.least_contrast


def contrast(first: np.ndarray, second: np.ndarray) -> float:
    """Return how far two sets of pixels `(pixel, value)` lie apart: the difference of their means in standard
    deviations within them, root mean square over the values.

    Examples
    --------
    >>> contrast(np.array([[0.0], [2.0]]), np.array([[4.0], [6.0]]))
    4.0
    """
    n, m = len(first), len(second)
    within = np.sqrt((n * first.var(axis=0) + m * second.var(axis=0)) / (n + m))
    apart = first.mean(axis=0) - second.mean(axis=0)
    ratio = np.divide(apart, within, out=np.zeros_like(apart), where=within > 0)
    return float(np.sqrt(np.mean(ratio**2)))


def _sizes(
    pixels: ParcelPixels, classes: np.ndarray, neighbours: int
) -> tuple[np.ndarray, dict[int, list[int]]]:
    """Return the size of each pixel's cluster `(pixel,)`, and the sizes by class."""
    top, left = pixels.row.min(), pixels.column.min()
    raster = np.full((pixels.row.max() - top + 1, pixels.column.max() - left + 1), NONE)
    raster[pixels.row - top, pixels.column - left] = classes
    size_at, sizes = cluster_sizes(raster, neighbours)
    return size_at[pixels.row - top, pixels.column - left], sizes
