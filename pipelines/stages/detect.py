"""Observations become dated events of every parcel, with chances and evidence."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.accounting import Tally, tally
from features.errors import ModelError
from features.files import read_parquet, sha256
from features.memory import fitting
from features.schema import EVENTS
from features.workers import Progress
from models.events.evaluate import SCORES
from models.events.in_season import JOURNAL, add_to_journal, keep_reported
from models.events.labels import Labels, read_labels
from models.events.learning.bundle import detector_file, read_detector, write_detector
from models.events.learning.detector import ALL, FEW_LABELS, Detector, fit_detector, rule_detector
from models.events.series import BANDS, OPTICAL, RADAR, EventSeries, axes_of, from_observations
from models.events.table import CHANCES, SEEN, detect_events
from pipelines.config import RunConfig
from pipelines.inputs.bounded_tables import refuse_large
from pipelines.inputs.observed import Observed, observed
from pipelines.record.stage import Outcome
from pipelines.steps.evaluation.evaluate_events import scores_of
from pipelines.steps.keeping.kept_note import Note, may_keep
from pipelines.tables import block_writer, read_declared, read_event_journal, write_table, write_vouched
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)
READ_CHUNKS = 5  # chunks of parcels whose observations are read together, at most
BYTES_A_PARCEL, SHARE = 130e3, 0.75  # of those: measured on 72 dates of 20 features; of the memory there is
LEAST_PARCELS = 500

# what every parcel's clear looks showed, for the markers
LOOKS = pl.Schema(
    [
        ("parcel_id", pl.String()),
        ("looks", pl.List(pl.Date)),
        ("ndvi", pl.List(pl.Float32)),
        ("passes", pl.List(pl.Date)),
    ]
)


@dataclass(frozen=True)
class Fitted:
    """A detector, the fold whose models saw no label of each parcel, and the labels, where there are any."""

    detector: Detector
    fold: np.ndarray
    labels: Labels | None
    tallies: tuple[Tally, ...] = ()
    basis: str = "rules"


def run(
    config: RunConfig,
    workspace: Workspace,
    progress: Progress,
    stands_on: Mapping[str, Any] | None = None,
) -> Outcome:
    """Write `events.parquet`, every possible event, the clear looks, the event models and their scores.

    Parameters
    ----------
    stands_on
        What the models are fitted with beside images and parcels: they are kept while that is as it was; None
        fits anew.
    """
    if not config.events.enabled:
        return _nothing(workspace)
    ids = read_declared(workspace)["parcel_id"].tolist()
    names = list(dict.fromkeys((*BANDS, *OPTICAL, *RADAR)))
    until = config.season.until or config.season.end
    with observed(workspace, ids, names, _at_once(config)) as seen:
        series = _Series(config, seen, ids)
        steps = len(seen.chunks) + 2
        learns = config.events.from_run is None and labels_file(config, workspace) is not None
        kept = learns and may_keep(workspace.event_models, stands_on)
        fitted = fit(config, workspace, ids, series.of_parcels, kept)
        progress(1, steps)
        found = _detected(workspace, fitted, series, lambda done: progress(1 + done, steps))
    events = _through_the_season(workspace, found.events, until)
    scores = scores_of(config, workspace, events, ids, found.with_radar, fitted.labels)
    outputs = [
        write_table(events, workspace.events),
        workspace.event_chances,
        workspace.event_looks,
        write_table(scores, workspace.table("event_scores")),
    ]
    if fitted.labels is not None:
        outputs.append(write_table(_label_table(fitted.labels), workspace.table("event_labels")))
        if not kept:
            write_detector(workspace.event_models, fitted.detector)
            if stands_on is not None:
                Note.now(workspace.event_models, stands_on).write(workspace.event_models)
        outputs.append(workspace.event_models)
    progress(steps, steps)
    return Outcome(
        outputs,
        [*fitted.tallies, _tally(ids, found)],
        {
            "events_by": fitted.basis,
            "events_kept": kept,
            "watched": len(fitted.labels.watched) if fitted.labels else 0,
        },
    )


def _at_once(config: RunConfig) -> int:
    """Return how many parcels are read together; fewer where memory is short."""
    most = READ_CHUNKS * config.events.chunk
    return fitting(BYTES_A_PARCEL, SHARE, min(LEAST_PARCELS, most), most)


class _Series:
    """The series of the run's parcels up to the day that may be looked at, in chunks on the same axes."""

    def __init__(self, config: RunConfig, seen: Observed, parcel_ids: list[str]) -> None:
        self.seen, self.parcel_ids = seen, parcel_ids
        self._start, self._share = config.season.start, config.events.min_share
        self._until = config.season.until or config.season.end
        self._axes = axes_of(seen.scan, parcel_ids, self._start, self._share)
        self._held: tuple[int, EventSeries] | None = None

    def __iter__(self) -> Iterator[EventSeries]:
        return (self.of_chunk(number) for number in range(len(self.seen.chunks)))

    def of_chunk(self, number: int) -> EventSeries:
        """Return the series of one chunk; that asked for last is held."""
        if self._held is None or self._held[0] != number:
            self._held = None
            ids = self.parcel_ids[self.seen.chunks[number]]
            table = self.seen.read(number)
            series = from_observations(table, ids, self._start, self._share, self._axes)
            self._held = number, series.until(self._until)
        return self._held[1]

    def of_parcels(self, chosen: np.ndarray) -> EventSeries:
        """Return the series of the parcels that are `chosen (parcel,)`."""
        first, *others = (
            series.take(np.flatnonzero(chosen[chunk]))
            for series, chunk in zip(self, self.seen.chunks, strict=True)
        )
        return first.followed_by(others) if others else first


