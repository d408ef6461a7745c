"""What every method starts from: the last clear value, and climatology on that day and on the day ahead.

The three simple methods are read off it: persistence, climatology, and damped persistence.
"""

from dataclasses import dataclass

import numpy as np

from models.forecast.climatology import Climate, Curves, climate_of
from models.forecast.history import History
from models.forecast.learning.samples import Samples, last_look


@dataclass(frozen=True)
class Basis:
    """By sample: `last (sample,)` is the last clear value and `last_day` its day, NaN and -1 where there is
    none; `usual_then` and `usual` are climatology on that day and on the target's; `spread` that of
    climatology on the target's day; `weight` the looks behind it.

    `pair` says which row of `climate` belongs to each sample.
    """

    last: np.ndarray
    last_day: np.ndarray
    usual_then: np.ndarray
    usual: np.ndarray
    spread: np.ndarray
    weight: np.ndarray
    climate: Climate
    pair: np.ndarray
    curve: np.ndarray

    @property
    def persistence(self) -> np.ndarray:
        """The last clear value; climatology where the parcel was never seen."""
        return np.asarray(np.where(np.isfinite(self.last), self.last, self.usual))

    @property
    def climatology(self) -> np.ndarray:
        """The parcel's earlier years, or its class's curve; the last value where there is neither."""
        return np.asarray(np.where(np.isfinite(self.usual), self.usual, self.last))

    def lead(self, samples: Samples) -> np.ndarray:
        """Return days from the last clear value to the target, `(sample,)`; NaN without one."""
        return np.where(self.last_day >= 0, samples.target - self.last_day, np.nan)


def basis_of(history: History, samples: Samples, curves: Curves, until: int | None = None) -> Basis:
    """Return what methods start from.

    Climatology knows the years before that of the day from which a forecast is made, and a class's curve
    from `curves`. `until` is for learning: see `climate_of`.
    """
    year = history.year_of(samples.origin)
    target_year = history.year_of(samples.target)
    years = history.crop.shape[1]
    key = (samples.parcel * years + year) * years + target_year
    pairs, pair = np.unique(key, return_inverse=True)
    row, own = pairs // years // years, pairs // years % years
    crop = history.crop[row, pairs % years]
    at_row = curves.rows_for(history, crop, own)
    climate = climate_of(history, row, own, curves, at_row, until)
    last = last_look(history, samples)
    there = last >= 0
    looks = history.ndvi
    at = np.maximum(last, 0)
    value = np.where(there, looks.value[at], np.nan) if len(looks) else np.full(len(samples), np.nan)
    day = np.where(there, looks.day[at], -1) if len(looks) else np.full(len(samples), -1)
    doy = history.day_of_year(samples.target)
    then = history.day_of_year(np.maximum(day, 0))
    return Basis(
        value.astype(np.float32),
        day.astype(np.int64),
        climate.at(climate.mean, pair, then),
        climate.at(climate.mean, pair, doy),
        climate.at(climate.spread, pair, doy),
        climate.at(climate.weight, pair, doy),
        climate,
        pair,
        at_row[pair],
    )


@dataclass(frozen=True)
class Damped:
    """Persistence that relaxes to climatology: usual + share * exp(-lead / days) * (last - usual then)."""

    share: float
    days: float

    def forecast(self, basis: Basis, lead: np.ndarray) -> np.ndarray:
        """Return `(sample,)`."""
        kept = self.share * np.exp(-np.nan_to_num(lead) / self.days)
        departure = basis.last - basis.usual_then
        value = basis.usual + kept * departure
        return np.asarray(np.where(np.isfinite(value), value, basis.climatology))


def fit_damped(samples: Samples, basis: Basis) -> Damped:
    """Return the share and days of least squared error on samples with a truth."""
    lead = basis.lead(samples)
    known = np.isfinite(samples.truth + basis.last + basis.usual + basis.usual_then)
    if known.sum() < 10:
        return Damped(1.0, 30.0)
    left = (samples.truth - basis.usual)[known]
    departure, lead = (basis.last - basis.usual_then)[known], lead[known]
    best = (np.inf, 1.0, 30.0)
    for days in (5.0, 8.0, 12.0, 18.0, 25.0, 35.0, 50.0, 70.0, 100.0, 150.0, 300.0, 1000.0):
        x = np.exp(-lead / days) * departure
        share = float(np.clip((x @ left) / max(float(x @ x), 1e-9), 0, 1))
        loss = float(np.mean((left - share * x) ** 2))
        best = min(best, (loss, share, days))
    return Damped(best[1], best[2])
