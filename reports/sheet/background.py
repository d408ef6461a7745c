"""The run's clearest image as tiles, for a map: cut from its own COGs when asked for."""

import math
from threading import Lock

import numpy as np
from rasterio import DatasetReader
from rasterio.enums import Resampling
from rasterio.windows import Window

from features.errors import CropcheckError
from features.imagery.grids import pixel_metres
from features.imagery.masks import MaskOptions, clear_mask
from features.imagery.opening import open_raster
from features.imagery.physical import encoding_of
from features.schema import Asset
from reports.run import RunTables
from reports.sheet.pictures import STRETCH, Item, optical_items, png, shaded

TILE = 256  # pixels
LOOK = 400  # pixels along a side in which clouds are counted


class Background:
    """Tiles of the acquisition with the largest clear share; none where no scene gives a picture.

    Tile (level, column, row) covers `TILE * 2 ** level` pixels of the image a side, counted from its upper
    left corner.
    """

    def __init__(self, run: RunTables) -> None:
        self.run = run
        self._lock = Lock()  # rasterio's masks change warning filters, which threads share
        self._chosen: Item | None = None
        self._looked = False

    @property
    def item(self) -> Item | None:
        """The acquisition that is drawn."""
        with self._lock:
            if not self._looked:
                items = optical_items(self.run)
                self._chosen = max(items, key=lambda item: (_clear(item), item.day), default=None)
                self._looked = True
        return self._chosen

    def facts(self) -> dict[str, object] | None:
        """Return what a map needs: upper left corner, metres of a pixel, size in pixels, levels, day."""
        item = self.item
        if item is None:
            return None
        height, width = item.grid.shape
        return {
            "x": item.grid.affine.c,
            "y": item.grid.affine.f,
            "pixel": abs(item.grid.affine.a),
            "width": width,
            "height": height,
            "levels": max(0, math.ceil(math.log2(max(width, height) / TILE))),
            "day": item.day.isoformat(),
        }

    @property
    def crs(self) -> str | None:
        """The image's coordinate system."""
        item = self.item
        return None if item is None else f"EPSG:{item.epsg}" if item.epsg else str(item.grid.crs)

    def tile(self, level: int, column: int, row: int) -> bytes | None:
        """Return a tile as PNG, true colours; None outside the image or where it cannot be read."""
        item = self.item
        if item is None or not 0 <= level <= 20 or min(column, row) < 0:
            return None
        side, (height, width) = TILE * 2**level, item.grid.shape
        left, top = column * side, row * side
        if left >= width or top >= height:
            return None
        window = Window(left, top, min(side, width - left), min(side, height - top))
        with self._lock:
            try:
                colours = [_read(item.assets[band], window, 2**level) for band in ("B04", "B03", "B02")]
            except CropcheckError:
                return None
        return png(shaded(colours, STRETCH["true"]))


def _read(asset: Asset, window: Window, step: int) -> np.ndarray:
    shape = (max(1, round(window.height / step)), max(1, round(window.width / step)))
    with open_raster(asset["href"]) as raster:
        raw = _decimated(raster, window, shape)
    return encoding_of(asset).physical(raw)


def _decimated(raster: DatasetReader, window: Window, shape: tuple[int, int]) -> np.ndarray:
    """Read a window at fewer pixels: from an overview where the file has one."""
    return np.asarray(raster.read(1, window=window, out_shape=shape, resampling=Resampling.nearest))


def _clear(item: Item) -> float:
    """Return the clear share of a scene, by its scene classes; -1 where it has none or cannot be read."""
    asset = item.assets.get("scl")
    if asset is None:
        return -1.0
    try:
        with open_raster(asset["href"]) as raster:
            step = max(1, math.ceil(max(raster.width, raster.height) / LOOK))
            shape = (max(1, raster.height // step), max(1, raster.width // step))
            classes = _decimated(raster, Window(0, 0, raster.width, raster.height), shape)
    except CropcheckError:
        return -1.0
    down, right = pixel_metres(item.grid)
    return float(clear_mask(classes, MaskOptions(), (step * down, step * right)).mean())
