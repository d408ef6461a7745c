"""Rasters to pixel blocks: which files may be opened, their grids, raw and physical values, the clear
mask."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import rasterio
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.io import DatasetReader
from rasterio.windows import Window

from features.catalog.signing import openable
from features.errors import ImageryError
from features.imagery.tiff import Layout, read_blocks, read_layout
from features.indices.formulas import to_db
from features.options import Options
from features.schema import OPTICAL_BANDS, SCENE_CLASS

# The formats imagery comes in. A VRT is refused whatever its name is: it can point at any file or address.
DRIVERS = ("GTiff", "JP2OpenJPEG")
# Fill values that several writers use for float rasters; no reflectance, backscatter or coherence comes near.
HUGE = 1e20
# Sen2Cor's classes: 0 no data, 1 saturated, 3 cloud shadow, 8 and 9 cloud, 10 thin cirrus, 11 snow
MASKED_CLASSES = (0, 1, 3, 8, 9, 10, 11)
CLOUDY_CLASSES = (3, 8, 9, 10)
READERS = 2  # threads that decode the dates of a stack
ENVIRONMENT = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "1",
}


class MaskOptions(Options):
    """Which pixels of an optical scene count as seen."""

    masked_classes: tuple[int, ...] = MASKED_CLASSES
    """Scene classes (Sen2Cor's numbers) that are left out."""
    dilation_m: float = 20.0
    """Metres by which clouds and cloud shadows are grown before they are left out."""


def source_of(href: str) -> str:
    """What GDAL is given for an asset's address.

    Raises
    ------
    ImageryError
        For any `/vsi…` path but object storage (the catalog decides whether that is allowed).
    """
    href = openable(href)
    if href.startswith(("http://", "https://")):
        return f"/vsicurl/{href}"
    if href.startswith("/vsi") and not href.startswith("/vsis3/"):
        raise ImageryError(f"{href} is a GDAL virtual path; give plain files, http(s) or s3 addresses.")
    return href


@contextmanager
def open_raster(href: str) -> Iterator[Any]:
    """Open a raster read-only with an allowed driver.

    Raises
    ------
    ImageryError
        Where it cannot be opened or read, or is of a format that is not allowed.
    """
    source = source_of(href)
    if not source.startswith("/vsi") and not Path(source).is_file():
        raise ImageryError(f"{href} does not exist; download it again or correct the catalog.")
    try:
        with rasterio.Env(**ENVIRONMENT), DatasetReader(source, driver=list(DRIVERS)) as raster:
            yield raster
    except rasterio.errors.RasterioError as error:
        raise ImageryError(f"{href} cannot be read ({_last(error)}); download it again.") from error


def _last(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    return str(cause or error).strip()


def grid_of(href: str) -> GeoBox:
    """The grid of a raster's pixels.

    Raises
    ------
    ImageryError
        Where it cannot be opened or has no CRS.
    """
    path = Path(href)
    stamp = path.stat().st_mtime_ns if path.is_file() else 0
    return _grid_of(href, stamp)


@lru_cache(maxsize=4096)
def _grid_of(href: str, _stamp: int) -> GeoBox:
    layout = layout_of(href)
    if layout is not None:
        return layout.grid
    with open_raster(href) as raster:
        if raster.crs is None:
            raise ImageryError(f"{href} has no coordinate system; write one into it (gdal_edit -a_srs).")
        epsg = raster.crs.to_epsg()
        return GeoBox(raster.shape, raster.transform, f"EPSG:{epsg}" if epsg else raster.crs.to_wkt())


def layout_of(href: str) -> Layout | None:
    """How to decode a local file without GDAL; None where it is remote or of another make."""
    path = Path(href)
    if not path.is_file():
        return None
    stat = path.stat()
    return read_layout(href, stat.st_mtime_ns ^ stat.st_size)


def read_window(
    href: str, rows: slice | None = None, columns: slice | None = None, touched: np.ndarray | None = None
) -> np.ndarray:
    """Raw pixels `(y, x)` of the first band, in the file's type; rows and columns inside the raster.

    Parameters
    ----------
    touched
        bool (block row, block column) of the file's blocks, where it has any: pixels of blocks that are
        False need not be read and may be zero.

    Raises
    ------
    ImageryError
        Where the file is truncated, corrupt or of a format that is not allowed.
    """
    layout = layout_of(href)
    if layout is not None:
        height, width = (int(n) for n in layout.grid.shape)
        return read_blocks(layout, rows or slice(0, height), columns or slice(0, width), touched)
    with open_raster(href) as raster:
        whole = (slice(0, raster.height), slice(0, raster.width))
        window = Window.from_slices(rows or whole[0], columns or whole[1])
        return np.asarray(raster.read(1, window=window))


def to_physical(raw: np.ndarray, asset: Mapping[str, Any]) -> np.ndarray:
    """Physical values of raw ones, float32, NaN where nodata, not finite or at least 1e20 in size.

    Reflectance and coherence are numbers; backscatter comes out in decibels, also where it is stored linear.
    """
    value = raw.astype(np.float32)
    with np.errstate(invalid="ignore"):
        usable = np.abs(value) < HUGE
    if asset["nodata"] is not None:
        usable &= raw != asset["nodata"]
    value = value * np.float32(asset["scale"]) + np.float32(asset["offset"])
    value[~usable] = np.nan
    return to_db(value) if asset["unit"] == "linear" else value


def clear_mask(scene_class: np.ndarray, options: MaskOptions, pixel_m: float) -> np.ndarray:
    """Which pixels of a scene classification `(y, x)` are clear; bool.

    Classes that are not whole numbers from 0 to 11 (fills such as NaN and 1e20) are not clear. Clouds
    and their shadows are grown by a disc of `options.dilation_m`.
    """
    lookup = np.zeros(256, bool)
    lookup[:12] = True
    lookup[list(options.masked_classes)] = False
    classes = scene_class
    if classes.dtype != np.uint8:
        with np.errstate(invalid="ignore"):
            classes = np.where((classes >= 0) & (classes <= 11), classes, 255).astype(np.uint8)
    clear = lookup[classes]
    radius = round(options.dilation_m / pixel_m)
    growing = np.zeros(256, bool)
    growing[[c for c in CLOUDY_CLASSES if c in options.masked_classes]] = True
    if radius > 0 and growing.any():
        clear &= ~grown(growing[classes], radius)
    return np.asarray(clear)


def grown(hidden: np.ndarray, radius: int) -> np.ndarray:
    """True wherever a disc around it holds a True; bool `(y, x)`. For radii of a few pixels."""
    height, width = hidden.shape
    out = np.zeros_like(hidden)
    for down, right in np.argwhere(disc(radius)) - radius:
        there = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
        here = slice(max(-down, 0), height + min(-down, 0)), slice(max(-right, 0), width + min(-right, 0))
        out[there] |= hidden[here]
    return out


def disc(radius: int) -> np.ndarray:
    """A filled circle; bool (2 radius + 1, 2 radius + 1).

    Examples
    --------
    >>> disc(1).astype(int).tolist()
    [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    """
    steps = np.arange(-radius, radius + 1)
    return np.asarray(steps[:, None] ** 2 + steps[None, :] ** 2 <= radius**2)


def crop(grid: GeoBox, rows: slice, columns: slice) -> GeoBox:
    """The grid of some rows and columns of a grid."""
    corner = grid.affine @ Affine.translation(columns.start, rows.start)
    return GeoBox((rows.stop - rows.start, columns.stop - columns.start), corner, grid.crs)


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
            f"{what} is in another coordinate system than the grid it is read on; warp it first."
        )
    factor = outer.affine.a / inner.affine.a
    to_outer: Affine = ~outer.affine @ inner.affine
    row, column = to_outer.f * factor, to_outer.c * factor
    whole = [factor, row, column]
    if factor < 0.999 or any(abs(number - round(number)) > 1e-3 for number in whole):
        raise ImageryError(
            f"{what} has pixels that do not nest in the grid it is read on; resample it first."
        )
    return round(factor), round(row), round(column)


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


def physical_on_grid(asset: Mapping[str, Any], grid: GeoBox) -> np.ndarray:
    """Physical values of an asset on a grid; float32 `(y, x)`, NaN where unknown."""
    raw = read_on_grid(asset["href"], grid)
    value = to_physical(np.ma.getdata(raw), asset)
    value[np.ma.getmaskarray(raw)] = np.nan
    return value


def nearest_on_grid(asset: Mapping[str, Any], grid: GeoBox) -> np.ndarray:
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
            f"{asset['href']} is in another coordinate system than the grid it is read on; warp it first."
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
        value[np.ix_(*inside)] = to_physical(raw, asset)[chosen]
    return value


def assets_by_band(row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The assets of one row of the acquisitions table, by band."""
    return {asset["band"]: asset for asset in row["assets"]}


def _scene(row: Mapping[str, Any], bands: Sequence[str], grid: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance (band, y, x) and scene class (y, x) of one optical acquisition."""
    assets = assets_by_band(row)
    values = np.full((len(bands), *grid.shape), np.nan, np.float32)
    for k, band in enumerate(bands):
        if band in assets:
            values[k] = physical_on_grid(assets[band], grid)
    if SCENE_CLASS not in assets:
        raise ImageryError(
            f"{row['item_id']} has no scene classification; clouds cannot be masked without one."
        )
    classes = read_on_grid(assets[SCENE_CLASS]["href"], grid)
    known = ~np.ma.getmaskarray(classes)
    return values, np.where(known, np.ma.getdata(classes), 0)


def read_stack(
    acquisitions: pl.DataFrame,
    grid: GeoBox,
    bands: Sequence[str] = OPTICAL_BANDS,
    mask: MaskOptions | None = None,
    polarisations: Sequence[str] = (),
    failed: dict[str, ImageryError] | None = None,
) -> xr.Dataset:
    """Read acquisitions onto one grid, nearest pixel: what cloud-removal models see.

    Parameters
    ----------
    acquisitions
        Rows of the acquisitions table; those of Sentinel-1 are read where polarisations are named.
    grid
        A grid that nests in every optical raster's own, or equals it; of radar, each pixel takes the one that
        holds its centre.
    failed
        Where given, acquisitions that cannot be read are left out, and noted here by item id.

    Returns
    -------
    xr.Dataset
        `reflectance (time, band, y, x)` float32, NaN where no data; `clear (time, y, x)` bool: seen,
        cloudless and with data in every band that the acquisition has; `scene_class (time, y, x)` uint8;
        where asked for, `backscatter (radar_time, polarisation, y, x)` float32 dB. Coordinates y, x are pixel
        centres.

    Raises
    ------
    ImageryError
        Where a raster cannot be read, or an optical one does not fit the grid.
    """
    mask = mask or MaskOptions()
    optical = acquisitions.filter(pl.col("sensor") == "s2").sort("datetime", "item_id").to_dicts()
    scenes = _read_each(optical, lambda row: _scene(row, bands, grid), failed)
    optical = [row for row, _ in scenes]
    values = np.empty((len(scenes), len(bands), *grid.shape), np.float32)
    classes, clear = (
        np.zeros((len(scenes), *grid.shape), np.uint8),
        np.zeros((len(scenes), *grid.shape), bool),
    )
    for t in range(len(optical)):
        _, (reflectance, scene_class) = scenes.pop(0)  # let go one by one: a stack is held once, not twice
        values[t] = reflectance
        clear[t] = clear_mask(scene_class, mask, abs(grid.affine.a))
        with np.errstate(invalid="ignore"):
            classes[t] = np.where((scene_class >= 0) & (scene_class <= 11), scene_class, 0)
        clear[t] &= np.isfinite(reflectance[~np.isnan(reflectance).all(axis=(1, 2))]).all(axis=0)
    axes = ("time", "y", "x")
    stack = xr.Dataset(
        {
            "reflectance": (("time", "band", "y", "x"), values),
            "clear": (axes, clear),
            "scene_class": (axes, classes),
        },
        coords={"time": _times(optical), "band": list(bands), **_centres(grid)},
    )
    return stack.assign(_backscatter(acquisitions, grid, polarisations, failed)) if polarisations else stack


def _read_each(
    rows: Sequence[dict[str, Any]],
    read: Callable[[dict[str, Any]], Any],
    failed: dict[str, ImageryError] | None,
) -> list[tuple[dict[str, Any], Any]]:
    """Rows and what was read of each, without those that failed."""
    found = []
    with ThreadPoolExecutor(READERS) as pool:
        for row, task in [(row, pool.submit(read, row)) for row in rows]:
            try:
                found.append((row, task.result()))
            except ImageryError as error:
                if failed is None:
                    raise
                failed[row["item_id"]] = error
    return found


def _backscatter(
    acquisitions: pl.DataFrame,
    grid: GeoBox,
    polarisations: Sequence[str],
    failed: dict[str, ImageryError] | None,
) -> dict[str, xr.DataArray]:
    rows = acquisitions.filter(pl.col("sensor") == "s1").sort("datetime", "item_id").to_dicts()
    passes = _read_each(rows, lambda row: _pass(row, grid, polarisations), failed)
    radar = [row for row, _ in passes]
    shape = (len(passes), len(polarisations), *grid.shape)
    values = np.stack([found for _, found in passes]) if passes else np.empty(shape, np.float32)
    coords = {"radar_time": _times(radar), "polarisation": list(polarisations), **_centres(grid)}
    numbers = [-1 if row["relative_orbit"] is None else row["relative_orbit"] for row in radar]
    array = xr.DataArray(values, dims=("radar_time", "polarisation", "y", "x"), coords=coords)
    return {"backscatter": array.assign_coords(relative_orbit=("radar_time", np.array(numbers, np.int32)))}


def _pass(row: Mapping[str, Any], grid: GeoBox, polarisations: Sequence[str]) -> np.ndarray:
    """Backscatter (polarisation, y, x) of one radar acquisition, dB."""
    assets = assets_by_band(row)
    values = np.full((len(polarisations), *grid.shape), np.nan, np.float32)
    for k, name in enumerate(polarisations):
        if name in assets:
            values[k] = nearest_on_grid(assets[name], grid)
    return values


def _times(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    return np.array([row["datetime"] for row in rows], dtype="datetime64[ns]")


def _centres(grid: GeoBox) -> dict[str, np.ndarray]:
    height, width = grid.shape
    a = grid.affine
    return {"y": a.f + a.e * (np.arange(height) + 0.5), "x": a.c + a.a * (np.arange(width) + 0.5)}
