"""The run's own image as tiles, for a map: cut from its COGs when asked for.

A monthly cloud-free composite where products of the run are named, else the clearest single acquisition.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from threading import Lock

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio import DatasetReader
from rasterio.enums import Resampling
from rasterio.windows import Window

from features.errors import ConfigError, CropcheckError
from features.imagery.grids import grid_of, pixel_metres
from features.imagery.masks import MaskOptions, clear_mask
from features.imagery.physical import encoding_of
from features.imagery.rasters.opening import open_raster
from features.schema import Asset
from reports.run import RunTables
from reports.sheet.pictures.colours import STRETCH, png, shaded
from reports.sheet.pictures.views import Item, optical_items

TILE = 256  # pixels
LOOK = 400  # pixels along a side in which clouds are counted
COLOURS = ("B04", "B03", "B02")
COMPOSITES = (
    "*_median_value.tif"  # of `cropcheck clear --write`: TILE/YYYY-MM_median/YYYY-MM_median_value.tif
)


@dataclass(frozen=True)
class Image:
    """One image that can be drawn: `read(window, step)` gives red, green and blue reflectance, decimated."""

    day: date  # of the acquisition, or the first of a composite's month
    is_composite: bool
    grid: GeoBox
    crs: str
    read: Callable[[Window, int], list[np.ndarray]]


class Background:
    """Tiles of one image; none where no scene gives a picture.

    Tile (level, column, row) covers `TILE * 2 ** level` pixels of the image a side, counted from its upper
    left corner.

    Parameters
    ----------
    products
        Folder that `cropcheck clear --write` filled: the composite of the clearest scene's month is drawn.
    """

    def __init__(self, run: RunTables, products: Path | None = None) -> None:
        self.run, self.products = run, products
        self._lock = Lock()  # rasterio's masks change warning filters, which threads share
        self._chosen: Image | None = None
        self._looked = False

    @property
    def image(self) -> Image | None:
        """The image that is drawn."""
        with self._lock:
            if not self._looked:
                self._chosen = self._choose()
                self._looked = True
        return self._chosen

    def _choose(self) -> Image | None:
        items = optical_items(self.run)
        clearest = max(items, key=lambda item: (_clear(item), item.day), default=None)
        if self.products is not None:
            return composite(self.products, clearest.day if clearest else None)
        return None if clearest is None else _scene(clearest)

    def facts(self) -> dict[str, object] | None:
        """Return what a map needs: upper left corner, metres of a pixel, size in pixels, levels, day."""
        image = self.image
        if image is None:
            return None
        height, width = image.grid.shape
        return {
            "x": image.grid.affine.c,
            "y": image.grid.affine.f,
            "pixel": abs(image.grid.affine.a),
            "width": width,
            "height": height,
            "levels": max(0, math.ceil(math.log2(max(width, height) / TILE))),
            "day": image.day.isoformat(),
        }

    def tile(self, level: int, column: int, row: int) -> bytes | None:
        """Return a tile as PNG, true colours; None outside the image or where it cannot be read."""
        image = self.image
        if image is None or not 0 <= level <= 20 or min(column, row) < 0:
            return None
        side, (height, width) = TILE * 2**level, image.grid.shape
        left, top = column * side, row * side
        if left >= width or top >= height:
            return None
        window = Window(left, top, min(side, width - left), min(side, height - top))
        with self._lock:
            try:
                colours = image.read(window, 2**level)
            except CropcheckError:
                return None
        return png(shaded(colours, STRETCH["true"]))


def composite(folder: Path, near: date | None) -> Image:
    """Return the monthly composite of a folder of products that lies nearest to a day.

    Raises
    ------
    ConfigError
        Where the folder holds no composite with the bands of a picture.
    """
    found = {}
    for path in sorted(folder.glob(f"*/*/{COMPOSITES}")):
        with open_raster(str(path)) as raster:
            bands = {name: place for place, name in enumerate(raster.descriptions, start=1)}
        if bands.keys() >= {*COLOURS}:
            found[path] = (date.fromisoformat(f"{path.name[:7]}-01"), [bands[name] for name in COLOURS])
    if not found:
        raise ConfigError(
            f"{folder} holds no monthly composite; write them with `cropcheck clear CONFIG --write {folder}`."
        )
    wanted = near.replace(day=1) if near else max(day for day, _ in found.values())
    path = min(found, key=lambda one: (abs((found[one][0] - wanted).days), str(one)))
    day, places = found[path]
    grid = grid_of(str(path))
    return Image(day, True, grid, str(grid.crs), lambda window, step: _read_bands(path, places, window, step))


def _scene(item: Item) -> Image:
    crs = f"EPSG:{item.epsg}" if item.epsg else str(item.grid.crs)
    assets = [item.assets[band] for band in COLOURS]
    return Image(
        item.day, False, item.grid, crs, lambda window, step: [_read(a, window, step) for a in assets]
    )


def _read_bands(path: Path, places: list[int], window: Window, step: int) -> list[np.ndarray]:
    with open_raster(str(path)) as raster:
        raw = [_decimated(raster, window, _shape(window, step), place) for place in places]
        scales, missing = raster.scales, raster.nodata
    return [
        np.where(one == missing, np.nan, one * scales[place - 1])
        for one, place in zip(raw, places, strict=True)
    ]


def _read(asset: Asset, window: Window, step: int) -> np.ndarray:
    with open_raster(asset["href"]) as raster:
        raw = _decimated(raster, window, _shape(window, step))
    return encoding_of(asset).physical(raw)


def _shape(window: Window, step: int) -> tuple[int, int]:
    return max(1, round(window.height / step)), max(1, round(window.width / step))


def _decimated(raster: DatasetReader, window: Window, shape: tuple[int, int], band: int = 1) -> np.ndarray:
    """Read a window at fewer pixels: from an overview where the file has one."""
    return np.asarray(raster.read(band, window=window, out_shape=shape, resampling=Resampling.nearest))


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
