"""The raw pixels of many small windows of one image, read without a call for each."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio import DatasetReader
from rasterio.windows import Window

from features.errors import CropcheckError
from features.imagery.blocks import Block
from features.imagery.grids import CLOSE
from features.imagery.rasters.opening import open_raster
from features.schema import Asset

log = logging.getLogger(__name__)
CELL = 512  # pixels along a side, within which windows may be read at once
CALL = 30_000  # pixels that can be read and masked in the time that a call of its own takes


def cutouts(asset: Asset, grid: GeoBox, blocks: Sequence[Block]) -> list[np.ndarray] | None:
    """Return the raw pixels `(y, x)` of each block of the picture's grid; None where the file cannot be read,
    which is logged.
    """
    found: dict[int, np.ndarray] = {}
    try:
        for around, raw, numbers in grouped_cutouts(asset, grid, blocks):
            found |= {number: raw[blocks[number].within(around).slices] for number in numbers}
    except CropcheckError as error:
        log.warning("No picture from %s", error)
        return None
    return [found[number] for number in range(len(blocks))]


def grouped_cutouts(
    asset: Asset, grid: GeoBox, blocks: Sequence[Block]
) -> Iterator[tuple[Block, np.ndarray, list[int]]]:
    """Yield a block about some of `blocks`, its raw pixels `(y, x)` on the picture's grid, and the numbers of
    those that lie in it. A coarser band is repeated.

    Raises
    ------
    ImageryError
        Where the file cannot be opened or read.
    """
    with open_raster(asset["href"]) as raster:
        ratio = abs(raster.transform.a / grid.affine.a)
        factor = max(1, round(ratio))
        is_exact = abs(ratio - factor) < CLOSE / CELL
        groups = _groups(blocks) if is_exact else [(block, [k]) for k, block in enumerate(blocks)]
        for around, numbers in groups:
            yield around, read_block(raster, grid, around, factor), numbers


def _groups(blocks: Sequence[Block]) -> Iterator[tuple[Block, list[int]]]:
    """Yield blocks to read at once, where that costs less than one after another, and their members."""
    cells: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, block in enumerate(blocks):
        cells[(block.rows.start // CELL, block.columns.start // CELL)].append(number)
    for numbers in cells.values():
        members = [blocks[number] for number in numbers]
        around = Block(*(_about([block.slices[axis] for block in members]) for axis in (0, 1)))
        if _pixels(around) <= sum(_pixels(block) + CALL for block in members) - CALL:
            yield around, numbers
        else:
            yield from ((blocks[number], [number]) for number in numbers)


def _about(parts: list[slice]) -> slice:
    return slice(min(part.start for part in parts), max(part.stop for part in parts))


def _pixels(block: Block) -> int:
    height, width = block.shape
    return int(height * width)


def read_block(raster: DatasetReader, grid: GeoBox, block: Block, factor: int) -> np.ndarray:
    """A block's pixels of one band, placed by where the band lies; nodata where the band does not reach."""
    height, width = block.shape
    corner = grid.affine @ Affine.translation(block.columns.start, block.rows.start)
    x, y = ~raster.transform @ (corner.c, corner.f)
    top, left = round(y * factor), round(x * factor)  # of the block within the band, in the block's pixels
    rows = range(top // factor, -(-(top + height) // factor))
    columns = range(left // factor, -(-(left + width) // factor))
    first, last = (max(rows.start, 0), max(columns.start, 0)), (
        min(rows.stop, raster.height), min(columns.stop, raster.width),
    )  # fmt: skip
    nodata = raster.nodata if raster.nodata is not None and np.isfinite(raster.nodata) else 0
    raw = np.full((len(rows), len(columns)), nodata, raster.dtypes[0])
    if first[0] < last[0] and first[1] < last[1]:
        there = Window.from_slices((first[0], last[0]), (first[1], last[1]))
        raw[
            first[0] - rows.start : last[0] - rows.start, first[1] - columns.start : last[1] - columns.start
        ] = raster.read(1, window=there)
    raw = raw.repeat(factor, 0).repeat(factor, 1) if factor > 1 else raw
    below, right = top - rows.start * factor, left - columns.start * factor
    return raw[below : below + height, right : right + width]
