"""Frames through networks: block means corrected, then laid over the detail of interpolation in time."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from models.clouds.coarse import Detail, coarsen, whole_blocks
from models.clouds.cube import Cube
from models.clouds.haze import usable
from models.clouds.inputs import Frames, Recipe
from models.clouds.recipes import check_context

MULTIPLE = 16  # sides are padded to it in the network's pixels, so that few shapes are compiled
FRAMES_A_CALL = 1  # the network's inputs are held for that many frames at a time, twice; more are no faster

Answer = tuple[np.ndarray, np.ndarray]  # reflectance and uncalibrated sigma, `(n, y, x, band)`
Predict = Callable[[list[np.ndarray]], Answer]
Filled = tuple[int, np.ndarray, np.ndarray]  # frame, value and sigma `(band, y, x)`


def correct_frames(
    cube: Cube, wanted: np.ndarray, recipe: Recipe, size: int, predict: Predict, factor: np.ndarray
) -> Iterator[Filled]:
    """Yield the wanted frames, filled; memory is that of a few frames' channels.

    While networks answer for some frames, the inputs of the next are made.

    Parameters
    ----------
    size
        Pixels on a side that the networks see as one.
    predict
        Takes `layers` and `scene` of some frames.
    factor
        `(gap bin, band)` on sigma.
    """
    check_context(cube, recipe)
    if not cube.clear.any():
        return
    _, _, height, width = cube.shape
    cube = cube.padded(-height % (MULTIPLE * size), -width % (MULTIPLE * size))
    frames = Frames(coarsen(cube, size), recipe, whole_blocks(cube.clear, size))
    constant = None if recipe.optical else np.array(recipe.constant)
    detail = Detail.of(cube, size, recipe.recent, constant, usable(cube, frames.haze[1], size))
    for some, answer in _answers(frames, wanted, predict):
        for frame, low, spread in zip(some, *answer, strict=True):
            value, sigma = detail.refine(frame, low, spread, factor)
            yield frame, value[:, :height, :width], sigma[:, :height, :width]


def _answers(frames: Frames, wanted: np.ndarray, predict: Predict) -> Iterator[tuple[list[int], Answer]]:
    asked: tuple[list[int], Future[Answer]] | None = None
    for start in range(0, len(wanted), FRAMES_A_CALL):
        some = wanted[start : start + FRAMES_A_CALL].tolist()
        inputs = frames.blank(len(some))
        for frame, into in zip(some, zip(*inputs, strict=True), strict=True):
            frames.sample(frame, into)
        if asked:
            yield asked[0], asked[1].result()
        asked = some, _beside().submit(predict, list(inputs))
    if asked:
        yield asked[0], asked[1].result()


@lru_cache(maxsize=1)
def _beside() -> ThreadPoolExecutor:
    """The one thread that networks answer in, kept: a new one would bring a heap of its own each time."""
    return ThreadPoolExecutor(1)
