"""Training windows: drawn from the imagery, split by block, hidden anew each epoch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from features.errors import ModelError
from models.clouds.cube import Cube, cube_of
from models.clouds.hiding import hide
from models.clouds.inputs import Frames, Recipe
from models.clouds.options import ClearOptions

FRAMES_A_WINDOW = 6  # of those hidden at once; enough to vary, few enough to keep an epoch short
LEAST_HIDDEN = 0.02  # share of a window that must be hidden in a frame to learn from it


@dataclass(frozen=True)
class Windows:
    """Small cubes to learn from, and others, of other blocks, to validate and calibrate on."""

    train: list[Cube]
    validate: list[Cube]


@dataclass(frozen=True)
class Batch:
    """Samples stacked: `layers (n, y, x, layer, feature)`, `values`, `scene`, packed `truth (n, y, x,
    band + 2)`."""

    layers: np.ndarray
    values: np.ndarray
    scene: np.ndarray
    truth: np.ndarray
    base: np.ndarray  # (n, y, x, band)
    gap_days: np.ndarray  # (n, y, x)

    @property
    def inputs(self) -> list[np.ndarray]:
        """Return what a network is called with."""
        return [self.layers, self.values, self.scene]

    def __len__(self) -> int:
        return len(self.truth)

    def part(self, index: np.ndarray | slice) -> "Batch":
        """Return some of the samples."""
        return Batch(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def draw_windows(stacks: Iterable[xr.Dataset], options: ClearOptions, rng: np.random.Generator) -> Windows:
    """Cut windows from stacks, keeping whole blocks of them for validation.

    Stacks are read one at a time, and only windows are kept: memory is bounded by their number.

    Raises
    ------
    ModelError
        Where there is no stack, or none with two clear frames.
    """
    cut = [cube for stack in stacks for cube in _cut(cube_of(stack), options)]
    usable = [cube for cube in cut if cube.clear.any(axis=(1, 2)).sum() >= 2]
    if not usable:
        raise ModelError(
            "No part of the imagery is clear on two dates; cloud removal has nothing to learn from."
        )
    order = rng.permutation(len(usable))[: options.windows]
    chosen = [usable[k] for k in order]
    held = min(len(chosen) - 1, max(1, round(options.validation_share * len(chosen))))
    if (
        len(chosen) == 1
    ):  # one small tile: validation repeats it with other hidden parts, and says nothing of places
        return Windows(_season(chosen, options, False), _season(chosen, options, True))
    return Windows(_season(chosen[held:], options, False), _season(chosen[:held], options, True))


def make_batch(
    cubes: list[Cube], recipe: Recipe, constant: np.ndarray, options: ClearOptions, rng: np.random.Generator
) -> Batch:
    """Hide parts of every window and gather samples of the hidden frames, in random order.

    Raises
    ------
    ModelError
        Where nothing could be hidden in any window.
    """
    parts = [part for cube in cubes for part in _samples(cube, recipe, constant, options, rng)]
    if not parts:
        raise ModelError(
            "No clear frame of the training windows could be hidden; widen the season or add imagery."
        )
    order = rng.permutation(len(parts))
    return Batch(*(np.stack([parts[k][field] for k in order]) for field in range(6)))


def _samples(
    cube: Cube, recipe: Recipe, constant: np.ndarray, options: ClearOptions, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, ...]]:
    hidden = hide(cube.clear, rng, options.hidden_share)
    frames = Frames(cube.without(hidden), recipe, constant)
    chosen = np.flatnonzero(hidden.mean(axis=(1, 2)) > LEAST_HIDDEN)
    for frame in rng.permutation(chosen)[:FRAMES_A_WINDOW].tolist():
        sample = frames.sample(frame)
        known = hidden[frame] & np.isfinite(sample.base).all(axis=0)
        if not known.any():
            continue
        truth = np.where(known, cube.reflectance[frame], 0)
        farmed = known & cube.parcels if options.agricultural_only and cube.parcels is not None else known
        packed = np.concatenate([truth, known[None], farmed[None]]).astype(np.float32)
        base = np.nan_to_num(np.moveaxis(sample.base, 0, -1))
        gap = np.where(np.isfinite(gap := frames.gap_days(frame)), gap, 999.0)
        yield sample.layers, sample.values, sample.scene, np.moveaxis(packed, 0, -1), base, gap


def _cut(cube: Cube, options: ClearOptions) -> Iterator[Cube]:
    _, _, height, width = cube.shape
    side = options.window_px
    for top in _starts(height, side):
        for left in _starts(width, side):
            window = cube.window(slice(top, top + side), slice(left, left + side))
            yield _padded(window, side)


def _starts(length: int, side: int) -> list[int]:
    return list(range(0, max(1, length - side + 1), side))


def _padded(cube: Cube, side: int) -> Cube:
    """Repeat the edge of a window smaller than the network's, so that all have one size; the repeats are
    unseen."""
    _, _, height, width = cube.shape
    if (height, width) == (side, side):
        return cube
    return pad_cube(cube, side - height, side - width)


def pad_cube(cube: Cube, rows: int, columns: int) -> Cube:
    """Add unseen rows below and columns to the right."""
    edge = ((0, rows), (0, columns))

    def unseen(values: np.ndarray) -> np.ndarray:
        return np.pad(values, ((0, 0),) * (values.ndim - 2) + edge, constant_values=np.nan)

    return Cube(
        reflectance=unseen(cube.reflectance),
        clear=np.pad(cube.clear, ((0, 0), *edge)),
        days=cube.days,
        bands=cube.bands,
        backscatter=None if cube.backscatter is None else unseen(cube.backscatter),
        radar_days=cube.radar_days,
        radar_orbits=cube.radar_orbits,
        context={name: unseen(channel) for name, channel in cube.context.items()},
        parcels=None if cube.parcels is None else np.pad(cube.parcels, edge),
    )


def _season(cubes: list[Cube], options: ClearOptions, validate: bool) -> list[Cube]:
    """Keep the frames of the configured months and, where years are split, of the side's years."""
    return [
        cube.frames(keep) if not (keep := _wanted(cube.days, options, validate)).all() else cube
        for cube in cubes
    ]


def _wanted(days: np.ndarray, options: ClearOptions, validate: bool) -> np.ndarray:
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
