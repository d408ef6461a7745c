"""Reflectance as the input of the network."""

import numpy as np

from models.clouds.mask.frames import NEAR_INFRARED, Frames

GROUPS = (("B02",), ("B03",), ("B04",), NEAR_INFRARED, ("B11",), ("B12",))
CHANNELS = len(GROUPS) + 2  # and whether there are long waves, and the level
MIDDLE, SPREAD = 0.4, 0.25  # of the root of reflectance


def bands_of(frames: Frames) -> np.ndarray:
    """Return the bands of all dates in the network's order, `(time, band, y, x)`; NaN where missing."""
    missing = np.full((len(frames), *frames.shape), np.nan, np.float32)
    found = [frames.band(*group) if any(map(frames.has, group)) else missing for group in GROUPS]
    return np.stack(found, axis=1)


def channels(values: np.ndarray, top_of_atmosphere: bool) -> np.ndarray:
    """Return `(y, x, channel)` float32 of bands `(band, y, x)`: their roots, near zero mean and unit spread.

    A missing band is zero; one plane says whether those of 1.6 and 2.2 um are there, one the level.
    """
    out = np.zeros((*values.shape[1:], CHANNELS), np.float32)
    with np.errstate(invalid="ignore"):
        scaled = (np.sqrt(np.clip(values, 0, 2)) - MIDDLE) / SPREAD
    out[..., : len(GROUPS)] = np.moveaxis(np.where(np.isfinite(scaled), scaled, 0), 0, -1)
    out[..., -2] = np.isfinite(values[4:]).any()
    out[..., -1] = top_of_atmosphere
    return out
