"""What forecasts go by: looks of this season and of earlier ones, radar, weather, soil and elevation."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from features.context.daily import Daily
from features.context.weather import read_weather
from features.errors import ConfigError
from features.extraction.observations import each_pass
from features.files import read_parquet
from features.limits import refuse_packed
from features.messages.listed import listed
from features.tables.files import separator_of
from models.forecast.history import (
    RADAR,
    History,
    Looks,
    crops_of,
    joined,
    looks_from,
    radar_from,
    year_starts,
)
from pipelines.config import RunConfig
from pipelines.inputs.bounded_tables import refuse_large
from pipelines.inputs.observed import STATISTICS, Observed, observed
from pipelines.inputs.pixels.context_files import context_file
from pipelines.inputs.surface_series import daily_surface, surface_channels
from pipelines.record.whole import refuse_altered
from pipelines.tables import read_declared
from pipelines.workspace import Workspace

NDVI_FROM = ("ndvi", "B08", "B04")
FEATURES = (*NDVI_FROM, *RADAR)
ROWS = "rows"
COLUMNS = {"parcel_id": pl.String, "date": pl.Date, "ndvi": pl.Float64, "crop_class": pl.String}


@dataclass(frozen=True)
class Known:
    """A history, the weather ahead as the config claims it, and the rows set aside by reason."""

    history: History
    ahead: Daily | None
    set_aside: dict[str, int] = field(default_factory=dict)
    rows: int = 0

    def take(self, parcels: np.ndarray) -> "Known":
        """Return what is known of some parcels, by number `(n)`; rows are those of all."""
        ahead = None if self.ahead is None else self.ahead.take(parcels)
        return replace(self, history=self.history.take(parcels), ahead=ahead)


@dataclass(frozen=True)
class _Earlier:
    tables: list[pl.DataFrame]
    weather: list[pl.DataFrame]


def known_history(config: RunConfig, workspace: Workspace) -> Known:
    """Return all that is known of the run's parcels; nothing of days after `season.until`.

    Raises
    ------
    ConfigError
        Where a table of `forecast.history` or the weather cannot be used.
    """
    declared = read_declared(workspace)
    ids = declared["parcel_id"].astype(str).tolist()
    earlier = _earlier_seasons(config, workspace)
    year = config.season.year
    with observed(workspace, ids, FEATURES, config.forecast.chunk) as seen:
        start = min(_first_year(seen.scan, earlier, config) or year, year)
        origin, years = date(start, 1, 1), year - start + 1
        looks, radar, counted = _looks(seen, earlier, ids, origin, config.season.until)
    crops = {year: dict(zip(ids, declared["crop_class"], strict=True))}
    for table in earlier.tables:
        for one, parcel, name in _classes(table):
            crops.setdefault(one, {})[parcel] = name
    classes = tuple(sorted({name for of in crops.values() for name in of.values() if isinstance(name, str)}))
    of = {
        one: {k: v if isinstance(v, str) else None for k, v in named.items()} for one, named in crops.items()
    }
    names, static = _static(config, workspace, ids)
    weather = _weather(config, workspace, earlier.weather, origin, len(ids))
    surfaces = surface_channels(config) if "surface" in config.forecast.inputs else ()
    history = History(
        tuple(ids), origin, looks, radar, classes,
        crops_of(of, ids, classes, origin.year, years), names, static,
        _until(weather, config.season.until, origin),
        daily_surface(surfaces, declared, origin),
    )  # fmt: skip
    rows = counted.pop(ROWS)
    aside = {reason: count for reason, count in counted.items() if count}
    return Known(history, _ahead(config, weather, history), aside, rows)


def _looks(
    seen: Observed, earlier: _Earlier, ids: list[str], origin: date, until: date | None
) -> tuple[Looks, Looks, Counter[str]]:
    """Return clear looks and radar passes of all parcels, read some parcels at a time, and how many rows of
    looks there were and were set aside, by reason.
    """
    counted: Counter[str] = Counter()
    looks, passes = [], []
    rows = [_by_chunk(table, ids, seen.chunks) for table in earlier.tables]
    for number, chunk in enumerate(seen.chunks):
        some = ids[chunk]
        optical, radar = wide_looks(seen.read(number))
        tables = [optical.with_columns(crop_class=pl.lit(None, pl.String))]
        tables += [table[of[number]] for table, of in zip(earlier.tables, rows, strict=True)]
        ndvi = pl.concat([table.select(COLUMNS.keys()).cast(COLUMNS) for table in tables])  # type: ignore[arg-type]
        if until is not None:
            ndvi, radar = (table.filter(pl.col("date") <= until) for table in (ndvi, radar))
        found, aside = looks_from(ndvi, some, origin)
        counted.update({ROWS: len(ndvi), **aside})
        looks.append(found)
        passes.append(radar_from(radar, some, origin))
    return joined(looks), joined(passes), counted


def _by_chunk(table: pl.DataFrame, ids: list[str], chunks: Sequence[slice]) -> list[np.ndarray]:
    """Return the rows of an earlier season that are of the parcels of each chunk; those of none of them come
    with the first, and are counted there.
    """
    number = np.repeat(np.arange(len(chunks)), [chunk.stop - chunk.start for chunk in chunks])
    of = pl.DataFrame({"parcel_id": pl.Series(ids, dtype=pl.String), "chunk": number})
    found = table.select("parcel_id").join(of, on="parcel_id", how="left", maintain_order="left")
    chunk = found["chunk"].fill_null(0).to_numpy()
    order = np.argsort(chunk, kind="stable")
    return np.split(order, np.searchsorted(chunk[order], np.arange(1, len(chunks))))


def _first_year(scan: pl.LazyFrame, earlier: _Earlier, config: RunConfig) -> int | None:
    """Return the year of the first clear look of any season; None where there is none."""
    optical = _clear(scan).filter(pl.col("sensor") == "s2")
    tables = [
        optical.select("date"),
        *(table.lazy().select(pl.col("date").cast(pl.Date)) for table in earlier.tables),
    ]
    days = pl.concat(tables)
    if config.season.until is not None:
        days = days.filter(pl.col("date") <= config.season.until)
    first = days.select(pl.col("date").min()).collect(engine="streaming").item()
    return first.year if isinstance(first, date) else None


def _clear(table: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows that count, with their date: at least half of the pixels were seen, not filled."""
    seen = pl.col("valid_share").fill_null(1) - pl.col("filled_share").fill_null(0)
    return table.filter(pl.col("mean").is_finite() & (seen >= 0.5)).with_columns(
        date=pl.col("datetime").dt.date()
    )


