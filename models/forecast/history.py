"""Clear looks of parcels over the years, ragged, and what is known of every day beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from features.context.daily import Daily

RADAR = ("s0vv_db", "s0vh_db", "cohvv", "cohvh")
LOWEST, HIGHEST = -1.0, 1.0  # of NDVI; beyond is no measurement
UNKNOWN = -1  # class of a parcel whose crop is not known


@dataclass(frozen=True)
class Looks:
    """Values of parcels on days of their own.

    Attributes
    ----------
    first
        `(parcel + 1,)`: the looks of parcel p are those from `first[p]` to `first[p + 1]`.
    day
        `(look,)` int32 days since the history's origin, rising within a parcel.
    value
        `(look,)` float32, or `(look, channel)`.
    orbit
        `(look,)` int32, the relative orbit of a radar pass; empty for optics.
    """

    first: np.ndarray
    day: np.ndarray
    value: np.ndarray
    orbit: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))

    def __len__(self) -> int:
        return len(self.day)

    def rows(self) -> np.ndarray:
        """Return `(look,)`: the parcel of every look."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))

    def where(self, kept: np.ndarray) -> "Looks":
        """Return the looks of which `kept (look,)` is true."""
        counts = np.bincount(self.rows()[kept], minlength=len(self.first) - 1)
        first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        orbit = self.orbit[kept] if len(self.orbit) else self.orbit
        return Looks(first, self.day[kept], self.value[kept], orbit)

    def take(self, parcels: np.ndarray) -> "Looks":
        """Return the looks of some parcels `(n)`, in their order."""
        counts = np.diff(self.first)[parcels]
        first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        at = np.repeat(self.first[parcels] - first[:-1], counts) + np.arange(first[-1])
        orbit = self.orbit[at] if len(self.orbit) else self.orbit
        return Looks(first, self.day[at], self.value[at], orbit)


def joined(parts: Sequence[Looks]) -> Looks:
    """Return the looks of the parcels of each part, one part after another."""
    ends = np.cumsum([0, *(len(part) for part in parts)])
    firsts = [part.first[:-1] + start for part, start in zip(parts, ends, strict=False)]
    return Looks(
        np.concatenate([*firsts, ends[-1:]]).astype(np.int64),
        np.concatenate([part.day for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.orbit for part in parts]),
    )


def no_looks(parcels: int, channels: int = 0) -> Looks:
    """Return the looks of parcels that were never seen."""
    shape = (0, channels) if channels else (0,)
    none = np.zeros(0, np.int32)
    return Looks(np.zeros(parcels + 1, np.int64), none, np.zeros(shape, np.float32), none)


