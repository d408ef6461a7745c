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
    own = grid_of(href)
    factor, top, left = placed(grid, own, href)
    height, width = grid.shape
    limits = (own.shape[0] * factor, own.shape[1] * factor)
    r0, r1 = max(top, 0), min(top + height, limits[0])
    c0, c1 = max(left, 0), min(left + width, limits[1])
    if r1 <= r0 or c1 <= c0:
        return np.ma.masked_array(np.zeros((height, width), np.uint8), mask=True)
    rows, columns = slice(r0 // factor, -(-r1 // factor)), slice(c0 // factor, -(-c1 // factor))
    pixels = read_window(href, rows, columns)
    if factor > 1:
        pixels = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
        pixels = pixels[r0 - rows.start * factor :, c0 - columns.start * factor :][: r1 - r0, : c1 - c0]
    if pixels.shape == (height, width):
        return pixels
    out: np.ndarray = np.ma.masked_array(np.zeros((height, width), pixels.dtype), mask=True)
    out[r0 - top : r1 - top, c0 - left : c1 - left] = pixels
    return out


def physical_on_grid(asset: Asset, grid: GeoBox, saturated: float = np.nan) -> np.ndarray:
    """Physical values of an asset on a grid; float32 `(y, x)`, NaN where unknown, `saturated` where the file
    marks a pixel as too bright to be measured.
    """
    raw = read_on_grid(asset["href"], grid)
    encoding, stored = encoding_of(asset), np.ma.getdata(raw)
    value = encoding.physical(stored)
    if encoding.saturated is not None and not np.isnan(saturated):
        value[stored == encoding.saturated] = saturated
    value[np.ma.getmaskarray(raw)] = np.nan
    return value


def nearest_on_grid(asset: Asset, grid: GeoBox) -> np.ndarray:
    """Physical values of the asset's pixel that holds each pixel's centre; float32 `(y, x)`, NaN beyond it.

    The grids need not nest: for what guides a model, not for what is counted.

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
    at, inside = [], []
    for scale, shift, size, limit in zip(
        (to_own.e, to_own.a), (to_own.f, to_own.c), grid.shape, own.shape, strict=True
    ):
        index = np.floor(scale * (np.arange(size) + 0.5) + shift + 1e-6).astype(int)
        inside.append((index >= 0) & (index < limit))
        at.append(index[inside[-1]])
    value = np.full(grid.shape, np.nan, np.float32)
    if all(len(index) for index in at):
        first, last = ([int(pick(index)) for index in at] for pick in (np.min, np.max))
        raw = read_window(asset["href"], slice(first[0], last[0] + 1), slice(first[1], last[1] + 1))
        chosen = np.ix_(at[0] - first[0], at[1] - first[1])
        value[np.ix_(*inside)] = encoding_of(asset).physical(raw)[chosen]
    return value
