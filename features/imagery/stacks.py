"""Acquisitions read onto one grid over time: what cloud-removal models see."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl
import xarray as xr
from odc.geo.geobox import GeoBox

from features.errors import ImageryError
from features.imagery.grids import pixel_metres
from features.imagery.masks import MaskOptions, clear_mask, refuse_no_classes
from features.imagery.windows import nearest_on_grid, physical_on_grid, read_on_grid
from features.schema import OPTICAL_BANDS, SCENE_CLASS, Acquisition, acquisition_rows, assets_by_band

UNCLASSIFIED = 7  # Sen2Cor's class of what is neither cloud nor a known cover: seen
READERS = 2  # threads that decode the dates of a stack


def _scene(
    row: Acquisition, bands: Sequence[str], grid: GeoBox, mask: MaskOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance (band, y, x) and scene class (y, x) of one optical acquisition."""
    assets = assets_by_band(row)
    values = np.full((len(bands), *grid.shape), np.nan, np.float32)
    for k, band in enumerate(bands):
        if band in assets:
            values[k] = physical_on_grid(assets[band], grid)
    if SCENE_CLASS not in assets and mask.without_classes == "clear":
        return values, np.where(np.isfinite(values).any(axis=0), UNCLASSIFIED, 0).astype(np.uint8)
    if SCENE_CLASS not in assets:
        raise ImageryError(
            f"{row['item_id']} has no scene classification; clouds cannot be masked without one.",
            reason="no_scene_class",
        )
    classes = read_on_grid(assets[SCENE_CLASS]["href"], grid)
    refuse_no_classes(np.ma.getdata(classes))
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
    scenes = _read_each(optical, lambda row: _scene(row, bands, grid, mask), failed)
    optical = [row for row, _ in scenes]
    values = np.empty((len(scenes), len(bands), *grid.shape), np.float32)
    classes, clear = (
        np.zeros((len(scenes), *grid.shape), np.uint8),
        np.zeros((len(scenes), *grid.shape), bool),
    )
    for t in range(len(optical)):
        _, (reflectance, scene_class) = scenes.pop(0)  # let go one by one: a stack is held once, not twice
        values[t] = reflectance
        clear[t] = clear_mask(scene_class, mask, pixel_metres(grid))
        with np.errstate(invalid="ignore"):
            classes[t] = np.where((scene_class >= 0) & (scene_class <= 11), scene_class, 0)
        if bands:
            clear[t] &= np.isfinite(reflectance).any(axis=0)
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
    read: Callable[[Acquisition], Any],
    failed: dict[str, ImageryError] | None,
) -> list[tuple[Acquisition, Any]]:
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
    rows = acquisition_rows(acquisitions.filter(pl.col("sensor") == "s1").sort("datetime", "item_id"))
    passes = _read_each(rows, lambda row: _pass(row, grid, polarisations), failed)
    radar = [row for row, _ in passes]
    shape = (len(passes), len(polarisations), *grid.shape)
    values = np.stack([found for _, found in passes]) if passes else np.empty(shape, np.float32)
    coords = {"radar_time": _times(radar), "polarisation": list(polarisations), **_centres(grid)}
    numbers = [-1 if row["relative_orbit"] is None else row["relative_orbit"] for row in radar]
    array = xr.DataArray(values, dims=("radar_time", "polarisation", "y", "x"), coords=coords)
    return {"backscatter": array.assign_coords(relative_orbit=("radar_time", np.array(numbers, np.int32)))}


def _pass(row: Acquisition, grid: GeoBox, polarisations: Sequence[str]) -> np.ndarray:
    """Backscatter (polarisation, y, x) of one radar acquisition, dB."""
    assets = assets_by_band(row)
    values = np.full((len(polarisations), *grid.shape), np.nan, np.float32)
    for k, name in enumerate(polarisations):
        if name in assets:
            values[k] = nearest_on_grid(assets[name], grid)
    return values


def _times(rows: Sequence[Acquisition]) -> np.ndarray:
    return np.array([row["datetime"] for row in rows], dtype="datetime64[ns]")


def _centres(grid: GeoBox) -> dict[str, np.ndarray]:
    height, width = grid.shape
    a = grid.affine
    return {"y": a.f + a.e * (np.arange(height) + 0.5), "x": a.c + a.a * (np.arange(width) + 0.5)}