@dataclass(frozen=True)
class _Detected:
    """Events, and what was seen of each parcel; possible events and looks are written."""

    events: pl.DataFrame
    seen: np.ndarray
    with_radar: np.ndarray


def _detected(
    workspace: Workspace, fitted: Fitted, series: _Series, progress: Callable[[int], None]
) -> _Detected:
    """Find the events of all parcels, and write possible events and looks, chunk by chunk."""
    events, seen, with_radar = [EVENTS.to_frame()], [], []
    with (
        block_writer(workspace.event_chances, CHANCES) as write_chances,
        block_writer(workspace.event_looks, LOOKS) as write_looks,
    ):
        for done, (some, chunk) in enumerate(zip(series, series.seen.chunks, strict=True), start=1):
            found = detect_events(fitted.detector, some, fitted.fold[chunk])
            events.append(found.events)
            write_chances(found.chances)
            write_looks(looks_of(some))
            with_radar.append(np.isfinite(some.radar).any((1, 2)))
            seen.append(np.isfinite(some.optical).any((1, 2)) | with_radar[-1])
            progress(done)
    return _Detected(pl.concat(events), np.concatenate(seen), np.concatenate(with_radar))


def fit(
    config: RunConfig,
    workspace: Workspace,
    parcel_ids: Sequence[str],
    series_of: Callable[[np.ndarray], EventSeries],
    kept: bool = False,
) -> Fitted:
    """Fit on the run's labels, or load another run's models; rules where labels are too few, or none.

    Parameters
    ----------
    series_of
        Returns the series of the parcels that are chosen, `(parcel,)` bool.
    kept
        Whether the models that are there serve on; none is fitted then.
    """
    options = config.events
    path = labels_file(config, workspace)
    everyone = np.full(len(parcel_ids), ALL)
    if options.from_run is not None:
        return Fitted(read_detector(options.from_run, options), everyone, None, (), "another run's models")
    if path is None:
        return Fitted(rule_detector(options), everyone, None)
    refuse_large(config, path)
    season = config.season
    labels, counted = read_labels(path, parcel_ids, season.start, season.end, season.until)
    folds = read_parquet(workspace.table("folds"))
    of = dict(folds.select("parcel_id", "fold").iter_rows())
    fold = np.array([of.get(name, -1) for name in parcel_ids])
    watched = np.isin(np.array(parcel_ids), labels.watched) & (fold >= 0)
    try:
        if kept:
            detector = read_detector(
                workspace.event_models, options, sha256(detector_file(workspace.event_models))
            )
        else:
            detector, _ = fit_detector(series_of(watched), labels, fold[watched], options)
    except ModelError as error:
        if error.reason != FEW_LABELS:
            raise
        log.warning("Events are found by rules: %s", error)
        return Fitted(rule_detector(options), everyone, labels, (counted,), f"rules: {error}")
    return Fitted(detector, np.where(watched, fold, ALL), labels, (counted,), "labels")


