"""Before and after: what clouds left of a frame, and what was filled in."""

from pathlib import Path

import numpy as np
import xarray as xr

from features.files import atomic_path

COLOURS = (("B04", "B03", "B02"), ("B11", "B8A", "B05"))  # natural, else false colour of the 20 m bands
BRIGHTEST = 0.3  # reflectance that is drawn white
HIDDEN = np.array([150, 150, 160], np.uint8)
GAP_PX = 4
ZOOM = 3


def before_after(
    stack: xr.Dataset, filled: xr.Dataset, frames: list[int], truth: np.ndarray | None = None
) -> np.ndarray:
    """Return a picture `(y, x, 3)` uint8: a row a frame; what was seen, what was filled, and the truth if
    known.

    Parameters
    ----------
    stack, filled
        What was given to `Remover.fill`, and what it returned.
    truth
        `(time, band, y, x)`.
    """
    bands = [str(band) for band in stack["band"].values]
    chosen = next((c for c in COLOURS if set(c) <= set(bands)), tuple(bands[:1]) * 3)
    index = [bands.index(band) for band in chosen]
    rows = []
    for frame in frames:
        clear = np.asarray(stack["clear"].values[frame], bool)
        after = _colours(filled["reflectance"].values[frame][index])
        before = np.where(clear[..., None], after, HIDDEN)
        panels = [before, after] + ([] if truth is None else [_colours(truth[frame][index])])
        rows.append(_joined(panels, axis=1))
    return _joined(rows, axis=0)


def half_clear_frames(stack: xr.Dataset, count: int = 3) -> list[int]:
    """Return `count` indices of the frames whose clear share, over `(y, x)`, is nearest to a half."""
    share = np.asarray(stack["clear"].values, bool).mean(axis=(1, 2))
    return sorted(np.argsort(np.abs(share - 0.5), kind="stable")[:count].tolist())


def write_png(picture: np.ndarray, path: Path) -> Path:
    """Write a picture, uint8 `(y, x, 3)`, each pixel enlarged."""
    from matplotlib.image import imsave  # half a second, for those who draw

    with atomic_path(path) as partial:
        imsave(partial, np.kron(picture, np.ones((ZOOM, ZOOM, 1), np.uint8)), format="png")
    return path


def _colours(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values).all(axis=0)
    bright = np.clip(np.nan_to_num(np.moveaxis(values, 0, -1)) / BRIGHTEST, 0, 1) ** 0.7
    return np.where(known[..., None], (255 * bright).astype(np.uint8), np.uint8(0))


def _joined(panels: list[np.ndarray], axis: int) -> np.ndarray:
    shape = list(panels[0].shape)
    shape[axis] = GAP_PX
    gap = np.full(shape, 255, np.uint8)
    parts = [part for panel in panels for part in (gap, panel)][1:]
    return np.concatenate(parts, axis=axis)
