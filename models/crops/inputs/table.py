"""The wide table of the tree models: one column per channel and date, with the meaning of each column."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from models.crops.inputs.arrays import Layout, context_of, season_days, values_of

YEAR_DAYS = 365.25
ORDER = ("low", "high", "mean", "spread", "lower_quarter", "median", "upper_quarter")
CHANGE = ("day_of_high", "rise", "fall")
WAVES = ("cosine", "sine", "amplitude")  # of the yearly wave, then of the half-yearly
SUMMARIES = (*ORDER, *CHANGE, *(f"{wave}_{times}" for times in (1, 2) for wave in WAVES))


@dataclass(frozen=True)
class Column:
    """Meaning of a column of the wide table; `step` is None for a whole-season summary or context."""

    feature: str
    statistic: str
    step: int | None


def wide_table(series: xr.Dataset, summaries: bool) -> np.ndarray:
    """Return `(n, column)` float32, NaN where unknown; the columns are those of `columns_of`."""
    value = values_of(series)
    parts = [value.reshape(len(value), -1)]
    if summaries:
        parts.append(summarise(value, season_days(series["time"].values)).reshape(len(value), -1))
    return np.concatenate([*parts, context_of(series)], axis=1)


def columns_of(layout: Layout, summaries: bool) -> list[Column]:
    """Name the columns of `wide_table`, in its order."""
    channels = [tuple(channel.split("|")) for channel in layout.channels]
    columns = [Column(f, s, step) for step in range(len(layout.days)) for f, s in channels]
    if summaries:
        columns += [Column(f, f"{s}_{summary}", None) for summary in SUMMARIES for f, s in channels]
    return columns + [Column(name, "context", None) for name in layout.context]


def summarise(value: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Return `(n, summary, channel)` float32 of `(n, time, channel)`: a season whatever its dates.

    `day_of_high` is the day of the maximum; `rise` and `fall` are the largest changes between neighbouring
    steps; `cosine`, `sine` and `amplitude` are those of the departures from the mean along the yearly (1) and
    half-yearly (2) wave. All are NaN where nothing is known.

    Parameters
    ----------
    days
        `(time,)` days of the year, as `season_days` gives.
    """
    known = np.isfinite(value)
    some, count = known.any(1), np.maximum(known.sum(1), 1)
    mean = np.where(known, value, 0).sum(1) / count
    departure = np.where(known, value - mean[:, None], 0)
    spread = np.sqrt((departure**2).sum(1) / count)
    ordered = np.sort(value, axis=1)  # what is unknown comes last
    low, high = (_quantile(ordered, count, share) for share in (0, 1))
    quarters = [_quantile(ordered, count, share) for share in (0.25, 0.5, 0.75)]
    peak = np.asarray(days)[np.where(known, value, -np.inf).argmax(1)]
    change = np.diff(value, axis=1)
    parts = [low, high, mean, spread, *quarters, peak, -_least(-change), _least(change)]
    for times in (1, 2):
        angle = 2 * np.pi * times * np.asarray(days) / YEAR_DAYS
        cosine, sine = (
            2 * np.einsum("ntc,t->nc", departure, wave(angle)) / count for wave in (np.cos, np.sin)
        )
        parts += [cosine, sine, np.hypot(cosine, sine)]
    return np.where(some[:, None], np.stack(parts, axis=1), np.nan).astype(np.float32)


def _quantile(ordered: np.ndarray, count: np.ndarray, share: float) -> np.ndarray:
    """Return the value at `share` of the way through the known ones, between its two neighbours."""
    place = share * (count - 1)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, count - 1)
    first, second = (np.take_along_axis(ordered, at[:, None], axis=1)[:, 0] for at in (below, above))
    return np.asarray(first + (place - below) * (second - first))


def _least(value: np.ndarray) -> np.ndarray:
    """Smallest known value along time; NaN where there is none."""
    found = np.where(np.isfinite(value), value, np.inf).min(1, initial=np.inf)
    return np.where(np.isfinite(found), found, np.nan)
