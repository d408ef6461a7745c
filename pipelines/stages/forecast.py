"""NDVI ahead of every parcel, with intervals, and the parcels that left theirs."""

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from features.accounting import Tally, tally
from features.context.daily import Daily
from features.errors import ConfigError, CropcheckError, ModelError
from features.files import read_parquet, scan_parquet, sha256
from features.schema import EVENTS, FORECAST
from features.series.chunks import chunks_of
from features.workers import Progress
from models.events.table import SEEN
from models.forecast.anomaly import ANOMALIES, find_anomalies
from models.forecast.bundle import forecaster_file, read_forecaster, write_forecaster
from models.forecast.forecaster import ALL, TOO_FEW_LOOKS, Forecaster, fit_forecaster, forecast, renewed
from models.forecast.history import History
from models.forecast.learning.samples import STEP, last_look, on_days, seen_ahead
from models.forecast.options import ForecastOptions
from models.forecast.score_table import SCORES, score_table
from pipelines.config import RunConfig
from pipelines.inputs.forecast_history import Known, known_history
from pipelines.record.stage import Outcome
from pipelines.steps.keeping.kept_note import Note, may_keep
from pipelines.tables import block_writer, write_table
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)
NEVER_SEEN = "never_observed"
TOO_LITTLE = (NEVER_SEEN, TOO_FEW_LOOKS)
BOUNDS = ("low_90", "low_50", "high_50", "high_90")
EVERY = 10  # days between the days that are learned from
SCORED_EVERY = 20


def run(
    config: RunConfig,
    workspace: Workspace,
    progress: Progress,
    stands_on: Mapping[str, Any] | None = None,
) -> Outcome:
    """Write `forecast.parquet`, `anomalies.parquet`, the models, and their scores by horizon.

    Where too little was seen to forecast anything, the tables are empty: verdicts and pages need none.

    Parameters
    ----------
    stands_on
        What the models are fitted with beside images and parcels: they are kept while that is as it was; None
        fits anew.
    """
    if not config.forecast.enabled:
        return _nothing(workspace, "not asked for")
    known = known_history(config, workspace)
    try:
        return _run(config, workspace, known, progress, stands_on)
    except CropcheckError as error:
        if error.reason not in TOO_LITTLE:
            raise
        log.warning("Nothing is forecast: %s", error)
        progress(1, 1)
        parcels = tally("forecast", "parcels", [error.reason] * len(known.history))
        return _nothing(workspace, str(error), parcels)


def _run(
    config: RunConfig,
    workspace: Workspace,
    known: Known,
    progress: Progress,
    stands_on: Mapping[str, Any] | None,
) -> Outcome:
    history = known.history
    day = history.day(made_on(config, history))
    folds = read_parquet(workspace.table("folds"))
    fold, group = folds_of(folds, history)
    chunks = chunks_of(len(history), config.forecast.chunk)
    steps = len(chunks) + 3
    progress(1, steps)
    drawn = drawn_parcels(group, config.forecast)
    some = known.take(drawn)
    learns = config.forecast.from_run is None or config.forecast.use == "continue"
    kept = None
    if learns and may_keep(workspace.forecast_models, stands_on):
        kept = _kept(config, workspace, some, fold[drawn], day)
    if kept is not None:
        forecaster, own, basis = kept, _served(kept, fold), "this run's looks"
    else:
        forecaster, own, basis = fitted(config, some, fold, fold[drawn], group[drawn], day)
    progress(2, steps)
    season = (history.day(config.season.start), min(day, history.day(config.season.end)))
    anomalies = [ANOMALIES.to_frame()]
    unknown: set[date] = set()
    reported = _reported(workspace)
    days = np.arange(season[0], season[1], SCORED_EVERY)
    with ThreadPoolExecutor(1) as pool, block_writer(workspace.forecast, FORECAST) as write:
        scoring = pool.submit(
            score_table, forecaster, some.history, own[drawn], group[drawn], days, some.ahead
        )
        for done, chunk in enumerate(chunks, start=3):
            part, of = known.take(np.arange(chunk.start, chunk.stop)), own[chunk]
            table = _forecasts(forecaster, part.history, of, day, part.ahead, config)
            write(table)
            unknown |= set(table.filter(pl.col("ndvi").is_null())["date"].unique())
            here = reported.filter(pl.col("parcel_id").is_in(part.history.parcel_ids))
            anomalies.append(
                find_anomalies(forecaster, part.history.until(day), of, season, here, part.ahead)
            )
            progress(done, steps)
        scores = scoring.result()
    _say_unknown(unknown)
    outputs = [
        workspace.forecast,
        write_table(pl.concat(anomalies), workspace.anomalies),
        write_table(scores, workspace.table("forecast_scores")),
    ]
    if config.forecast.use != "judge" or config.forecast.from_run is None:
        if kept is None:
            write_forecaster(workspace.forecast_models, forecaster)
            if stands_on is not None and learns:
                Note.now(workspace.forecast_models, stands_on).write(workspace.forecast_models)
        outputs.append(workspace.forecast_models)
    progress(steps, steps)
    ever = last_look(history, on_days(np.arange(len(history)), day, np.array([day + STEP]))) >= 0
    reasons = [None if ok else NEVER_SEEN for ok in ever]
    rows = Tally("forecast", "looks", known.rows, known.rows - sum(known.set_aside.values()), known.set_aside)
    facts = {"forecast_by": basis, "forecast_kept": kept is not None}
    return Outcome(outputs, [rows, tally("forecast", "parcels", reasons)], facts)


