"""What every method starts from: the last clear value, and climatology on that day and on the day ahead.

The three simple methods are read off it: persistence, climatology, and damped persistence.
"""

from dataclasses import dataclass

import numpy as np

from features.context.daily import Daily
from models.forecast.climatology import Climate, Curves, climate_of
from models.forecast.history import UNKNOWN, History
from models.forecast.learning.samples import Samples, last_look
from models.forecast.phase import Phases

WORKED_BY = 60  # day of year by which most fields with an annual crop have been worked or sown


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
    phase: np.ndarray
    phase_then: np.ndarray

    @property
    def persistence(self) -> np.ndarray:
        """The last clear value, `(sample)`; climatology where the parcel was never seen."""
        return np.asarray(np.where(np.isfinite(self.last), self.last, self.usual))

    @property
    def climatology(self) -> np.ndarray:
        """The parcel's earlier years, or its class's curve, `(sample)`; the last value where there is
        neither.
        """
        return np.asarray(np.where(np.isfinite(self.usual), self.usual, self.last))

    def lead(self, samples: Samples) -> np.ndarray:
        """Return days from the last clear value to the target, `(sample,)`; NaN without one."""
        return np.where(self.last_day >= 0, samples.target - self.last_day, np.nan)


def basis_of(
    history: History, samples: Samples, curves: Curves, until: int | None = None, ahead: Daily | None = None
) -> Basis:
    """Return what methods start from.

    Climatology knows the years before that of the day from which a forecast is made, and a class's curve
    from `curves`. `until` is for learning: see `climate_of`.
    """
    year = history.year_of(samples.origin)
    years, size = history.crop.shape[1], len(history.classes) + 1
    crop = history.crop_on(samples.parcel, samples.target).astype(np.int64)
    key = (samples.parcel * years + year) * size + crop % size  # UNKNOWN is -1: the last
    pairs, pair = np.unique(key, return_inverse=True)
    row, own, of = pairs // size // years, pairs // size % years, pairs % size
    of = np.where(of == size - 1, UNKNOWN, of)
    at_row = curves.rows_for(history, of, own)
    climate = climate_of(history, row, own, curves, of, at_row, until)
    last = last_look(history, samples)
    there = last >= 0
    looks = history.ndvi
    at = np.maximum(last, 0)
    value = np.where(there, looks.value[at], np.nan) if len(looks) else np.full(len(samples), np.nan)
    day = np.where(there, looks.day[at], -1) if len(looks) else np.full(len(samples), -1)
    phases = Phases(history, ahead)
    seen = np.maximum(day, 0).astype(np.int64)
    doy = phases.of(samples.parcel, samples.origin, samples.target)
    then = phases.of(samples.parcel, seen, seen)
    usual = climate.at(climate.mean, pair, doy)
    usual = _through_winter(history, samples, curves, until, usual)
    return Basis(
        value.astype(np.float32),
        day.astype(np.int64),
        climate.at(climate.mean, pair, then),
        usual,
        climate.at(climate.spread, pair, doy),
        climate.at(climate.weight, pair, doy),
        climate,
        pair,
        at_row[pair],
        doy,
        then,
    )


def _through_winter(
    history: History, samples: Samples, curves: Curves, until: int | None, usual: np.ndarray
) -> np.ndarray:
    """Return `usual (sample,)` with the first weeks past the last year carried on from its end.

    What stands on a field at the end of the year stands there until it is worked or sown anew. A field whose
    next crop nobody has declared yet is taken to look less and less as it did, by WORKED_BY like any other.
    """
    past = np.flatnonzero(samples.target >= history.january[-1])
    if not len(past):
        return usual
    begun = history.day_of_year(samples.target[past])
    eve = Samples(
        samples.parcel[past], samples.origin[past], np.full(len(past), history.january[-1] - 2),
        samples.truth[past], samples.looked[past],
    )  # fmt: skip
    kept = basis_of(history, eve, curves, until).usual
    share = np.clip(1 - begun / WORKED_BY, 0, 1)
    mixed = share * kept + (1 - share) * usual[past]
    out = usual.copy()
    out[past] = np.where(np.isfinite(mixed), mixed, np.where(share > 0.5, kept, usual[past]))
    return out


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
