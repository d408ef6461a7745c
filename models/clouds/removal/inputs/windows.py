"""Training windows: drawn from the imagery, split by block and by date, hidden anew each epoch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from features.errors import ModelError
from features.imagery.blocks import cut
from models.clouds.removal.cube import Cube, cube_of, trusted
from models.clouds.removal.hiding import NOTHING_CLEAR, hide
from models.clouds.removal.inputs.channels import Frames, InputChannels
from models.clouds.removal.inputs.coarse import coarsen
from models.clouds.removal.inputs.sources import Sources, choose_sources
from models.clouds.removal.options import CloudRemovalOptions

FRAMES_PER_WINDOW = 6  # of those hidden at once; a compromise between variety and the length of an epoch
SAMPLES = 96  # least number per epoch; haze is common to a frame's pixels, so many frames are needed
LEAST_HIDDEN = 0.02  # share of a window that must be hidden in a frame to learn from it
LEAST_DATES = 6  # with fewer clear dates, none is held out of training


@dataclass(frozen=True)
class Windows:
    """Small cubes to train on, and others, of other blocks, to validate and calibrate on.

    Attributes
    ----------
    train, validate
        At the network's resolution.
    fine_train, fine_validate
        The same at the resolution of the imagery; sigma is calibrated on them.
    held
        Days that are left out of training: haze is common to a date, so errors on a training date say too
        little about other dates.
    sources
        Which observations are used to fill; the windows hold no others.
    """

    train: list[Cube]
    validate: list[Cube]
    fine_train: list[Cube]
    fine_validate: list[Cube]
    held: np.ndarray = field(default_factory=lambda: np.empty(0))
    sources: Sources = field(default_factory=Sources)

    def learning(self) -> list[tuple[Cube, np.ndarray]]:
        """Return the windows to train on, each `(time, band, y, x)`, with the indices of the frames that may
        be hidden in it.
        """
        return [(cube, np.flatnonzero(~np.isin(cube.days, self.held))) for cube in self.train]

    def validation(self) -> list[tuple[Cube, np.ndarray]]:
        """Return the data that was held out, at the network's resolution `(time, band, y, x)`: other windows
        on all dates, and the training windows on held-out dates.

        Either alone is too little: held windows are few, and so are held dates, whose errors are common.
        """
        return self._unlearnt(self.train, self.validate)

    def calibration(self) -> list[tuple[Cube, np.ndarray]]:
        """Return the same at the resolution of the imagery `(time, band, y, x)`."""
        return self._unlearnt(self.fine_train, self.fine_validate)

    def _unlearnt(self, train: list[Cube], validate: list[Cube]) -> list[tuple[Cube, np.ndarray]]:
        places = [(cube, np.arange(len(cube.days))) for cube in validate]
        held = [(cube, np.flatnonzero(np.isin(cube.days, self.held))) for cube in train]
        dates = [(cube, frames) for cube, frames in held if len(frames)]
        return places + dates or [(cube, np.arange(len(cube.days))) for cube in train]


@dataclass(frozen=True)
class Batch:
    """Samples stacked: `layers (n, y, x, layer, feature)`, `scene`, packed `truth (n, y, x, band + 2)`."""

    layers: np.ndarray
    scene: np.ndarray
    truth: np.ndarray
    base: np.ndarray  # (n, y, x, band)

    @property
    def inputs(self) -> list[np.ndarray]:
        """Return a network's inputs: `layers (n, y, x, layer, feature)`, `scene (n, y, x, channel)`."""
        return [self.layers, self.scene]

    def __len__(self) -> int:
        return len(self.truth)

    def part(self, index: np.ndarray | slice) -> "Batch":
        """Return the samples at `index (m,)`, in that order."""
        return Batch(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def turned(self, quarter: int, mirrored: bool) -> "Batch":
        """Return the samples turned by quarters and mirrored: fields lie in any direction."""
        turned = (np.rot90(getattr(self, name), quarter, axes=(1, 2)) for name in self.__dataclass_fields__)
        return Batch(*(np.ascontiguousarray(a[:, ::-1] if mirrored else a) for a in turned))


@dataclass(frozen=True)
class Pool:
    """All windows that can be used for training, and all their clear days, each in random order.

    Each network of an ensemble gets other windows and other held-out days. Together they train on everything,
    and each has data that it was not trained on.
    """

    windows: list[Cube]
    days: np.ndarray
    sources: Sources
    options: CloudRemovalOptions

    def windows_of(self, member: int = 0) -> Windows:
        """Return one network's windows: those to train on, and those held out."""
        options = self.options
        train, validate = self.split(member)
        if not self.sources.trust_all:
            train, validate = ([trusted(cube) for cube in side] for side in (train, validate))
        low, held_low = ([coarsen(cube, options.reduction) for cube in side] for side in (train, validate))
        return Windows(low, held_low, train, validate, self.held_days(member), self.sources)

    def split(self, member: int) -> tuple[list[Cube], list[Cube]]:
        """Return the windows of the side to learn from and of the one held out, on their seasons."""
        options = self.options
        rotated = _rotated(self.windows, member, options)[: options.windows]
        held = min(len(rotated) - 1, max(1, round(options.validation_share * len(rotated))))
        # one small tile: validation hides other parts and dates of it, and says nothing of places
        return _season(rotated[held:], options, False), _season(rotated[:held], options, True)

    def held_days(self, member: int) -> np.ndarray:
        """Return `(day,)`: the days used for validation only; empty where clear days are few, or where years
        are split.
        """
        options = self.options
        if options.validation_years or len(self.days) < LEAST_DATES:
            return np.empty(0)
        count = max(1, round(options.validation_share * len(self.days)))
        return np.sort(_rotated(self.days.tolist(), member, options)[:count])


def _rotated(items: list[Any], member: int, options: CloudRemovalOptions) -> list[Any]:
    """Return the items cut where a member's share begins."""
    start = member * len(items) // options.members
    return items[start:] + items[:start]


def draw_windows(
    stacks: Iterable[xr.Dataset], options: CloudRemovalOptions, rng: np.random.Generator
) -> Pool:
    """Cut windows from stacks `(time, band, y, x)` and shuffle them and their days.

    Stacks are read one at a time, and only windows are kept: memory is bounded by their number.

    Raises
    ------
    ModelError
        Where there is no stack, or none with two clear frames.
    """
    cut = [window for stack in stacks for window in _cut(cube_of(stack), options)]
    seen = [cube for cube in cut if cube.clear.any(axis=(1, 2)).sum() >= 2]
    if not seen:
        raise ModelError(
            "No part of the imagery is clear on two dates; cloud removal has nothing to learn from.",
            reason=NOTHING_CLEAR,
        )
    windows = [seen[k] for k in rng.permutation(len(seen))]
    days = np.unique(np.concatenate([cube.days[cube.clear.any(axis=(1, 2))] for cube in windows]))
    pool = Pool(windows, rng.permutation(days), Sources(), options)
    train, validate = pool.split(0)
    return replace(pool, sources=choose_sources(train + validate, options))


def make_batch(
    windows: Windows,
    validate: bool,
    channels: InputChannels,
    options: CloudRemovalOptions,
    rng: np.random.Generator,
) -> Batch:
    """Hide parts of every window of one side and gather samples of the hidden frames, in random order.

    Raises
    ------
    ModelError
        Where nothing could be hidden in any window.
    """
    windows_and_frames = windows.validation() if validate else windows.learning()
    draws = max(1, -(-SAMPLES // (FRAMES_PER_WINDOW * len(windows_and_frames))))
    parts = [
        part
        for _ in range(draws)
        for cube, frames in windows_and_frames
        for part in _samples(cube, frames, channels, options, rng)
    ]
    if not parts:
        raise ModelError(
            "No clear frame of the training windows could be hidden; widen the season or add imagery.",
            reason=NOTHING_CLEAR,
        )
    order = rng.permutation(len(parts))
    return Batch(*(np.stack([parts[k][name] for k in order]) for name in range(4)))


def _samples(
    cube: Cube,
    allowed: np.ndarray,
    channels: InputChannels,
    options: CloudRemovalOptions,
    rng: np.random.Generator,
) -> Iterator[tuple[np.ndarray, ...]]:
    hidden = hide(cube.clear, rng, options.hidden_share, allowed)
    frames = Frames(cube.without(hidden), channels)
    chosen = np.flatnonzero(hidden.mean(axis=(1, 2)) > LEAST_HIDDEN)
    for frame in rng.permutation(chosen)[:FRAMES_PER_WINDOW].tolist():
        sample = frames.sample(frame)
        known = hidden[frame] & np.isfinite(sample.base).all(axis=0)
        if not known.any():
            continue
        truth = np.where(known, cube.reflectance[frame], 0)
        farmed = known & cube.parcels if options.agricultural_only and cube.parcels is not None else known
        packed = np.concatenate([truth, known[None], farmed[None]]).astype(np.float32)
        base = np.nan_to_num(np.moveaxis(sample.base, 0, -1))
        yield sample.layers, sample.scene, np.moveaxis(packed, 0, -1), base


def _cut(cube: Cube, options: CloudRemovalOptions) -> Iterator[Cube]:
    _, _, height, width = cube.shape
    side = options.window_px * options.reduction
    for block in cut((height, width), side, even=True):
        yield cube.window(*block.slices).padded(side - block.shape[0], side - block.shape[1])


def _season(cubes: list[Cube], options: CloudRemovalOptions, validate: bool) -> list[Cube]:
    """Keep the frames of the configured months and, where years are split, of the side's years."""
    return [
        cube.frames(keep) if not (keep := _wanted(cube.days, options, validate)).all() else cube
        for cube in cubes
    ]


def _wanted(days: np.ndarray, options: CloudRemovalOptions, validate: bool) -> np.ndarray:
    dates = np.datetime64(0, "D") + np.floor(days).astype(int)
    keep = np.ones(len(days), bool)
    if options.months:
        keep &= np.isin(dates.astype("datetime64[M]").astype(int) % 12 + 1, options.months)
    if options.validation_years:
        years = dates.astype("datetime64[Y]").astype(int) + 1970
        keep &= np.isin(years, options.validation_years) == validate
    if not keep.any():
        side = "validation" if validate else "training"
        raise ModelError(f"No frame is left for {side}; mend clear.months and clear.validation_years.")
    return keep
