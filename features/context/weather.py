"""Daily weather: read, summed to growing-degree days, and summarised before any date."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from features.errors import ConfigError
from features.limits import refuse_packed

WEATHER_COLUMNS = ("date", "t_min_c", "t_max_c", "precipitation_mm")
# Outside these no daily minimum or maximum was ever measured in farmland: kelvin, or a fill value.
LOWEST_C, HIGHEST_C = -70.0, 60.0
# Rounding may leave a little less than no rain; the wettest day known had 1,825 mm (La Reunion 1966, WMO).
LOWEST_RAIN_MM, HIGHEST_RAIN_MM = -0.05, 1_825.0


def read_weather(path: Path) -> pl.DataFrame:
    """Read a daily weather table: a CSV with at least `date, t_min_c, t_max_c, precipitation_mm`.

    Returns
    -------
    polars.DataFrame
        In order of date; numbers as Float64, null where the file has none.

    Raises
    ------
    ConfigError
        Where the file is missing or no such table, a date repeats, or days hold what no weather is: kelvin, a
        fill value such as -99, a minimum above the maximum. The message counts the days of each kind.
    """
    if path.is_dir():
        raise ConfigError(f"The weather file {path} is a folder; name the table in it.")
    try:
        raw = pl.read_csv(refuse_packed(path), infer_schema=False, glob=False)
    except FileNotFoundError as error:
        raise ConfigError(f"There is no weather file {path}; check the setting weather.") from error
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} is no CSV table ({error}); give one with {', '.join(WEATHER_COLUMNS)}. Of NetCDF cubes "
            "that hold weather, `cropcheck catalog` writes one."
        ) from error
    missing = [name for name in WEATHER_COLUMNS if name not in raw.columns]
    if missing:
        raise ConfigError(
            f"The weather file {path} lacks the columns {', '.join(missing)}; it has "
            f"{', '.join(raw.columns[:20])}. Rename its columns, or add them."
        )
    try:
        table = raw.with_columns(pl.col("date").str.to_date("%Y-%m-%d"), pl.exclude("date").cast(pl.Float64))
    except pl.exceptions.PolarsError as error:
        raise ConfigError(
            f"{path} holds a date that is not YYYY-MM-DD or text for a number: {error}"
        ) from error
    return _checked(table.with_columns(pl.exclude("date").fill_nan(None)).sort("date"), path)


def _checked(table: pl.DataFrame, path: Path) -> pl.DataFrame:
    repeated = table.filter(pl.col("date").is_duplicated() | pl.col("date").is_null())["date"]
    if len(repeated):
        raise ConfigError(
            f"{path} has {len(repeated)} rows of repeated or missing date, first {repeated[0]}."
        )
    middle = table.select(pl.col("t_min_c", "t_max_c").median().is_between(150, 350)).row(0)
    if all(middle):
        raise ConfigError(f"{path} has temperatures in kelvin; give degrees Celsius (subtract 273.15).")
    low, high, rain = (pl.col(name) for name in WEATHER_COLUMNS[1:])
    faults = {
        f"t_min_c outside {LOWEST_C:.0f} to {HIGHEST_C:.0f}": ~low.is_between(LOWEST_C, HIGHEST_C),
        f"t_max_c outside {LOWEST_C:.0f} to {HIGHEST_C:.0f}": ~high.is_between(LOWEST_C, HIGHEST_C),
        "t_min_c above t_max_c": low > high,
        "precipitation_mm that no day can have": ~rain.is_between(LOWEST_RAIN_MM, HIGHEST_RAIN_MM),
    }
    found = [(name, table.filter(fault)) for name, fault in faults.items()]
    listed = [f"{name} on {len(days)} days, first {_described(days)}" for name, days in found if len(days)]
    if listed:
        raise ConfigError(
            f"{path} has {'; '.join(listed)}. "
            "Give degrees Celsius and millimetres, and leave unknown cells empty."
        )
    return table


def _described(days: pl.DataFrame) -> str:
    first = days.select(WEATHER_COLUMNS).row(0, named=True)
    return f"{first.pop('date')} ({', '.join(f'{name} {value}' for name, value in first.items())})"


def growing_degree_days(weather: pl.DataFrame, base_c: float = 0.0) -> pl.DataFrame:
    """Return `date, gdd`: degree days cumulated from the first day to the end of each day, °C d.

    The daily sum is `max((t_min + t_max) / 2 - base, 0)` (McMaster and Wilhelm 1997, method 1). From the
    first day that is missing or has no temperature on, the sum is unknown: null.

    Examples
    --------
    >>> dates = [date(2024, 4, 1), date(2024, 4, 2)]
    >>> weather = pl.DataFrame({"date": dates, "t_min_c": [2.0, 4.0], "t_max_c": [8.0, 12.0]})
    >>> growing_degree_days(weather, base_c=5)["gdd"].to_list()
    [0.0, 3.0]
    """
    heat = ((pl.col("t_min_c") + pl.col("t_max_c")) / 2 - base_c).clip(lower_bound=0).alias("heat")
    daily = _every_day(weather).select("date", heat)
    known = pl.col("heat").is_not_null().cum_min()
    return daily.select("date", pl.when(known).then(pl.col("heat").cum_sum()).alias("gdd"))


def weather_before(
    weather: pl.DataFrame, moments: np.ndarray, window_days: int = 10, base_c: float = 0.0
) -> pl.DataFrame:
    """Return the weather before each of `moments (n,)`, without that day and later ones.

    Parameters
    ----------
    weather
        As `read_weather` gives it.
    moments
        `datetime64`, acquisitions or starts of steps.
    window_days
        Days before the moment that are averaged and summed.

    Returns
    -------
    polars.DataFrame
        One row a moment: `weather_temperature_c` (mean of the daily means), `weather_precipitation_mm` (sum),
        `weather_gdd` (degree days since the table's first day, °C d); null where a day of the window is
        missing.
    """
    daily = _every_day(weather)
    mean = ((pl.col("t_min_c") + pl.col("t_max_c")) / 2).rolling_mean(window_days)
    rain = pl.col("precipitation_mm").rolling_sum(window_days)
    ended = daily.select(
        "date",
        mean.alias("weather_temperature_c"),
        rain.alias("weather_precipitation_mm"),
        growing_degree_days(weather, base_c)["gdd"].alias("weather_gdd"),
    )
    before = np.asarray(moments).astype("datetime64[D]") - np.timedelta64(1, "D")
    asked = pl.DataFrame({"date": pl.Series(before.tolist(), dtype=pl.Date)})
    return asked.join(ended, on="date", how="left", maintain_order="left").drop("date")


def _every_day(weather: pl.DataFrame) -> pl.DataFrame:
    """One row for every day from the first to the last, null where the table has none."""
    first, last = weather["date"].min(), weather["date"].max()
    if not isinstance(first, date) or not isinstance(last, date):
        raise ConfigError("The weather table has no rows; give at least the days of the season.")
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    return pl.DataFrame({"date": days}).join(weather, on="date", how="left", maintain_order="left")
