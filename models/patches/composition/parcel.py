"""The composition of one parcel, from the chances of its pixels."""

from dataclasses import dataclass

import numpy as np

from models.patches.composition.clusters import cluster_sizes
from models.patches.inputs.labels import ParcelPixels
from models.patches.options import CompositionOptions

LEAST_CHANCE = 0.01  # below, a chance says no more
NONE = -1


@dataclass(frozen=True)
class Part:
    """What one class takes of a parcel: share of its area, pixels, and sizes of its clusters that count."""

    number: int
    share: float
    pixels: int
    clusters: tuple[int, ...]


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
        """How many clusters count, of all classes: more than one means that the outline holds several fields."""
        return sum(len(part.clusters) for part in self.parts)

    def heterogeneous(self, options: CompositionOptions) -> bool:
        """Say whether the largest class holds between the two shares, and another has a cluster that counts."""
        counted = [part for part in self.parts if part.clusters]
        if self.pixels < options.least_pixels or len(counted) < 2:
            return False
        return options.least_share <= self.parts[0].share <= options.most_share

    def share_without(self, accepted: set[int]) -> float:
        """Return the share of the area that grows none of the `accepted` classes."""
        return float(sum(part.share for part in self.parts if part.number not in accepted))


def compose(pixels: ParcelPixels, chances: np.ndarray, options: CompositionOptions) -> Parcel:
    """Return the composition of the parcel that `pixels` are of.

    Pixels outside the inner buffer count `options.border_weight` of their area. A class counts where it has a
    cluster of at least `options.least_cluster` pixels and its pixels speak against the parcel's main class;
    pixels of others go to the likeliest of those that do.

    Parameters
    ----------
    chances
        `(pixel, class)`; NaN where a pixel was not seen.
    """
    weight = options.border_weight * pixels.share + (1 - options.border_weight) * pixels.inner
    known = np.isfinite(chances).all(axis=1)
    total = float(weight.sum())
    if not known.any() or not (weight[known] > 0).any():
        return Parcel((), 0, 0.0, np.full(len(pixels), NONE))
    whole = known & (pixels.share >= 0.5)
    likely = np.where(known, np.nan_to_num(chances).argmax(axis=1), NONE)
    main = int((np.nan_to_num(chances) * weight[:, None]).sum(axis=0).argmax())
    kept = _counted(pixels, np.where(whole, likely, NONE), chances, main, options)
    classes = np.where(known, np.array(kept)[np.nan_to_num(chances)[:, kept].argmax(axis=1)], NONE)
    sizes = _sizes(pixels, np.where(whole, classes, NONE), options.neighbours)[1]
    seen = float(weight[known].sum())
    parts = [
        Part(
            number,
            float(weight[classes == number].sum()) / seen,
            int((whole & (classes == number)).sum()),
            tuple(size for size in sizes.get(number, []) if size >= options.least_cluster),
        )
        for number in kept
    ]
    parts.sort(key=lambda part: (-part.share, part.number))
    found = tuple(part for part in parts if part.share > 0)
    return Parcel(found, int(whole.sum()), seen / total if total else 0.0, classes)


def _counted(
    pixels: ParcelPixels, likely: np.ndarray, chances: np.ndarray, main: int, options: CompositionOptions
) -> list[int]:
    """Return the main class and those that have a cluster and evidence of their own."""
    size_at, _ = _sizes(pixels, likely, options.neighbours)
    large = size_at >= options.least_cluster
    odds = np.log(np.maximum(chances, LEAST_CHANCE))
    kept = [main]
    for number in np.unique(likely[large & (likely >= 0)]).tolist():
        mine = large & (likely == number)
        if number != main and np.mean(odds[mine, number] - odds[mine, main]) >= options.least_evidence:
            kept.append(number)
    return kept


def _sizes(
    pixels: ParcelPixels, classes: np.ndarray, neighbours: int
) -> tuple[np.ndarray, dict[int, list[int]]]:
    """Return the size of each pixel's cluster `(pixel,)`, and the sizes by class."""
    top, left = pixels.row.min(), pixels.column.min()
    raster = np.full((pixels.row.max() - top + 1, pixels.column.max() - left + 1), NONE)
    raster[pixels.row - top, pixels.column - left] = classes
    size_at, sizes = cluster_sizes(raster, neighbours)
    return size_at[pixels.row - top, pixels.column - left], sizes
