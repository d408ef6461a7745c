"""Which pixels of a scene classification are clear."""

from typing import Literal

import numpy as np
from pydantic import Field

from features.errors import ImageryError
from features.messages.listed import listed
from features.options import Options

# Sen2Cor's classes: 0 no data, 1 saturated, 3 cloud shadow, 8 and 9 cloud, 10 thin cirrus, 11 snow
MASKED_CLASSES = (0, 1, 3, 8, 9, 10, 11)
LAST_CLASS, FILLED = 11, 255
CLOUDY_CLASSES = (3, 8, 9, 10)


class MaskOptions(Options):
    """Which pixels of an optical scene count as seen."""

    masked_classes: tuple[int, ...] = Field(
        MASKED_CLASSES, description="Scene classes (Sen2Cor's numbers) that are left out."
    )
    without_classes: Literal["set_aside", "clear"] = Field(
        "set_aside",
        description="Scenes without a scene classification: left out, or all that is not nodata counts as "
        "clear, as in composites that were masked before.",
    )
    dilation_m: float = Field(
        20.0, description="Clouds and cloud shadows are grown by this much before they are left out."
    )


def clear_mask(scene_class: np.ndarray, options: MaskOptions, pixel_m: tuple[float, float]) -> np.ndarray:
    """Which pixels of a scene classification `(y, x)` are clear; bool.

    Classes that are not whole numbers from 0 to 11 (fills such as NaN and 1e20) are not clear. Clouds
    and their shadows are grown by a disc of `options.dilation_m`.

    Parameters
    ----------
    pixel_m
        Height and width of a pixel in metres.
    """
    lookup = np.zeros(256, bool)
    lookup[:12] = True
    lookup[list(options.masked_classes)] = False
    classes = scene_class
    if classes.dtype != np.uint8:
        with np.errstate(invalid="ignore"):
            classes = np.where((classes >= 0) & (classes <= 11), classes, 255).astype(np.uint8)
    clear = lookup[classes]
    down, right = radii(options, pixel_m)
    growing = np.zeros(256, bool)
    growing[[c for c in CLOUDY_CLASSES if c in options.masked_classes]] = True
    hidden = growing[classes]
    if max(down, right) > 0 and hidden.any() and clear.any():
        clear &= ~grown(hidden, down, right)
    return np.asarray(clear)


def refuse_no_classes(scene_class: np.ndarray) -> None:
    """Raise an ImageryError where most of a scene classification's pixels `(y, x)` are neither a class nor a
    usual fill: nothing of it would be clear.
    """
    with np.errstate(invalid="ignore"):
        other = (scene_class > LAST_CLASS) & (scene_class < FILLED)
    if 2 * np.count_nonzero(other) <= scene_class.size:
        return
    shown = np.unique(scene_class[other])[:5].tolist()
    raise ImageryError(
        f"Most scene classes are none of 0 to {LAST_CLASS}, such as {listed(shown)}: the file is no scene "
        "classification of Sen2Cor's; convert it, or name the right one in imagery.bands.",
        reason="no_scene_class",
    )


def radii(options: MaskOptions, pixel_m: tuple[float, float]) -> tuple[int, int]:
    """By how many rows and columns clouds are grown."""
    return round(options.dilation_m / pixel_m[0]), round(options.dilation_m / pixel_m[1])


def grown(hidden: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """True wherever an ellipse of these radii around it holds a True; bool `(y, x)`. For a few pixels."""
    height, width = hidden.shape
    out = np.zeros_like(hidden)
    for down, right in np.argwhere(disc(rows, columns)) - (rows, columns):
        there = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
        here = slice(max(-down, 0), height + min(-down, 0)), slice(max(-right, 0), width + min(-right, 0))
        out[there] |= hidden[here]
    return out


def disc(rows: int, columns: int | None = None) -> np.ndarray:
    """A filled circle, or an ellipse of two radii; bool (2 rows + 1, 2 columns + 1).

    Examples
    --------
    >>> disc(1).astype(int).tolist()
    [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    """
    columns = rows if columns is None else columns
    down, right = np.ogrid[-rows : rows + 1, -columns : columns + 1]
    return np.asarray((down * columns) ** 2 + (right * rows) ** 2 <= (rows * columns) ** 2)
