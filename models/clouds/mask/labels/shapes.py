"""Shapes that people draw in CVAT, as pixels.

Attributes as in CVAT's "XML annotation format" 1.1: coordinates in pixels of the picture from its upper left
corner; `rotation` of a box or an ellipse in degrees around its middle, clockwise as seen.
"""

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

import numpy as np
from PIL import Image, ImageDraw

from features.errors import ModelError

MOST_TIMES = 4  # the pixels of an image: what a mask in it may have


def run_lengths(mask: np.ndarray) -> list[int]:
    """Return the lengths of runs of a mask `(y, x)`, row by row, the first of pixels that are not in it.

    Examples
    --------
    >>> run_lengths(np.array([[True, True], [False, True]]))
    [0, 2, 1, 1]
    """
    flat = mask.ravel().astype(np.int8)
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges.tolist(), flat.size]).tolist()
    return [0, *lengths] if flat[0] else lengths


def from_run_lengths(lengths: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
    """Return the mask of run lengths, bool `(y, x)`.

    Raises
    ------
    ValueError
        Where they do not fill the shape.

    Examples
    --------
    >>> from_run_lengths([0, 2, 1, 1], (2, 2)).tolist()
    [[True, True], [False, True]]
    """
    if min(lengths, default=0) < 0 or sum(lengths) != shape[0] * shape[1]:
        raise ValueError(f"run lengths of {sum(lengths)} pixels in a mask of {shape[0]} x {shape[1]}")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(shape)


def area_of(shape: Element, size: tuple[int, int], where: str) -> np.ndarray:
    """Return the pixels of a shape, bool `(y, x)`; what lies beyond the image is cut off.

    Raises
    ------
    ModelError
        Where it is of a kind that is no area, or lies outside the image.
    ValueError
        Where its numbers are none, or do not fit one another.
    """
    areas = {"mask": _mask, "polygon": _polygon, "box": _box, "ellipse": _ellipse}
    if shape.tag not in areas:
        raise ModelError(
            f"{where} holds a {shape.tag}, which is no area; draw masks, polygons, boxes or ellipses."
        )
    area = areas[shape.tag](shape.attrib, size)
    if not area.any():
        raise ModelError(
            f"{where} holds a {shape.tag} that lies outside the image; delete or redraw it.", reason="outside"
        )
    return area


def _mask(said: Mapping[str, str], size: tuple[int, int]) -> np.ndarray:
    area = np.zeros(size, bool)
    top, left, height, width = (round(float(said[key])) for key in ("top", "left", "height", "width"))
    if min(height, width) < 1 or height * width > MOST_TIMES * size[0] * size[1]:
        raise ValueError(f"a mask of {height} x {width} pixels in an image of {size[0]} x {size[1]}")
    part = from_run_lengths([int(n) for n in said["rle"].split(",")], (height, width))
    rows = slice(max(top, 0), max(min(top + height, size[0]), 0))
    columns = slice(max(left, 0), max(min(left + width, size[1]), 0))
    inner = part[max(-top, 0) :, max(-left, 0) :]
    area[rows, columns] = inner[: rows.stop - rows.start, : columns.stop - columns.start]
    return area


def _polygon(said: Mapping[str, str], size: tuple[int, int]) -> np.ndarray:
    pairs = [pair.split(",") for pair in said["points"].split(";")]
    return _filled([(float(x), float(y)) for x, y in pairs], size)


def _box(said: Mapping[str, str], size: tuple[int, int]) -> np.ndarray:
    x0, y0, x1, y1 = (float(said[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    middle = corners.mean(axis=0)
    turned = middle + (corners - middle) @ _turn(said).T
    return _filled([(float(x), float(y)) for x, y in turned], size)


def _ellipse(said: Mapping[str, str], size: tuple[int, int]) -> np.ndarray:
    """Pixels whose middle lies in it."""
    cx, cy, rx, ry = (float(said[key]) for key in ("cx", "cy", "rx", "ry"))
    if not (rx > 0 and ry > 0):
        raise ValueError(f"an ellipse with radii of {rx:g} and {ry:g} pixels")
    y, x = np.ogrid[: size[0], : size[1]]
    down, right = y + 0.5 - cy, x + 0.5 - cx
    (cosine, minus_sine), _ = _turn(said)
    along, across = cosine * right - minus_sine * down, minus_sine * right + cosine * down
    return np.asarray((along / rx) ** 2 + (across / ry) ** 2 <= 1)


def _turn(said: Mapping[str, str]) -> np.ndarray:
    """Return the matrix that turns `(x, y)` by a shape's rotation: clockwise, as y grows downwards."""
    angle = np.deg2rad(float(said.get("rotation", "0")))
    return np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])


def _filled(points: Sequence[tuple[float, float]], size: tuple[int, int]) -> np.ndarray:
    canvas = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(canvas).polygon(points, fill=1)
    return np.array(canvas, bool)
