"""Declarations as labels of pixels: inside the inner buffer the declared class, at borders unknown."""

from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely
from odc.geo.geobox import GeoBox

from features.zonal.coverage import FULL, Coverage, coverage_of

UNKNOWN = -1
OVERLAP = 1e-3  # coverage by a second parcel from which a pixel belongs to nobody


@dataclass(frozen=True)
class ParcelPixels:
    """Pixels that parcels cover, arrays `(pixel,)`, grouped by parcel.

    Attributes
    ----------
    parcel
        Row of the parcel in the table.
    row, column
        Place in the block.
    share
        Of the pixel that lies within the outline.
    inner
        Of the pixel that lies within the outline's inner buffer.
    """

    parcel: np.ndarray
    row: np.ndarray
    column: np.ndarray
    share: np.ndarray
    inner: np.ndarray

    def __len__(self) -> int:
        return len(self.parcel)

    def take(self, which: np.ndarray) -> "ParcelPixels":
        """Return some of the pixels, by number `(n)` or by a bool `(pixel)`."""
        return ParcelPixels(
            self.parcel[which], self.row[which], self.column[which], self.share[which], self.inner[which]
        )


@dataclass(frozen=True)
class Labels:
    """Labels of one block, `(y, x)`; -1 where unknown.

    Attributes
    ----------
    parcel
        Row of the parcel whose inner buffer holds the whole pixel.
    label
        Number of its declared class.
    second
        Number of the class that it declares beside that.
    fold
        Its fold.
    """

    parcel: np.ndarray
    label: np.ndarray
    second: np.ndarray
    fold: np.ndarray

    def without(self, fold: int | None) -> np.ndarray:
        """Return the classes `(y, x)` that a model without `fold` may learn; None: all."""
        return self.label if fold is None else np.where(self.fold == fold, UNKNOWN, self.label)


def pixels_of(shapes: np.ndarray, grid: GeoBox, buffer_m: float) -> ParcelPixels:
    """Return the pixels of a grid that outlines `(parcel,)` cover, in the grid's CRS, metric."""
    ids = [str(k) for k in range(len(shapes))]
    outer = _expanded(coverage_of(gpd.GeoSeries(shapes), ids, grid))
    shrunk = shapely.buffer(shapes, -buffer_m) if buffer_m else shapes
    inside = _expanded(coverage_of(gpd.GeoSeries(shrunk), ids, grid))
    inner = np.zeros(len(outer[0]), np.float32)
    width = grid.shape[1]
    keys, wanted = (
        (parcel.astype(np.int64) * grid.shape[0] + row) * width + column
        for parcel, row, column, _ in (outer, inside)
    )
    order = np.argsort(keys, kind="stable")
    at = np.searchsorted(keys[order], wanted)
    usable = at < len(keys)
    usable[usable] = keys[order][at[usable]] == wanted[usable]
    inner[order[at[usable]]] = inside[3][usable]
    return ParcelPixels(*outer[:3], outer[3], inner)


def _expanded(coverage: Coverage) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return parcel, row, column and weight of every covered pixel."""
    lengths = coverage.lengths.astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    row = np.repeat(coverage.rows.astype(np.int64), lengths)
    column = np.repeat(coverage.columns.astype(np.int64) - starts, lengths) + np.arange(lengths.sum())
    parcel = np.repeat(np.arange(len(coverage)), np.diff(coverage.offsets))
    return parcel, row, column, coverage.weights


def labels_of(
    pixels: ParcelPixels,
    shape: Sequence[int],
    classes: np.ndarray,
    second: np.ndarray,
    folds: np.ndarray,
) -> Labels:
    """Label every pixel of a block that lies whole within one parcel's inner buffer.

    Parameters
    ----------
    classes, second, folds
        `(parcel,)`; -1 where a parcel has no class, no second one, or teaches nothing.
    """
    if not len(classes):
        return Labels(*(np.full(shape, UNKNOWN, kind) for kind in (np.int32, np.int16, np.int16, np.int16)))
    height, width = shape
    owner = np.full((height, width), UNKNOWN, np.int32)
    full = pixels.inner >= FULL
    owner[pixels.row[full], pixels.column[full]] = pixels.parcel[full]
    claims = np.zeros((height, width), np.int16)
    np.add.at(claims, (pixels.row, pixels.column), pixels.share > OVERLAP)
    owner[claims > 1] = UNKNOWN
    fields = (classes, second, folds)
    teaches = (owner >= 0) & (folds >= 0)[owner] & (classes >= 0)[owner]
    return Labels(owner, *(np.where(teaches, of[owner], UNKNOWN).astype(np.int16) for of in fields))
