"""Stacks to score cloud removal on: real patches, and a small scene made from nothing."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize
from scipy.ndimage import binary_dilation, gaussian_filter, label, zoom

from features.catalog.reader import ImageryOptions, read_acquisitions
from features.imagery.grids import grid_of
from features.imagery.masks import MaskOptions, disc
from features.imagery.stacks import read_stack
from features.imagery.windows import physical_on_grid, read_on_grid
from features.schema import OPTICAL_BANDS, assets_by_band
from features.simulate.options import SimulationOptions
from features.simulate.region.region import simulate_region

PATCHES = ("00002806639B424A", "000028085BF08E7E")
CLEAR = (4, 5, 6)  # vegetation, bare, water; class 7 is unclassified, often cloud edge in these patches
GROW_M = 40.0
SEASON = 2023
TEN = ("B02", "B03", "B04", "B08")
TWENTY = ("B05", "B06", "B07", "B8A", "B11", "B12")


@dataclass(frozen=True)
class Scene:
    """A stack and what is known about it beyond the imagery."""

    stack: xr.Dataset
    parcels: np.ndarray  # (y, x) labels, 0 outside
    truth: np.ndarray | None = None  # (time, band, y, x) under the clouds too, where the scene is simulated


def flanders(folder: Path, patch: int, resolution: int = 20) -> Scene:
    """Return a real patch: 10 m with all ten bands (patch 0 only), or 20 m with the six of that grid."""
    at = folder / "flanders-patches" / PATCHES[patch]
    twenty = _open(at, "S2_L2A_20m")
    scale = 20 // resolution
    layers = {b: _up(_physical(twenty[b]), scale) for b in TWENTY}
    grid = twenty
    if resolution == 10:
        grid = _open(at, "S2_L2A_10m")
        layers |= {b: _physical(grid[b]) for b in TEN}
    bands = sorted(layers)
    scl = np.kron(twenty["SCL"].values, np.ones((1, scale, scale), np.uint8))
    radar = _open(at, "S1_GRD-ASCENDING_20m")
    power = np.stack([_up(_physical(radar[b]), scale) for b in ("VV", "VH")], axis=1)
    stack = xr.Dataset(
        {
            "reflectance": (("time", "band", "y", "x"), np.stack([layers[b] for b in bands], axis=1)),
            "scene_class": (("time", "y", "x"), scl),
            "clear": (("time", "y", "x"), grown(scl, round(GROW_M / resolution))),
            "backscatter": (("radar_time", "polarisation", "y", "x"), power),
        },
        coords={
            "time": grid["timestamp"].values,
            "band": bands,
            "y": grid["y"].values,
            "x": grid["x"].values,
            "radar_time": radar["timestamp"].values,
            "polarisation": ["vv", "vh"],
        },
    )
    crops = _open(at, "OUTPUT_POLY-110_10m")["CT"].values
    return Scene(
        stack, fields_of(crops if resolution == 10 else crops[::2, ::2], least=8 if resolution == 10 else 4)
    )


def grown(scene_class: np.ndarray, pixels: int) -> np.ndarray:
    """Return the clear pixels of each date after clouds and shadows have grown by a disc: their rims are
    hazy."""
    cloudy = ~np.isin(scene_class, CLEAR)
    return ~np.stack([binary_dilation(mask, disc(pixels)) for mask in cloudy])


def fields_of(crops: np.ndarray, least: int) -> np.ndarray:
    """Return labels of connected fields of one crop with at least `least` pixels."""
    out = np.zeros(crops.shape, np.int64)
    for code in np.unique(crops[crops > 0]):
        parts, count = label(crops == code)
        for k in range(1, count + 1):
            if (parts == k).sum() >= least:
                out[parts == k] = out.max() + 1
    return out


def made_up(
    seed: int = 0,
    size: int = 96,
    dates: int = 40,
    bands: tuple[str, ...] = ("B02", "B03", "B04", "B08", "B11"),
    noise: float = 1.0,
) -> Scene:
    """Return a small scene: fields that grow and are harvested, as radar sees too, haze, clouds, soil."""
    rng = np.random.default_rng(seed)
    days = np.sort(rng.choice(np.arange(60, 300, 2), dates, replace=False)).astype(float)
    parcels = np.kron(
        np.arange(1, (size // 12) ** 2 + 1).reshape(size // 12, -1), np.ones((12, 12), np.int64)
    )
    soil = gaussian_filter(rng.normal(size=(size, size)), 12)
    soil = soil / np.abs(soil).max()
    radar_days = np.arange(60.0, 300, 6)
    cover = _cover(days, parcels, soil, seed)
    full, bare = np.array([0.03, 0.07, 0.035, 0.45, 0.2]), np.array([0.08, 0.11, 0.15, 0.24, 0.33])
    brightness = (1 + 0.25 * soil)[None, None]
    truth = (
        cover[:, None] * full[: len(bands), None, None]
        + (1 - cover[:, None]) * bare[: len(bands), None, None] * brightness
    )
    grain = rng.normal(0, 0.006, truth.shape) + rng.normal(0, 0.008, (dates, len(bands), 1, 1))
    truth = truth + noise * grain
    clear = np.stack([_sky(rng, size) for _ in range(dates)])
    seen = np.where(clear[:, None], truth, 0.6 + rng.normal(0, 0.1, truth.shape))
    grown = _cover(radar_days, parcels, soil, seed)
    radar = np.stack([-13 + 4 * grown, -21 + 7 * grown], axis=1) + rng.normal(
        0, 1.2, (len(radar_days), 2, size, size)
    )
    start = np.datetime64("2023-01-01", "ns")
    as_dates = lambda d: start + (d * 86400e9).astype("timedelta64[ns]")  # noqa: E731
    stack = xr.Dataset(
        {
            "reflectance": (("time", "band", "y", "x"), seen.astype(np.float32)),
            "clear": (("time", "y", "x"), clear),
            "backscatter": (("radar_time", "polarisation", "y", "x"), radar.astype(np.float32)),
            "context": (("channel", "y", "x"), soil[None].astype(np.float32)),
        },
        coords={
            "time": as_dates(days),
            "band": list(bands),
            "y": np.arange(size) * -10.0 + 5e6,
            "x": np.arange(size) * 10.0 + 5e5,
            "radar_time": as_dates(radar_days),
            "polarisation": ["vv", "vh"],
            "channel": ["soil"],
        },
    )
    return Scene(stack, parcels, truth.astype(np.float32))


def _cover(days: np.ndarray, parcels: np.ndarray, soil: np.ndarray, seed: int) -> np.ndarray:
    """Return green cover `(time, y, x)`: a double logistic a field, start shifted by soil, harvest sudden."""
    rng = np.random.default_rng(seed + 1)
    crop = rng.integers(0, 4, parcels.max() + 1)
    start = np.array([95, 125, 150, 80])[crop] + rng.normal(0, 5, len(crop))
    end = np.array([195, 255, 280, 240])[crop] + rng.normal(0, 6, len(crop))
    t = days[:, None, None]
    grow = 1 / (1 + np.exp(-(t - start[parcels] - 12 * soil) / 8))
    fade = 1 / (1 + np.exp((t - end[parcels]) / 1.5))
    return (0.15 + 0.75 * grow * fade) * (1 + 0.1 * soil)


def _sky(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return one date's clear pixels: a smooth random field cut at a level that varies from date to date."""
    field = gaussian_filter(rng.normal(size=(size, size)), size / 10)
    share = np.clip(rng.beta(0.6, 0.6), 0, 1)
    return field >= np.quantile(field, share) if share < 0.97 else np.zeros((size, size), bool)


