"""From chances to pixels that are left out: by class and chance, with a buffer for each class."""

import numpy as np
from scipy import ndimage

from features.imagery.masks import grown
from models.clouds.mask.classes import (
    CLEAR,
    CLOUD,
    GROUND,
    NAMES,
    SHADOW,
    THIN,
    TO_SCENE_CLASS,
    UNKNOWN,
    UNKNOWN_TO_SCENE_CLASS,
)
from models.clouds.mask.options import Buffers, CloudMaskOptions

BAD = (SHADOW, THIN, CLOUD)
FEW = 3  # pixels up to which a disc is laid pixel by pixel


def classes_of(chances: np.ndarray, options: CloudMaskOptions) -> np.ndarray:
    """Return the class of every pixel, uint8 `(y, x)`, grown by its buffer; 255 where unknown.

    A pixel is of a class whose chance reaches the least chance that the options ask for, the likelier where
    there are several; where only the sum of the chances does, the likeliest of them.

    Parameters
    ----------
    chances
        `(class, y, x)`, NaN where unknown.
    """
    limits = {k: getattr(options.least_chance, NAMES[k]) for k in BAD}
    unknown = np.isnan(chances[CLEAR])
    known = np.where(unknown, 0, chances)
    wanted = np.stack([known[k] if limits[k] <= 1 else np.zeros_like(known[k]) for k in BAD])
    reached = np.stack([(known[k] >= limits[k]) & ~unknown for k in BAD])
    likeliest = wanted.argmax(axis=0)
    among = np.where(reached, wanted, -1).argmax(axis=0)
    out = np.full(unknown.shape, CLEAR, np.uint8)
    together = (wanted.sum(axis=0) >= options.together) & ~unknown
    out[together] = likeliest[together] + 1
    some = reached.any(axis=0)
    out[some] = among[some] + 1
    out[unknown] = UNKNOWN
    return _buffered(out, options.buffer_px or Buffers())


def _buffered(classes: np.ndarray, buffers: Buffers) -> np.ndarray:
    """Grow cloud, then thin cloud, then shadow, over clear pixels."""
    out = classes.copy()
    for number, radius in ((CLOUD, buffers.cloud), (THIN, buffers.thin), (SHADOW, buffers.shadow)):
        if radius and (classes == number).any():
            out[_grown(classes == number, radius) & (out == CLEAR)] = number
    return out


def _grown(mask: np.ndarray, radius: int) -> np.ndarray:
    if radius <= FEW:
        return grown(mask, radius, radius)
    return np.asarray(ndimage.distance_transform_edt(~mask) <= radius)


def to_scene_class(classes: np.ndarray, unknown: np.ndarray, delivered: np.ndarray | None) -> np.ndarray:
    """Return Sen2Cor's numbers for a mask, uint8 `(y, x)`, so that it is read as a scene classification is.

    Parameters
    ----------
    unknown
        Why a pixel is unknown, as `frames.unknown_of`; it comes before the class.
    delivered
        The scene's own classes: where the mask is clear, what they say of the ground is kept.
    """
    out = np.zeros(classes.shape, np.uint8)
    for number, code in TO_SCENE_CLASS.items():
        out[classes == number] = code
    if delivered is not None:
        ground = (classes == CLEAR) & np.isin(delivered, GROUND)
        out[ground] = delivered[ground]
    for reason, code in UNKNOWN_TO_SCENE_CLASS.items():
        out[unknown == reason] = code
    return out
