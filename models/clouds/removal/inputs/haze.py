"""Haze that the mask missed: observations brighter in blue than the clear dates on both sides of them.

After the multi-temporal test of Hagolle et al. 2010 (Remote Sensing of Environment 114): blue rises under
thin cloud, and red no more than 1.5 times as much, as it would on ploughed soil. Theirs looks back to one
clear date; looking to both sides spares a harvest, after which a field stays bright. How much is too much is
learnt on hidden pixels (`models.clouds.removal.inputs.sources`).
"""

import numpy as np
from scipy.ndimage import uniform_filter

from models.clouds.removal.cube import Cube
from models.clouds.removal.inputs.surroundings import BLOCK_PX, block_sums
from models.clouds.removal.neighbours import strict_neighbours

LEVELS = (1.0, 0.03, 0.02, 0.015, 0.01)  # reflectance; at one every observation is used; theirs is 0.03
RED_OVER_BLUE = 1.5
AROUND = 3  # blocks that are averaged: a field is not hazy alone
PASSES = 2  # the second finds a hazy date beside another


def excess(cube: Cube, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how much brighter each block is than the dates beside it, and which blocks are used.

    Parameters
    ----------
    level
        Reflectance in the first band above which a block is hazy.

    Returns
    -------
    tuple
        float32 `(time, y / 4, x / 4)`, zero where there is nothing to compare with, and bool alike. A block
        keeps its dates where none would be left.
    """
    blue, red = (_means(cube, name) for name in _bands(cube))
    seen = np.isfinite(blue)
    used, more = seen, np.zeros_like(blue)
    for _ in range(PASSES):
        sides = strict_neighbours(used)
        more = _above(blue, sides)
        hazy = (more > level) & (_above(red, sides) < RED_OVER_BLUE * more)
        left = used & ~hazy
        used = np.where(left.any(axis=0), left, used)
    return more, used | ~seen


def usable(cube: Cube, blocks: np.ndarray, size: int = 1) -> np.ndarray:
    """Return the clear pixels `(time, y, x)` of the used blocks, and all of a pixel that has no other.

    Parameters
    ----------
    blocks
        As `excess` gives them, of this cube or of one that is coarser by the factor `size`.
    """
    _, _, height, width = cube.shape
    side = BLOCK_PX * size
    spread = blocks.repeat(side, axis=1).repeat(side, axis=2)[:, :height, :width]
    good = cube.clear & spread
    return np.where(good.any(axis=0), good, cube.clear)


def _bands(cube: Cube) -> tuple[str, str]:
    blue = "B02" if "B02" in cube.bands else cube.bands[0]
    return blue, "B04" if "B04" in cube.bands else blue


def _means(cube: Cube, band: str) -> np.ndarray:
    """Return a band's means over the clear pixels of blocks and those beside them, NaN where few are."""
    values = np.where(cube.clear, cube.reflectance[:, cube.bands.index(band)], 0)
    sums, count = block_sums(values), block_sums(cube.clear.astype(np.float32))
    total, around = (uniform_filter(part, (0, AROUND, AROUND), mode="constant") for part in (sums, count))
    known = count > 0
    return np.asarray(np.divide(total, around, out=np.full_like(total, np.nan), where=known))


def _above(values: np.ndarray, sides: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return how much `(time, y, x)` exceeds the brighter of its neighbours; zero where there is none."""
    beside = [
        np.where(side >= 0, np.take_along_axis(values, np.maximum(side, 0).astype(np.int64), 0), np.nan)
        for side in sides
    ]
    return np.asarray(np.nan_to_num(values - np.fmax(*beside)), np.float32)
