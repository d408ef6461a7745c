"""Frames to score cloud masks on: simulated regions with their truth, and real series."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
import xarray as xr
from rasterio.features import rasterize

from features.catalog.reader import ImageryOptions, read_acquisitions
from features.imagery.blocks import Block
from features.imagery.grids import grid_of
from features.imagery.sun import sun_position
from features.imagery.windows import read_on_grid
from features.schema import acquisition_rows, assets_by_band
from features.simulate.options import SimulationOptions
from features.simulate.region.region import simulate_region
from models.clouds.mask.frames import Frames
from models.clouds.mask.reading import MaskGrid, read_frames
from models.clouds.mask.scoring import truth_of
from tests.benchmarks.data.cloud_data import PATCHES
from tests.benchmarks.data.mask_regions import Known, read_known, write_known

SEASON = 2023
CUBES = ("cube_pt_29SND", "cube_se_34VCL")
FIELDS = (
    "workshops_FOSS4G_demo_raw_s2_ndvi_field",
    "history_FOSS4G_2022_raw_s2_ndvi_field",
    "workshops_BIDS_demo_raw_s2_ndvi_field",
    "history_0ac7252_s2_meadow",
)
PLACES = {"cube_pt_29SND": (-8.56, 39.29), "cube_se_34VCL": (17.96, 59.04)}
AREA_PX = 8  # side of the squares over which intervals are drawn


def region(seed: int, folder: Path, parcels: int = 150, cloud_cover: float = 0.6) -> Known:
    """Return a simulated region with its truth, made once under `folder`, as arrays too."""
    at = folder / f"masks_{parcels}_{cloud_cover:g}_{seed}"
    arrays = folder / f"{at.name}.npz"
    if arrays.is_file():
        return read_known(arrays)
    if not (at / "catalog" / "catalog.json").is_file():
        options = SimulationOptions(
            n_parcels=parcels,
            keep_truth_rasters=True,
            coherence=False,
            radar_orbits=(),
            cloud_cover=cloud_cover,
        )
        simulate_region(options, SEASON, seed, at)
    options = ImageryOptions(catalog=str(at / "catalog" / "catalog.json"))
    acquired = read_acquisitions(options, (-180, -90, 180, 90), date(SEASON, 1, 1), date(SEASON, 12, 31))[0]
    rows = acquisition_rows(acquired.filter(pl.col("sensor") == "s2"))
    grid = MaskGrid.over(grid_of(assets_by_band(rows[0])["B04"]["href"]))
    height, width = grid.grid.shape
    frames, read = read_frames(rows, grid, Block(slice(0, height), slice(0, width)))
    sky = {
        name: np.stack(
            [
                read_on_grid(str(at / "truth" / "sky" / f"{row['item_id']}_{name}.tif"), grid.fine)[
                    :: grid.factor, :: grid.factor
                ]
                for row in read
            ]
        )
        / 100
        for name in ("opacity", "shade")
    }
    fields = gpd.read_file(at / "declarations.gpkg").to_crs(str(grid.grid.crs))
    shapes = list(zip(fields.geometry, range(1, len(fields) + 1), strict=True))
    labels = rasterize(shapes, (height, width), transform=grid.grid.affine)
    rim = np.zeros(labels.shape, bool)
    rim[:-1] |= labels[:-1] != labels[1:]
    rim[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    opacity, shade = (sky[name].astype(np.float32) for name in ("opacity", "shade"))
    known = Known(f"region_{seed}", frames, truth_of(sky["opacity"], sky["shade"]), rim, opacity, shade)
    write_known(arrays, known)
    return known


def minicube(folder: Path, name: str) -> Known:
    """Return a real cube of 20 m pixels with four bands, and a network's mask of it."""
    with xr.open_dataset(folder / "minicubes" / f"{name}.nc", mask_and_scale=False) as cube:
        there = cube["s2_avail"].values == 1
        part = cube.isel(time=np.flatnonzero(there))
        values = np.stack([part[f"s2_{band}"].values for band in ("B02", "B03", "B04", "B8A")], axis=1)
        times = part["time"].values.astype("datetime64[s]") + np.timedelta64(11 * 3600, "s")
        scl = np.where(np.isfinite(part["s2_SCL"].values), part["s2_SCL"].values, 0).astype(np.uint8)
        other = part["s2_dlmask"].values
    sun = sun_position(times, *PLACES[name])
    frames = Frames(("B02", "B03", "B04", "B8A"), values.astype(np.float32), times, sun, 20.0, scl)
    codes = np.full(other.shape, 255, np.uint8)
    for code, number in {0: 0, 1: 3, 2: 2, 3: 1}.items():
        codes[other == code] = number
    return Known(name, frames, codes)


