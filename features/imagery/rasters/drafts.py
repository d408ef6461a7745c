"""Rasters that are written block by block, and turned into COGs once they are whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from odc.geo.geobox import GeoBox

from features.files import atomic_path, is_vouched, vouch


def keep_block(path: Path, computed: Callable[[], np.ndarray]) -> Path:
    """Write the array of one block, of any shape, unless it lies there whole from an earlier try; return the
    file.
    """
    if not is_vouched(path):
        stored = computed()
        with atomic_path(path) as partial, partial.open("wb") as handle:
            np.save(handle, stored, allow_pickle=False)
        vouch(path)
    return path


def open_draft(path: Path, grid: GeoBox, bands: int, dtype: str, nodata: float) -> Any:
    """Open a tiled GeoTIFF on a grid for writing; its folder is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return rasterio.open(
        path, "w", driver="GTiff", height=grid.shape[0], width=grid.shape[1], count=bands, dtype=dtype,
        crs=None if grid.crs is None else grid.crs.to_wkt(), transform=grid.affine, nodata=nodata,
        tiled=True, blockxsize=256, blockysize=256, compress="deflate", BIGTIFF="IF_SAFER",
    )  # fmt: skip


def write_cog(draft: Path, target: Path, resampling: str = "average") -> None:
    """Turn a draft into a COG, whole or not at all; `resampling` makes its overviews."""
    with atomic_path(target) as partial:
        rasterio.shutil.copy(draft, partial, driver="COG", compress="deflate", overview_resampling=resampling)
