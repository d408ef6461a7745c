"""Filling without learning: a value from the clear dates of the same pixel."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr

from features.workers import Progress
from models.clouds.removal.bundle import read_bundle, write_bundle
from models.clouds.removal.cube import Cube, cube_of, trusted
from models.clouds.removal.hiding import hide
from models.clouds.removal.intervals import GapSigma, fit_gap_sigma
from models.clouds.removal.neighbours import distance_days, linear_weight, strict_neighbours, weighted_pair
from models.clouds.removal.remover import Remover, check_same_bands, describe
from models.clouds.removal.whittaker import penalty_bands, smooth_pixels

CROP_PX = 128  # residuals of a part of each tile are enough for a table of sigma
log = logging.getLogger(__name__)
Predict = Callable[[int], np.ndarray]


class Baseline(Remover):
    """A rule per pixel. Fitting only measures its error by gap length."""

    def __init__(self, seed: int = 0, trust_all: bool = True) -> None:
        self.seed = seed
        self.trust_all = trust_all
        self.bands: tuple[str, ...] | None = None
        self.spread: GapSigma | None = None

    @abstractmethod
    def predictor(self, cube: Cube, before: np.ndarray, after: np.ndarray) -> Predict:
        """Return a function from a frame to its `(band, y, x)` prediction from the other frames.

        Parameters
        ----------
        before, after
            `(time, y, x)` neighbours of each pixel, as `strict_neighbours` returns them.
        """

    def fit(self, stacks: Iterable[xr.Dataset], progress: Progress | None = None) -> Self:
        """Measure the error by gap length on hidden parts of clear frames of stacks `(time, band, y, x)`."""
        cubes = [_crop(self._usable(cube_of(stack))) for stack in stacks]
        self.tune(cubes)
        self.spread = self._residual_table(cubes)
        self.bands = cubes[0].bands
        if progress:
            progress(1, 1)
        return self

    def tune(self, cubes: list[Cube]) -> None:
        """Choose the parameters that the rule leaves open; none by default."""

    def check_bands(self, bands: tuple[str, ...]) -> None:
        """Raise a ModelError where the bands are not those of the table of sigma."""
        if self.bands is not None:
            check_same_bands(bands, self.bands, self.name)

    def frames(self, cube: Cube) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield frame, prediction `(band, y, x)`, and sigma `(band, y, x)` by the distance to the nearer
        clear date.
        """
        if not cube.clear.any():
            return
        wanted = np.flatnonzero(~cube.clear.all(axis=(1, 2))).tolist()
        cube = self._usable(cube)
        before, after = strict_neighbours(cube.clear)
        predict = self.predictor(cube, before, after)
        spread = self.spread or self._own_table(cube)
        for frame in wanted:
            yield frame, predict(frame), spread.at(nearest_days(cube, before, after, frame))

    def save(self, folder: Path) -> Path:
        """Write the rule's parameters and its table of sigma."""
        meta = {"name": self.name, "parameters": describe(self.parameters()), "bands": describe(self.bands)}
        table = np.empty((0, 0)) if self.spread is None else self.spread.table
        return write_bundle(folder, meta, {"gap_sigma": table})

    @classmethod
    def load(cls, folder: Path, sha256: str | None = None) -> Self:
        """Read what `save` wrote."""
        meta, arrays = read_bundle(folder, sha256)
        model = cls(**meta["parameters"])
        model.bands = None if meta["bands"] is None else tuple(meta["bands"])
        model.spread = GapSigma(arrays["gap_sigma"]) if arrays["gap_sigma"].size else None
        return model

    def parameters(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"seed": self.seed, "trust_all": self.trust_all}

    def _usable(self, cube: Cube) -> Cube:
        return cube if self.trust_all else trusted(cube)

    def _own_table(self, cube: Cube) -> GapSigma:
        if (
            cube.clear.any(axis=(1, 2)).sum() < 2
        ):  # one date: nothing can be hidden, nothing is known of the error
            return GapSigma(np.full((7, len(cube.bands)), np.nan))
        return self._residual_table([_crop(cube)])

    def _residual_table(self, cubes: list[Cube]) -> GapSigma:
        rng = np.random.default_rng(self.seed)
        pairs = [self._residuals(cube, rng) for cube in cubes]
        return fit_gap_sigma(np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs]))

    def _residuals(self, cube: Cube, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Hide once and return residuals `(n, band)` and gap lengths `(n,)` of what was hidden."""
        hidden = hide(cube.clear, rng)
        kept = cube.without(hidden)
        before, after = strict_neighbours(kept.clear)
        predict = self.predictor(kept, before, after)
        residual, gaps = [], []
        for frame in np.flatnonzero(hidden.any(axis=(1, 2))).tolist():
            where = hidden[frame]
            residual.append((predict(frame) - cube.reflectance[frame])[:, where].T)
            gaps.append(nearest_days(kept, before, after, frame)[where])
        errors, days = np.concatenate(residual), np.concatenate(gaps)
        known = np.isfinite(errors).all(axis=1)
        return errors[known], days[known]


class Pairwise(Baseline):
    """A weighted mean of the last clear value before the gap and the first after it."""

    def predictor(self, cube: Cube, before: np.ndarray, after: np.ndarray) -> Predict:
        """Return a function from a frame to its blend `(band, y, x)` of the two neighbours; parameters as in
        `Baseline.predictor`.
        """

        def predict(frame: int) -> np.ndarray:
            weight = self.weight(
                distance_days(cube.days, frame, before[frame]), distance_days(cube.days, frame, after[frame])
            )
            return weighted_pair(cube.reflectance, before[frame], after[frame], weight.astype(np.float32))

        return predict

    @abstractmethod
    def weight(self, to_before: np.ndarray, to_after: np.ndarray) -> np.ndarray:
        """Return the weight of the later neighbour from both distances in days, `(y, x)`."""


class Last(Pairwise):
    """Repeat the most recent cloud-free value; before the first one, the first."""

    name = "last"

    def weight(self, to_before: np.ndarray, to_after: np.ndarray) -> np.ndarray:
        """Return zeros `(y, x)`: only the earlier neighbour is used."""
        return np.zeros_like(to_before)


class Closest(Pairwise):
    """Take the value of the nearest clear date, before or after; the earlier of two as near."""

    name = "closest"

    def weight(self, to_before: np.ndarray, to_after: np.ndarray) -> np.ndarray:
        """Return `(y, x)`: one where the later neighbour is nearer, else zero."""
        return (to_after < to_before).astype(np.float32)


class Linear(Pairwise):
    """Interpolate linearly in time; the nearest value beyond the first and last clear date."""

    name = "linear"

    def weight(self, to_before: np.ndarray, to_after: np.ndarray) -> np.ndarray:
        """Return `(y, x)`: the share of the gap that has passed, 0 to 1."""
        return linear_weight(to_before, to_after)


class Mosaic(Baseline):
    """Average the cloud-free parts of the nearest frames; the closest value where all are clouded."""

    name = "mosaic"

    def __init__(self, nearest_frames: int = 6, seed: int = 0, trust_all: bool = True) -> None:
        super().__init__(seed, trust_all)
        self.nearest_frames = nearest_frames

    def parameters(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"nearest_frames": self.nearest_frames, **super().parameters()}

    def predictor(self, cube: Cube, before: np.ndarray, after: np.ndarray) -> Predict:
        """Return a function from a frame to the mean `(band, y, x)` of the nearest frames' clear parts."""
        fallback = Closest(self.seed).predictor(cube, before, after)

        def predict(frame: int) -> np.ndarray:
            distance = np.abs(cube.days - cube.days[frame])
            distance[frame] = np.inf
            nearest = np.argsort(distance, kind="stable")[: min(self.nearest_frames, len(distance) - 1)]
            clear = cube.clear[nearest].sum(axis=0)
            total = np.where(cube.clear[nearest][:, None], cube.reflectance[nearest], 0).sum(
                axis=0, dtype=np.float32
            )
            mean = np.divide(total, clear, out=np.full_like(total, np.nan), where=clear[None] > 0)
            return np.asarray(np.where(clear > 0, mean, fallback(frame)))

        return predict


class Whittaker(Baseline):
    """Smooth each pixel's series; its time scale is chosen on hidden pixels unless given."""

    name = "whittaker"
    candidates: ClassVar[tuple[float, ...]] = (4.0, 8.0, 14.0, 22.0, 34.0)

    def __init__(self, smoothness_days: float | None = None, seed: int = 0, trust_all: bool = True) -> None:
        super().__init__(seed, trust_all)
        self.smoothness_days = smoothness_days

    def parameters(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the time scale that was chosen."""
        return {"smoothness_days": self.smoothness_days, **super().parameters()}

    def tune(self, cubes: list[Cube]) -> None:
        """Choose the time scale with the smallest absolute error on hidden pixels."""
        if self.smoothness_days is not None:
            return
        errors = {days: self._hidden_error(days, cubes) for days in self.candidates}
        self.smoothness_days = min(errors, key=lambda days: errors[days])
        log.info("Whittaker time scale %g days; hidden error by candidate: %s", self.smoothness_days, errors)

    def _hidden_error(self, days: float, cubes: list[Cube]) -> float:
        trial, rng = Whittaker(days), np.random.default_rng(self.seed)
        return float(np.mean([np.abs(trial._residuals(cube, rng)[0]).mean() for cube in cubes]))

    def predictor(self, cube: Cube, before: np.ndarray, after: np.ndarray) -> Predict:
        """Return a function from a frame to its smoothed values `(band, y, x)`; linear in time where fewer
        than three dates are clear.
        """
        fallback = Linear(self.seed).predictor(cube, before, after)
        if len(cube.days) < 3:
            return fallback
        smooth = smooth_pixels(
            cube.reflectance, cube.clear, penalty_bands(cube.days, self.smoothness_days or 14.0)
        )

        def predict(frame: int) -> np.ndarray:
            return np.asarray(np.where(np.isfinite(smooth[frame]), smooth[frame], fallback(frame)))

        return predict


def nearest_days(cube: Cube, before: np.ndarray, after: np.ndarray, frame: int) -> np.ndarray:
    """Return days to the nearer clear date, `(y, x)`."""
    distances = [distance_days(cube.days, frame, side[frame]) for side in (before, after)]
    return np.asarray(np.minimum(*distances))


def _crop(cube: Cube) -> Cube:
    _, _, height, width = cube.shape
    top, left = max(0, (height - CROP_PX) // 2), max(0, (width - CROP_PX) // 2)
    return cube.window(slice(top, top + CROP_PX), slice(left, left + CROP_PX))
