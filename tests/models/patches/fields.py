"""Blocks of made-up fields, for tests: classes that differ in two bands, with noise and unknown borders."""

import numpy as np

from models.patches.inputs.composites import Composites
from models.patches.inputs.labels import UNKNOWN, Labels
from models.patches.inputs.samples import LabelledBlock

LEVELS = np.array([[0.05, 0.4], [0.2, 0.25], [0.1, 0.1]])  # (class, band)


def stripes(side: int = 64, width: int = 16, classes: int = 2) -> np.ndarray:
    """Vertical fields of one class each, `(y, x)`."""
    return np.broadcast_to((np.arange(side) // width) % classes, (side, side)).copy()


def block_of(truth: np.ndarray, steps: int = 3, noise: float = 0.01, seed: int = 0) -> LabelledBlock:
    """A block in which each run of columns of a class is a parcel, two of a fold; borders are unknown."""
    rng = np.random.default_rng(seed)
    values = LEVELS[truth].transpose(2, 0, 1)[None].repeat(steps, axis=0)
    values = (values + noise * rng.standard_normal(values.shape)).astype(np.float32)
    composites = Composites(values, np.ones((steps, *truth.shape), bool))
    change = np.diff(truth[0], prepend=truth[0, 0]) != 0
    parcel = np.broadcast_to(np.cumsum(change), truth.shape).copy()
    border = np.broadcast_to(change | np.roll(change, -1), truth.shape)
    label = np.where(border, UNKNOWN, truth).astype(np.int16)
    fold = np.where(border, UNKNOWN, parcel // 2 % 2).astype(np.int16)
    return LabelledBlock(
        composites, Labels(parcel.astype(np.int32), label, np.full_like(label, UNKNOWN), fold)
    )
