"""A map of any coordinate system and pixel size, read onto a block's grid: it guides a model, and is not
counted."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from features.errors import ImageryError
from features.imagery.grids import grid_of
from features.imagery.physical import Encoding
from features.imagery.rasters.opening import open_raster
from features.imagery.windows import read_window

Pixels = Callable[[int, int, int, int], np.ndarray]  # from rows and columns [top, bottom) and [left, right)
DIGITS = 6  # of a pixel: grids that lie on each other are recognised as such


def check_map(path: Path) -> None:
    """Open a map's header.

    Raises
    ------
    ImageryError
        Where it cannot be read, has no coordinate system, or more than one band.
    """
    grid_of(str(path))
    _encoding(path, path.stat().st_mtime_ns)


def read_map(path: Path, grid: GeoBox, smooth: bool) -> np.ndarray:
    """Read a map of one band at the centres of a grid's pixels.

    Parameters
    ----------
    smooth
        Between the centres of the map's pixels, bilinearly, for what varies steadily; else the pixel that
        holds the centre, for classes.

    Returns
    -------
    np.ndarray
        `(y, x)` float32 in the map's unit; NaN where it does not reach, or its pixel there is unknown.

    Raises
    ------
    ImageryError
        As `check_map`, and where pixels cannot be decoded.
    """
    check_map(path)
    stamp = path.stat().st_mtime_ns

    def pixels(top: int, bottom: int, left: int, right: int) -> np.ndarray:
        raw = read_window(str(path), slice(top, bottom), slice(left, right))
        return np.asarray(_encoding(path, stamp).physical(raw))

    return lay_on(pixels, grid_of(str(path)), grid, smooth)


def lay_on(pixels: Pixels, own: GeoBox, grid: GeoBox, smooth: bool) -> np.ndarray:
    """Return a map on another grid, `(y, x)` float32; `pixels` reads rows and columns of its `own` grid.

    See `read_map`.
    """
    rows, columns = _positions(own, grid)
    inside = (rows >= 0) & (rows < own.shape[0]) & (columns >= 0) & (columns < own.shape[1])
    value = np.full(grid.shape, np.nan, np.float32)
    if inside.any():
        rows, columns = rows[inside], columns[inside]
        top, bottom = _span(rows, own.shape[0])
        left, right = _span(columns, own.shape[1])
        part = pixels(top, bottom, left, right)
        value[inside] = (_between if smooth else _at)(part, rows - top, columns - left)
    return value


@lru_cache(maxsize=1024)
def _encoding(path: Path, _stamp: int) -> Encoding:
    with open_raster(str(path)) as raster:
        if raster.count != 1:
            raise ImageryError(f"{path} has {raster.count} bands; give each as a file of its own.")
        scale, offset, nodata = raster.scales[0], raster.offsets[0], raster.nodata
        return Encoding(scale, offset, "number", () if nodata is None else (float(nodata),))


def _positions(own: GeoBox, grid: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns `(y, x)` of `own` at which the centres of `grid`'s pixels lie; 0.5 is a centre."""
    column, row = np.meshgrid(*(np.arange(size) + 0.5 for size in reversed(grid.shape)))
    x, y = _apply(grid.affine, column, row)
    if own.crs != grid.crs:
        x, y = Transformer.from_crs(str(grid.crs), str(own.crs), always_xy=True).transform(x, y)
    columns, rows = _apply(~own.affine, x, y)
    return np.round(rows, DIGITS), np.round(columns, DIGITS)


def _apply(affine: Affine, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def _span(positions: np.ndarray, size: int) -> tuple[int, int]:
    """First pixel, and one after the last, that interpolation at these positions needs."""
    return max(int(positions.min() - 0.5), 0), min(int(positions.max() + 0.5) + 1, size)


def _at(pixels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.asarray(pixels[rows.astype(int), columns.astype(int)])


def _between(pixels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Weigh the four nearest pixels, those that are unknown not at all."""
    first, last = np.floor((rows - 0.5, columns - 0.5)), np.array(pixels.shape)[:, None] - 1
    shares = np.array((rows, columns)) - 0.5 - first
    total, weights = np.zeros((2, len(rows)))
    for down in (0, 1):
        for right in (0, 1):
            row, column = np.clip((first[0] + down, first[1] + right), 0, last).astype(int)
            found = pixels[row, column]
            weight = np.where(down, shares[0], 1 - shares[0]) * np.where(right, shares[1], 1 - shares[1])
            weight = np.where(np.isfinite(found), weight, 0)
            total += weight * np.nan_to_num(found)
            weights += weight
    known = np.isfinite(_at(pixels, rows, columns))
    return np.asarray(np.divide(total, weights, out=np.full(len(rows), np.nan), where=known))
