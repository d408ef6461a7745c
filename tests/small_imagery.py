"""A few small rasters and parcels written as files, for tests of extraction."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl
import rasterio
import shapely
import xarray as xr
from affine import Affine

from features.extraction.filling.remover import FilledFrame
from features.schema import ACQUISITIONS

LEFT, TOP = 500_000.0, 5_000_000.0
SIDE = 60  # pixels of 10 m


def write_tif(
    path: Path,
    values: np.ndarray,
    step: float = 10.0,
    corner: tuple[float, float] = (LEFT, TOP),
    epsg: int = 32635,
    **extra: Any,
) -> Path:
    profile = {
        "driver": "GTiff",
        "height": values.shape[0],
        "width": values.shape[1],
        "count": 1,
        "dtype": values.dtype,
    }
    layout = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate", "crs": f"EPSG:{epsg}"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", transform=Affine(step, 0, corner[0], 0, -step, corner[1]), **(profile | layout | extra)
    ) as raster:
        raster.write(values, 1)
    return path


def asset(band: str, path: Path, unit: str = "reflectance", nodata: float | None = 0.0) -> dict[str, Any]:
    scale, offset = {"reflectance": (1e-4, -0.1)}.get(unit, (1.0, 0.0))
    return {"band": band, "href": str(path), "scale": scale, "offset": offset, "nodata": nodata, "unit": unit}


def optical(
    folder: Path,
    day: int,
    bands: Mapping[str, np.ndarray],
    classes: np.ndarray,
    tile: str = "35VLF",
    **where: Any,
) -> dict[str, Any]:
    """One Sentinel-2 acquisition; bands by name as raw numbers, of 10 m or (half the size) 20 m pixels."""
    assets = []
    for band, values in {**bands, "scl": classes}.items():
        step = 10.0 if values.shape[0] == SIDE else 20.0
        path = write_tif(folder / f"{tile}_{day:03d}_{band}.tif", values, step, **where)
        assets.append(asset(band, path, "class" if band == "scl" else "reflectance"))
    return acquisition(f"S2_{tile}_{day:03d}", day, "s2", tile, assets)


def radar(
    folder: Path, day: int, bands: Mapping[str, np.ndarray], orbit: int = 37, tile: str = "35VLF"
) -> dict[str, Any]:
    """One Sentinel-1 acquisition, linear power."""
    assets = [
        asset(band, write_tif(folder / f"{tile}_{day:03d}_{band}.tif", values), "linear", None)
        for band, values in bands.items()
    ]
    return acquisition(f"S1_{tile}_{day:03d}", day, "s1", tile, assets) | {
        "relative_orbit": orbit,
        "orbit_state": "ascending",
    }


def acquisition(
    item_id: str, day: int, sensor: str, tile: str, assets: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "item_id": item_id, "datetime": datetime(2024, 5, 1, 9, 30) + timedelta(days=day), "sensor": sensor,
        "orbit_state": None, "relative_orbit": None, "platform": "sentinel", "processing_baseline": "05.10",
        "tile": tile, "epsg": 32635, "footprint": None, "assets": assets,
    }  # fmt: skip


def table(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=ACQUISITIONS)


def scene(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Raw B04 and B08 at 10 m, B05 at 20 m."""
    sizes = {"B04": SIDE, "B08": SIDE, "B05": SIDE // 2}
    return {band: rng.integers(1200, 6000, (size, size)).astype(np.uint16) for band, size in sizes.items()}


def all_clear(value: int = 4) -> np.ndarray:
    return np.full((SIDE // 2, SIDE // 2), value, np.uint8)


def parcels(*shapes: shapely.Geometry, epsg: int = 32635) -> gpd.GeoDataFrame:
    ids = [f"{i:06d}" for i in range(len(shapes))]
    return gpd.GeoDataFrame({"parcel_id": ids}, geometry=list(shapes), crs=epsg)


def field(left: float, top: float, width: float, height: float) -> shapely.Geometry:
    """A rectangle, in metres from the rasters' corner rightwards and downwards."""
    return shapely.box(LEFT + left, TOP - top - height, LEFT + left + width, TOP - top)


class Constant:
    """Fills with one reflectance and one sigma; remembers the largest stack it was given."""

    def __init__(self, value: float = 0.3, sigma: float = 0.02, margin_px: int = 0) -> None:
        self.value, self.sigma, self.margin_px = value, sigma, margin_px
        self.calls: list[dict[str, int]] = []

    def filled_frames(self, stack: xr.Dataset, reuse: bool = False) -> Iterator[FilledFrame]:
        self.calls.append(dict(stack.sizes))
        values, hidden = stack["reflectance"].values, ~stack["clear"].values
        for t, (value, gone) in enumerate(zip(values, hidden, strict=True)):
            filled = np.where(gone, np.float32(self.value), value)
            sigma = np.where(gone, np.float32(self.sigma), np.zeros_like(value))
            yield FilledFrame(t, filled, sigma, gone)

    def save(self, folder: Path) -> Path:
        (folder / "model.json").write_text(f"{self.value} {self.sigma}")
        return folder
