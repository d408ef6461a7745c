"""Files and parcels that the zonal benchmark reads; what is there already is not made again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine
from rasterio.windows import Window
from scipy import ndimage

from features.schema import ACQUISITIONS, OPTICAL_BANDS

LEFT, TOP = 500_000.0, 5_000_000.0
PATTERN = 2_560  # pixels after which large rasters repeat


def texture(rng: np.random.Generator, side: int, fields: np.ndarray) -> np.ndarray:
    """Raw reflectance: one level a field, smooth variation within, and noise."""
    level = rng.uniform(1300, 4500, fields.max() + 1)[fields]
    smooth = ndimage.zoom(rng.normal(0, 120, (side // 10 + 1, side // 10 + 1)), 10, order=1)[:side, :side]
    return (level + smooth + rng.normal(0, 25, (side, side))).clip(1, 20_000).astype(np.uint16)


def write_raster(path: Path, pattern: np.ndarray, side: int, step: float = 10.0, left: float = LEFT) -> None:
    """A tiled GeoTIFF as agencies publish: blocks of 512, DEFLATE, horizontal differences.

    The pattern is repeated to fill it, a row of blocks at a time, so that making it takes no memory.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"height": side, "width": side, "count": 1, "dtype": pattern.dtype.name}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 2}
    where = {"crs": "EPSG:32635", "transform": Affine(step, 0, left, 0, -step, TOP), "nodata": 0}
    partial = path.with_suffix(".partial.tif")
    with rasterio.open(
        partial, "w", driver="GTiff", zlevel=6, num_threads=2, **shape, **layout, **where
    ) as raster:
        columns = np.arange(side) % pattern.shape[1]
        for row in range(0, side, 512):
            rows = np.arange(row, min(row + 512, side)) % pattern.shape[0]
            strip = pattern[rows][:, columns]
            raster.write(strip, 1, window=Window(0, row, side, len(rows)))
    partial.rename(path)


def parcel_grid(side: int, count: int, seed: int = 0) -> gpd.GeoDataFrame:
    """`count` quadrilaterals in rows, their corners moved at random, that fill the raster but for gaps."""
    across = int(np.ceil(np.sqrt(count)))
    size = side * 10 / across
    rng = np.random.default_rng(seed)
    corner = np.array([[0.04, 0.04], [0.96, 0.04], [0.96, 0.96], [0.04, 0.96]])
    moved = corner[None] + rng.uniform(-0.035, 0.035, (count, 4, 2))
    at = np.column_stack([np.arange(count) % across, np.arange(count) // across])
    points = (at[:, None, :] + moved) * size
    points = np.stack([LEFT + points[..., 0], TOP - points[..., 1]], axis=-1)
    rings = np.concatenate([points, points[:, :1]], axis=1)
    ids = [f"{i:07d}" for i in range(count)]
    return gpd.GeoDataFrame({"parcel_id": ids}, geometry=shapely.polygons(rings), crs=32635)


def make_case(
    folder: Path, side: int, bands: Sequence[str] = OPTICAL_BANDS, one_file: bool = False, left: float = LEFT
) -> list[dict[str, Any]]:
    """Write the bands and the scene classification; assets as the acquisitions table has them.

    With `one_file` the bands are hard links of one.
    """
    paths = {band: folder / f"{band}.tif" for band in ("scl", *bands)}
    assets = [asset(band, path) for band, path in paths.items()]
    if all(path.exists() for path in paths.values()):
        return assets
    rng = np.random.default_rng(1)
    size = min(side, PATTERN)
    across = max(size // 35, 1)
    fields = np.add.outer(np.arange(size) * across // size * across, np.arange(size) * across // size)
    cloud = ndimage.zoom(rng.random((size // 50 + 1,) * 2), 25, order=0)[: size // 2, : size // 2] < 0.2
    hidden = cloud.repeat(2, axis=0).repeat(2, axis=1)
    write_raster(paths["scl"], np.where(cloud, 9, 4).astype(np.uint8), side // 2, 20.0, left)
    for band in bands:
        if one_file and band != bands[0]:
            paths[band].unlink(missing_ok=True)
            paths[band].hardlink_to(paths[bands[0]])
        else:
            values = texture(rng, size, fields)
            values[: hidden.shape[0], : hidden.shape[1]][hidden] = 0
            write_raster(paths[band], values, side, left=left)
    return assets


def linked(assets: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """The same assets under other paths, as files of another date: hard links."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for item in assets:
        path = folder / Path(item["href"]).name
        if not path.exists():
            path.hardlink_to(item["href"])
        found.append(item | {"href": str(path)})
    return found


def asset(band: str, path: Path) -> dict[str, Any]:
    unit, scale = ("class", 1.0) if band == "scl" else ("reflectance", 1e-4)
    return {"band": band, "href": str(path), "scale": scale, "offset": 0.0, "nodata": 0.0, "unit": unit}


def acquisition(assets: list[dict[str, Any]], day: int = 0, tile: str = "35VLF") -> dict[str, Any]:
    values = [
        f"S2_{tile}_{day:03d}",
        datetime(2024, 4, 1) + timedelta(days=day),
        "s2",
        None,
        None,
        "a",
        "05.10",
        tile,
        32635,
        None,
    ]
    return dict(zip(ACQUISITIONS.names(), [*values, assets], strict=True))
