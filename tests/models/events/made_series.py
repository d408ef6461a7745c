"""Series of made-up meadows: green all season, with a fall on the day of every cut and a slow regrowth."""

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl

from models.events.series import CHANNELS, EventSeries

START = date(2024, 3, 1)
DAYS = np.arange(0, 240, 5, dtype=np.int32)


def ndvi_of(cuts: Sequence[int], days: np.ndarray = DAYS) -> np.ndarray:
    """NDVI of 0.85 that falls to 0.45 on a cut and is back after 40 days."""
    value = np.full(len(days), 0.85)
    for cut in cuts:
        since = days - cut
        value = np.where(since >= 0, np.minimum(0.45 + 0.01 * since, value), value)
    return value


def meadows(cuts: Sequence[Sequence[int]], noise: float = 0.02, seed: int = 1) -> EventSeries:
    """A parcel a list of cuts; every channel but the spread follows NDVI."""
    rng = np.random.default_rng(seed)
    optical = np.full((len(cuts), len(DAYS), len(CHANNELS)), np.nan, np.float32)
    for row, mown in enumerate(cuts):
        green = ndvi_of(mown) + rng.normal(0, noise, len(DAYS))
        optical[row] = green[:, None]
        optical[row, :, CHANNELS.index("B11")] = 0.3 - 0.15 * green
        optical[row, :, CHANNELS.index("ndvi_std")] = 0.03
    none = np.zeros(0, np.int32)
    return EventSeries(
        tuple(f"p{k:03d}" for k in range(len(cuts))), START, DAYS, optical, none, none,
        np.zeros((len(cuts), 0, 4), np.float32), np.full(len(cuts), 40, np.float32),
    )  # fmt: skip


def mowing_labels(cuts: Sequence[Sequence[int]]) -> pl.DataFrame:
    """The table of labels of `meadows`, one row a cut and `none` where there is none."""
    rows = []
    for row, mown in enumerate(cuts):
        if not mown:
            rows.append((f"p{row:03d}", "none", None))
        rows += [(f"p{row:03d}", "mowing", START + timedelta(days=int(day))) for day in mown]
    return pl.DataFrame(
        rows, schema={"parcel_id": pl.String, "event": pl.String, "date": pl.Date}, orient="row"
    )
