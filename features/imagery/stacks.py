"""Acquisitions read onto one grid over time: what cloud-removal models see."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import xarray as xr
from odc.geo.geobox import GeoBox

from features.errors import ImageryError
from features.imagery.grids import pixel_metres
from features.imagery.masks import LAST_CLASS, MaskOptions, clear_mask, refuse_no_classes
from features.imagery.windows import nearest_on_grid, physical_on_grid, read_on_grid
from features.schema import OPTICAL_BANDS, SCENE_CLASS, Acquisition, acquisition_rows, assets_by_band

UNCLASSIFIED = 7  # Sen2Cor's class of what is neither cloud nor a known cover: seen
READERS = 2  # threads that decode the dates of a stack


def _read_scene(
    row: Acquisition,
    bands: Sequence[str],
    grid: GeoBox,
    mask: MaskOptions,
    reflectance: np.ndarray,
    classes: np.ndarray,
    clear: np.ndarray,
) -> None:
    """Write one optical acquisition's `reflectance (band, y, x)`, scene `classes (y, x)` and what is
    `clear (y, x)`."""
    assets = assets_by_band(row)
    for k, band in enumerate(bands):
        if band in assets:
            physical_on_grid(assets[band], grid, out=reflectance[k])
        else:
            reflectance[k] = np.nan
    seen = np.isfinite(reflectance).any(axis=0)
    if SCENE_CLASS in assets:
        scene_class = _classes(assets[SCENE_CLASS]["href"], grid)
    elif mask.without_classes == "clear":
        scene_class = np.where(seen, UNCLASSIFIED, 0).astype(np.uint8)
    else:
        raise ImageryError(
            f"{row['item_id']} has no scene classification; clouds cannot be masked without one.",
            reason="no_scene_class",
        )
    clear[:] = clear_mask(scene_class, mask, pixel_metres(grid))
    with np.errstate(invalid="ignore"):
        classes[:] = np.where((scene_class >= 0) & (scene_class <= LAST_CLASS), scene_class, 0)
    if bands:
        clear &= seen


def _classes(href: str, grid: GeoBox) -> np.ndarray:
    found = read_on_grid(href, grid)
    refuse_no_classes(np.ma.getdata(found))
    return np.where(~np.ma.getmaskarray(found), np.ma.getdata(found), 0)


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
        cloudless and with data in some band; `scene_class (time, y, x)` uint8;
        where asked for, `backscatter (radar_time, polarisation, y, x)` float32 dB. Coordinates y, x are pixel
        centres.

    Raises
    ------
    ImageryError
        Where a raster cannot be read, or an optical one does not fit the grid.
    """
    mask = mask or MaskOptions()
    optical = acquisition_rows(acquisitions.filter(pl.col("sensor") == "s2").sort("datetime", "item_id"))
    shape = (len(optical), *grid.shape)
    values = np.empty((len(optical), len(bands), *grid.shape), np.float32)
    classes, clear = np.zeros(shape, np.uint8), np.zeros(shape, bool)
    optical, (values, classes, clear) = _read_each(
        optical,
        lambda row, *into: _read_scene(row, bands, grid, mask, *into),
        (values, classes, clear),
        failed,
    )
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
    rows: Sequence[Acquisition],
    read: Callable[..., None],
    arrays: Sequence[np.ndarray],
    failed: dict[str, ImageryError] | None,
) -> tuple[list[Acquisition], list[np.ndarray]]:
    """Read each row into its place, the first axis of the arrays, so that a stack is held once; return rows
    and arrays without those that failed."""
    found: list[int] = []
    with ThreadPoolExecutor(READERS) as pool:
        tasks = [pool.submit(read, row, *(array[k] for array in arrays)) for k, row in enumerate(rows)]
        for k, task in enumerate(tasks):
            try:
                task.result()
            except ImageryError as error:
                if failed is None:
                    raise
                failed[rows[k]["item_id"]] = error
                continue
            for array in arrays:
                if len(found) < k:  # those that failed are closed up
                    array[len(found)] = array[k]
            found.append(k)
    return [rows[k] for k in found], [array[: len(found)] for array in arrays]


def _backscatter(
    acquisitions: pl.DataFrame,
    grid: GeoBox,
    polarisations: Sequence[str],
    failed: dict[str, ImageryError] | None,
) -> dict[str, xr.DataArray]:
    rows = acquisition_rows(acquisitions.filter(pl.col("sensor") == "s1").sort("datetime", "item_id"))
    values = np.empty((len(rows), len(polarisations), *grid.shape), np.float32)
    radar, (values,) = _read_each(
        rows, lambda row, into: _read_pass(row, grid, polarisations, into), [values], failed
    )
    coords = {"radar_time": _times(radar), "polarisation": list(polarisations), **_centres(grid)}
    numbers = [-1 if row["relative_orbit"] is None else row["relative_orbit"] for row in radar]
    array = xr.DataArray(values, dims=("radar_time", "polarisation", "y", "x"), coords=coords)
    return {"backscatter": array.assign_coords(relative_orbit=("radar_time", np.array(numbers, np.int32)))}


def _read_pass(row: Acquisition, grid: GeoBox, polarisations: Sequence[str], into: np.ndarray) -> None:
    """Write backscatter `(polarisation, y, x)` of one radar acquisition, dB."""
    assets = assets_by_band(row)
    for k, name in enumerate(polarisations):
        if name in assets:
            nearest_on_grid(assets[name], grid, into[k])
        else:
            into[k] = np.nan


def _times(rows: Sequence[Acquisition]) -> np.ndarray:
    return np.array([row["datetime"] for row in rows], dtype="datetime64[ns]")


def _centres(grid: GeoBox) -> dict[str, np.ndarray]:
    height, width = grid.shape
    a = grid.affine
    return {"y": a.f + a.e * (np.arange(height) + 0.5), "x": a.c + a.a * (np.arange(width) + 0.5)}
