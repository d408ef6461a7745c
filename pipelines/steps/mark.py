"""Events become markers: whether each requirement of a parcel's scheme is kept, and the joint outcome."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import polars as pl

from features.declarations.schemes import read_schemes
from features.files import read_parquet
from features.schema import MARKERS
from models.verdicts.marker_scores import RATES, marker_rates
from models.verdicts.markers import Facts, Season, markers_of
from models.verdicts.outcome import join_outcomes
from pipelines.config import RunConfig
from pipelines.tables import write_table
from pipelines.workspace import Workspace

Done = dict[str, list[tuple[str, date, date]]]


def mark(
    config: RunConfig, workspace: Workspace, declared: pl.DataFrame, verdicts: pl.DataFrame, model_id: str
) -> list[Path]:
    """Write `markers.parquet`, `outcomes.parquet` and, where the truth is known, how often markers err."""
    season = Season(config.season.start, config.season.end, config.season.until or config.season.end)
    markers, rates = MARKERS.to_frame(), RATES.to_frame()
    if config.events.enabled and workspace.event_chances.is_file():
        schemes = read_schemes(config.judge.schemes)
        parcels = read_parquet(workspace.parcels)
        markers = markers_of(
            declared,
            schemes,
            _facts(workspace),
            _small(declared, parcels, config),
            _labels(workspace),
            season,
            config.judge.alpha,
            model_id,
        )
        truth = _truth(config, workspace, declared)
        if truth is not None:
            rates = marker_rates(markers, schemes, truth, season, config.judge.alpha)
    return [
        write_table(markers, workspace.markers),
        write_table(join_outcomes(verdicts, markers), workspace.outcomes),
        write_table(rates, workspace.table("marker_rates")),
    ]


def _facts(workspace: Workspace) -> dict[str, Facts]:
    possible: dict[str, list[dict]] = {}
    for row in read_parquet(workspace.event_chances).iter_rows(named=True):
        possible.setdefault(row["parcel_id"], []).append(row)
    return {
        name: Facts(possible.get(name, []), looks, ndvi, passes)
        for name, looks, ndvi, passes in read_parquet(workspace.event_looks).iter_rows()
        if looks or passes
    }


def _small(declared: pl.DataFrame, parcels: pl.DataFrame, config: RunConfig) -> dict[str, str]:
    """Return the parcels that markers cannot monitor, and why."""
    pixels = dict(parcels.select("parcel_id", "full_pixels").iter_rows())
    found = {}
    for name in declared["parcel_id"]:
        if name not in pixels:
            found[name] = "outside_imagery"
        elif (pixels[name] or 0) < config.events.min_pixels:
            found[name] = "too_few_pixels"
    return found


def _labels(workspace: Workspace) -> Done:
    path = workspace.table("event_labels")
    return _by_parcel(read_parquet(path)) if path.is_file() else {}


def _truth(config: RunConfig, workspace: Workspace, declared: pl.DataFrame) -> Mapping[str, list] | None:
    if config.simulate is None or not workspace.truth_events.is_file():
        return None
    main = read_parquet(workspace.truth_events).filter(pl.col("share") >= 0.5)
    done = _by_parcel(main.select("parcel_id", "event", "first", "last"))
    return {name: done.get(name, []) for name in declared["parcel_id"]}


def _by_parcel(table: pl.DataFrame) -> Done:
    done: Done = {}
    for name, event, first, last in table.select("parcel_id", "event", "first", "last").iter_rows():
        done.setdefault(name, [])
        if first is not None:
            done[name].append((event, first, last))
    return done