@dataclass(frozen=True)
class History:
    """All that a forecast may read of parcels.

    Attributes
    ----------
    parcel_ids
        In the order of the rows.
    origin
        The day that counts as 0: 1 January of the first year.
    ndvi, radar
        Clear looks, and radar passes with the channels RADAR.
    classes, crop
        Names, and `(parcel, year)` the class of each calendar year since `origin`; UNKNOWN where not known.
    static_names, static
        `(parcel, variable)` float32: soil, elevation.
    weather, surface
        Daily weather, and daily land-surface products; None where there is none.
    with_radar
        Whether there are radar passes of these parcels, or of others of the region that they are a part of;
        None: of these.
    """

    parcel_ids: tuple[str, ...]
    origin: date
    ndvi: Looks
    radar: Looks
    classes: tuple[str, ...]
    crop: np.ndarray
    static_names: tuple[str, ...] = ()
    static: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    weather: Daily | None = None
    surface: Daily | None = None
    with_radar: bool | None = None

    def __len__(self) -> int:
        return len(self.parcel_ids)

    @property
    def reads_radar(self) -> bool:
        """Whether radar is read, of parcels without a pass too: as of the region, so that it does not depend
        on which of its parcels are looked at together.
        """
        return len(self.radar) > 0 if self.with_radar is None else self.with_radar

    @property
    def january(self) -> np.ndarray:
        """`(year + 1,)` days since the origin of every 1 January, one after the last year included."""
        return year_starts(self.origin, self.crop.shape[1])

    def day(self, when: date) -> int:
        """Return a date's number of days since the origin."""
        return (when - self.origin).days

    def when(self, day: int) -> date:
        """Return the date of a day."""
        return self.origin + timedelta(days=int(day))

    def year_of(self, day: np.ndarray) -> np.ndarray:
        """Return `(n,)`: the number of the year of days; days past the last year count as that year."""
        at = np.searchsorted(self.january, day, side="right") - 1
        return np.asarray(np.clip(at, 0, self.crop.shape[1] - 1))

    def crop_on(self, parcel: np.ndarray, day: np.ndarray) -> np.ndarray:
        """Return `(n,)` the class of parcels in the years of days; UNKNOWN past the last year.

        Nobody has declared yet what will grow then.
        """
        known = np.asarray(day) < self.january[-1]
        return np.asarray(np.where(known, self.crop[parcel, self.year_of(day)], UNKNOWN))

    def day_of_year(self, day: np.ndarray) -> np.ndarray:
        """Return `(n,)`: days since 1 January of the day's own year, days beyond the last year included."""
        years = (np.asarray(day) // 365.25).astype(int).max(initial=0) + 3
        starts = year_starts(self.origin, int(years))
        at = np.searchsorted(starts, day, side="right") - 1
        return np.asarray(day - starts[np.maximum(at, 0)])

    def take(self, parcels: np.ndarray) -> "History":
        """Return some of the parcels, by number `(n)`."""
        return replace(
            self,
            parcel_ids=tuple(self.parcel_ids[row] for row in parcels),
            ndvi=self.ndvi.take(parcels),
            radar=self.radar.take(parcels),
            crop=self.crop[parcels],
            static=self.static[parcels] if len(self.static) else self.static,
            weather=self.weather and self.weather.take(parcels),
            surface=self.surface and self.surface.take(parcels),
            with_radar=self.reads_radar,
        )

    def in_classes(self, classes: tuple[str, ...]) -> "History":
        """Return the same with crops numbered by other names; UNKNOWN where those lack one."""
        if classes == self.classes:
            return self
        number = {name: k for k, name in enumerate(classes)}
        of = np.array([number.get(name, UNKNOWN) for name in self.classes] + [UNKNOWN], np.int16)
        return replace(self, classes=classes, crop=of[self.crop])

    def until(self, day: int) -> "History":
        """Return what was known by the end of a day; crops stay as declared."""
        return replace(
            self,
            ndvi=self.ndvi.where(self.ndvi.day <= day),
            radar=self.radar.where(self.radar.day <= day),
            weather=self.weather and self.weather.until(day),
            surface=self.surface and self.surface.until(day),
        )


def year_starts(origin: date, years: int) -> np.ndarray:
    """Return `(years + 1,)`: days from `origin`, a 1 January, to each 1 January that follows."""
    return np.array([(date(origin.year + k, 1, 1) - origin).days for k in range(years + 1)], np.int64)


def looks_from(table: pl.DataFrame, parcel_ids: Sequence[str], origin: date) -> tuple[Looks, dict[str, int]]:
    """Lay a table of values out as looks.

    Parameters
    ----------
    table
        `parcel_id, date, ndvi`, in any order.

    Returns
    -------
    tuple
        The looks, and how many rows were set aside, by reason: `not_finite`, `out_of_range` (no NDVI is
        below -1 or above 1), `unknown_parcel`, and `same_day` (several values of a day are averaged into
        one).
    """
    index = pl.DataFrame(
        {"parcel_id": list(parcel_ids), "row": np.arange(len(parcel_ids), dtype=np.int64)},
        schema={"parcel_id": pl.String, "row": pl.Int64},
    )
    joined = table.select("parcel_id", "date", pl.col("ndvi").cast(pl.Float64)).join(
        index, on="parcel_id", how="left"
    )
    known = pl.col("row").is_not_null()
    finite = (pl.col("ndvi").is_finite() & pl.col("date").is_not_null()).fill_null(False)
    inside = pl.col("ndvi").is_between(LOWEST, HIGHEST).fill_null(False)
    kept = joined.filter(known & finite & inside)
    daily = (
        kept.group_by("row", "date")
        .agg(pl.col("ndvi").mean())
        .with_columns(day=(pl.col("date") - origin).dt.total_days().cast(pl.Int32))
        .sort("row", "day")
    )
    aside = {
        "unknown_parcel": joined.filter(~known).height,
        "not_finite": joined.filter(known & ~finite).height,
        "out_of_range": joined.filter(known & finite & ~inside).height,
        "same_day": kept.height - daily.height,
    }
    counts = np.bincount(daily["row"].to_numpy(), minlength=len(parcel_ids))
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    looks = Looks(
        first, daily["day"].to_numpy().astype(np.int32), daily["ndvi"].to_numpy().astype(np.float32)
    )
    return looks, {reason: n for reason, n in aside.items() if n}


def radar_from(table: pl.DataFrame, parcel_ids: Sequence[str], origin: date) -> Looks:
    """Lay radar observations out as looks with the channels RADAR.

    Parameters
    ----------
    table
        `parcel_id, date, relative_orbit` and the columns RADAR, null where a channel is missing.
    """
    index = pl.DataFrame(
        {"parcel_id": list(parcel_ids), "row": np.arange(len(parcel_ids), dtype=np.int64)},
        schema={"parcel_id": pl.String, "row": pl.Int64},
    )
    rows = (
        table.join(index, on="parcel_id", how="inner")
        .with_columns(
            day=(pl.col("date") - origin).dt.total_days().cast(pl.Int32),
            relative_orbit=pl.col("relative_orbit").fill_null(0).cast(pl.Int32),
        )
        .group_by("row", "day", "relative_orbit")
        .agg(pl.col(RADAR).mean())
        .sort("row", "day", "relative_orbit")
    )
    counts = np.bincount(rows["row"].to_numpy(), minlength=len(parcel_ids))
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    value = rows.select(pl.col(RADAR).cast(pl.Float32)).to_numpy().astype(np.float32)
    return Looks(first, rows["day"].to_numpy(), value, rows["relative_orbit"].to_numpy())


def crops_of(
    declared: Mapping[int, Mapping[str, str | None]],
    parcel_ids: Sequence[str],
    classes: Sequence[str],
    first_year: int,
    years: int,
) -> np.ndarray:
    """Return `(parcel, year)` int16 class numbers; UNKNOWN where no declaration says.

    Parameters
    ----------
    declared
        By year, the class of each parcel.
    """
    number = {name: k for k, name in enumerate(classes)}
    crop = np.full((len(parcel_ids), years), UNKNOWN, np.int16)
    for year, of in declared.items():
        if 0 <= year - first_year < years:
            crop[:, year - first_year] = [number.get(of.get(name) or "", UNKNOWN) for name in parcel_ids]
    return crop
