"""Which forecasts to make, learn from or score: pairs of a day to forecast from and a day ahead."""

from dataclasses import dataclass

import numpy as np

from features.code.jit import njit
from models.forecast.history import History

STEP = 5  # days between horizons that are counted apart
AHEAD = 100  # days: the longest horizon that is learned
MOST_CLOUDED = 70  # days of the longest made-up cloud


@dataclass(frozen=True)
class Samples:
    """Forecasts `(sample,)`: of a parcel, made at the end of day `origin`, of day `target`.

    `truth` is what was seen on that day, NaN where that is not known. `seen` is the last day whose clear
    looks may be read, `origin` where None: an earlier day lays a cloud over the days up to the forecast,
    through which radar goes on.
    """

    parcel: np.ndarray
    origin: np.ndarray
    target: np.ndarray
    truth: np.ndarray
    seen: np.ndarray | None = None

    @property
    def looked(self) -> np.ndarray:
        """Return `(sample,)`: the last day whose clear looks may be read."""
        return self.origin if self.seen is None else self.seen

    def __len__(self) -> int:
        return len(self.parcel)

    def take(self, rows: np.ndarray) -> "Samples":
        """Return some of the samples, by number `(n)` or by a bool `(sample)`."""
        seen = None if self.seen is None else self.seen[rows]
        return Samples(self.parcel[rows], self.origin[rows], self.target[rows], self.truth[rows], seen)


def horizon_step(horizon: np.ndarray, ahead: int = AHEAD) -> np.ndarray:
    """Return the number of the horizon's step, `(n,)`: 0 for 1 to 7 days (about 5), 1 for 8 to 12, and so on.

    Examples
    --------
    >>> horizon_step(np.array([1, 5, 7, 8, 12, 100, 300])).tolist()
    [0, 0, 0, 1, 1, 19, 19]
    """
    return np.asarray(np.clip((np.asarray(horizon) + STEP // 2) // STEP - 1, 0, ahead // STEP - 1))


def seen_ahead(history: History, origins: np.ndarray, ahead: int = AHEAD) -> Samples:
    """Return a sample for every look that came within `ahead` days after one of `origins (origin,)`.

    A parcel that had not been seen by an origin has no sample of it: there is nothing to go by.
    """
    looks = history.ndvi
    parts = _pairs(looks.first, looks.day, np.sort(origins).astype(np.int64), ahead)
    parcel, origin, at = parts
    return Samples(parcel, origin, looks.day[at].astype(np.int64), looks.value[at].astype(np.float32))


def clouded(history: History, samples: Samples, share: float, rng: np.random.Generator) -> Samples:
    """Lay a made-up cloud of up to MOST_CLOUDED days over a share of the samples, where a look is left.

    Seasons rarely leave every parcel unseen for long. Without such samples a model does not learn what radar
    says of the days since the last clear look.
    """
    gap = rng.integers(1, MOST_CLOUDED + 1, len(samples)) * (rng.random(len(samples)) < share)
    hidden = Samples(samples.parcel, samples.origin, samples.target, samples.truth, samples.origin - gap)
    left = last_look(history, hidden) >= 0
    return Samples(
        samples.parcel, samples.origin, samples.target, samples.truth,
        np.where(left, hidden.looked, samples.origin),
    )  # fmt: skip


def on_days(parcels: np.ndarray, origin: int, targets: np.ndarray) -> Samples:
    """Return the samples of all parcels, from one day, for every one of `targets (target,)`; parcel by
    parcel.
    """
    n = len(parcels) * len(targets)
    return Samples(
        np.repeat(parcels, len(targets)),
        np.full(n, origin, np.int64),
        np.tile(targets.astype(np.int64), len(parcels)),
        np.full(n, np.nan, np.float32),
    )


def last_look(history: History, samples: Samples) -> np.ndarray:
    """Return `(sample,)` the number of the last look by the day of the forecast; -1 where there is none."""
    return np.asarray(
        _last(history.ndvi.first, history.ndvi.day, samples.parcel.astype(np.int64), samples.looked)
    )


def _pairs(
    first: np.ndarray, day: np.ndarray, origins: np.ndarray, ahead: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    none = np.zeros(0, np.int64)
    n = _fill(first, day, origins, ahead, none, none, none, False)
    parcel, origin, at = (np.empty(n, np.int64) for _ in range(3))
    _fill(first, day, origins, ahead, parcel, origin, at, True)
    return parcel, origin, at


@njit(cache=True, nogil=True)
def _fill(
    first: np.ndarray,
    day: np.ndarray,
    origins: np.ndarray,
    ahead: int,
    parcel: np.ndarray,
    origin: np.ndarray,
    at: np.ndarray,
    write: bool,
) -> int:
    n = 0
    for p in range(len(first) - 1):
        start, stop = first[p], first[p + 1]
        look = start
        for o in range(len(origins)):
            while look < stop and day[look] <= origins[o]:
                look += 1
            if look == start:
                continue
            k = look
            while k < stop and day[k] <= origins[o] + ahead:
                if write:
                    parcel[n], origin[n], at[n] = p, origins[o], k
                n += 1
                k += 1
    return n


@njit(cache=True, nogil=True)
def after(day: np.ndarray, start: int, stop: int, when: int) -> int:
    """Return the first look later than `when` among those `start` to `stop` of `day (look,)`, ascending."""
    low, high = start, stop
    while low < high:
        middle = (low + high) // 2
        if day[middle] <= when:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _last(first: np.ndarray, day: np.ndarray, parcel: np.ndarray, origin: np.ndarray) -> np.ndarray:
    out = np.empty(len(parcel), np.int64)
    for i in range(len(parcel)):
        start, stop = first[parcel[i]], first[parcel[i] + 1]
        later = after(day, start, stop, origin[i])
        out[i] = later - 1 if later > start else -1
    return out
