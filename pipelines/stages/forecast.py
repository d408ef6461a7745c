"""NDVI ahead of every parcel, with intervals, and the parcels that left theirs."""

import logging
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from features.accounting import Tally, tally
from features.errors import ConfigError, CropcheckError
from features.files import read_parquet
from features.schema import EVENTS, FORECAST
from features.workers import Progress
from models.events.table import SEEN
from models.forecast.anomaly import ANOMALIES, find_anomalies
from models.forecast.bundle import forecaster_file, read_forecaster, write_forecaster
from models.forecast.forecaster import ALL, TOO_FEW_LOOKS, Forecaster, fit_forecaster, forecast
from models.forecast.history import Daily, History
from models.forecast.learning.samples import STEP, last_look, on_days, seen_ahead
from models.forecast.score_table import SCORES, score_table
from pipelines.config import RunConfig
from pipelines.inputs.context_files import region_files
from pipelines.inputs.forecast_history import Known, history_files, known_history
from pipelines.inputs.surface_series import OPTIONS as SURFACE_OPTIONS
from pipelines.inputs.surface_series import surface_files
from pipelines.record.inputs import Inputs
from pipelines.record.stage import Outcome, Stage
from pipelines.tables import write_table
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)
NEVER_SEEN = "never_observed"
TOO_LITTLE = (NEVER_SEEN, TOO_FEW_LOOKS)
BOUNDS = ("low_90", "low_50", "high_50", "high_90")
EVERY = 10  # days between the days that are learned from
SCORED_EVERY = 20


def stage(config: RunConfig) -> Stage:
    """Return the stage."""
    inputs = Inputs(
        options=("seed", "season", "simulate", "forecast", "weather", "limits.table_gib", *SURFACE_OPTIONS),
        after={
            **region_files(config, "weather.csv", "earlier/*"),
            "read": ("declarations.parquet",),
            "extract": ("observations/parts.parquet", "observations/parts/*"),
            "fill": ("context.parquet",),
            "train": ("evaluation/folds.parquet",),
            "detect": ("events.parquet",),
        },
        files=_files,
    )
    return Stage("forecast", __name__, inputs, run)


