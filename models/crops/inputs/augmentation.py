"""Training series made a little different each time: shifted, warped, dropped, scaled, noisy."""

import numpy as np

from models.crops.inputs.options import AugmentationOptions
from models.crops.inputs.scaling import LARGEST, Tensors


def augment(
    tensors: Tensors,
    options: AugmentationOptions,
    bands: np.ndarray,
    offset: np.ndarray,
    rng: np.random.Generator,
) -> Tensors:
    """Vary standardised tensors `(n, time, channel)`; what is unknown stays unknown.

    Parameters
    ----------
    bands
        `(channel,)` bool: the channels that are reflectance.
    offset
        `(channel,)` mean over standard deviation, so that scaling acts on the physical value.
    """
    values, observed = tensors.values, tensors.observed
    if options.shift_steps or options.warp_steps:
        values, observed = _moved(values, observed, _positions(values.shape[:2], options, rng))
    if options.scaled_reflectance:
        factor = rng.uniform(-1, 1, (len(values), 1, 1)).astype(np.float32) * options.scaled_reflectance
        values = values + np.where(bands, factor * (values + offset.astype(np.float32)), 0)
    if options.noise:
        values = values + rng.normal(0, options.noise, values.shape).astype(np.float32)
    if options.dropped_dates:
        dropped = rng.random(values.shape[:2]) < options.dropped_dates
        values = np.where(dropped[..., None], np.float32(np.nan), values)
        observed = observed & ~dropped[..., None]
    return Tensors(np.clip(values, -LARGEST, LARGEST), observed, tensors.context)


def _positions(shape: tuple[int, int], options: AugmentationOptions, rng: np.random.Generator) -> np.ndarray:
    """Return `(n, time)` where each step is read from: its own place, moved by a shift and a half sine."""
    n, steps = shape
    shift = rng.uniform(-1, 1, (n, 1)) * options.shift_steps
    bend = rng.uniform(-1, 1, (n, 1)) * options.warp_steps
    place = np.arange(steps)
    return place + shift + bend * np.sin(np.pi * place / max(steps - 1, 1))


def _moved(values: np.ndarray, observed: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read values between their two neighbours, masks from the nearer; beyond the season nothing is known."""
    last = values.shape[1] - 1
    inside = (positions >= 0) & (positions <= last)
    lower = np.clip(np.floor(positions), 0, last).astype(int)
    upper = np.minimum(lower + 1, last)
    share = np.clip(positions - lower, 0, 1)[..., None].astype(np.float32)
    rows = np.arange(len(values))[:, None]
    between = np.where(share > 0, values[rows, upper], 0) * share + values[rows, lower] * (1 - share)
    nearest = np.clip(np.rint(positions), 0, last).astype(int)
    return np.where(inside[..., None], between, np.float32(np.nan)), observed[rows, nearest] & inside[
        ..., None
    ]
