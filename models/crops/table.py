"""The wide table that tree models read: one column a channel and date, and what each column stands for."""

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
    known = np.isfinite(value)
    some, count = known.any(1), np.maximum(known.sum(1), 1)
    mean = np.where(known, value, 0).sum(1) / count
    spread = np.sqrt((np.where(known, value - mean[:, None], 0) ** 2).sum(1) / count)
    peak = np.where(known, value, -np.inf).argmax(1)
    low, high = _least(value), -_least(-value)
    change = np.diff(value, axis=1)
    rise, fall = -_least(-change), _least(change)
    mean, spread = np.where(some, mean, np.nan), np.where(some, spread, np.nan)
    day_of_high = np.where(some, peak, np.nan)
    return np.stack([low, high, mean, spread, day_of_high, rise, fall], axis=1).astype(np.float32)


def _least(value: np.ndarray) -> np.ndarray:
    """Smallest known value along time; NaN where there is none."""
    found = np.where(np.isfinite(value), value, np.inf).min(1, initial=np.inf)
    return np.where(np.isfinite(found), found, np.nan)
