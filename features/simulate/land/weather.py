"""Daily weather of a season, for a temperate maritime climate."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from features.simulate.randomness import generator


@dataclass(frozen=True)
class Climate:
    """Degrees by which a climate is warmer than that of the southern Low Countries, and its rain as a
    multiple.
    """

    warmer_c: float = 0.0
    rain_factor: float = 1.0

    @property
    def days_ahead(self) -> float:
        """Days by which the work of the season comes earlier: those by which spring is as warm earlier."""
        return self.warmer_c / SPRING_WARMING_C


@dataclass(frozen=True)
class Weather:
    """Daily values from 1 September before the season to 31 December of it; index 0 is that September day."""

    start: date
    t_min_c: np.ndarray
    t_max_c: np.ndarray
    precipitation_mm: np.ndarray
    radiation_mj: np.ndarray

    @property
    def t_mean_c(self) -> np.ndarray:
        """Mean of the day's extremes, `(day)`."""
        return np.asarray((self.t_min_c + self.t_max_c) / 2)

    @property
    def days(self) -> int:
        """How many days there are."""
        return len(self.t_min_c)

    def index(self, day: date) -> int:
        """Return the position of a calendar day."""
        return (day - self.start).days

    def table(self) -> pl.DataFrame:
        """Return the table as it is published: one row a day."""
        days = pl.date_range(self.start, self.start + (self.days - 1) * _DAY, eager=True)
        columns = ("t_min_c", "t_max_c", "precipitation_mm", "radiation_mj")
        return pl.DataFrame({"date": days, **{name: getattr(self, name).round(1) for name in columns}})


_DAY = date(2001, 1, 2) - date(2001, 1, 1)
MEAN_C, SWING_C = 10.8, 7.6  # of the year's temperature
SPRING_WARMING_C = SWING_C * 2 * np.pi / 365.25  # a day, in late April


def make_weather(season: int, seed: int, climate: Climate | None = None) -> Weather:
    """Draw the weather of a season: the seasonal cycle, weeks-long anomalies, wet and dry spells.

    The climate is that of the southern Low Countries (mean 10.5 °C, 800 mm); a season is warmer or colder,
    wetter or drier as a whole by a standard deviation of 0.8 °C in spring and 25% in rain. Another `climate`
    has the same days of rain.
    """
    climate = climate or Climate()
    rng = generator(seed, "weather", season)
    start = date(season - 1, 9, 1)
    n = (date(season, 12, 31) - start).days + 1
    day_of_year = (np.arange(n) + start.timetuple().tm_yday - 1) % 365.25
    rain = _precipitation(n, rng)
    anomaly = _red_noise(n, 0.82, 2.6, rng) + _red_noise(n, 0.985, 0.9, rng)
    mean = MEAN_C + climate.warmer_c + SWING_C * np.sin(2 * np.pi * (day_of_year - 111) / 365.25) + anomaly
    summer = np.sin(2 * np.pi * (day_of_year - 80) / 365.25)
    clear = np.where(rain > 0.2, 0.32, 0.58) + rng.normal(0, 0.1, n)
    radiation = np.clip(clear, 0.1, 0.75) * (19.5 + 18 * summer)
    spread = 3.0 + 0.32 * radiation / (1 + 0.02 * radiation)
    return Weather(
        start,
        (mean - spread / 2).round(1),
        (mean + spread / 2).round(1),
        (climate.rain_factor * rain).round(1),
        np.maximum(radiation, 0.3).round(1),
    )


def _red_noise(n: int, memory: float, sd: float, rng: np.random.Generator) -> np.ndarray:
    """Return an AR(1) series of a given standard deviation."""
    shocks = rng.normal(0, sd * np.sqrt(1 - memory**2), n)
    out = np.empty(n)
    out[0] = rng.normal(0, sd)
    for i in range(1, n):
        out[i] = memory * out[i - 1] + shocks[i]
    return out


