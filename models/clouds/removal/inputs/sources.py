"""Which observations networks fill from: the choice with the lowest error on hidden pixels.

Two tests leave observations out: clouds surround them (`models.clouds.removal.cube.trusted`), or they look
hazy (`models.clouds.removal.inputs.haze`). Each costs dates. Where masks are good, or fields change fast, it
is better to keep them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from models.clouds.removal.cube import Cube, trusted
from models.clouds.removal.error_units import NDVI_FLOOR, NDVI_UNIT, UNIT
from models.clouds.removal.hiding import hide
from models.clouds.removal.inputs.channels import Frames, InputChannels
from models.clouds.removal.inputs.coarse import coarsen
from models.clouds.removal.inputs.haze import LEVELS
from models.clouds.removal.options import CloudRemovalOptions

TRIALS = 16  # windows hidden, some more than once where they are few
FRAMES_PER_TRIAL = 6


@dataclass(frozen=True)
class Sources:
    """Which observations are used to fill.

    Attributes
    ----------
    trust_all
        Whether observations that clouds surround are used.
    haze
        Largest excess in blue over the dates on both sides, reflectance.
    """

    trust_all: bool = True
    haze: float = LEVELS[0]


def choose_sources(windows: Sequence[Cube], options: CloudRemovalOptions) -> Sources:
    """Return the choice, among those that the options leave open, with the lowest error on hidden pixels.

    Every choice is scored on the same pixels, those that no cloud surrounds, by the loss of the networks, for
    the interpolation plus the frame's deviation, which is their starting point.
    """
    if options.inputs == "s1":
        return Sources(bool(options.trust_all))
    trusts = (False, True) if options.trust_all is None else (options.trust_all,)
    levels = LEVELS[:1] if options.which == "recent" else LEVELS
    ways = [Sources(*way) for way in product(trusts, levels)]
    errors = np.zeros(len(ways))
    for number in range(TRIALS):
        window = windows[number % len(windows)]
        rng = np.random.default_rng([options.seed, 6, number])
        errors += list(_errors(window, ways, options, rng))
    return ways[int(errors.argmin())]


def _errors(
    window: Cube, ways: Sequence[Sources], options: CloudRemovalOptions, rng: np.random.Generator
) -> Iterator[float]:
    whole, safe = (coarsen(cube, options.reduction) for cube in (window, trusted(window)))
    hidden = hide(whole.clear, rng, options.hidden_share)
    frames = rng.permutation(np.flatnonzero(hidden.any(axis=(1, 2))))[:FRAMES_PER_TRIAL].tolist()
    channels = InputChannels(whole.bands, 0, options.neighbours, options.which == "recent", True)
    for way in ways:
        kept = (whole if way.trust_all else safe).without(hidden)
        made = Frames(kept, channels.filled_from(way.trust_all, way.haze))
        scored = hidden & safe.clear
        pairs = [(made.guess(k)[:, scored[k]], whole.reflectance[k][:, scored[k]]) for k in frames]
        yield sum(_loss(guess, truth, whole.bands, options.ndvi_weight) for guess, truth in pairs)


def _loss(guess: np.ndarray, truth: np.ndarray, bands: tuple[str, ...], ndvi_weight: float) -> float:
    """Return the sum over pixels `(band, n)` of the error in reflectance and of the weighted one in NDVI."""
    total = np.nansum(np.abs(guess - truth)) / len(bands) / UNIT
    near = "B08" if "B08" in bands else "B8A"
    if not ndvi_weight or near not in bands or "B04" not in bands:
        return float(total)
    found, wanted = (
        _ndvi(values[bands.index("B04")], values[bands.index(near)]) for values in (guess, truth)
    )
    return float(total + ndvi_weight * np.nansum(np.abs(found - wanted)) / NDVI_UNIT)


def _ndvi(red: np.ndarray, near: np.ndarray) -> np.ndarray:
    return np.asarray((near - red) / np.maximum(near + red, NDVI_FLOOR))
