"""Masks of one tile as rasters, written block by block and there whole or not at all."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from features.imagery.blocks import Block

TILE_PX = 256  # of the files, so that blocks of a multiple of it never rewrite one


@dataclass
class MaskWriter:
    """Collects the blocks of one tile's masks.

    Attributes
    ----------
    folder
        Receives a GeoTIFF an acquisition, with Sen2Cor's numbers; replaced as a whole when closed.
    names
        File name of every acquisition, by item id.
    """

    folder: Path
    grid: GeoBox
    names: Mapping[str, str]
    started: set[str] = field(default_factory=set)

    @property
    def _draft(self) -> Path:
        return self.folder.with_name(f".{self.folder.name}.partial")

    def add(self, item: str, place: Block, classes: np.ndarray) -> None:
        """Write a block `(y, x)` of one acquisition's mask."""
        path = self._draft / self.names[item]
        if item not in self.started:
            self._create(path)
            self.started.add(item)
        with rasterio.open(path, "r+") as raster:
            raster.write(classes, 1, window=Window.from_slices(*place.slices))

    def _create(self, path: Path) -> None:
        if not self.started:
            shutil.rmtree(self._draft, ignore_errors=True)
        self._draft.mkdir(parents=True, exist_ok=True)
        height, width = self.grid.shape
        assert self.grid.crs is not None
        with rasterio.open(
            path, "w", driver="GTiff", height=height, width=width, count=1, dtype="uint8", nodata=0,
            crs=self.grid.crs.to_wkt(), transform=self.grid.affine, tiled=True, blockxsize=TILE_PX,
            blockysize=TILE_PX, compress="deflate", sparse_ok=True,
        ):  # fmt: skip
            pass

    def close(self, without: set[str]) -> None:
        """Put the finished masks in place of earlier ones, without those of acquisitions that failed."""
        for item in self.started & without:
            (self._draft / self.names[item]).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._draft.is_dir():
            self._draft.rename(self.folder)