def wide_looks(observations: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return clear looks (`parcel_id, date, ndvi`) and radar passes of observations.

    A look counts where at least half of the parcel's pixels were seen, not filled. NDVI is that of the
    observations, else of the means of B08 and B04.
    """
    table = _clear(observations.lazy()).collect()
    wide = _wide(table.filter(pl.col("sensor") == "s2"), ["parcel_id", "date"], NDVI_FROM)
    total = pl.col("B08") + pl.col("B04")
    ratio = pl.when(total > 0).then((pl.col("B08") - pl.col("B04")) / total)
    optical = wide.select("parcel_id", "date", ndvi=pl.coalesce("ndvi", ratio)).drop_nulls("ndvi")
    passes = table.filter(pl.col("sensor") == "s1").with_columns(pl.col("relative_orbit").fill_null(0))
    return optical, _wide(passes, ["parcel_id", "date", "relative_orbit"], RADAR)


def _wide(table: pl.DataFrame, keys: list[str], names: Sequence[str]) -> pl.DataFrame:
    values = [pl.col("mean").filter(pl.col("feature") == name).mean().alias(name) for name in names]
    return table.group_by(keys).agg(values).sort(keys)


def _earlier_seasons(config: RunConfig, workspace: Workspace) -> _Earlier:
    """Return earlier seasons: those the config names, or those that a simulated region brings."""
    if config.forecast.history:
        for path in config.forecast.history:
            refuse_large(config, path)
        return _Earlier([_table_of(path) for path in config.forecast.history], [])
    if config.simulate is None:
        return _Earlier([], [])
    folder = workspace.region / "earlier"
    ndvi, weather = sorted(folder.glob("ndvi_*.parquet")), sorted(folder.glob("weather_*.csv"))
    return _Earlier([read_parquet(path) for path in ndvi], [read_weather(path) for path in weather])


def _table_of(path: Path) -> pl.DataFrame:
    """Return one earlier season: of a run's folder, or of a table."""
    if path.is_dir():
        run = Workspace(path)
        if not run.declarations.is_file():
            raise ConfigError(f"forecast.history: {path} holds no declarations; give a run's output folder.")
        parts = (path for path in run.observations.rglob("*.parquet") if not path.name.startswith("."))
        refuse_altered(run, (run.declarations, *parts), "forecast (forecast.history)")
        declared = read_declared(run)
        classes = pl.DataFrame(
            {
                "parcel_id": declared["parcel_id"].astype(str).tolist(),
                "crop_class": [name if isinstance(name, str) else None for name in declared["crop_class"]],
            },
            schema={"parcel_id": pl.String, "crop_class": pl.String},
        )
        passes = [wide_looks(part)[0] for part in each_pass(run.observations, NDVI_FROM, STATISTICS)]
        looks = pl.concat(passes).group_by("parcel_id", "date").agg(pl.col("ndvi").mean())
        return looks.sort("parcel_id", "date").join(classes, on="parcel_id", how="left")
    if not path.is_file():
        raise ConfigError(f"forecast.history: there is no {path}; correct the path.")
    try:
        if path.suffix.lower() == ".csv":
            file = refuse_packed(path)
            table = pl.read_csv(file, infer_schema=False, glob=False, separator=separator_of(path))
        else:
            table = read_parquet(path)
        missing = {"parcel_id", "date", "ndvi"} - set(table.columns)
        if missing:
            raise ConfigError(
                f"forecast.history: {path} lacks the columns {listed(sorted(missing))}; it has "
                f"{listed(table.columns)}."
            )
        if "crop_class" not in table.columns:
            table = table.with_columns(crop_class=pl.lit(None, pl.String))
        if table.schema["date"] == pl.String:
            table = table.with_columns(pl.col("date").str.to_date("%Y-%m-%d"))
        return table.select(
            pl.col("parcel_id").cast(pl.String), pl.col("date").cast(pl.Date),
            pl.col("ndvi").cast(pl.Float64), pl.col("crop_class").cast(pl.String),
        )  # fmt: skip
    except pl.exceptions.PolarsError as error:
        raise ConfigError(
            f"forecast.history: {path} is no table of parcel_id, date (YYYY-MM-DD) and ndvi: {error}"
        ) from error


def _classes(table: pl.DataFrame) -> list[tuple[int, str, str]]:
    """Return year, parcel and class, each once."""
    rows = table.filter(pl.col("crop_class").is_not_null()).select(
        pl.col("date").dt.year(), "parcel_id", "crop_class"
    )
    return list(rows.unique(["date", "parcel_id"], keep="first", maintain_order=True).iter_rows())


def _static(
    config: RunConfig, workspace: Workspace, ids: Sequence[str]
) -> tuple[tuple[str, ...], np.ndarray]:
    wanted = tuple(name for name in config.forecast.inputs if name in ("soil", "elevation"))
    if not workspace.context.is_file() or not wanted:
        return (), np.zeros((0, 0), np.float32)
    table = read_parquet(workspace.context)
    names = tuple(name for name in table.columns if name.startswith(wanted))
    rows = pl.DataFrame({"parcel_id": list(ids)}).join(
        table.select("parcel_id", *names), on="parcel_id", how="left", maintain_order="left"
    )
    return names, rows.select(pl.col(names).cast(pl.Float32)).to_numpy().astype(np.float32)


def _weather(
    config: RunConfig, workspace: Workspace, earlier: Sequence[pl.DataFrame], origin: date, parcels: int
) -> Daily | None:
    """Return the daily weather of all years; None where there is none, or it is not asked for."""
    path = context_file(config, workspace, "weather")
    if path is None or not ("weather" in config.forecast.inputs or config.forecast.weather_ahead != "none"):
        return None
    own = read_weather(path)
    columns = [name for name in own.columns if own.schema[name].is_float() or name == "date"]
    tables = [own.select(columns), *(table.select(columns) for table in reversed(earlier))]
    return daily_weather(pl.concat(tables).unique("date", keep="first", maintain_order=True), origin, parcels)


def daily_weather(table: pl.DataFrame, origin: date, parcels: int) -> Daily:
    """Lay a weather table out by day: `t_mean_c, precipitation_mm` and, where there, `radiation_mj`."""
    first, last = table["date"].min(), table["date"].max()
    if not isinstance(first, date) or not isinstance(last, date):
        raise ConfigError("The weather table has no rows; give at least the days of the season.")
    days = pl.DataFrame({"date": pl.date_range(first, last, eager=True)})
    daily = days.join(table, on="date", how="left", maintain_order="left").with_columns(
        t_mean_c=(pl.col("t_min_c") + pl.col("t_max_c")) / 2
    )
    names = [n for n in ("t_mean_c", "precipitation_mm", "radiation_mj") if n in daily.columns]
    value = daily.select(pl.col(names).cast(pl.Float32)).to_numpy().astype(np.float32)
    return Daily(tuple(names), (first - origin).days, value[None], np.zeros(parcels, np.int64))


def _until(weather: Daily | None, until: date | None, origin: date) -> Daily | None:
    return weather if weather is None or until is None else weather.until((until - origin).days)


def _ahead(config: RunConfig, weather: Daily | None, history: History) -> Daily | None:
    """Return the weather of the days ahead, as the config claims it."""
    claim = config.forecast.weather_ahead
    if claim == "none":
        return None
    if weather is None:
        raise ConfigError(f"forecast.weather_ahead is {claim}, but the run has no weather; give weather:.")
    if claim == "measured":
        return weather
    usual = usual_weather(weather, history.origin)
    if claim == "climatology":
        return usual
    if config.forecast.weather_table is None:
        raise ConfigError("forecast.weather_ahead is table: name the forecast in forecast.weather_table.")
    # what was learned with is the weather as it came; the forecast's own days follow
    table = daily_weather(read_weather(config.forecast.weather_table), history.origin, len(history))
    day = (config.forecast.from_day or config.season.until or config.season.end) - history.origin
    return _spliced(weather.until(day.days), table)


def usual_weather(weather: Daily, origin: date) -> Daily:
    """Return for every day the mean of that day of the year over the years before; NaN in the first."""
    days = weather.start + np.arange(weather.value.shape[1] + 366)
    years = max(int(days[-1] // 365) + 2, 2)
    starts = year_starts(origin - timedelta(days=0), years)
    year = np.searchsorted(starts, days, side="right") - 1
    doy = days - starts[np.maximum(year, 0)]
    value = np.full((weather.value.shape[0], len(days), weather.value.shape[2]), np.nan, np.float32)
    own = weather.value.shape[1]
    total, n = np.zeros((366, *value.shape[::2])), np.zeros((366, *value.shape[::2]))
    for one in np.unique(year):
        at = np.flatnonzero(year == one)
        with np.errstate(invalid="ignore"):
            mean = np.where(n > 0, total / np.maximum(n, 1), np.nan)
        value[:, at] = np.moveaxis(mean[doy[at]], 0, 1)
        inside = at[at < own]
        given = np.moveaxis(weather.value[:, inside], 1, 0)
        total[doy[inside]] += np.nan_to_num(given)
        n[doy[inside]] += np.isfinite(given)
    return Daily(weather.names, weather.start, value, weather.place)


def _spliced(before: Daily, after: Daily) -> Daily:
    """Return one table of days: those of `before`, then those of `after`, of the channels both have."""
    names = tuple(name for name in before.names if name in after.names)
    end = max(before.start + before.value.shape[1], after.start + after.value.shape[1])
    value = np.full((before.value.shape[0], end - before.start, len(names)), np.nan, np.float32)
    for k, name in enumerate(names):
        for part in (after, before):
            offset = part.start - before.start
            series = part.value[:, max(-offset, 0) :, part.names.index(name)]
            value[:, max(offset, 0) : max(offset, 0) + series.shape[1], k] = series
    return Daily(names, before.start, value, before.place)