def _open(folder: Path, prefix: str) -> xr.Dataset:
    return xr.open_dataset(next(folder.glob(f"{prefix}_*.nc")), mask_and_scale=False)


def _physical(layer: xr.DataArray) -> np.ndarray:
    values = layer.values.astype(np.float32)
    return np.where(layer.values == layer.attrs["_FillValue"], np.float32(np.nan), values * np.float32(1e-4))


def _up(values: np.ndarray, scale: int) -> np.ndarray:
    return values if scale == 1 else zoom(values, (1, scale, scale), order=0)


def world(seed: int, folder: Path, parcels: int = 150) -> Scene:
    """Return a simulated region with its truth, made once under `folder`."""
    at = folder / f"{parcels}_{seed}"
    if not (at / "region.json").is_file():
        options = SimulationOptions(n_parcels=parcels, keep_truth_rasters=True, coherence=False)
        simulate_region(options, SEASON, seed, at)
    return simulated(at, SEASON)


def simulated(folder: Path, season: int) -> Scene:
    """Return a simulated region that was made with its truth kept, whole."""
    acquisitions = _acquisitions(folder, season)
    first = acquisitions.filter(pl.col("sensor") == "s2").to_dicts()[0]
    grid = grid_of(assets_by_band(first)["B04"]["href"])
    stack = read_stack(acquisitions, grid, OPTICAL_BANDS, MaskOptions(), ("vv", "vh"))
    soil = read_on_grid(str(folder / "soil.tif"), grid).astype(np.float32)
    elevation = read_on_grid(str(folder / "elevation.tif"), grid).astype(np.float32)
    context = np.stack([np.ma.filled(np.ma.masked_invalid(layer), np.nan) for layer in (soil, elevation)])
    stack["context"] = (("channel", "y", "x"), context)
    stack = stack.assign_coords(channel=["soil", "elevation"])
    return Scene(stack, _parcels(folder, grid), _truth(folder, acquisitions, grid))


def _acquisitions(folder: Path, season: int) -> pl.DataFrame:
    options = ImageryOptions(catalog=str(folder / "catalog" / "catalog.json"))
    return read_acquisitions(options, (-180, -90, 180, 90), date(season, 1, 1), date(season, 12, 31))[0]


def _truth(folder: Path, acquisitions: pl.DataFrame, grid: GeoBox) -> np.ndarray:
    rows = acquisitions.filter(pl.col("sensor") == "s2").sort("datetime", "item_id")
    frames = []
    for row in rows.to_dicts():
        assets = assets_by_band(row)
        paths = [folder / "truth" / "reflectance" / f"{row['item_id']}_{band}.tif" for band in OPTICAL_BANDS]
        frames.append(
            [
                physical_on_grid({**assets[b], "href": str(p)}, grid)
                for b, p in zip(OPTICAL_BANDS, paths, strict=True)
            ]
        )
    return np.asarray(frames, np.float32)


def _parcels(folder: Path, grid: GeoBox) -> np.ndarray:
    fields = gpd.read_file(folder / "declarations.gpkg").to_crs(grid.crs)
    inside = fields.geometry.buffer(-10)
    shapes = [(shape, k + 1) for k, shape in enumerate(inside) if not shape.is_empty]
    return np.asarray(rasterize(shapes, out_shape=grid.shape, transform=grid.affine, dtype="int32"), np.int64)