def labels_file(config: RunConfig, workspace: Workspace) -> Path | None:
    """Return the table of labels: the config's, or what holdings of a simulated region sent in."""
    if config.events.labels is not None or config.simulate is None:
        return config.events.labels
    records = workspace.region / "field_records.csv"
    told = records.is_file() and config.simulate.recorded_share > 0
    return records if told and config.events.from_run is None else None


def looks_of(series: EventSeries) -> pl.DataFrame:
    """Return the clear looks and radar passes of every parcel, schema LOOKS."""
    ndvi = series.optical[:, :, OPTICAL.index("ndvi")]
    row, k = np.nonzero(np.isfinite(ndvi))
    looks = pl.DataFrame({"row": row, "looks": _dates(series, series.days[k]), "ndvi": ndvi[row, k]})
    row, k = np.nonzero(np.isfinite(series.radar).any(2))
    passes = pl.DataFrame({"row": row, "passes": _dates(series, series.radar_days[k])})
    table = pl.DataFrame({"parcel_id": series.parcel_ids}, schema={"parcel_id": pl.String}).with_columns(
        row=pl.int_range(pl.len())
    )
    for part in (looks.group_by("row").agg("looks", "ndvi"), passes.unique().group_by("row").agg("passes")):
        table = table.join(part, on="row", how="left", maintain_order="left")
    none = pl.lit([], pl.List(pl.Date))
    return table.select(
        "parcel_id",
        pl.col("looks").fill_null(none),
        pl.col("ndvi").fill_null(pl.lit([], pl.List(pl.Float32))),
        pl.col("passes").list.sort().fill_null(none),
    )


def _dates(series: EventSeries, days: np.ndarray) -> pl.Series:
    return pl.Series(np.datetime64(series.origin, "D") + days.astype("timedelta64[D]"), dtype=pl.Date)


def _through_the_season(workspace: Workspace, events: pl.DataFrame, until: date) -> pl.DataFrame:
    """Keep what earlier runs of this folder reported, and note what this one does."""
    journal = read_event_journal(workspace) if workspace.event_journal.is_file() else JOURNAL.to_frame()
    kept = keep_reported(events, journal, until)
    write_vouched(add_to_journal(journal, kept, until), workspace.event_journal)
    return kept


def _label_table(labels: Labels) -> pl.DataFrame:
    """Return the labels as the markers read them: `parcel_id, event, first, last`, one row a watched parcel
    without events.
    """
    some = labels.events.select("parcel_id", "event", "first", "last")
    quiet = sorted(set(labels.watched) - set(some["parcel_id"].to_list()))
    none = pl.DataFrame({"parcel_id": quiet}, schema={"parcel_id": pl.String}).with_columns(
        event=pl.lit("none"), first=pl.lit(None, pl.Date), last=pl.lit(None, pl.Date)
    )
    return pl.concat([some, none])


def _tally(parcel_ids: list[str], found: _Detected) -> Tally:
    """Count the parcels in, those with a reported event or none in doubt, and those set aside by reason."""
    told = found.events.select("parcel_id", "reason")
    doubt = told.filter(pl.col("reason") != SEEN).group_by("parcel_id").agg(pl.col("reason").first())
    reported = set(told.filter(pl.col("reason") == SEEN)["parcel_id"].to_list())
    why = dict(doubt.iter_rows())
    reasons = [
        "never_observed" if not seen else None if name in reported else why.get(name)
        for seen, name in zip(found.seen.tolist(), parcel_ids, strict=True)
    ]
    return tally("detect", "parcels", reasons)


def _nothing(workspace: Workspace) -> Outcome:
    outputs = [
        write_table(EVENTS.to_frame(), workspace.events),
        write_table(CHANCES.to_frame(), workspace.event_chances),
        write_table(LOOKS.to_frame(), workspace.event_looks),
        write_table(SCORES.to_frame(), workspace.table("event_scores")),
    ]
    return Outcome(outputs, [], {"events_by": "not looked for"})
