"""Quantities that are known day by day at places: weather, land-surface products."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Daily:
    """Quantities of every day at places, such as the weather of a region or pixels of a land-surface product.

    Attributes
    ----------
    names
        Of the channels, each with its unit where it has one: `t_mean_c`, `precipitation_mm`.
    start
        Day of the first value, counted from an origin.
    value
        `(place, day, channel)` float32, NaN where unknown.
    place
        `(parcel,)`: the place of each parcel.
    """

    names: tuple[str, ...]
    start: int
    value: np.ndarray
    place: np.ndarray

    def take(self, parcels: np.ndarray) -> "Daily":
        """Return the same for some parcels, `(n)`."""
        return replace(self, place=self.place[parcels])

    def until(self, day: int) -> "Daily":
        """Return what was known by the end of a day."""
        return replace(self, value=self.value[:, : max(day - self.start + 1, 0)])
