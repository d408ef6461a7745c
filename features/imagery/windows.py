"""Windows of rasters: raw, and as physical values on another grid."""

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from features.errors import ImageryError
from features.imagery.grids import grid_of, placed
from features.imagery.physical import encoding_of
from features.imagery.rasters.header import header_of
from features.imagery.rasters.opening import open_raster
from features.imagery.rasters.tiff import read_blocks
from features.schema import Asset

Held = tuple[np.ndarray, np.ndarray, np.ndarray]  # raw window, and its row and column of each pixel; -1: none


def read_window(
    href: str, rows: slice | None = None, columns: slice | None = None, touched: np.ndarray | None = None
) -> np.ndarray:
    """Raw pixels `(y, x)` of the first band; rows and columns inside the raster.

    Parameters
    ----------
    touched
        bool (block row, block column) of the file's blocks, where it has any: pixels of blocks that are
        False need not be read and may be zero.

    Returns
    -------
    np.ndarray
        In the file's type; of a file with a mask of its own float32, NaN where that hides a pixel.

    Raises
    ------
    ImageryError
        Where the file is truncated, corrupt or of a format that is not allowed.
    """
    header = header_of(href)
    height, width = header.grid.shape
    rows, columns = rows or slice(0, height), columns or slice(0, width)
    if header.layout is not None:
        return read_blocks(header.layout, rows, columns, touched)
    with open_raster(href) as raster:
        window = Window.from_slices(rows, columns)
        raw = np.asarray(raster.read(1, window=window))
        if not header.masked:
            return raw
        return np.where(raster.read_masks(1, window=window) > 0, raw, np.float32(np.nan)).astype(np.float32)


def read_on_grid(href: str, grid: GeoBox) -> np.ndarray:
    """Raw pixels of a raster on a finer or equal grid that nests in its own, repeated, NaN or 0 outside it.

    Returns
    -------
    np.ndarray
        `(y, x)` of the file's type; a masked array where the raster does not cover the grid.

    Raises
    ------
    ImageryError
        As `read_window` and `placed`.
    """
    raw, rows, columns = _under(href, grid)
    if not raw.size:
        return np.ma.masked_array(np.zeros(grid.shape, np.uint8), mask=True)
    inside = np.ix_(rows >= 0, columns >= 0)
    pixels = _repeated(_repeated(raw, columns[columns >= 0], 1), rows[rows >= 0], 0)
    if pixels.shape == grid.shape:
        return pixels
    out: np.ndarray = np.ma.masked_array(np.zeros(grid.shape, pixels.dtype), mask=True)
    out[inside] = pixels
    return out


def physical_on_grid(
    asset: Asset, grid: GeoBox, saturated: float = np.nan, out: np.ndarray | None = None
) -> np.ndarray:
    """Physical values of an asset on a finer or equal grid that nests in its own; float32 `(y, x)`, NaN where
    unknown, `saturated` where the file marks a pixel as too bright to be measured.

    Parameters
    ----------
    out
        Where given, what to write them into.

    Raises
    ------
    ImageryError
        As `read_window` and `placed`.
    """
    out = np.empty(grid.shape, np.float32) if out is None else out
    return encoding_of(asset).laid(*_under(asset["href"], grid), out, saturated)


def nearest_on_grid(asset: Asset, grid: GeoBox, out: np.ndarray | None = None) -> np.ndarray:
    """Physical values of the asset's pixel that holds each pixel's centre; float32 `(y, x)`, NaN beyond it.

    The grids need not nest: for what guides a model, not for what is counted.

    Parameters
    ----------
    out
        Where given, what to write them into.

    Raises
    ------
    ImageryError
        As `read_window`, and where the CRS differ.
    """
    own = grid_of(asset["href"])
    if own.crs != grid.crs:
        raise ImageryError(
            f"{asset['href']} is in another coordinate system than the grid it is read on; warp it first.",
            reason="other_crs",
        )
    to_own: Affine = ~own.affine @ grid.affine
    at = [
        np.floor(scale * (np.arange(size) + 0.5) + shift + 1e-6).astype(np.int64)
        for scale, shift, size in zip((to_own.e, to_own.a), (to_own.f, to_own.c), grid.shape, strict=True)
    ]
    out = np.empty(grid.shape, np.float32) if out is None else out
    return encoding_of(asset).laid(*_window_at(asset["href"], own, *at), out)


def _under(href: str, grid: GeoBox) -> Held:
    """The pixels of a raster under a grid that nests in its own."""
    own = grid_of(href)
    factor, top, left = placed(grid, own, href)
    height, width = grid.shape
    rows, columns = (first + np.arange(size) for first, size in ((top, height), (left, width)))
    return _window_at(href, own, rows // factor, columns // factor)


def _repeated(pixels: np.ndarray, index: np.ndarray, axis: int) -> np.ndarray:
    """The pixels at an ascending index of one axis; as they are where it names each once."""
    return pixels if len(index) == pixels.shape[axis] else pixels.take(index, axis=axis)


def _window_at(href: str, own: GeoBox, rows: np.ndarray, columns: np.ndarray) -> Held:
    """The window of a raster, whose grid is `own`, that holds some of its rows and columns, and where these
    lie in it."""
    found, slices = [], []
    for at, size in zip((rows, columns), own.shape, strict=True):
        inside = (at >= 0) & (at < size)
        if not inside.any():
            return np.zeros((0, 0), np.uint8), np.full(len(rows), -1), np.full(len(columns), -1)
        first, last = int(at[inside].min()), int(at[inside].max())
        slices.append(slice(first, last + 1))
        found.append(np.where(inside, at - first, -1))
    return read_window(href, slices[0], slices[1]), found[0], found[1]
