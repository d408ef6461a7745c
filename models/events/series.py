"""Series of clear observations as events are looked for in: ragged dates on two shared axes of days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

# What a detector reads of Sentinel-2. Mowing dries and lightens what is left, so the short-wave bands
# speak as loudly as the greenness.
OPTICAL = ("ndvi", "ndre", "ndmi", "ndti", "psri", "bsi", "B03", "B04", "B05", "B08", "B11", "B12")
SPREAD = "ndvi_std"  # between a parcel's pixels: a part that was mown shows here
CHANNELS = (*OPTICAL, SPREAD)
RADAR = ("s0vv_db", "s0vh_db", "cohvv", "cohvh")
BANDS = ("B02", "B03", "B04", "B05", "B06", "B08", "B8A", "B11", "B12")
# (a - b) / (a + b); the second name stands in where the first band was not measured
RATIOS = {
    "ndvi": (("B08",), ("B04",)),
    "ndre": (("B8A", "B08"), ("B05",)),
    "ndmi": (("B8A", "B08"), ("B11",)),
    "ndti": (("B11",), ("B12",)),
}


@dataclass(frozen=True)
class EventSeries:
    """Clear observations of parcels.

    Attributes
    ----------
    parcel_ids
        In the order of the rows.
    origin
        The day that counts as 0.
    days, optical
        `(date,)` days since the origin, rising, and `(parcel, date, channel)` float32 of CHANNELS, NaN where
        a parcel was not seen.
    radar_days, orbit, radar
        The same of RADAR; `orbit` has the relative orbit of each pass.
    pixels
        `(parcel,)` the most pixels that a date saw of a parcel; NaN where that is not known.
    """

    parcel_ids: tuple[str, ...]
    origin: date
    days: np.ndarray
    optical: np.ndarray
    radar_days: np.ndarray
    orbit: np.ndarray
    radar: np.ndarray
    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.parcel_ids)

    def day(self, when: date) -> int:
        """Return a date's number of days since the origin."""
        return (when - self.origin).days

    def when(self, day: float) -> date:
        """Return the date of a day."""
        return self.origin + timedelta(days=round(float(day)))

    def until(self, last: date) -> "EventSeries":
        """Return what was seen by a day."""
        seen, passed = self.days <= self.day(last), self.radar_days <= self.day(last)
        return EventSeries(
            self.parcel_ids,
            self.origin,
            self.days[seen],
            np.ascontiguousarray(self.optical[:, seen]),
            self.radar_days[passed],
            self.orbit[passed],
            np.ascontiguousarray(self.radar[:, passed]),
            self.pixels,
        )

    def followed_by(self, others: "Sequence[EventSeries]") -> "EventSeries":
        """Return these parcels and then those of others, all on the same axes."""
        every = [self, *others]
        return EventSeries(
            tuple(name for series in every for name in series.parcel_ids),
            self.origin,
            self.days,
            np.concatenate([series.optical for series in every]),
            self.radar_days,
            self.orbit,
            np.concatenate([series.radar for series in every]),
            np.concatenate([series.pixels for series in every]),
        )

    def without_radar(self) -> "EventSeries":
        """Return the optical observations alone."""
        none = np.zeros(0, np.int32)
        radar = np.zeros((len(self), 0, len(RADAR)), np.float32)
        return EventSeries(
            self.parcel_ids, self.origin, self.days, self.optical, none, none, radar, self.pixels
        )

    def take(self, rows: np.ndarray) -> "EventSeries":
        """Return some of the parcels, by number `(n)`."""
        return EventSeries(
            tuple(self.parcel_ids[row] for row in rows),
            self.origin,
            self.days,
            self.optical[rows],
            self.radar_days,
            self.orbit,
            self.radar[rows],
            self.pixels[rows],
        )


@dataclass(frozen=True)
class Axes:
    """Days of clear looks at any parcel since an origin, rising, and radar passes: `day, relative_orbit`."""

    days: np.ndarray
    passes: pl.DataFrame


def axes_of(
    observations: pl.LazyFrame, parcel_ids: Sequence[str], origin: date, min_share: float = 0.5
) -> Axes:
    """Return the axes on which the series of all these parcels lie, for those of some of them."""
    table = _usable(observations, origin, min_share).filter(pl.col("parcel_id").is_in(list(parcel_ids)))
    found = table.select("sensor", "day", "relative_orbit").unique().collect(engine="streaming")
    return _axes(*(found.filter(pl.col("sensor") == sensor) for sensor in ("s2", "s1")))


def _axes(optical: pl.DataFrame, radar: pl.DataFrame) -> Axes:
    days = np.sort(optical["day"].unique().to_numpy()).astype(np.int32)
    passes = radar.select("day", pl.col("relative_orbit").fill_null(0)).unique().sort("day", "relative_orbit")
    return Axes(days, passes)


