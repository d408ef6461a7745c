"""The grids of rasters: cut, measured in metres, and laid on each other."""

import math
from functools import lru_cache

from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS, Geod, Transformer

from features.errors import ImageryError
from features.imagery.blocks import Block
from features.imagery.rasters.header import header_of

EARTH = Geod(ellps="WGS84")
LARGEST_FACTOR = 1000  # pixels of 10 m under one of 10 km
DISTORTED = 0.02  # of a length: no system of a country is so wrong within it, a map of the world is
CLOSE = 1e-3  # of a pixel: grids that differ by less lie on each other


def grid_of(href: str) -> GeoBox:
    """The grid of a raster's pixels.

    Raises
    ------
    ImageryError
        As `features.imagery.rasters.header.header_of`.
    """
    return header_of(href).grid


def crop(grid: GeoBox, block: Block) -> GeoBox:
    """The grid of some rows and columns of a grid."""
    corner = grid.affine @ Affine.translation(block.columns.start, block.rows.start)
    return GeoBox(block.shape, corner, grid.crs)


@lru_cache(maxsize=256)
def pixel_metres(grid: GeoBox) -> tuple[float, float]:
    """Height and width of a grid's middle pixel on the ground, in metres, whatever the grid's unit is.

    Raises
    ------
    ImageryError
        Where the grid lies beyond the poles: its numbers cannot be degrees.

    Examples
    --------
    >>> degrees = GeoBox((10, 10), Affine(0.001, 0, 5.0, 0, -0.001, 60.0), "EPSG:4326")
    >>> [round(side) for side in pixel_metres(degrees)]
    [111, 56]
    >>> mercator = GeoBox((10, 10), Affine(10, 0, 5e5, 0, -10, 8.4e6), "EPSG:3857")
    >>> [round(side, 1) for side in pixel_metres(mercator)]
    [5.0, 5.0]
    """
    a = grid.affine
    crs = CRS.from_user_input(str(grid.crs))
    unit = float(crs.axis_info[0].unit_conversion_factor) or 1.0
    stated = math.hypot(a.b, a.e) * unit, math.hypot(a.a, a.d) * unit
    x, y = a @ (grid.shape[1] / 2, grid.shape[0] / 2)
    down, right = abs(a.e) / 2, abs(a.a) / 2
    degrees = Transformer.from_crs(crs, 4326, always_xy=True)
    longitude, latitude = degrees.transform([x, x, x - right, x + right], [y - down, y + down, y, y])
    on_earth = all(map(math.isfinite, longitude)) and all(abs(north) < 90 for north in latitude)
    if not crs.is_geographic and not on_earth:  # a system that is local, or far from where it is meant for
        return stated
    if not on_earth:
        raise ImageryError(
            f"A grid at latitude {y * math.degrees(unit):.3f} is not on Earth; correct its coordinate system."
        )
    _, _, lengths = EARTH.inv(longitude[::2], latitude[::2], longitude[1::2], latitude[1::2])
    true = float(lengths[0]), float(lengths[1])
    near = all(abs(one / other - 1) < DISTORTED for one, other in zip(true, stated, strict=True))
    return stated if not crs.is_geographic and near else true


def placed(inner: GeoBox, outer: GeoBox, what: str) -> tuple[int, int, int]:
    """Where `outer`'s coarser grid lies on `inner`'s: factor, and rows and columns (of inner) from
    outer's corner to inner's.

    Raises
    ------
    ImageryError
        Where the CRS differ, or pixels of one do not nest in those of the other.
    """
    if inner.crs != outer.crs:
        raise ImageryError(
            f"{what} is in another coordinate system than the grid it is read on; warp it first.",
            reason="other_crs",
        )
    factor, down = outer.affine.a / inner.affine.a, outer.affine.e / inner.affine.e
    to_outer: Affine = ~outer.affine @ inner.affine
    row, column = to_outer.f * factor, to_outer.c * factor
    whole = [factor, down, row, column]
    turned = (outer.affine.b, outer.affine.d) != (inner.affine.b, inner.affine.d)
    if (
        not 1 - CLOSE <= factor <= LARGEST_FACTOR
        or turned
        or any(abs(number - round(number)) > CLOSE for number in whole)
    ):
        raise ImageryError(
            f"{what} has pixels that do not nest in the grid it is read on; resample it first.",
            reason="shifted_grid",
        )
    if round(factor) != round(down):
        raise ImageryError(
            f"{what} has pixels of another shape than the grid it is read on; resample it first.",
            reason="shifted_grid",
        )
    return round(factor), round(row), round(column)
