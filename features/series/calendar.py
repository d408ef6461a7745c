"""The steps of a season: dekads, calendar months, or equal bins of growing-degree days."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from features.context.weather import growing_degree_days
from features.errors import ConfigError
from features.schema import check_columns
from features.series.options import CalendarName

WEATHER_COLUMNS = ("date", "t_min_c", "t_max_c")


@dataclass(frozen=True)
class Calendar:
    """Consecutive steps: step i holds what was seen in `[edges[i], edges[i + 1])`.

    `degree_days` holds the growing-degree days cumulated at the start of each step, °C d, where the weather
    is known.
    """

    name: CalendarName
    edges: np.ndarray  # datetime64[ns] (step + 1,)
    degree_days: np.ndarray | None = None  # float64 (step,)

    @property
    def starts(self) -> np.ndarray:
        """Start of each step, `(step)`, `datetime64[ns]`."""
        return self.edges[:-1]

    def __len__(self) -> int:
        return len(self.edges) - 1

    def step_of(self, moments: np.ndarray) -> np.ndarray:
        """Return the index of the step that holds each moment, of the shape of `moments` (datetime64); -1
        outside.
        """
        step = np.searchsorted(self.edges, moments.astype("datetime64[ns]"), side="right") - 1
        return np.where(step < len(self), step, -1)


def make_calendar(
    name: CalendarName,
    start: date,
    end: date,
    weather: pl.DataFrame | None = None,
    *,
    thermal_steps: int = 24,
    base_temperature_c: float = 0.0,
    until: date | None = None,
) -> Calendar:
    """Cut the season from `start` to `end`, both included, into steps.

    Parameters
    ----------
    weather
        One row a day: `date, t_min_c, t_max_c`. Needed by the thermal calendar only; the others carry the
        growing-degree days along where it is given.
    until
        Leave out the steps that begin after this day; no later weather is needed. The thermal calendar is
        that of the season's days until then.

    Raises
    ------
    ConfigError
        Where the season ends before it starts, the thermal calendar lacks weather, or the weather lacks days.
    """
    if end < start:
        raise ConfigError(f"The season ends ({end}) before it starts ({start}); swap the dates.")
    last = end if until is None else max(min(until, end), start)
    heat = None if weather is None else degree_days(weather, start, last, base_temperature_c)
    if name == "thermal":
        if heat is None:
            raise ConfigError(
                "The thermal calendar needs daily weather (date, t_min_c, t_max_c); "
                "name its file or use the calendar dekad."
            )
        edges = thermal_edges(heat, start, thermal_steps)
    else:
        steps = dekad_starts(start, end) if name == "dekad" else month_starts(start, end)
        edges = np.array([*steps, end + timedelta(days=1)], dtype="datetime64[ns]")
        edges = edges[: 1 + int((edges[:-1] <= np.datetime64(last, "ns")).sum())]
    return Calendar(name, edges, None if heat is None else heat[_day_index(edges[:-1], start)])


def dekad_starts(start: date, end: date) -> list[date]:
    """Days 1, 11 and 21 of each month within the season, the first step starting on `start` itself.

    Examples
    --------
    >>> [str(day) for day in dekad_starts(date(2022, 1, 5), date(2022, 2, 3))]
    ['2022-01-05', '2022-01-11', '2022-01-21', '2022-02-01']
    """
    return [day for day in _days(start, end) if day == start or day.day in (1, 11, 21)]


def month_starts(start: date, end: date) -> list[date]:
    """First days of the months within the season, the first step starting on `start` itself."""
    return [day for day in _days(start, end) if day == start or day.day == 1]


def degree_days(weather: pl.DataFrame, start: date, end: date, base_c: float) -> np.ndarray:
    """Return growing-degree days cumulated before each day of the season, and at its end, °C d.

    Parameters
    ----------
    weather
        `date, t_min_c, t_max_c`, one row per day.
    base_c
        Temperature above which a day counts, °C.

    Returns
    -------
    np.ndarray
        float64 `(day + 1,)`, starting at 0; summed as `features.context.weather.growing_degree_days` does.

    Raises
    ------
    ConfigError
        Where a day of the season is missing from the weather.
    """
    check_columns(weather.columns, WEATHER_COLUMNS, "The weather table")
    days = pl.DataFrame({"date": list(_days(start, end))})
    daily = days.join(
        weather.with_columns(pl.col("date").cast(pl.Date)).unique("date"),
        on="date",
        how="left",
        maintain_order="left",
    )
    daily = daily.with_columns(pl.col("t_min_c", "t_max_c").cast(pl.Float64).fill_nan(None))
    missing = daily.filter(pl.col("t_min_c").is_null() | pl.col("t_max_c").is_null())["date"]
    if len(missing):
        raise ConfigError(
            f"The weather lacks {len(missing)} days of the season, first {missing[0]}; complete its file, or "
            "let season.until name the last day that is known."
        )
    return np.concatenate([[0.0], growing_degree_days(daily, base_c)["gdd"].to_numpy()])


def thermal_edges(heat: np.ndarray, start: date, steps: int) -> np.ndarray:
    """Return the days on which equal shares of the season's growing-degree days are reached.

    Steps of equal heat instead of equal length, as T3S samples satellite time series. A season in which no
    day is above the base is cut evenly.

    Parameters
    ----------
    heat
        `(day + 1,)` cumulated growing-degree days, as `degree_days` returns them.
    steps
        Number of steps; at most one per day.

    Returns
    -------
    np.ndarray
        `datetime64[ns] (steps + 1,)`, strictly increasing, from `start` to the day after the season.
    """
    span = len(heat) - 1
    steps = min(steps, span)
    total = heat[-1]
    targets = np.arange(1, steps) * total / steps
    days = np.searchsorted(heat, targets) if total > 0 else np.arange(1, steps) * span // steps
    days = np.maximum.accumulate(np.concatenate([[0], days]) - np.arange(steps)) + np.arange(steps)
    days = np.minimum(days, span - steps + np.arange(steps))
    return np.datetime64(start, "ns") + np.append(days, span) * np.timedelta64(1, "D")


def _day_index(moments: np.ndarray, start: date) -> np.ndarray:
    return ((moments - np.datetime64(start, "ns")) // np.timedelta64(1, "D")).astype(int)


def _days(start: date, end: date) -> Iterator[date]:
    return (start + timedelta(days=offset) for offset in range((end - start).days + 1))
