"""Windows that the network learns from: painted skies, the region itself, and labelled tiles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.clouds.mask.classes import CLEAR, UNKNOWN
from models.clouds.mask.frames import Frames
from models.clouds.mask.network.inputs import bands_of
from models.clouds.mask.network.painting import draw_sky, paint

CONFIDENT = 0.8  # chance of the teacher's class from which its label counts
BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
LEAST_CLEAR = 0.7  # share of a window, to paint over it


@dataclass(frozen=True)
class Sample:
    """One window.

    Attributes
    ----------
    values
        Reflectance `(band, y, x)` in the network's order; NaN where missing.
    labels
        Class `(y, x)` uint8; 255 where unknown.
    top_of_atmosphere
        Whether it is L1C.
    """

    values: np.ndarray
    labels: np.ndarray
    top_of_atmosphere: bool = False


def teacher_labels(chances: np.ndarray) -> np.ndarray:
    """Return a teacher's confident classes of `(time, class, y, x)`, 255 elsewhere."""
    known = np.nan_to_num(chances, nan=0.0)
    return np.where(known.max(axis=1) >= CONFIDENT, known.argmax(axis=1), UNKNOWN).astype(np.uint8)


def region_samples(
    frames: Frames,
    labels: np.ndarray,
    count: int,
    side: int,
    painted_share: float,
    rng: np.random.Generator,
) -> Iterator[Sample]:
    """Yield windows of a region without labels of its own.

    Over windows that the teacher calls mostly clear a sky of known truth is painted; the others have the
    teacher's labels.

    Parameters
    ----------
    labels
        The teacher's, `(time, y, x)`; 255 where it is not sure.
    """
    values = bands_of(frames)
    height, width = frames.shape
    side = min(side, height // 8 * 8, width // 8 * 8)
    painted, tries = round(count * painted_share), 0
    made = 0
    while made < count and tries < 40 * count:
        tries += 1
        date = int(rng.integers(len(frames)))
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        part = values[date, :, top : top + side, left : left + side]
        own = labels[date, top : top + side, left : left + side]
        if np.isnan(part[[0, 2, 3]]).mean() > 0.1 or (own == UNKNOWN).mean() > 0.9:
            continue
        clear = own == CLEAR
        if made < painted:
            if clear.mean() < LEAST_CLEAR:
                continue
            made += 1
            yield _painted(part, own, frames, date, rng)
        elif (own != CLEAR).any():
            made += 1
            yield Sample(part.copy(), own.copy(), frames.level == "L1C")


def _painted(
    part: np.ndarray, own: np.ndarray, frames: Frames, date: int, rng: np.random.Generator
) -> Sample:
    sky = draw_sky(own.shape, frames.pixel_m, frames.sun[date], rng)
    seen, truth = paint(part, BANDS, sky)
    labels = np.where((truth == CLEAR) | (own == CLEAR) | (own == UNKNOWN), truth, UNKNOWN)
    labels[(truth == CLEAR) & (own != CLEAR)] = own[(truth == CLEAR) & (own != CLEAR)]
    noise = 1 + 0.01 * rng.standard_normal(seen.shape)
    return Sample((seen * noise).astype(np.float32), labels.astype(np.uint8), frames.level == "L1C")


def tile_samples(tiles: Sequence[Sample], count: int, side: int, rng: np.random.Generator) -> list[Sample]:
    """Cut windows out of labelled tiles, each tile in turn."""
    out = []
    for k in range(count):
        tile = tiles[k % len(tiles)]
        height, width = tile.labels.shape
        size = min(side, height // 8 * 8, width // 8 * 8)
        top, left = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
        here = (slice(top, top + size), slice(left, left + size))
        out.append(Sample(tile.values[(slice(None), *here)], tile.labels[here], tile.top_of_atmosphere))
    return out
