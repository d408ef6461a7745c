"""What pixels of parcels go by: their own clear looks of the season, and the rest from their parcel."""

from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl
from odc.geo.geobox import GeoBox

from features.errors import ImageryError
from features.imagery.blocks import Block
from features.imagery.grids import crop, pixel_metres
from features.imagery.masks import MaskOptions, radii
from features.imagery.stacks import read_stack
from features.schema import ACQUISITIONS, Acquisition
from models.forecast.history import History, Looks, no_looks
from models.patches.inputs.labels import pixels_of

NO_PARCEL = -1  # owner of a pixel of no parcel
LEAST_SHARE = 0.5  # of a pixel that parcels cover
RED, INFRARED = "B04", "B08"


@dataclass(frozen=True)
class Imagery:
    """The optical acquisitions of one tile that are read, and how they are masked."""

    rows: tuple[Acquisition, ...]
    grid: GeoBox
    mask: MaskOptions

    @cached_property
    def margin_px(self) -> int:
        """How far around a block is read: clouds there are grown into it."""
        return max(radii(self.mask, pixel_metres(self.grid)))

    def looks(self, place: Block) -> tuple[list[date], np.ndarray]:
        """Return days, rising, and NDVI `(day, y, x)` float32 of a block's clear pixels, NaN elsewhere.

        Several acquisitions of a day are averaged. Those that cannot be read are left out.
        """
        wide = place.widened(self.margin_px, self.grid.shape)
        failed: dict[str, ImageryError] = {}
        table = pl.DataFrame(list(self.rows), schema=ACQUISITIONS)
        stack = read_stack(table, crop(self.grid, wide), (RED, INFRARED), self.mask, (), failed)
        inner = place.within(wide).slices
        red, infrared = (stack["reflectance"].values[:, k, *inner] for k in range(2))
        value = np.where(stack["clear"].values[:, *inner], ndvi_of(red, infrared), np.nan)
        frames = stack["time"].values.astype("datetime64[D]")
        days = np.unique(frames)
        seen = np.isfinite(value)
        out = np.full((len(days), *value.shape[1:]), np.nan, np.float32)
        for k, day in enumerate(days):
            own = frames == day
            n = seen[own].sum(0)
            total = np.where(seen[own], value[own], 0).sum(0)
            np.divide(total, n, out=out[k], where=n > 0)
        return days.tolist(), out


def ndvi_of(red: np.ndarray, infrared: np.ndarray) -> np.ndarray:
    """Return NDVI of reflectances, of their shape; NaN where their sum is not above 0, or the result is
    beyond -1 to 1.

    Examples
    --------
    >>> ndvi_of(np.array([0.1, 0.0, -0.2]), np.array([0.3, 0.0, 0.4])).round(2)
    array([0.5, nan, nan])
    """
    total = red + infrared
    out = np.divide(infrared - red, total, out=np.full_like(total, np.nan), where=total > 0)
    return np.asarray(np.where(np.abs(out) <= 1, out, np.nan))


def owners(shapes: np.ndarray, grid: GeoBox) -> np.ndarray:
    """Return `(y, x)` which of the outlines `(parcel,)`, in the grid's CRS, covers most of a pixel, where all
    together cover half of it; NO_PARCEL elsewhere.
    """
    owner, covered = np.full(grid.shape, NO_PARCEL, np.int32), np.zeros(grid.shape, np.float32)
    if len(shapes):
        pixels = pixels_of(shapes, grid, 0.0)
        order = np.argsort(pixels.share, kind="stable")  # the largest share is written last
        owner[pixels.row[order], pixels.column[order]] = pixels.parcel[order]
        np.add.at(covered, (pixels.row, pixels.column), pixels.share)
    return np.where(covered >= LEAST_SHARE, owner, NO_PARCEL)


def looks_of(days: np.ndarray, ndvi: np.ndarray) -> Looks:
    """Lay NDVI `(day, pixel)`, NaN where not seen, out as looks of pixels on `days (day,)`, rising.

    Examples
    --------
    >>> looks = looks_of(np.array([10, 20]), np.array([[0.1, np.nan], [0.2, 0.3]]))
    >>> looks.first.tolist(), looks.day.tolist()
    ([0, 2, 3], [10, 20, 20])
    """
    pixel, at = np.nonzero(np.isfinite(ndvi).T)
    counts = np.bincount(pixel, minlength=ndvi.shape[1])
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Looks(first, np.asarray(days, np.int32)[at], ndvi[at, pixel].astype(np.float32))


def pixel_history(parcels: History, owner: np.ndarray, own: Looks, since: int) -> History:
    """Return pixels as a history: looks from day `since` on are their own, earlier ones their parcel's.

    Crop, radar, soil, weather and land-surface products are those of the parcel: speckle and coarse pixels
    say nothing of a single pixel of 10 m.

    Parameters
    ----------
    owner
        `(pixel,)` row of its parcel.
    own
        Looks of the pixels from `since` on.
    """
    before = parcels.ndvi.where(parcels.ndvi.day < since).take(owner)
    shared = replace(parcels, ndvi=no_looks(len(parcels))).take(owner)
    return replace(shared, ndvi=_followed(before, own))


def _followed(before: Looks, own: Looks) -> Looks:
    """Return the looks `before` of each pixel, and behind them its `own`."""
    first = before.first + own.first
    day, value = np.empty(first[-1], np.int32), np.empty(first[-1], np.float32)
    # a pixel's own looks lie behind all earlier looks up to its own, and the other way round
    for looks, ahead in ((before, own.first[:-1]), (own, before.first[1:])):
        at = np.arange(len(looks)) + ahead[looks.rows()]
        day[at], value[at] = looks.day, looks.value
    return Looks(first, day, value)
