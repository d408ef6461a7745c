"""Composites of a stack in time: what every pixel looked like, step by step."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from itertools import pairwise

import numpy as np
import xarray as xr

from models.clouds.mask.network.inputs import MIDDLE, SPREAD
from models.patches.options import PatchOptions


@dataclass(frozen=True)
class Composites:
    """Composites of one block.

    Attributes
    ----------
    values
        Reflectance `(step, band, y, x)` float32: means of clear looks, in between interpolated in time; NaN
        where a pixel was never seen.
    seen
        `(step, y, x)` bool: there was a clear look within the step.
    """

    values: np.ndarray
    seen: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.values.shape[2:]
        return height, width

    @cached_property
    def known(self) -> np.ndarray:
        """`(y, x)` bool: seen at least once in every band."""
        return np.asarray(np.isfinite(self.values).all(axis=(0, 1)))

    def window(self, rows: slice, columns: slice) -> "Composites":
        """Return a part of the block."""
        return Composites(self.values[:, :, rows, columns], self.seen[:, rows, columns])


def edges_of(options: PatchOptions, start: date, end: date) -> list[date]:
    """Return the first days of all steps, and the day after the last.

    Examples
    --------
    >>> [str(day) for day in edges_of(PatchOptions(step_days=100), date(2024, 3, 1), date(2024, 10, 31))]
    ['2024-03-01', '2024-06-09', '2024-09-17', '2024-11-01']
    """
    if options.input == "date":
        assert options.day is not None
        first = options.day - timedelta(days=options.step_days // 2)
        return [first, first + timedelta(days=options.step_days)]
    after, days = end + timedelta(days=1), []
    day = start
    while day < after:
        days.append(day)
        day += timedelta(days=options.step_days)
    return [*days, after]


def composite(stack: xr.Dataset, edges: Sequence[date]) -> Composites:
    """Average the clear looks of a stack within each step, and interpolate in between."""
    values, clear = stack["reflectance"].values, stack["clear"].values
    days = stack["time"].values.astype("datetime64[D]")
    steps = np.searchsorted(np.array(edges, "datetime64[D]"), days, side="right") - 1
    height, width = values.shape[2:]
    bands, count = values.shape[1], len(edges) - 1
    found = np.full((count, bands, height, width), np.nan, np.float32)
    seen = np.zeros((count, height, width), bool)
    for step in range(count):
        which = np.flatnonzero(steps == step)
        total, number = (
            np.zeros((bands, height, width), np.float32),
            np.zeros((bands, height, width), np.int32),
        )
        for k in which:
            usable = clear[k] & np.isfinite(values[k])
            total += np.where(usable, values[k], 0)
            number += usable
        np.divide(total, number, out=found[step], where=number > 0)
        seen[step] = (number > 0).all(axis=0)
    middles = [(a.toordinal() + b.toordinal()) / 2 for a, b in pairwise(edges)]
    return Composites(interpolated(found, np.array(middles)), seen)


def interpolated(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Fill gaps of `values (step, …)` linearly in time; before the first and after the last known step its
    value stays; NaN remains where no step is known. `at (step,)` is the time of each step.

    Examples
    --------
    >>> interpolated(np.array([np.nan, 1.0, np.nan, 4.0]), np.array([0.0, 1.0, 2.0, 4.0])).tolist()
    [1.0, 1.0, 2.0, 4.0]
    """
    known, n = np.isfinite(values), len(values)
    index = np.arange(n).reshape(-1, *[1] * (values.ndim - 1))
    before = np.maximum.accumulate(np.where(known, index, -1), axis=0)
    after = np.minimum.accumulate(np.where(known, index, n)[::-1], axis=0)[::-1]
    low, high = np.where(before < 0, after, before), np.where(after >= n, before, after)
    lost = low >= n
    low, high = np.clip(low, 0, n - 1), np.clip(high, 0, n - 1)
    first, second = (np.take_along_axis(values, where, axis=0) for where in (low, high))
    span = at[high] - at[low]
    share = np.divide(at.reshape(index.shape) - at[low], span, out=np.zeros(values.shape), where=span > 0)
    return np.where(lost, np.nan, first + np.clip(share, 0, 1) * (second - first)).astype(values.dtype)


def channels(composites: Composites) -> np.ndarray:
    """Return `(y, x, step, band + 1)` float32: roots of reflectance near zero mean and unit spread, and
    whether the step was seen. Pixels never seen are zero in all channels.
    """
    values = np.moveaxis(composites.values, (0, 1), (2, 3))
    with np.errstate(invalid="ignore"):
        scaled = (np.sqrt(np.clip(values, 0, 2)) - MIDDLE) / SPREAD
    out = np.zeros((*scaled.shape[:3], scaled.shape[3] + 1), np.float32)
    out[..., :-1] = np.where(np.isfinite(scaled), scaled, 0)
    out[..., -1] = np.moveaxis(composites.seen, 0, 2)
    return out
