"""Which observations networks fill from: chosen by what misses hidden pixels least.

Two doubts leave observations out, that clouds surround them (`models.clouds.removal.cube.trusted`) and that
they look hazy (`models.clouds.removal.inputs.haze`). Each costs dates: where masks are good, or fields change
fast, it does not pay.
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
    """What is filled from.

    Attributes
    ----------
    trust_all
        Also what clouds surround.
    haze
        How much brighter in blue than the dates on both sides it may be.
    """

    trust_all: bool = True
    haze: float = LEVELS[0]


def choose_sources(windows: Sequence[Cube], options: CloudRemovalOptions) -> Sources:
    """Try the ways that the options leave open on hidden parts of some windows.

    Every way is scored on the same pixels, those that no cloud surrounds, by what networks are trained on,
    for interpolation and the frame's deviation, from which they begin.
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
