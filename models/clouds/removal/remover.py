"""Base of the cloud-removal methods: fitted on stacks; fill a stack; observed values are never changed."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Self

import numpy as np
import xarray as xr

from features.code.jit import njit
from features.errors import ModelError
from features.extraction.filling.remover import FilledFrame
from features.messages.listed import listed
from features.workers import Progress
from models.clouds.removal.cube import Cube, cube_of, missing_bands, time_order

RARE = 0.001
LATTICE = 128  # pixels a side, over all dates, from which the darkest value of a band is taken
log = logging.getLogger(__name__)


class Remover(ABC):
    """Base of the methods.

    Attributes
    ----------
    name
        The method's name in the config.
    margin_px
        Pixels around a block that influence its filling: read blocks with this overlap and crop after `fill`.
    """

    name: str
    margin_px: int = 0

    @abstractmethod
    def fit(self, stacks: Iterable[xr.Dataset], progress: Progress | None = None) -> Self:
        """Fit on pixel stacks `(time, band, y, x)`, each one tile or block over the season."""

    @abstractmethod
    def frames(self, cube: Cube) -> "Iterator[tuple[int, np.ndarray, np.ndarray]]":
        """Yield `(frame, value, sigma)`, both `(band, y, x)`, for each frame with anything to fill.

        Values where the frame was seen are ignored; NaN says that nothing is known.
        """

    @abstractmethod
    def save(self, folder: Path) -> Path:
        """Write the fitted method without pickle."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, sha256: str | None = None) -> Self:
        """Read what `save` wrote; the hash is checked before anything is parsed."""

    @abstractmethod
    def check_bands(self, bands: tuple[str, ...]) -> None:
        """Raise a ModelError where a stack's bands are not those that the method was fitted on."""

    def fill(self, stack: xr.Dataset) -> xr.Dataset:
        """Fill every pixel that was not seen, where anything is known of it.

        Parameters
        ----------
        stack
            `reflectance (time, band, y, x)`, `clear (time, y, x)`, optional `backscatter (radar_time,
            polarisation, y, x)` in dB, `context (channel, y, x)`, `dated_context (dated_channel, time, y,
            x)`, `weather (day, variable)`; see `features.context.blocks`.

        Returns
        -------
        xr.Dataset
            `reflectance` as given where seen, bit for bit, filled elsewhere, no darker than what was seen of
            the band, NaN where nothing is known; a band that a clear pixel lacks on some date is not filled
            there on any;
            `sigma (time, band, y, x)`, one standard deviation of the error, 0 where seen, NaN where nothing
            is known; `filled (time, y, x)`. The attribute `never_seen` counts pixels without any clear date.

        Raises
        ------
        ModelError
            Where the stack is empty, has no mask, or has other bands than the method learnt.
        """
        value = np.empty(stack["reflectance"].shape, np.float32)
        sigma, filled = np.empty_like(value), np.empty((len(value), *value.shape[2:]), bool)
        for done in self.filled_frames(stack):
            value[done.frame], sigma[done.frame], filled[done.frame] = done.value, done.sigma, done.filled
        return assemble(stack, value, sigma, filled)

    def filled_frames(self, stack: xr.Dataset, reuse: bool = False) -> Iterator[FilledFrame]:
        """As `fill`, frame by frame, so that no filled stack is held; whole frames come last."""
        missing = missing_bands(stack)
        order = time_order(stack)
        cube = cube_of(stack, reuse)
        self.check_bands(cube.bands)
        least, left = darkest(cube), np.ones(len(cube.days), bool)
        for frame, given, spread in chain(self.frames(cube), _whole(cube, left)):
            left[frame] = False
            value, clear = cube.reflectance[frame].copy(), cube.clear[frame]
            sigma, filled = np.zeros_like(value), np.zeros_like(clear)
            _lay(given, spread, clear, least, value, sigma, filled)
            if missing is not None:
                unknown = missing[0][frame] | (missing[1] & ~clear)
                value[unknown], sigma[unknown] = np.nan, np.nan
            yield FilledFrame(int(order[frame]), value, sigma, filled)


def _whole(cube: Cube, left: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield the frames that are left, as if nothing were known of their hidden pixels."""
    nothing = np.full(cube.reflectance.shape[1:], np.nan, np.float32)
    for frame in np.flatnonzero(left).tolist():
        yield frame, nothing, nothing


@njit(cache=True, nogil=True)
def _lay(
    given: np.ndarray, spread: np.ndarray, clear: np.ndarray, least: np.ndarray,
    value: np.ndarray, sigma: np.ndarray, filled: np.ndarray,
) -> None:  # fmt: skip
    """Write what a method gives of one frame `(band, y, x)` where it was not seen."""
    bands, height, width = given.shape
    for y in range(height):
        for x in range(width):
            filled[y, x] = not clear[y, x]
        for b in range(bands):
            for x in range(width):
                if clear[y, x]:
                    continue
                found = given[b, y, x]
                known = np.isfinite(found)
                value[b, y, x] = found if not found < least[b] else least[b]
                sigma[b, y, x] = spread[b, y, x] if known else np.nan
                filled[y, x] &= known


def darkest(cube: Cube) -> np.ndarray:
    """Return the darkest that each band has shown, `(band,)`, but for one pixel in a thousand.

    What is filled is no darker: near zero and below, ratios of bands run away.
    """
    step = max(1, min(cube.shape[2:]) // LATTICE)
    seen = np.moveaxis(cube.reflectance[:, :, ::step, ::step], 1, -1)[cube.clear[:, ::step, ::step]]
    if not len(seen):
        return np.full(len(cube.bands), -np.inf, np.float32)
    return np.asarray(np.quantile(seen, RARE, axis=0, method="lower"), np.float32)


def assemble(stack: xr.Dataset, value: np.ndarray, sigma: np.ndarray, filled: np.ndarray) -> xr.Dataset:
    """Return filled `value` and `sigma (time, band, y, x)` and `filled (time, y, x)` as a dataset with the
    labels of `stack`, and count what stayed missing.
    """
    dims = stack["reflectance"].dims
    seen = np.isfinite(value).any(axis=1) & ~filled
    never = int((~seen.any(axis=0)).sum())
    if never:
        log.info("%d of %d pixels have no clear date and stay missing.", never, seen[0].size)
    out = stack[["reflectance"]].copy()
    out["reflectance"] = (dims, value, stack["reflectance"].attrs)
    out["sigma"] = (dims, sigma)
    out["filled"] = (("time", "y", "x"), filled)
    return out.assign_attrs(stack.attrs, never_seen=never, not_filled=int((~seen).sum() - filled.sum()))


def check_same_bands(found: tuple[str, ...], learnt: tuple[str, ...], name: str) -> None:
    """Raise a ModelError that shows the difference between a stack's bands and the learnt ones."""
    if found == learnt:
        return
    missing, extra = sorted(set(learnt) - set(found)), sorted(set(found) - set(learnt))
    difference = (
        f"missing {listed(missing)}, unknown {listed(extra)}"
        if missing or extra
        else "the same bands in another order"
    )
    raise ModelError(
        f"{name} learnt the bands {listed(learnt)} but is asked to fill {listed(found)}: {difference}. "
        "Fit it again on these bands, or read the stack with those it learnt."
    )


def describe(value: object) -> object:
    """Return a JSON-ready copy of arrays and tuples."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: describe(entry) for key, entry in value.items()}
    return [describe(entry) for entry in value] if isinstance(value, tuple | list) else value
