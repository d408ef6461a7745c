"""Events become markers: whether each requirement of a parcel's scheme is kept, and the joint outcome."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from features.declarations.schemes import read_schemes
from features.files import read_parquet, scan_parquet
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
            lambda names: _facts(workspace, names),
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


def _facts(workspace: Workspace, names: Sequence[str]) -> dict[str, Facts]:
    """Return what is known of some parcels."""
    wanted = pl.Series(names, dtype=pl.String).implode()
    chances, looks = (
        scan_parquet(path).filter(pl.col("parcel_id").is_in(wanted)).collect(engine="streaming")
        for path in (workspace.event_chances, workspace.event_looks)
    )
    possible: dict[str, list[dict]] = {}
    for row in chances.iter_rows(named=True):
        possible.setdefault(row["parcel_id"], []).append(row)
    return {
        name: Facts(possible.get(name, []), days, ndvi, passes)
        for name, days, ndvi, passes in looks.iter_rows()
        if days or passes
    }


def _small(declared: pl.DataFrame, parcels: pl.DataFrame, config: RunConfig) -> dict[str, str]:
    """Return the parcels that markers cannot monitor, and why."""
    least = config.events.min_pixels
    seen = declared.select("parcel_id").join(
        parcels.select("parcel_id", pixels="full_pixels", inside=True), on="parcel_id", how="left"
    )
    outside = seen.filter(pl.col("inside").is_null())["parcel_id"]
    few = seen.filter(pl.col("inside") & (pl.col("pixels").fill_null(0) < least))["parcel_id"]
    return dict.fromkeys(outside, "outside_imagery") | dict.fromkeys(few, "too_few_pixels")


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
