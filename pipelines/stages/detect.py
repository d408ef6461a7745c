"""Observations become dated events of every parcel, with chances and evidence."""

import logging
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from features.accounting import Tally, tally
from features.errors import ModelError
from features.extraction.observations import read_observations
from features.files import fingerprint, read_parquet
from features.schema import EVENTS
from features.workers import Progress
from models.events.evaluate import SCORES
from models.events.in_season import JOURNAL, add_to_journal, keep_reported
from models.events.labels import Labels, read_labels
from models.events.learning.bundle import detector_file, read_detector, write_detector
from models.events.learning.detector import ALL, FEW_LABELS, Detector, fit_detector, rule_detector
from models.events.series import BANDS, OPTICAL, RADAR, EventSeries, from_observations
from models.events.table import CHANCES, SEEN, Found, detect_events
from pipelines.config import RunConfig
from pipelines.inputs.bounded_tables import refuse_large
from pipelines.inputs.context_files import region_files
from pipelines.record.inputs import Inputs
from pipelines.record.stage import Outcome, Stage
from pipelines.steps.evaluate_events import TRUTH_EVENTS, scores_of
from pipelines.tables import read_declared, write_table
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)

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


def stage(config: RunConfig) -> Stage:
    """Return the stage."""
    inputs = Inputs(
        options=("seed", "season", "simulate", "events", "limits.table_gib"),
        after={
            **region_files(config, "field_records.csv", TRUTH_EVENTS),
            "read": ("declarations.parquet",),
            "extract": ("observations/parts.parquet", "observations/parts/*"),
            "train": ("evaluation/folds.parquet",),
        },
        files=_files,
        other=_reported_before,
    )
    return Stage("detect", __name__, inputs, run)


def _files(config: RunConfig, workspace: Workspace) -> dict[str, Path]:
    named: dict[str, Path] = {}
    if config.events.labels is not None:
        named["events.labels"] = config.events.labels
    if config.events.from_run is not None:
        named["events.from_run"] = detector_file(config.events.from_run).parent
    return named


def _reported_before(config: RunConfig, workspace: Workspace) -> dict[str, str]:
    """Return the hash of what earlier runs of this folder reported, as of earlier days."""
    if not workspace.event_journal.is_file():
        return {}
    until = config.season.until or config.season.end
    before = read_parquet(workspace.event_journal).filter(pl.col("as_of") < until)
    return {"reported before": fingerprint(before.drop("sensors").rows())} if len(before) else {}


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write `events.parquet`, every possible event, the clear looks, the event models and their scores."""
    if not config.events.enabled:
        return _nothing(workspace)
    declared = read_declared(workspace)
    ids = declared["parcel_id"].tolist()
    names = dict.fromkeys((*BANDS, *OPTICAL, *RADAR))
    observations = read_observations(workspace.observations, list(names))
    series = from_observations(observations, ids, config.season.start, config.events.min_share)
    until = config.season.until or config.season.end
    series = series.until(until)
    progress(1, 4)
    fitted = fit(config, workspace, series)
    progress(2, 4)
    found = detect_events(fitted.detector, series, fitted.fold)
    events = _through_the_season(workspace, found.events, until)
    progress(3, 4)
    scores = scores_of(config, workspace, events, series, fitted.labels)
    outputs = [
        write_table(events, workspace.events),
        write_table(found.chances, workspace.event_chances),
        write_table(looks_of(series), workspace.event_looks),
        write_table(scores, workspace.table("event_scores")),
    ]
    if fitted.labels is not None:
        outputs.append(write_table(_label_table(fitted.labels), workspace.table("event_labels")))
        write_detector(workspace.event_models, fitted.detector)
        outputs.append(workspace.event_models)
    progress(4, 4)
    return Outcome(
        outputs,
        [*fitted.tallies, _tally(series, found)],
        {"events_by": fitted.basis, "watched": len(fitted.labels.watched) if fitted.labels else 0},
    )


def fit(config: RunConfig, workspace: Workspace, series: EventSeries) -> Fitted:
    """Fit on the run's labels, or load another run's models; rules where labels are too few, or none."""
    options = config.events
    path = labels_file(config, workspace)
    everyone = np.full(len(series), ALL)
    if options.from_run is not None:
        return Fitted(read_detector(options.from_run, options), everyone, None, (), "another run's models")
    if path is None:
        return Fitted(rule_detector(options), everyone, None)
    refuse_large(config, path)
    labels, counted = read_labels(
        path, series.parcel_ids, config.season.start, config.season.until or config.season.end
    )
    folds = read_parquet(workspace.table("folds"))
    of = dict(folds.select("parcel_id", "fold").iter_rows())
    fold = np.array([of.get(name, -1) for name in series.parcel_ids])
    try:
        detector, own = fit_detector(series, labels, fold, options)
    except ModelError as error:
        if error.reason != FEW_LABELS:
            raise
        log.warning("Events are found by rules: %s", error)
        return Fitted(rule_detector(options), everyone, labels, (counted,), f"rules: {error}")
    return Fitted(detector, own, labels, (counted,), "labels")


def labels_file(config: RunConfig, workspace: Workspace) -> Path | None:
    """Return the table of labels: the config's, or what holdings of a simulated region sent in."""
    if config.events.labels is not None or config.simulate is None:
        return config.events.labels
    records = workspace.region / "field_records.csv"
    told = records.is_file() and config.simulate.recorded_share > 0
    return records if told and config.events.from_run is None else None


def looks_of(series: EventSeries) -> pl.DataFrame:
    """Return the clear looks and radar passes of every parcel, schema LOOKS."""
    rows = []
    ndvi = series.optical[:, :, OPTICAL.index("ndvi")]
    passed = np.isfinite(series.radar).any(2)
    days = [series.when(day) for day in series.days]
    passes = [series.when(day) for day in series.radar_days]
    for row, name in enumerate(series.parcel_ids):
        clear = np.flatnonzero(np.isfinite(ndvi[row]))
        seen = sorted({passes[k] for k in np.flatnonzero(passed[row])})
        rows.append((name, [days[k] for k in clear], ndvi[row, clear].tolist(), seen))
    return pl.DataFrame(rows, schema=LOOKS, orient="row")


def _through_the_season(workspace: Workspace, events: pl.DataFrame, until: date) -> pl.DataFrame:
    """Keep what earlier runs of this folder reported, and note what this one does."""
    journal = JOURNAL.to_frame()
    if workspace.event_journal.is_file():
        journal = read_parquet(workspace.event_journal)
    kept = keep_reported(events, journal, until)
    write_table(add_to_journal(journal, kept, until), workspace.event_journal)
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


def _tally(series: EventSeries, found: Found) -> Tally:
    """Count the parcels in, those with a reported event or none in doubt, and those set aside by reason."""
    unseen = ~(np.isfinite(series.optical).any((1, 2)) | np.isfinite(series.radar).any((1, 2)))
    doubt = found.events.filter(pl.col("reason") != SEEN).group_by("parcel_id").agg(pl.col("reason").first())
    reported = set(found.events.filter(pl.col("reason") == SEEN)["parcel_id"].to_list())
    why = dict(doubt.iter_rows())
    reasons = [
        "never_observed" if unseen[row] else None if name in reported else why.get(name)
        for row, name in enumerate(series.parcel_ids)
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
