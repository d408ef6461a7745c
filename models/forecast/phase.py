"""How far on a season is: days of the year that are shifted by the warmth so far.

Crops grow by warmth. In a year that is warmer than usual they are further on at the same date; a day is then
counted as the later day of the year by which a usual year has had as much warmth.
"""

import numpy as np

from features.context.daily import Daily
from models.forecast.history import History

BASE_C = 0.0  # warmth of a day: its mean temperature above this
LEAST_C = 2.0  # and at least so much, so that winter days are told apart
MOST_DAYS = 25.0  # a season is not taken to be further off than this
# days of year between which warmth gives way to the calendar: crops ripen by warmth, but stubble is worked,
# covers are sown and roots are lifted when it is time
FADES = (195.0, 245.0)
DAYS = 366


class Phases:
    """Phases of a history's days; days of the year as they are where no other year's warmth is known."""

    def __init__(self, history: History, ahead: Daily | None = None) -> None:
        self.history = history
        self.warm = _warmth(history, history.weather)
        self.ahead = _warmth(history, ahead)

    def of_looks(self) -> np.ndarray:
        """Return `(look,)` the phase of every clear look."""
        looks = self.history.ndvi
        return self.of(looks.rows(), looks.day, looks.day)

    def of(self, parcel: np.ndarray, known: np.ndarray, day: np.ndarray) -> np.ndarray:
        """Return `(n,)` phases of days, by what was known by the end of days `known`.

        Warmth ahead is that of `ahead`; the usual one where that is not given.
        """
        doy = np.asarray(self.history.day_of_year(day), float)
        if self.warm is None:
            return doy
        return self.warm.shifted(self.history, parcel, known, day, doy, self.ahead)


class Warmth:
    """Running sums of warmth, `sums (place, year, day)`, and of a usual year, `usual (place, day)`.

    Usual is the mean of the years before the last, whose end may not have come yet.
    """

    def __init__(self, place: np.ndarray, sums: np.ndarray, usual: np.ndarray) -> None:
        self.place, self.sums, self.usual = place, sums, usual

    def shifted(
        self, history: History, parcel: np.ndarray, known: np.ndarray, day: np.ndarray, doy: np.ndarray,
        ahead: "Warmth | None",
    ) -> np.ndarray:  # fmt: skip
        """Return phases `(sample)`, of parcels and days `(sample)`; see `Phases.of`."""
        place, year = self.place[parcel], history.year_of(day)
        last = np.minimum(known, day)
        same = history.year_of(last) == year
        begun = history.day_of_year(last).astype(int)
        at = doy.astype(int)
        usual = self.usual[place, at]
        total = self.sums[place, year, begun] + usual - self.usual[place, begun]
        if ahead is not None:
            to = ahead.sums[place, year, at] - ahead.sums[place, year, begun]
            total = np.where(np.isfinite(to), self.sums[place, year, begun] + to, total)
        ahead_days = (total - usual) / np.maximum(self._rate(place, at), LEAST_C)
        phase = doy + np.clip(ahead_days, -MOST_DAYS, MOST_DAYS) * np.interp(doy, FADES, (1, 0))
        return np.asarray(np.where(same & np.isfinite(phase), phase, doy))

    def _rate(self, place: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Return the usual warmth of a day around `at (n,)`, mean of about three weeks."""
        low, high = np.clip(at - 10, 0, DAYS - 1), np.clip(at + 10, 0, DAYS - 1)
        return np.asarray((self.usual[place, high] - self.usual[place, low]) / np.maximum(high - low, 1))


def _warmth(history: History, weather: Daily | None) -> Warmth | None:
    if weather is None or "t_mean_c" not in weather.names:
        return None
    years, starts = history.crop.shape[1], history.january
    value = weather.value[:, :, weather.names.index("t_mean_c")]
    rates = np.full((len(value), years, DAYS), np.nan)
    for year in range(years):
        first = starts[year] - weather.start
        span = np.arange(max(first, 0), min(starts[year + 1] - weather.start, value.shape[1]))
        if len(span):
            rates[:, year, span - first] = np.maximum(value[:, span] - BASE_C, LEAST_C)
    before = rates[:, : max(years - 1, 1)]
    n = np.isfinite(before).sum(1)
    usual = np.divide(np.nansum(before, 1), n, out=np.full(n.shape, np.nan), where=n > 0)
    usual[:, -1] = np.where(n[:, -1] > 0, usual[:, -1], usual[:, -2])
    return Warmth(weather.place, np.cumsum(rates, 2), np.cumsum(usual, 1))