def _usable(observations: pl.LazyFrame, origin: date, min_share: float) -> pl.LazyFrame:
    """Return the rows of dates that count, with their day."""
    seen = pl.col("valid_share").fill_null(1) - pl.col("filled_share").fill_null(0)
    return observations.filter(pl.col("mean").is_not_null() & (seen >= min_share)).with_columns(
        day=(pl.col("datetime").dt.date() - origin).dt.total_days().cast(pl.Int32)
    )


def from_observations(
    observations: pl.DataFrame,
    parcel_ids: Sequence[str],
    origin: date,
    min_share: float = 0.5,
    axes: Axes | None = None,
) -> EventSeries:
    """Lay an observations table (schema OBSERVATIONS) out as an EventSeries.

    A date of a parcel counts where at least `min_share` of its pixels were seen, not filled: filled pixels
    would show what a model expects, and hide what happened. Shares that a table does not tell count as whole.
    The days are those of these observations, or those of `axes`, which hold them.
    """
    index = pl.DataFrame({"parcel_id": list(parcel_ids), "row": np.arange(len(parcel_ids), dtype=np.int64)})
    table = (
        _usable(observations.lazy(), origin, min_share)
        .select("parcel_id", "day", "sensor", "relative_orbit", "feature", "mean", "std", "pixel_count")
        .join(index.lazy(), on="parcel_id", how="inner")
        .collect()
    )
    optical, radar = (table.filter(pl.col("sensor") == sensor) for sensor in ("s2", "s1"))
    axes = _axes(optical, radar) if axes is None else axes
    values = _optical(optical, axes.days, len(parcel_ids))
    radar_days, orbit, passes = _radar(radar, axes.passes, len(parcel_ids))
    pixels = np.full(len(parcel_ids), np.nan, np.float32)
    most = optical.group_by("row").agg(pl.col("pixel_count").max())
    pixels[most["row"].to_numpy()] = most["pixel_count"].cast(pl.Float32).fill_null(float("nan")).to_numpy()
    return EventSeries(tuple(parcel_ids), origin, axes.days, values, radar_days, orbit, passes, pixels)


def _optical(table: pl.DataFrame, days: np.ndarray, n: int) -> np.ndarray:
    bands = {name: _grid(table, name, days, n) for name in dict.fromkeys((*BANDS, *OPTICAL))}
    for name, (high, low) in RATIOS.items():
        a, b = _first(bands, high), _first(bands, low)
        bands[name] = np.where(np.isfinite(bands[name]), bands[name], _ratio(a - b, a + b))
    red, blue, edge, swir, nir = (bands[name] for name in ("B04", "B02", "B06", "B11", "B08"))
    bands["psri"] = np.where(np.isfinite(bands["psri"]), bands["psri"], _ratio(red - blue, edge))
    bands["bsi"] = _ratio(swir + red - nir - blue, swir + red + nir + blue)
    spread = _grid(table, "ndvi", days, n, "std")
    return np.stack([*(bands[name] for name in OPTICAL), spread], axis=2).astype(np.float32)


def _radar(table: pl.DataFrame, passes: pl.DataFrame, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = table.with_columns(pl.col("relative_orbit").fill_null(0))
    if passes.is_empty():
        none = np.zeros(0, np.int32)
        return none, none, np.zeros((n, 0, len(RADAR)), np.float32)
    place = passes.with_row_index("column")
    placed = table.join(place, on=["day", "relative_orbit"], how="inner")
    values = np.full((n, len(passes), len(RADAR)), np.nan, np.float32)
    for k, name in enumerate(RADAR):
        some = placed.filter(pl.col("feature") == name)
        values[some["row"].to_numpy(), some["column"].to_numpy(), k] = some["mean"].to_numpy()
    return passes["day"].to_numpy(), passes["relative_orbit"].to_numpy(), values


def _grid(table: pl.DataFrame, feature: str, days: np.ndarray, n: int, value: str = "mean") -> np.ndarray:
    """Return one feature as `(parcel, date)`; several rows of a day are averaged."""
    some = table.filter((pl.col("feature") == feature) & pl.col(value).is_finite())
    some = some.group_by("row", "day").agg(pl.col(value).mean())
    grid = np.full((n, len(days)), np.nan, np.float32)
    grid[some["row"].to_numpy(), np.searchsorted(days, some["day"].to_numpy())] = some[value].to_numpy()
    return grid


def _first(bands: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    found = bands[names[0]]
    for name in names[1:]:
        found = np.where(np.isfinite(found), found, bands[name])
    return found


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    out = np.full(numerator.shape, np.nan, np.float32)
    return np.asarray(np.divide(numerator, denominator, out=out, where=denominator > 0))
