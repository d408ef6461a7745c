"""The wide table that tree models read: one column a channel and date, and what each column stands for."""

import warnings
from dataclasses import dataclass

import numpy as np
import xarray as xr

from models.crops.inputs import Layout, context_of, values_of

SUMMARIES = ("low", "high", "mean", "spread", "day_of_high", "rise", "fall")


@dataclass(frozen=True)
class Column:
    """What a column of the wide table stands for; `step` is None for a whole-season summary or context."""

    feature: str
    statistic: str
    step: int | None


def wide_table(series: xr.Dataset, summaries: bool) -> np.ndarray:
    """Return `(n, column)` float32, NaN where unknown; the columns are those of `columns_of`."""
    value = values_of(series)
    parts = [value.reshape(len(value), -1)]
    if summaries:
        parts.append(summarise(value).reshape(len(value), -1))
    return np.concatenate([*parts, context_of(series)], axis=1)


def columns_of(layout: Layout, summaries: bool) -> list[Column]:
    """Name the columns of `wide_table`, in its order."""
    channels = [tuple(channel.split("|")) for channel in layout.channels]
    columns = [Column(f, s, step) for step in range(len(layout.days)) for f, s in channels]
    if summaries:
        columns += [Column(f, f"{s}_{summary}", None) for summary in SUMMARIES for f, s in channels]
    return columns + [Column(name, "context", None) for name in layout.context]


def summarise(value: np.ndarray) -> np.ndarray:
    """Return `(n, summary, channel)` of `(n, time, channel)`: what a season looks like, whenever it came.

    `day_of_high` is the step of the maximum; `rise` and `fall` are the largest changes between neighbouring
    steps. All are NaN where nothing is known.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all-NaN channels stay NaN, which is what we want
        low, high = np.nanmin(value, 1), np.nanmax(value, 1)
        mean, spread = np.nanmean(value, 1), np.nanstd(value, 1)
        change = np.diff(value, axis=1) if value.shape[1] > 1 else np.full_like(value, np.nan)
        rise, fall = np.nanmax(change, 1), np.nanmin(change, 1)
    known = np.isfinite(value).any(1)
    peak = np.where(np.isfinite(value), value, -np.inf).argmax(1)
    day_of_high = np.where(known, peak, np.nan)
    return np.stack([low, high, mean, spread, day_of_high, rise, fall], axis=1).astype(np.float32)