def _kept(
    config: RunConfig, workspace: Workspace, known: Known, fold: np.ndarray, day: int
) -> Forecaster | None:
    """Return the models that were fitted before, with what is usual by now; None where they read what this
    run has not, or do not read what it has.

    Parameters
    ----------
    known, fold
        The parcels that would be learned from, `(parcel,)` fold of each.
    """
    path = forecaster_file(workspace.forecast_models)
    forecaster = read_forecaster(workspace.forecast_models, config.forecast, sha256(path))
    history = known.history.until(day)
    try:
        one = on_days(np.arange(min(len(history), 1)), day, np.array([day + STEP]))
        forecast(forecaster, history, one, np.full(len(history), ALL), known.ahead)
    except ModelError as error:
        log.info("The forecast models are fitted anew: %s", error)
        return None
    return renewed(forecaster, history, fold)


def _reported(workspace: Workspace) -> pl.DataFrame:
    """Return which events were reported, and when: `parcel_id, event, date`."""
    events = scan_parquet(workspace.events) if workspace.events.is_file() else EVENTS.to_frame().lazy()
    return events.filter(pl.col("reason") == SEEN).select("parcel_id", "event", "date").collect()


def _served(forecaster: Forecaster, fold: np.ndarray) -> np.ndarray:
    """Return the fold of the models that forecast each parcel of `fold (parcel,)`."""
    return np.where(np.isin(fold, list(forecaster.folds)), fold, ALL)


def drawn_parcels(group: np.ndarray, options: ForecastOptions) -> np.ndarray:
    """Return `(k,)` rows of the parcels that are learned from and scored on: groups `(parcel,)` are drawn
    whole, in an order of chance, as long as they are at most `most_parcels` together.
    """
    if len(group) <= options.most_parcels:
        return np.arange(len(group))
    _, number, size = np.unique(group, return_inverse=True, return_counts=True)
    order = np.random.default_rng([options.seed, 29]).permutation(len(size))
    taken = np.zeros(len(size), bool)
    taken[order[np.cumsum(size[order]) <= options.most_parcels]] = True
    return np.flatnonzero(taken[number])


def _say_unknown(days: set[date]) -> None:
    """Say of which days nothing is forecast."""
    if days:
        log.warning(
            "Nothing is forecast of %d of the days ahead (%s to %s): no parcel was ever seen at that time of "
            "year. Earlier years tell (forecast.history).", len(days), min(days), max(days),
        )  # fmt: skip


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
    """Return fold and group, `(parcel)`; a parcel without a group gets a separate one."""
    of = {name: (fold, group) for name, fold, group in folds.select("parcel_id", "fold", "group").iter_rows()}
    found = np.array([of.get(name, (-1, -1)) for name in history.parcel_ids], dtype=int).reshape(-1, 2)
    alone = found[:, 1] < 0
    found[alone, 1] = found[:, 1].max(initial=0) + 1 + np.arange(alone.sum())
    return found[:, 0], found[:, 1]


def fitted(
    config: RunConfig, known: Known, every: np.ndarray, fold: np.ndarray, group: np.ndarray, day: int
) -> tuple[Forecaster, np.ndarray, str]:
    """Return the forecaster, the fold whose models serve each parcel, and what they were learned from.

    Parameters
    ----------
    known, fold, group
        The parcels that are learned from, with fold and group of each.
    every
        `(parcel,)` folds of all parcels.
    """
    options, history = config.forecast, known.history.until(day)
    start = read_forecaster(options.from_run, options) if options.from_run is not None else None
    if start is not None and options.use != "continue":
        return start, np.full(len(every), ALL), "another run's models"
    first = int(history.ndvi.day.min())
    samples = seen_ahead(history, np.arange(first, day, EVERY), options.ahead_days)
    made = fit_forecaster(history, samples, fold, group, options, known.ahead, start)
    basis = "this run's looks" if start is None else "another run's models, trained further"
    return made, _served(made, every), basis


def _forecasts(
    forecaster: Forecaster,
    history: History,
    own: np.ndarray,
    day: int,
    ahead: Daily | None,
    config: RunConfig,
) -> pl.DataFrame:
    """Return the forecasts of some parcels, schema FORECAST."""
    options = config.forecast
    steps = np.arange(STEP, options.ahead_days + 1, STEP)
    samples = on_days(np.arange(len(history)), day, day + steps)
    found = forecast(forecaster, history.until(day), samples, own, ahead)
    last = last_look(history, samples)
    at = np.maximum(last, 0)
    looked = history.ndvi.day[at] if len(history.ndvi) else at
    ids = pl.Series(history.parcel_ids, dtype=pl.String)
    return pl.DataFrame(
        {
            "parcel_id": ids.gather(samples.parcel),
            "made_on": pl.repeat(history.when(day), len(samples), eager=True, dtype=pl.Date),
            "date": _dates(history, samples.target),
            "ndvi": found.value.astype(np.float32),
            **{name: found.bounds[:, k].astype(np.float32) for k, name in enumerate(BOUNDS)},
            "last_seen": pl.select(pl.when(pl.Series(last >= 0)).then(_dates(history, looked))).to_series(),
            "weather_ahead": pl.repeat(options.weather_ahead, len(samples), eager=True),
        },
        schema=FORECAST,
    ).with_columns(pl.col("ndvi", *BOUNDS).fill_nan(None))


def _dates(history: History, days: np.ndarray) -> pl.Series:
    return pl.Series(np.datetime64(history.origin, "D") + days.astype("timedelta64[D]"), dtype=pl.Date)


def _nothing(workspace: Workspace, why: str, *tallies: Tally) -> Outcome:
    outputs = [
        write_table(FORECAST.to_frame(), workspace.forecast),
        write_table(ANOMALIES.to_frame(), workspace.anomalies),
        write_table(SCORES.to_frame(), workspace.table("forecast_scores")),
    ]
    return Outcome(outputs, list(tallies), {"forecast_by": why})
