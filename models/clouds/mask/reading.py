"""Acquisitions as frames: each band on the grid of the mask, its pixels 20 m wide."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from features.catalog.mission import Level
from features.errors import CropcheckError, ImageryError
from features.imagery.blocks import Block
from features.imagery.grids import crop, grid_of, pixel_metres
from features.imagery.sun import sun_position
from features.imagery.windows import physical_on_grid, read_on_grid
from features.schema import OPTICAL_BANDS, SCENE_CLASS, Acquisition, Asset, assets_by_band
from models.clouds.mask.frames import UNDELIVERED, Frames

MASK_PIXEL_M = 20.0
READERS = 2


@dataclass(frozen=True)
class MaskGrid:
    """The grid of a tile's masks and the finest grid under it, `factor` of whose pixels make one."""

    fine: GeoBox
    factor: int

    @classmethod
    def over(cls, fine: GeoBox) -> "MaskGrid":
        """Return the grid of pixels of about 20 m over a finer one."""
        return cls(fine, max(1, round(MASK_PIXEL_M / max(pixel_metres(fine)))))

    @property
    def grid(self) -> GeoBox:
        """Return the mask's own grid; its last row and column may reach beyond the finest one."""
        height, width = (-(-n // self.factor) for n in self.fine.shape)
        return GeoBox((height, width), self.fine.affine @ Affine.scale(self.factor), self.fine.crs)

    def fine_block(self, block: Block) -> GeoBox:
        """Return the finest pixels under some of the mask's rows and columns."""
        parts = (slice(p.start * self.factor, p.stop * self.factor) for p in block.slices)
        return crop(self.fine, Block(*parts))


def read_frames(
    rows: Sequence[Acquisition],
    grid: MaskGrid,
    block: Block,
    bands: Sequence[str] = OPTICAL_BANDS,
    failed: dict[str, ImageryError] | None = None,
    level: Level = "L2A",
) -> tuple[Frames, list[Acquisition]]:
    """Read optical acquisitions over some rows and columns of the mask's grid.

    A mask's pixel is the mean of the finer ones, unknown where one of them is, saturated where one of them is
    and the others are known; its scene class is that of the upper left one.

    Parameters
    ----------
    bands
        Those that are wanted; one that an acquisition lacks is unknown there. Bands that none has are left
        out.
    failed
        Receives the acquisitions that cannot be read, by item id; without it, the first such error is raised.
    level
        What their reflectance is of: the surface (L2A), or the top of the atmosphere (L1C).

    Returns
    -------
    tuple
        The frames in order of time, and their acquisitions.
    """
    present = {asset["band"] for row in rows for asset in row["assets"]}
    kept = tuple(band for band in bands if band in present)
    rows = sorted(rows, key=lambda row: (row["datetime"], row["item_id"]))
    found: list[tuple[Acquisition, np.ndarray, np.ndarray]] = []
    with ThreadPoolExecutor(READERS) as pool:
        tasks = [(row, pool.submit(_read_one, row, grid, block, kept)) for row in rows]
        for row, task in tasks:
            try:
                found.append((row, *task.result()))
            except ImageryError as error:
                if failed is None:
                    raise
                failed[row["item_id"]] = error
    read = [row for row, _, _ in found]
    height, width = block.shape
    values = [v for _, v, _ in found] or [np.empty((len(kept), height, width), np.float32)]
    reflectance = np.stack(values)[: len(found)]
    bright = np.isinf(reflectance)
    saturated = bright.any(axis=1) if bright.any() else None
    reflectance[bright] = np.nan
    classes = np.stack([c for _, _, c in found]) if found else np.empty((0, height, width), np.uint8)
    times = np.array([row["datetime"] for row in read], "datetime64[s]")
    longitude, latitude = _middle(grid.grid, block)
    frames = Frames(
        bands=kept,
        reflectance=reflectance,
        times=times,
        sun=sun_position(times, longitude, latitude),
        pixel_m=float(np.mean(pixel_metres(grid.grid))),
        scene_class=classes if SCENE_CLASS in present else None,
        level=level,
        saturated=saturated,
    )
    return frames, read


def _middle(grid: GeoBox, block: Block) -> tuple[float, float]:
    rows, columns = block.slices
    x, y = grid.affine @ ((columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2)
    to_wgs84 = Transformer.from_crs(str(grid.crs), "OGC:CRS84", always_xy=True)
    longitude, latitude = to_wgs84.transform(x, y)
    return float(longitude), float(latitude)


def _read_one(
    row: Acquisition, grid: MaskGrid, block: Block, bands: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    assets = assets_by_band(row)
    values = np.full((len(bands), *block.shape), np.nan, np.float32)
    for k, band in enumerate(bands):
        if band in assets:
            values[k] = _coarse(assets[band], grid, block)
    classes = np.full(block.shape, UNDELIVERED, np.uint8)
    if SCENE_CLASS in assets:
        raw = read_on_grid(assets[SCENE_CLASS]["href"], grid.fine_block(block))
        known = ~np.ma.getmaskarray(raw)
        data = np.ma.getdata(raw)
        with np.errstate(invalid="ignore"):
            known &= (data >= 0) & (data <= 11)
            scene_class = np.where(known, data, 0).astype(np.uint8)
        classes = scene_class[:: grid.factor, :: grid.factor]
    return values, classes


def _coarse(asset: Asset, grid: MaskGrid, block: Block) -> np.ndarray:
    """Physical values on the mask's grid `(y, x)`: read as they are where they lie on it, else averaged;
    infinite where saturated.
    """
    own, target = grid_of(asset["href"]), crop(grid.grid, block)
    if abs(own.affine.a) > 0.999 * abs(target.affine.a):
        try:
            return physical_on_grid(asset, target, np.inf)
        except CropcheckError as error:
            if error.reason != "shifted_grid":
                raise
    fine = physical_on_grid(asset, grid.fine_block(block), np.inf)
    height, width = block.shape
    return np.asarray(fine.reshape(height, grid.factor, width, grid.factor).mean(axis=(1, 3)))