def _files(config: RunConfig, workspace: Workspace) -> dict[str, Path]:
    named = history_files(config)
    if config.weather is not None:
        named["weather"] = config.weather
    if config.forecast.from_run is not None:
        named["forecast.from_run"] = forecaster_file(config.forecast.from_run).parent
    return named | surface_files(config)


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write `forecast.parquet`, `anomalies.parquet`, the models, and their scores by horizon.

    Where too little was seen to forecast anything, the tables are empty: verdicts and pages need none.
    """
    if not config.forecast.enabled:
        return _nothing(workspace, "not asked for")
    known = known_history(config, workspace)
    try:
        return _run(config, workspace, known, progress)
    except CropcheckError as error:
        if error.reason not in TOO_LITTLE:
            raise
        log.warning("Nothing is forecast: %s", error)
        progress(1, 1)
        parcels = tally("forecast", "parcels", [error.reason] * len(known.history))
        return _nothing(workspace, str(error), parcels)


def _run(config: RunConfig, workspace: Workspace, known: Known, progress: Progress) -> Outcome:
    history = known.history
    day = history.day(made_on(config, history))
    folds = read_parquet(workspace.table("folds"))
    fold, group = folds_of(folds, history)
    progress(1, 5)
    forecaster, own, basis = fitted(config, known, fold, group, day)
    progress(2, 5)
    table = pl.concat(list(_forecasts(forecaster, history, own, day, known.ahead, config)))
    unknown = table.filter(pl.col("ndvi").is_null())["date"].unique().sort()
    if len(unknown):
        log.warning(
            "Nothing is forecast of %d of the days ahead (%s to %s): no parcel was ever seen at that time of "
            "year. Earlier years tell (forecast.history).", len(unknown), unknown[0], unknown[-1],
        )  # fmt: skip
    progress(3, 5)
    season = (history.day(config.season.start), min(day, history.day(config.season.end)))
    events = read_parquet(workspace.events) if workspace.events.is_file() else EVENTS.to_frame()
    reported = events.filter(pl.col("reason") == SEEN)
    anomalies = find_anomalies(forecaster, history.until(day), own, season, reported, known.ahead)
    progress(4, 5)
    days = np.arange(season[0], season[1], SCORED_EVERY)
    scores = score_table(forecaster, history, own, group, days, known.ahead)
    outputs = [
        write_table(table, workspace.forecast),
        write_table(anomalies, workspace.anomalies),
        write_table(scores, workspace.table("forecast_scores")),
    ]
    if config.forecast.use != "judge" or config.forecast.from_run is None:
        write_forecaster(workspace.forecast_models, forecaster)
        outputs.append(workspace.forecast_models)
    progress(5, 5)
    seen = last_look(history, on_days(np.arange(len(history)), day, np.array([day + STEP]))) >= 0
    reasons = [None if ok else NEVER_SEEN for ok in seen]
    rows = Tally("forecast", "looks", known.rows, known.rows - sum(known.set_aside.values()), known.set_aside)
    return Outcome(outputs, [rows, tally("forecast", "parcels", reasons)], {"forecast_by": basis})


def made_on(config: RunConfig, history: History) -> date:
    """Return the day that is forecast from.

    Raises
    ------
    ConfigError
        Where it lies before the first image, or after what may be looked at.
    """
    last = config.season.until or config.season.end
    day = config.forecast.from_day or last
    if day > last:
        raise ConfigError(
            f"forecast.from_day {day} lies after {last}, the last day whose imagery counts; forecast from an "
            "earlier day, or let season.end or season.until be later."
        )
    if not len(history.ndvi):
        raise ConfigError(
            "There is no clear look at any parcel, in NDVI or in B04 and B08. Give earlier seasons "
            "(forecast.history), or extract these features.",
            reason=NEVER_SEEN,
        )
    first = history.when(int(history.ndvi.day.min()))
    if day < first:
        raise ConfigError(
            f"There is no clear image by {day} (the first is of {first}): nothing can be forecast from it. "
            "Forecast from a later day, or give earlier seasons (forecast.history)."
        )
    return day


def folds_of(folds: pl.DataFrame, history: History) -> tuple[np.ndarray, np.ndarray]:
    """Return fold and group of each parcel; a parcel without a group is one of its own."""
    of = {name: (fold, group) for name, fold, group in folds.select("parcel_id", "fold", "group").iter_rows()}
    found = np.array([of.get(name, (-1, -1)) for name in history.parcel_ids], dtype=int).reshape(-1, 2)
    alone = found[:, 1] < 0
    found[alone, 1] = found[:, 1].max(initial=0) + 1 + np.arange(alone.sum())
    return found[:, 0], found[:, 1]


def fitted(
    config: RunConfig, known: Known, fold: np.ndarray, group: np.ndarray, day: int
) -> tuple[Forecaster, np.ndarray, str]:
    """Return the forecaster, the fold whose models serve each parcel, and what they were learned from."""
    options, history = config.forecast, known.history.until(day)
    start = read_forecaster(options.from_run, options) if options.from_run is not None else None
    if start is not None and options.use != "continue":
        return start, np.full(len(history), ALL), "another run's models"
    first = int(history.ndvi.day.min())
    samples = seen_ahead(history, np.arange(first, day, EVERY), options.ahead_days)
    made = fit_forecaster(history, samples, fold, group, options, known.ahead, start)
    basis = "this run's looks" if start is None else "another run's models, trained further"
    return made, np.where(fold >= 0, fold, ALL), basis


def _forecasts(
    forecaster: Forecaster,
    history: History,
    own: np.ndarray,
    day: int,
    ahead: Daily | None,
    config: RunConfig,
) -> Iterator[pl.DataFrame]:
    """Yield the table, in chunks of parcels."""
    options = config.forecast
    steps = np.arange(STEP, options.ahead_days + 1, STEP)
    dates = [history.when(day) + timedelta(days=int(step)) for step in steps]
    yield FORECAST.to_frame()
    for begin in range(0, len(history), options.chunk):
        rows = np.arange(begin, min(begin + options.chunk, len(history)))
        some = history.take(rows)
        samples = on_days(np.arange(len(some)), day, day + steps)
        later = None if ahead is None else ahead.take(rows)
        found = forecast(forecaster, some.until(day), samples, own[rows], later)
        last = last_look(some, samples)
        seen = [history.when(some.ndvi.day[k]) if k >= 0 else None for k in last[:: len(steps)]]
        n = len(steps)
        yield pl.DataFrame(
            {
                "parcel_id": [name for name in some.parcel_ids for _ in range(n)],
                "made_on": [history.when(day)] * len(samples),
                "date": dates * len(some),
                "ndvi": found.value.astype(np.float32),
                **{name: found.bounds[:, k].astype(np.float32) for k, name in enumerate(BOUNDS)},
                "last_seen": [one for one in seen for _ in range(n)],
                "weather_ahead": [options.weather_ahead] * len(samples),
            },
            schema=FORECAST,
        ).with_columns(pl.col("ndvi", *BOUNDS).fill_nan(None))


def _nothing(workspace: Workspace, why: str, *tallies: Tally) -> Outcome:
    outputs = [
        write_table(FORECAST.to_frame(), workspace.forecast),
        write_table(ANOMALIES.to_frame(), workspace.anomalies),
        write_table(SCORES.to_frame(), workspace.table("forecast_scores")),
    ]
    return Outcome(outputs, list(tallies), {"forecast_by": why})
