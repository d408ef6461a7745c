"""Frames through networks: block means corrected, then laid over the detail of interpolation in time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import cycle

import numpy as np

from features.workers import one_ahead
from models.clouds.removal.cube import Cube
from models.clouds.removal.inputs.channel_selection import check_context
from models.clouds.removal.inputs.channels import Frames, InputChannels
from models.clouds.removal.inputs.coarse import Detail, coarsen, whole_blocks
from models.clouds.removal.inputs.haze import usable

IN_USE = 3  # inputs at a time: one with the networks, one waiting, one in the making
MULTIPLE = 8  # of sides in the network's pixels: networks halve them thrice, and few shapes are compiled

Prediction = tuple[np.ndarray, np.ndarray]  # reflectance and uncalibrated sigma, `(n, y, x, band)`
Predict = Callable[[list[np.ndarray]], Prediction]
Filled = tuple[int, np.ndarray, np.ndarray]  # frame, value and sigma `(band, y, x)`


def correct_frames(
    cube: Cube, wanted: np.ndarray, channels: InputChannels, size: int, predict: Predict, factor: np.ndarray
) -> Iterator[Filled]:
    """Yield the wanted frames, filled; memory is that of a few frames' channels.

    Inputs, the networks' answers and the way back to pixels are made beside each other, each a frame ahead.

    Parameters
    ----------
    size
        Pixels on a side that the networks see as one.
    predict
        Takes `layers` and `scene` of some frames.
    factor
        `(gap bin, band)` on sigma.
    """
    check_context(cube, channels)
    if not cube.clear.any():
        return
    low_cube = coarsen(cube, size, MULTIPLE)
    frames = Frames(low_cube, channels, whole_blocks(cube.clear, size, MULTIPLE))
    constant = None if channels.optical else np.array(channels.constant)
    detail = Detail.of(cube, size, channels.recent, constant, usable(cube, frames.haze[1], size))
    for frame, (low, spread) in zip(wanted.tolist(), _predictions(frames, wanted, predict), strict=True):
        yield frame, *detail.refine(frame, low[0], spread[0], factor)


def _predictions(frames: Frames, wanted: np.ndarray, predict: Predict) -> Iterator[Prediction]:
    """Yield the networks' prediction of each frame; the inputs of the next are made meanwhile."""
    spaces = cycle([frames.blank(1) for _ in range(IN_USE)])  # new ones would cost as much as to fill them

    def inputs(frame: int) -> list[np.ndarray]:
        layers, scene = next(spaces)
        frames.sample(frame, (layers[0], scene[0]))
        return [layers, scene]

    return one_ahead(_thread("networks"), predict, one_ahead(_thread("inputs"), inputs, wanted.tolist()))


@lru_cache
def _thread(name: str) -> ThreadPoolExecutor:
    """A thread that is kept: a new one would bring a heap of its own each time."""
    return ThreadPoolExecutor(1, name)
