"""Which tile each parcel is read from: one that holds it whole, so that overlapping tiles never count it
twice."""

from collections.abc import Mapping

import geopandas as gpd
import numpy as np
from odc.geo.geobox import GeoBox


def assign_tiles(geometries: gpd.GeoSeries, grids: Mapping[str, GeoBox]) -> np.ndarray:
    """Choose a tile for every parcel.

    Of the tiles that hold the parcel's bounding box whole, the one where it lies farthest from the tile's
    edge, relative to the tile's size; where several do equally, the first by name. Where none holds it whole,
    the one that holds most of the box: the rest of the parcel then counts as not seen.

    Parameters
    ----------
    geometries
        Any CRS; reprojected to each tile's, so that tiles of two UTM zones are compared fairly.
    grids
        Extent of each tile, by name.

    Returns
    -------
    np.ndarray
        object (parcel,): a tile's name, or None where no tile touches the parcel or it is empty.
    """
    names = sorted(grids)
    best = np.full(len(geometries), -np.inf)
    chosen = np.full(len(geometries), None, dtype=object)
    bounds: dict[str, np.ndarray] = {}
    for name in names:
        crs = str(grids[name].crs)
        if crs not in bounds:
            bounds[crs] = geometries.to_crs(crs).bounds.to_numpy()
        score = _depth(bounds[crs], grids[name])
        better = score > best
        best[better], chosen[better] = score[better], name
    return chosen


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