def _precipitation(n: int, rng: np.random.Generator) -> np.ndarray:
    """Wet and dry spells (two-state Markov chain), gamma amounts; the season's wetness drifts over months."""
    wetness = 1 / (1 + np.exp(-_red_noise(n, 0.97, 0.7, rng)))
    amount = rng.gamma(0.8, 6.2, n)
    draw = rng.random(n)
    wet = np.zeros(n, bool)
    for i in range(1, n):
        wet[i] = draw[i] < (0.42 + 0.5 * wetness[i] if wet[i - 1] else 0.5 * wetness[i])
    return np.where(wet, amount, 0.0)


@dataclass(frozen=True)
class Season:
    """The weather from 1 January on, as fields live through it; `spread` scales their differences.

    `january` is the position of 1 January in the weather; `days_ahead` are those by which field work comes
    earlier than the crops' own days.
    """

    weather: Weather
    january: int
    spread: float
    days_ahead: float = 0.0

    @property
    def days(self) -> int:
        """How many days from 1 January to the end of the weather."""
        return self.weather.days - self.january

    @property
    def day(self) -> np.ndarray:
        """Day of year `(day)`, 0 for 1 January, float32."""
        return np.arange(self.days, dtype=np.float32)

    @property
    def rain_mm(self) -> np.ndarray:
        """Daily precipitation, `(day)`."""
        return self.weather.precipitation_mm[self.january :]

    @property
    def t_mean_c(self) -> np.ndarray:
        """Daily mean temperature, `(day)`."""
        return self.weather.t_mean_c[self.january :]

    @property
    def t_min_c(self) -> np.ndarray:
        """Daily lowest temperature, `(day)`."""
        return self.weather.t_min_c[self.january :]

    @property
    def radiation_mj(self) -> np.ndarray:
        """Daily global radiation, `(day)`, MJ m-2."""
        return self.weather.radiation_mj[self.january :]


def thermal_time(t_mean_c: np.ndarray, base_c: float, warming_c: np.ndarray) -> np.ndarray:
    """Return degree-days (n, day) from 1 September: every field's own temperature, above a base."""
    degrees = np.maximum(t_mean_c[None, :] + warming_c[:, None] - base_c, 0)
    return np.cumsum(degrees, axis=1).astype(np.float32)


def top_soil_moisture(weather: Weather) -> np.ndarray:
    """Return the daily wetness of the top centimetres, float32 `(day,)`, 0 to 1: rain fills it, evaporation
    empties it.

    An antecedent-precipitation index: full at about 15 mm, losing more on bright warm days.
    """
    loss = 0.04 + 0.009 * weather.radiation_mj
    water = np.empty(weather.days)
    level = 8.0
    for i in range(weather.days):
        level = min(level + weather.precipitation_mm[i], 15.0)
        level *= 1 - min(loss[i], 0.6)
        water[i] = level
    return (water / 15.0).astype(np.float32)


def root_zone_stress(weather: Weather, capacity_mm: np.ndarray) -> np.ndarray:
    """Return water stress (n, day), 0 none to 1 severe, of soils that hold `capacity_mm` (n,) of water.

    A bucket: rain in, evapotranspiration out (0.17 mm per MJ, warmth-weighted), stress below 38%.
    """
    water = capacity_mm.astype(np.float64).copy()
    stress = np.empty((len(capacity_mm), weather.days), np.float32)
    demand = 0.17 * weather.radiation_mj * np.clip(0.5 + weather.t_mean_c / 25, 0.2, 1.3)
    for i in range(weather.days):
        filled = water / capacity_mm
        use = demand[i] * np.clip(filled / 0.38, 0, 1)
        water = np.clip(water + weather.precipitation_mm[i] - use, 0, capacity_mm)
        stress[:, i] = np.clip(1 - water / capacity_mm / 0.38, 0, 1)
    return stress
