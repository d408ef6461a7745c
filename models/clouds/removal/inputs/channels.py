"""The networks' inputs for a frame: clear observations of other dates, radar, and the frame's visible part.

All scales are fixed numbers in physical units, so that what is stored with a model is its weights alone;
context channels, whose units are the user's, are standardised with the moments learnt in fitting.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.ndimage import uniform_filter

from models.backend import ALIGNED
from models.clouds.removal.cube import Cube
from models.clouds.removal.inputs.haze import excess, usable
from models.clouds.removal.inputs.loops import write_deviations, write_layers, write_radar
from models.clouds.removal.inputs.radar import radar_at
from models.clouds.removal.inputs.surroundings import (
    BLOCK_PX,
    REACHES,
    block_sums,
    deviations,
    pixel_kinds,
    season_profiles,
)
from models.clouds.removal.neighbours import (
    distance_days,
    linear_weight,
    step_on,
    strict_neighbours,
    weighted_pair,
)

RADAR_OFFSETS = (-24.0, -12.0, 0.0, 12.0, 24.0)  # days around the frame, where radar is all there is
DEVIATION_SCALE = np.float32(20.0)  # 0.05 reflectance becomes 1
LEAST_VISIBLE = 0.25  # share of a frame: a few pixels between clouds are hazy and not representative
LARGEST = 0.04  # reflectance off the frame's median: further out are missed clouds and shadows
SPARSE, LEAST_SEEN = 4, 8  # every fourth pixel each way, and how many of them a median needs
CLOSE_BLOCKS = 7  # clear share within 28 pixels: rims of clouds are hazy
DEVIATIONS = len(REACHES) + 2  # over near and wide surroundings, over similar pixels, and the mean of these
# Of a layer, after its bands and radar: days signed, days, nearness, clear share around, haze, seen.
FLAGS = 6


@dataclass(frozen=True)
class InputChannels:
    """Which channels a network takes.

    Attributes
    ----------
    bands, context
        Names, in order; context with its mean and standard deviation.
    radar
        How many radar channels over all views; 0 where radar is not used.
    neighbours, recent
        Clear observations on each side of the gap; only those before it.
    optical
        Whether other dates' reflectance is seen.
    constant
        Reflectance of each band that is corrected where `optical` is false.
    trust_all, haze
        Which observations are filled from; see `models.clouds.removal.inputs.sources`.
    """

    bands: tuple[str, ...]
    radar: int
    neighbours: int
    recent: bool
    optical: bool
    context: tuple[str, ...] = ()
    moments: tuple[tuple[float, float], ...] = ()
    constant: tuple[float, ...] = ()
    trust_all: bool = True
    haze: float = 1.0

    def filled_from(self, trust_all: bool, haze: float) -> "InputChannels":
        """Return the channels with other observations to fill from."""
        return replace(self, trust_all=trust_all, haze=haze)

    @property
    def layers(self) -> int:
        """Return how many layers a frame has: neighbouring observations, and the interpolation between
        them."""
        if not self.optical:
            return 1
        return (self.neighbours if self.recent else 2 * self.neighbours) + 1

    @property
    def features(self) -> int:
        """Return how many features describe each layer of a pixel."""
        return len(self.bands) + FLAGS + self.radar

    @property
    def scene(self) -> int:
        """Return how many channels describe the frame itself."""
        bands = len(self.bands)
        optical = 2 * bands + DEVIATIONS * (bands + 1) if self.optical else 0
        moments = 1 if self.optical else len(RADAR_OFFSETS)
        return max(1, optical + (moments * self.radar + 1 if self.radar else 0) + len(self.context))


@dataclass(frozen=True)
class Sample:
    """One frame as a network sees it: `layers (y, x, layer, feature)` and `scene (y, x, channel)`."""

    layers: np.ndarray
    scene: np.ndarray
    base: np.ndarray  # (band, y, x), what is corrected; NaN where nothing is known


@dataclass
class Frames:
    """A cube made ready: neighbours, radar at the frames' dates, kinds of pixels.

    Attributes
    ----------
    whole
        `(time, y, x)` bool, where nothing is to be filled: by default what is clear. A block that is clear in
        part is filled in the rest.
    """

    cube: Cube
    channels: InputChannels
    whole: np.ndarray | None = None

    @cached_property
    def both(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the frames before and after, `(time, y, x)` each."""
        before, after = strict_neighbours(usable(self.cube, self.haze[1]))
        return (before, np.full_like(after, -1)) if self.channels.recent else (before, after)

    @cached_property
    def haze(self) -> tuple[np.ndarray, np.ndarray]:
        """Return how much brighter each block is than the dates beside it, float32 `(time, y / 4, x / 4)`,
        and whether it is used, bool of that shape.

        Without later dates (`recent`) haze cannot be detected, and every block is used.
        """
        more, used = excess(self.cube, self.channels.haze)
        return (np.zeros_like(more), np.ones_like(used)) if self.channels.recent else (more, used)

    @cached_property
    def profiles(self) -> np.ndarray:
        """Return the observed profile of each pixel's season, `(y, x, feature)`."""
        return season_profiles(self.cube)

    @cached_property
    def kinds(self) -> np.ndarray:
        """Return labels of pixels with similar seasons, `(y, x)`."""
        return pixel_kinds(self.profiles)

    @cached_property
    def pixels(self) -> np.ndarray:
        """Return reflectance `(time, y, x, band)`: a pixel's bands side by side."""
        return np.ascontiguousarray(np.moveaxis(self.cube.reflectance, 1, -1))

    @cached_property
    def radar(self) -> np.ndarray:
        """Return radar at the frames `(time, y, x, channel)`, missing where the tile has none."""
        if not self.channels.radar or self.cube.backscatter is None:
            return np.full((*self.cube.clear.shape, self.channels.radar), np.nan, np.float32)
        found = radar_at(self.cube, self.cube.days, self.profiles if self.channels.optical else None)
        return np.ascontiguousarray(np.moveaxis(found, 1, -1), np.float32)

    @cached_property
    def around(self) -> np.ndarray:
        """Return the clear share around each block of pixels, `(time, y / 4, x / 4)`."""
        share = block_sums(self.cube.clear.astype(np.float32)) / np.float32(BLOCK_PX**2)
        return np.asarray(uniform_filter(share, (0, CLOSE_BLOCKS, CLOSE_BLOCKS), mode="nearest"))

    def neighbours(self, frame: int) -> np.ndarray:
        """Return int16 `(layer, y, x)`: before (nearest first), then after; -1 where there is none."""
        sides = []
        for side in self.both[: 1 if self.channels.recent else 2]:
            step = side[frame]
            sides.append(step)
            for _ in range(self.channels.neighbours - 1):
                step = step_on(side, step)
                sides.append(step)
        return np.stack(sides)

    def gap_days(self, frame: int) -> np.ndarray:
        """Return days to the nearer clear date that may be used, `(y, x)`."""
        days = self.cube.days
        return np.asarray(np.minimum(*(distance_days(days, frame, side[frame]) for side in self.both)))

    def base(self, frame: int) -> np.ndarray:
        """Return `(band, y, x)`: linear in time (the last value, where only that may be used), or a
        constant."""
        if not self.channels.optical:
            shape = self.cube.reflectance.shape[1:]
            constant = np.array(self.channels.constant, np.float32)
            return np.broadcast_to(constant[:, None, None], shape).copy()
        days, (before, after) = self.cube.days, self.both
        weight = linear_weight(*(distance_days(days, frame, side[frame]) for side in self.both))
        return weighted_pair(self.cube.reflectance, before[frame], after[frame], weight.astype(np.float32))

    def blank(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return zeros for `layers (count, y, x, layer, feature)` and `scene (count, y, x, channel)`, for
        `sample` to write into.
        """
        channels, shape = self.channels, (count, *self.cube.shape[2:])
        return _zeros((*shape, channels.layers, channels.features)), _zeros((*shape, channels.scene))

    def sample(self, frame: int, into: tuple[np.ndarray, np.ndarray] | None = None) -> Sample:
        """Return the inputs of a frame: `layers (y, x, layer, feature)` and `scene (y, x, channel)`, zeros
        with a flag of zero where something is unknown.

        Pixels of the frame that are to be filled contribute nothing. Its visible pixels contribute only their
        deviation from the interpolation, averaged over their surroundings.

        Parameters
        ----------
        into
            Arrays of one frame, as `blank` makes them, to write into.
        """
        channels, base = self.channels, self.base(frame)
        layers, scene = (part[0] for part in self.blank(1)) if into is None else into
        at = 0
        if channels.optical:
            around = self.around
            indices = self.neighbours(frame)
            cube = self.cube
            write_layers(
                self.pixels,
                cube.clear[frame] if self.whole is None else self.whole[frame],
                indices,
                cube.days,
                frame,
                base,
                around,
                self.haze[0],
                self.radar,
                layers,
                scene,
            )
            at = self._deviations(frame, base, scene)
        else:
            layers[:, :, 0, -1] = 1
        at = self._radar_now(frame, scene, at)
        self._context(frame, scene, at)
        return Sample(layers, scene, base)

    def guess(self, frame: int) -> np.ndarray:
        """Return `(band, y, x)`: interpolation, and on it the deviation of the frame's visible part."""
        base = self.base(frame)
        scene = np.zeros((*base.shape[1:], self.channels.scene), np.float32)
        self._deviations(frame, base, scene)
        bands = len(base)
        at = 2 * bands + (DEVIATIONS - 1) * (bands + 1)
        return np.asarray(base + np.moveaxis(scene[..., at : at + bands], -1, 0) / DEVIATION_SCALE)

    def _deviations(self, frame: int, base: np.ndarray, scene: np.ndarray) -> int:
        bands = len(base)
        seen = self.cube.clear[frame] & np.isfinite(base).all(axis=0)
        if seen.mean() < LEAST_VISIBLE:
            seen = np.zeros_like(seen)
        residual = self.cube.reflectance[frame] - base
        common = _medians(residual, seen)
        residual = common + np.clip(residual - common, -LARGEST, LARGEST)
        near, by_kind = deviations(residual, seen, self.kinds)
        scale = np.full(bands + 1, DEVIATION_SCALE, np.float32)
        scale[-1] = 1
        write_deviations(near * scale, by_kind * scale, self.kinds, scene, 2 * bands)
        return 2 * bands + DEVIATIONS * (bands + 1)

    def _radar_now(self, frame: int, scene: np.ndarray, at: int) -> int:
        if not self.channels.radar:
            return at
        flat = self.radar[frame]
        if not self.channels.optical:
            offsets = np.array(RADAR_OFFSETS)
            shape = (len(offsets), self.channels.radar, *flat.shape[:2])
            known = self.cube.backscatter is not None
            power = radar_at(self.cube, self.cube.days[frame] + offsets) if known else np.full(shape, np.nan)
            flat = np.moveaxis(power.reshape(-1, *power.shape[2:]), 0, -1)
        write_radar(flat, scene, at)
        return at + int(flat.shape[2]) + 1

    def _context(self, frame: int, scene: np.ndarray, at: int) -> None:
        for k, (name, (mean, spread)) in enumerate(
            zip(self.channels.context, self.channels.moments, strict=True)
        ):
            channel = self.cube.context[name]
            layer = channel[frame] if channel.ndim == 3 else channel
            scene[:, :, at + k] = np.where(np.isfinite(layer), (layer - mean) / spread, 0)


def _zeros(shape: tuple[int, ...]) -> np.ndarray:
    """Return float32 zeros that begin at a multiple of `ALIGNED` bytes."""
    spare = ALIGNED // 4
    whole = np.zeros(math.prod(shape) + spare, np.float32)
    start = -whole.ctypes.data // 4 % spare
    return whole[start : start + math.prod(shape)].reshape(shape)


def _medians(residual: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return `(band, 1, 1)` medians over a lattice of the seen pixels; zero where few are."""
    some = residual[:, ::SPARSE, ::SPARSE][:, seen[::SPARSE, ::SPARSE]]
    if some.shape[1] < LEAST_SEEN:
        return np.zeros((len(residual), 1, 1), np.float32)
    return np.asarray(np.median(some, axis=1), np.float32)[:, None, None]
