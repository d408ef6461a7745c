"""A raster of declared crops to parcels: each connected field of one code becomes one."""

from pathlib import Path

import geopandas as gpd
import numpy as np
from affine import Affine
from rasterio.features import shapes
from scipy import ndimage
from shapely.geometry import shape

from features.errors import DeclarationError
from features.indexing.netcdf_cube import CROP_VARIABLES, crs_of, north_up, open_cube, transform_of
from features.messages.listed import listed

LAND_COVER_VARIABLES = ("LC", "land_cover")


def parcels_from_raster(raster: Path, min_pixels: int = 8) -> gpd.GeoDataFrame:
    """Return the connected fields of a declared-crop raster as parcels.

    Parameters
    ----------
    raster
        NetCDF with a crop code per pixel (`CT`), 0 where nothing is declared, and optionally a land cover
        (`LC`).
    min_pixels
        Smaller fields are left out.

    Returns
    -------
    geopandas.GeoDataFrame
        `parcel_id` (from "0001", west to east within north to south), `crop_code` (string), `land_cover`
        (string or None), `pixels`, polygons along pixel edges, in the raster's CRS. Pixels touch by their
        sides, not corners.

    Raises
    ------
    DeclarationError
        Where there is no crop variable or no field of that size.
    """
    with open_cube(raster) as cube:
        code = next((name for name in CROP_VARIABLES if name in cube.data_vars), None)
        if code is None:
            expected = ", ".join(CROP_VARIABLES)
            raise DeclarationError(f"{raster} has no crop code ({expected}), only {listed(cube.data_vars)}.")
        codes = north_up(cube[code])
        cover = next((north_up(cube[name]) for name in LAND_COVER_VARIABLES if name in cube.data_vars), None)
        crs, transform = crs_of(cube, raster), transform_of(cube, raster)
    fields = connected_fields(codes, min_pixels)
    if not fields.any():
        raise DeclarationError(f"{raster} has no connected field of {min_pixels} pixels; lower the minimum.")
    return _vectorise(fields, codes, cover, transform, crs)


def connected_fields(codes: np.ndarray, min_pixels: int) -> np.ndarray:
    """Number the connected fields of equal code (y, x) from 1; 0 where there is none or it is too small.

    Examples
    --------
    >>> connected_fields(np.array([[5, 5, 0], [5, 7, 7]]), min_pixels=3)
    array([[1, 1, 0],
           [1, 0, 0]], dtype=int32)
    """
    fields = np.zeros(codes.shape, np.int32)
    count = 0
    for code in np.unique(codes[codes != 0]):
        parts, _ = ndimage.label(codes == code)
        sizes = np.bincount(parts.ravel())
        large = np.flatnonzero(sizes >= min_pixels)
        for part in large[large > 0]:
            count += 1
            fields[parts == part] = count
    return fields


def _vectorise(
    fields: np.ndarray, codes: np.ndarray, cover: np.ndarray | None, transform: Affine, crs: str
) -> gpd.GeoDataFrame:
    outlines = shapes(fields, mask=fields > 0, connectivity=4, transform=transform)
    rows = [(int(number), shape(outline)) for outline, number in outlines]
    inside = [fields == number for number, _ in rows]
    table = gpd.GeoDataFrame(
        {
            "crop_code": [_commonest(codes[here]) for here in inside],
            "land_cover": [None if cover is None else _commonest(cover[here]) for here in inside],
            "pixels": [int(here.sum()) for here in inside],
        },
        geometry=[outline for _, outline in rows],
        crs=crs,
    )
    corners = table.geometry.bounds
    order = np.lexsort((corners["minx"], -corners["maxy"]))
    table = table.iloc[order].reset_index(drop=True)
    table.insert(0, "parcel_id", [f"{number:04d}" for number in range(1, len(table) + 1)])
    return table


def _commonest(values: np.ndarray) -> str:
    found, counts = np.unique(values, return_counts=True)
    return str(int(found[counts.argmax()]))
