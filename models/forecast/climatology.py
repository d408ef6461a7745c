"""What a parcel usually shows at a time of year: its earlier years, and the curve of its class."""

from dataclasses import dataclass

import numpy as np

from features.code.jit import njit
from models.forecast.history import History, Looks
from models.forecast.phase import Phases

NODES = 73  # of a year, five days apart
YEAR = 365.25
SMOOTHED_DAYS = 9.0  # standard deviation of the weight of a look around its day of year
REACH = 3 * SMOOTHED_DAYS  # days: looks further off say nothing of a day
PRIOR_LOOKS = 1.0  # the class's curve counts as so many looks of the parcel itself
SPIKE = 0.12  # a look so far below both neighbours is a cloud that was missed


@dataclass(frozen=True)
class Curves:
    """The curve of every class over a year, as other years had it.

    Attributes
    ----------
    classes
        Names.
    years
        Calendar years that were learned from: a forecast made in one of them goes by the others, one made in
        any other year by all of them.
    mean, spread
        `((year + 1) * (class + 1), node)` float32 mean and standard deviation: first without each of the
        years, then of all; within each, the classes, and then all classes together. NaN where nothing was
        seen.
    """

    classes: tuple[str, ...]
    years: tuple[int, ...]
    mean: np.ndarray
    spread: np.ndarray

    def rows_for(self, history: History, crop: np.ndarray, year: np.ndarray) -> np.ndarray:
        """Return `(n,)` rows for class numbers and numbers of years of a history, by name.

        All classes together where the class is unknown or was not seen.
        """
        size = len(self.classes) + 1
        number = {name: k for k, name in enumerate(self.classes)}
        of = np.array([number.get(name, size - 1) for name in history.classes] + [size - 1])
        sets = {known: k for k, known in enumerate(self.years)}
        calendar = np.asarray(year) + history.origin.year
        block = np.array([sets.get(int(one), len(self.years)) for one in np.unique(calendar)])
        row = block[np.unique(calendar, return_inverse=True)[1]] * size + of[crop]
        seen = np.isfinite(self.mean).any(1)[row]
        return np.asarray(np.where(seen, row, row // size * size + size - 1))


@dataclass(frozen=True)
class Climate:
    """The climatology of pairs of a parcel and a year.

    Attributes
    ----------
    mean, spread, weight
        `(pair, node)` float32; `weight` is how many looks of the parcel itself stand behind a node, in units
        of looks. NaN where neither the parcel nor a class was ever seen.
    """

    mean: np.ndarray
    spread: np.ndarray
    weight: np.ndarray

    def at(self, values: np.ndarray, pair: np.ndarray, day_of_year: np.ndarray) -> np.ndarray:
        """Return `(n,)` of one of the tables, between nodes; `day_of_year` counts from 0 on 1 January."""
        return np.asarray(_between(values, pair.astype(np.int64), day_of_year.astype(np.float32)))


def class_curves(history: History, parcels: np.ndarray | None = None, until: int | None = None) -> Curves:
    """Return the mean curve of every class, of some parcels and of the looks up to a day.

    Looks count alike, smoothed over the days of the year (SMOOTHED_DAYS). Missed clouds are left out.

    Parameters
    ----------
    parcels
        `(k,)` rows; all where None.
    """
    looks = history.ndvi
    row, year = looks.rows(), history.year_of(looks.day)
    phase = Phases(history).of_looks()
    kept = ~spikes(looks)
    if parcels is not None:
        chosen = np.zeros(len(history), bool)
        chosen[parcels] = True
        kept &= chosen[row]
    if until is not None:
        kept &= looks.day <= until
    row, year, phase = row[kept], year[kept], phase[kept]
    value = looks.value[kept].astype(float)
    size = len(history.classes) + 1
    klass = history.crop[row, year].astype(np.int64) % size  # UNKNOWN is -1: the last
    node = (phase / YEAR * NODES).astype(np.int64) % NODES
    years = np.unique(year)
    sums = np.zeros((3, len(years), size, NODES))
    at = np.searchsorted(years, year)
    for k, add in enumerate((np.ones(len(value)), value, value**2)):
        np.add.at(sums[k], (at, klass, node), add)
    sums[:, :, size - 1] = sums.sum(2)
    whole = sums.sum(1, keepdims=True)
    smooth = _smoothed(np.concatenate([whole - sums, whole], axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = smooth[0] > 1e-3
        mean = np.where(seen, smooth[1] / smooth[0], np.nan)
        spread = np.sqrt(np.maximum(np.where(seen, smooth[2] / smooth[0], np.nan) - mean**2, 0))
    flat = ((len(years) + 1) * size, NODES)
    calendar = tuple(int(one) + history.origin.year for one in years)
    return Curves(
        history.classes,
        calendar,
        mean.reshape(flat).astype(np.float32),
        spread.reshape(flat).astype(np.float32),
    )


def _smoothed(sums: np.ndarray) -> np.ndarray:
    """Smooth the last axis, a year, as a circle."""
    step = YEAR / NODES
    distance = np.arange(NODES) * step
    distance = np.minimum(distance, YEAR - distance)
    kernel = np.exp(-0.5 * (distance / SMOOTHED_DAYS) ** 2) * (distance <= REACH)
    return np.asarray(np.fft.irfft(np.fft.rfft(sums) * np.fft.rfft(kernel), n=NODES)).clip(0)


def climate_of(
    history: History,
    parcel: np.ndarray,
    year: np.ndarray,
    curves: Curves,
    crop: np.ndarray,
    curve_row: np.ndarray,
    until: int | None = None,
) -> Climate:
    """Return the climatology of pairs: the parcel's looks of earlier years, on the curve of its class.

    Where the crop of the year is known, earlier years of another crop do not count; where a year's crop is
    not known, it does. The class's curve counts as PRIOR_LOOKS looks, so that it alone speaks where the
    parcel has no earlier year, and hardly at all where it has many.

    Parameters
    ----------
    parcel, year
        `(pair,)` row, and number of the year from which a forecast is made.
    crop
        `(pair,)` class of the year that is forecast; UNKNOWN where nobody has declared it.
    curve_row
        `(pair,)` row of `curves`.
    until
        For learning: all other years up to this day count, later ones too. A model that learns from a year
        with few before it would otherwise learn to trust climatology too little.
    """
    looks = history.ndvi if until is None else history.ndvi.where(history.ndvi.day <= until)
    look_year = history.year_of(looks.day).astype(np.int64)
    kept = slice(None) if until is None else history.ndvi.day <= until
    doy = Phases(history).of_looks()[kept].astype(np.float32)
    mean = np.empty((len(parcel), NODES), np.float32)
    spread, weight = np.empty_like(mean), np.empty_like(mean)
    _climates(
        looks.first, look_year, doy, looks.value, ~spikes(looks), history.crop.astype(np.int64),
        parcel.astype(np.int64), year.astype(np.int64), crop.astype(np.int64), curves.mean[curve_row],
        curves.spread[curve_row],
        until is not None, mean, spread, weight,
    )  # fmt: skip
    return Climate(mean, spread, weight)


def spikes(looks: Looks) -> np.ndarray:
    """Return `(look,)` bool: looks far below the looks before and after, within 30 days each.

    A mask that missed a thin cloud leaves such a look; no crop falls and recovers that fast. The last look
    of a parcel is never one, for nothing has come after it.
    """
    return np.asarray(_spikes(looks.first, looks.day, looks.value))


@njit(cache=True, nogil=True)
def _spikes(first: np.ndarray, day: np.ndarray, value: np.ndarray) -> np.ndarray:
    out = np.zeros(len(day), np.bool_)
    for p in range(len(first) - 1):
        for k in range(first[p] + 1, first[p + 1] - 1):
            near = day[k] - day[k - 1] <= 30 and day[k + 1] - day[k] <= 30
            out[k] = near and value[k] < min(value[k - 1], value[k + 1]) - SPIKE
    return out


@njit(cache=True, nogil=True)
def _climates(
    first: np.ndarray,
    look_year: np.ndarray,
    doy: np.ndarray,
    value: np.ndarray,
    kept: np.ndarray,
    crop: np.ndarray,
    parcel: np.ndarray,
    year: np.ndarray,
    pair_crop: np.ndarray,
    prior: np.ndarray,
    prior_spread: np.ndarray,
    others: bool,
    mean: np.ndarray,
    spread: np.ndarray,
    weight: np.ndarray,
) -> None:
    step = YEAR / NODES
    total, sums, squares = np.zeros(NODES), np.zeros(NODES), np.zeros(NODES)
    for i in range(len(parcel)):
        p, y = parcel[i], year[i]
        own = pair_crop[i]
        total[:], sums[:], squares[:] = 0.0, 0.0, 0.0
        for k in range(first[p], first[p + 1]):
            if look_year[k] == y or (look_year[k] > y and not others):
                continue
            other = crop[p, look_year[k]]
            if not kept[k] or (own >= 0 and other >= 0 and own != other):
                continue
            low = int(np.ceil((doy[k] - REACH) / step))
            high = int(np.floor((doy[k] + REACH) / step))
            for node in range(low, high + 1):
                distance = node * step - doy[k]
                w = np.exp(-0.5 * (distance / SMOOTHED_DAYS) ** 2)
                at = node % NODES
                total[at] += w
                sums[at] += w * value[k]
                squares[at] += w * value[k] * value[k]
        for node in range(NODES):
            base, s = prior[i, node], prior_spread[i, node]
            lead = PRIOR_LOOKS if np.isfinite(base) else 0.0
            w = total[node] + lead
            weight[i, node] = total[node]
            if w < 1e-3:
                mean[i, node], spread[i, node] = np.nan, np.nan
                continue
            extra = lead * base if lead > 0 else 0.0
            m = (sums[node] + extra) / w
            extra2 = lead * (s * s + base * base) if lead > 0 else 0.0
            mean[i, node] = m
            spread[i, node] = np.sqrt(max((squares[node] + extra2) / w - m * m, 0.0))


@njit(cache=True, nogil=True)
def _between(values: np.ndarray, pair: np.ndarray, doy: np.ndarray) -> np.ndarray:
    out = np.empty(len(pair), np.float32)
    step = np.float32(YEAR / NODES)
    for i in range(len(pair)):
        at = doy[i] / step
        low = int(np.floor(at))
        share = at - low
        a = values[pair[i], low % NODES]
        b = values[pair[i], (low + 1) % NODES]
        if not np.isfinite(a):
            out[i] = b
        elif not np.isfinite(b):
            out[i] = a
        else:
            out[i] = (1 - share) * a + share * b
    return out