def flanders(folder: Path, patch: int) -> Known:
    """Return a real patch of 20 m pixels; only the first has the bands of 10 m."""
    at = folder / "flanders-patches" / PATCHES[patch]
    twenty = _open(at, "S2_L2A_20m")
    layers = {band: _reflectance(twenty[band]) for band in ("B05", "B06", "B07", "B8A", "B11", "B12")}
    if patch == 0:
        ten = _open(at, "S2_L2A_10m")
        for band in ("B02", "B03", "B04", "B08"):
            fine = _reflectance(ten[band])
            t, height, width = fine.shape
            layers[band] = fine.reshape(t, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
    bands = tuple(sorted(layers))
    times = twenty["timestamp"].values.astype("datetime64[s]")
    sun = np.stack([twenty["sunZenithAngles"].values, twenty["sunAzimuthAngles"].values], axis=1) * 1.0
    if sun[:, 0].max() > 90:
        sun = sun_position(times, 3.02, 50.8)
    values = np.stack([layers[band] for band in bands], axis=1).astype(np.float32)
    return Known(f"flanders_{patch}", Frames(bands, values, times, sun, 20.0, twenty["SCL"].values))


def field_cube(folder: Path, name: str) -> Known:
    """Return a real cube of one field, 10 m pixels, with red and near infrared only."""
    with xr.open_dataset(folder / "field-cubes" / f"{name}.nc", mask_and_scale=False) as cube:
        stored = np.stack([cube[band].values for band in ("B04", "B08")], axis=1).astype(np.float32)
        times = cube["t"].values
        if times.dtype.kind != "M":
            times = np.datetime64("1990-01-01") + times.astype("timedelta64[D]")
        times = times.astype("datetime64[s]") + np.timedelta64(11 * 3600, "s")
        scl = cube["SCL"].values.astype(np.float32)
    odd = ~np.isfinite(stored) | (stored <= 0) | (stored > 30_000)
    values = np.where(odd, np.nan, stored * 1e-4).astype(np.float32)
    classes = np.where((scl >= 0) & (scl <= 11), scl, 0).astype(np.uint8)
    return Known(name, Frames(("B04", "B08"), values, times, sun_position(times, 5.0, 48.0), 10.0, classes))


def real_series(folder: Path) -> Iterator[Known]:
    """Yield the real series that hold reflectance of a visible band and the near infrared."""
    yield flanders(folder, 0)
    yield from (minicube(folder, name) for name in CUBES)
    yield from (field_cube(folder, name) for name in FIELDS)


def squares(shape: tuple[int, int]) -> np.ndarray:
    """Return the square that each pixel lies in, `(y, x)`."""
    down, right = (np.arange(n) // AREA_PX for n in shape)
    return np.asarray(down[:, None] * (right.max() + 1) + right[None, :])


def _open(at: Path, name: str) -> xr.Dataset:
    (path,) = at.glob(f"{name}_*.nc")
    with xr.open_dataset(path, mask_and_scale=False) as cube:
        return cube.load()


def _reflectance(stored: xr.DataArray) -> np.ndarray:
    values = stored.values.astype(np.float32)
    return np.where((values <= 0) | (values >= 65535), np.nan, values * np.float32(1e-4))
