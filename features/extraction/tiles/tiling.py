"""Which tiles each parcel is read from: those that saw it, so that no pass is lost and none counts twice."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from odc.geo.geobox import GeoBox

WHOLE = 1.0  # scores from here say that a tile holds a parcel's box whole


@dataclass(frozen=True)
class View:
    """One acquisition of a tile: the number of its pass, its grid, and its footprint in degrees if known."""

    number: int
    grid: GeoBox
    footprint: shapely.Geometry | None = None


@dataclass(frozen=True)
class Assignment:
    """Where parcels are read.

    `home` is object (parcel,): the tile that saw most of it, or None where no tile touches it; `read` says by
    tile which parcels are read from it, bool (parcel,): from their home, and from other tiles that hold them
    whole and saw them on passes that their home did not.
    """

    home: np.ndarray
    read: Mapping[str, np.ndarray]


def assign_tiles(geometries: gpd.GeoSeries, tiles: Mapping[str, Sequence[View]]) -> Assignment:
    """Choose the tiles of every parcel.

    Of the tiles that touch a parcel, its home is the one that holds its bounding box whole on most passes;
    where several do equally, the one where it lies farthest from the edge, relative to the tile's size; then
    the first by name. Where none holds it whole, it is the one that holds most of the box: the rest of the
    parcel then counts as not seen. A further tile is read where it adds passes.

    Parameters
    ----------
    geometries
        Any CRS; reprojected to each tile's, so that tiles of two UTM zones are compared fairly.
    tiles
        The acquisitions of each tile, by name.
    """
    names = sorted(tiles)
    boxes = _Boxes(geometries)
    score = np.full((len(names), len(geometries)), -np.inf)
    for row, name in enumerate(names):
        for grid in dict.fromkeys(view.grid for view in tiles[name]):
            score[row] = np.maximum(score[row], _depth(boxes.on(grid), grid))
    touched = np.isfinite(score)
    order = np.argsort(-score, axis=0, kind="stable")
    home = np.where(touched.any(axis=0), order[0] if names else 0, -1)
    read = np.zeros_like(touched)
    read[home[home >= 0], np.flatnonzero(home >= 0)] = True
    for signature, parcels in _contested(touched):
        seen = [_seen(tiles[names[row]], boxes, parcels) for row in signature]
        chosen, first = _cover(seen, score[np.ix_(signature, parcels)])
        read[np.ix_(signature, parcels)] = chosen
        home[parcels] = signature[first]
    found = np.full(len(geometries), None, dtype=object)
    found[home >= 0] = np.array(names, dtype=object)[home[home >= 0]]
    return Assignment(found, {name: read[row] for row, name in enumerate(names)})


def _contested(touched: np.ndarray) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Parcels that several tiles touch, by which tiles these are: positions of tiles, and of parcels."""
    several = np.flatnonzero(touched.sum(axis=0) > 1)
    if not len(several):
        return
    kinds, kind_of = np.unique(touched[:, several].T, axis=0, return_inverse=True)
    for kind, signature in enumerate(kinds):
        yield np.flatnonzero(signature), several[kind_of.ravel() == kind]


def _seen(views: Sequence[View], boxes: "_Boxes", parcels: np.ndarray) -> dict[int, np.ndarray]:
    """By pass, which of some parcels an acquisition holds whole and has in its footprint; bool (parcel,)."""
    inside: dict[GeoBox, np.ndarray] = {}
    under: dict[bytes, np.ndarray] = {}
    found: dict[int, np.ndarray] = {}
    for view in views:
        if view.grid not in inside:
            inside[view.grid] = _depth(boxes.on(view.grid)[parcels], view.grid) >= WHOLE
        held = inside[view.grid]
        if view.footprint is not None:
            key = view.footprint.wkb
            if key not in under:
                x, y = boxes.middles()
                under[key] = shapely.contains_xy(view.footprint, x[parcels], y[parcels])
            held = held & under[key]
        found[view.number] = found[view.number] | held if view.number in found else held
    return found


def _cover(seen: Sequence[Mapping[int, np.ndarray]], score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose tiles until no further one adds a pass: bool (tile, parcel), and the first choice (parcel,)."""
    numbers = sorted({number for found in seen for number in found})
    tiles, parcels = score.shape
    nothing = np.zeros(parcels, bool)
    each = np.array([[found.get(number, nothing) for number in numbers] for found in seen])
    left = np.ones((len(numbers), parcels), bool)
    chosen, first = np.zeros((tiles, parcels), bool), np.zeros(parcels, int)
    column = np.arange(parcels)
    for turn in range(tiles):
        gain = (each & left).sum(axis=1)
        ranked = np.where(chosen, -np.inf, gain + score / (1 + np.abs(score).max()))
        best = ranked.argmax(axis=0)
        wanted = (gain[best, column] > 0) | (turn == 0)
        chosen[best[wanted], column[wanted]] = True
        first = best if turn == 0 else first
        left &= ~(each[best, :, column].T & wanted)
    return chosen, first


class _Boxes:
    """Bounding boxes of parcels in each CRS asked for, and their middles in degrees."""

    def __init__(self, geometries: gpd.GeoSeries) -> None:
        self.geometries = geometries
        self.held: dict[str, np.ndarray] = {}
        self.degrees: tuple[np.ndarray, np.ndarray] | None = None

    def on(self, grid: GeoBox) -> np.ndarray:
        crs = str(grid.crs)
        if crs not in self.held:
            self.held[crs] = self.geometries.to_crs(crs).bounds.to_numpy()
        return self.held[crs]

    def middles(self) -> tuple[np.ndarray, np.ndarray]:
        if self.degrees is None:
            left, bottom, right, top = self.geometries.bounds.to_numpy().T
            change = pyproj.Transformer.from_crs(self.geometries.crs, 4326, always_xy=True)
            x, y = change.transform((left + right) / 2, (bottom + top) / 2)
            self.degrees = (np.asarray(x), np.asarray(y))
        return self.degrees


def _depth(boxes: np.ndarray, grid: GeoBox) -> np.ndarray:
    """Above zero: least distance to the tile's edge over its size; to zero: share of the box inside,
    less one."""
    left, bottom, right, top = grid.boundingbox
    size = min(right - left, top - bottom)
    gaps = np.column_stack([boxes[:, 0] - left, boxes[:, 1] - bottom, right - boxes[:, 2], top - boxes[:, 3]])
    with np.errstate(invalid="ignore"):
        depth = gaps.min(axis=1) / size
        width = np.minimum(boxes[:, 2], right) - np.maximum(boxes[:, 0], left)
        height = np.minimum(boxes[:, 3], top) - np.maximum(boxes[:, 1], bottom)
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        share = np.where((width > 0) & (height > 0), width * height / area, 0.0)
    score = np.where(depth >= 0, 1.0 + depth, share)
    return np.where(np.isfinite(score) & (score > 0), score, -np.inf)
