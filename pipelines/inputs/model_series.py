"""What crop models read: the filled series, what else is known, and the parcels or models of other runs."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import polars as pl
import xarray as xr

from features.context.parcels import attach_context
from features.errors import ConfigError, StageError
from features.files import read_parquet
from features.series.parcel_series import read_names, read_series
from models.crops.fitting.bundle import Bundle, bundle_file, read_bundle
from models.crops.fitting.carried_folds import carry_over
from models.crops.fitting.options import TrainOptions, TransferOptions
from models.crops.inputs.context import pool, pooled_id, with_weather
from models.crops.inputs.ranges import ranges_of, refuse_other_units
from models.crops.inputs.source import MODELLED, SeriesSource
from models.folds import FoldPlan
from pipelines.inputs.source_runs import check_holding_keys, same_holding_key, source_runs
from pipelines.record.whole import refuse_altered
from pipelines.tables import read_declared
from pipelines.workspace import Workspace

FOLDS = "folds"
OF_A_SEASON = ("weather", "surface")  # nearly the same for all parcels of one


@dataclass(frozen=True)
class StoredRun:
    """A run's filled series with the context that models read beside it, some parcels at a time.

    Attributes
    ----------
    context, columns
        Table of what maps say of each parcel, and which of its columns are read; None where there is none.
    weather
        Table of the weather before each step, where models read it.
    """

    filled: Path
    context: Path | None = None
    columns: tuple[str, ...] = ()
    weather: Path | None = None

    def names(self) -> np.ndarray:
        """Return `(n,)` parcel ids."""
        return read_names(self.filled)

    def read(self, parcels: slice) -> xr.Dataset:
        """Read some parcels, by position."""
        series = read_series(self.filled, parcels, MODELLED)
        if self.context is not None:
            ids = series["parcel"].values.astype(str).tolist()
            rows = pl.scan_parquet(self.context, glob=False).filter(pl.col("parcel_id").is_in(ids))
            series = attach_context(series, rows.select("parcel_id", *self.columns).collect())
        return series if self.weather is None else with_weather(series, read_parquet(self.weather))


@dataclass(frozen=True)
class PooledRuns:
    """A run's parcels, and behind them those of other runs, by label."""

    own: StoredRun
    others: tuple[tuple[str, StoredRun], ...]
    counts: tuple[int, ...]

    def names(self) -> np.ndarray:
        """Return `(n,)` parcel ids; those of other runs begin with the label."""
        parts = [self.own.names()]
        for label, run in self.others:
            parts.append(np.array([pooled_id(label, name) for name in run.names()], dtype=str))
        return np.concatenate(parts)

    def read(self, parcels: slice) -> xr.Dataset:
        """Read some parcels, by position over all runs."""
        edges = np.concatenate([[0], np.cumsum(self.counts)])
        parts = [
            run.read(slice(*np.clip((parcels.start, parcels.stop), first, last) - first))
            for run, first, last in zip(
                [self.own, *(run for _, run in self.others)], edges[:-1], edges[1:], strict=True
            )
        ]
        return pool(parts[0], dict(zip((label for label, _ in self.others), parts[1:], strict=True)))


@dataclass(frozen=True)
class LearningSet:
    """Parcels to learn from, in one order: `own` come first, those of other runs follow.

    `declarations` has `parcel_id, holding_id, crop_class, region, season` and geometry.
    """

    source: SeriesSource
    declarations: gpd.GeoDataFrame
    own: int


def learning_set(options: TrainOptions, workspace: Workspace) -> LearningSet:
    """Return this run's parcels, and those of the runs that are pooled with it.

    Raises
    ------
    CropcheckError
        Where a run has no filled series, or its series do not fit this run's or are in other units; the
        message names it.
    """
    wanted, declarations = wanted_context(options, workspace), read_declared(workspace)
    run = stored_run(workspace, wanted)
    run.read(slice(0, 0))  # says what is wrong before anything is learned
    sources = source_runs(options.transfer) if options.transfer.use == "pool" else {}
    if not sources:
        return LearningSet(run, declarations, len(declarations))
    tables = [declarations]
    for label, source in sources.items():
        read = (source.filled, source.declarations, source.holdings, source.context, source.weather)
        refuse_altered(source, read, "train (train.transfer.runs)")
        table = read_declared(source).to_crs(declarations.crs)
        ids = [pooled_id(label, name) for name in table["parcel_id"].astype(str)]
        tables.append(table.assign(parcel_id=ids))
    check_holding_keys(workspace, sources)
    together = gpd.GeoDataFrame(pd.concat(tables, ignore_index=True), crs=declarations.crs)
    others = tuple((label, stored_run(source, wanted)) for label, source in sources.items())
    here = ranges_of(run)
    for label, other in others:
        refuse_other_units(here, ranges_of(other), label)
    pooled = PooledRuns(run, others, tuple(len(table) for table in tables))
    pooled.read(slice(0, 0))
    return LearningSet(pooled, together, len(declarations))


def model_series(options: TrainOptions, workspace: Workspace) -> xr.Dataset:
    """Return this run's filled series with the context that the options want, in memory."""
    series = stored_run(workspace, wanted_context(options, workspace))
    return series.read(slice(0, len(series.names())))


def wanted_context(options: TrainOptions, workspace: Workspace) -> tuple[str, ...]:
    """Return which kinds of context models read beside the series.

    Raises
    ------
    ConfigError
        Where the config names one that the region does not have.
    """
    there = _available(workspace)
    if options.context is None:
        return tuple(name for name in there if name not in OF_A_SEASON or options.transfer.runs)
    if absent := [name for name in options.context if name not in there]:
        raise ConfigError(
            f"train.context names {', '.join(absent)}, which the run has nothing of (it has "
            f"{', '.join(there) or 'none'}); give the file under "
            f"{'rasters' if absent[0] == 'surface' else absent[0]}:, or leave it out."
        )
    return options.context


def starting_bundle(transfer: TransferOptions) -> Bundle | None:
    """Return the models that are loaded or trained further; None where all are fitted here."""
    if not transfer.runs or transfer.use == "pool":
        return None
    return read_bundle(transfer.runs[0], transfer.sha256)


def carried_plan(
    plan: FoldPlan, declarations: gpd.GeoDataFrame, transfer: TransferOptions, workspace: Workspace
) -> FoldPlan:
    """Return folds in which no model of an earlier run judges a holding or ground that it was trained on.

    Where nothing but the models is there, or the holdings have pseudonyms of another key, that cannot be
    known of all; the plan's note says so.
    """
    if not transfer.runs or transfer.use == "pool":
        return plan
    run = Workspace(transfer.runs[0])
    if not (run.table(FOLDS).is_file() and run.declarations.is_file()):
        note = f"{transfer.runs[0]} has no folds beside it: its models may have seen some of these parcels"
        return replace(plan, note="; ".join(filter(None, [plan.note, note])))
    refuse_altered(run, (run.table(FOLDS), run.declarations), "train (train.transfer.runs)")
    before = read_declared(run)
    folds = dict(read_parquet(run.table(FOLDS)).select("parcel_id", "fold").iter_rows())
    fold = before["parcel_id"].map(folds).fillna(-1).to_numpy(int)
    if same_holding_key(workspace, run):
        return carry_over(plan, declarations, before, fold)
    found = carry_over(plan, declarations, before.assign(holding_id=None), fold)
    note = "its holdings have pseudonyms of another key and are not recognised"
    return replace(found, note=f"{found.note}; {note}")


def transferred_files(transfer: TransferOptions) -> dict[str, Path]:
    """Return the files of other runs that training reads, by their role."""
    if transfer.use != "pool":
        return {
            f"train.transfer.runs {number}{what}": path
            for number, run in enumerate(transfer.runs)
            for what, path in _of_models(run).items()
        }
    return {
        f"train.transfer.runs {number} {path.stem}": path
        for number, run in enumerate(source_runs(transfer).values())
        for path in (run.filled, run.declarations, run.holdings, run.context, run.weather)
    }


def _of_models(folder: Path) -> dict[str, Path]:
    run, bundle = Workspace(folder), bundle_file(folder)
    return {
        "": bundle.parent if bundle.is_file() else bundle,
        " folds": run.table(FOLDS),
        " declarations": run.declarations,
        " holdings": run.holdings,
    }


def check_transfer(transfer: TransferOptions, workspace: Workspace) -> None:
    """Raise where a run that something is to be taken over from lacks it, or has another holding key."""
    starting_bundle(transfer)
    sources = source_runs(transfer) if transfer.use == "pool" else {}
    for label, run in sources.items():
        if absent := [path.name for path in (run.filled, run.declarations) if not path.is_file()]:
            raise StageError(
                f"train.transfer.runs names {label}, which lacks {' and '.join(absent)}; give the output "
                "folder of a run whose fill stage has ended."
            )
    check_holding_keys(workspace, sources)


def _available(workspace: Workspace) -> list[str]:
    """Return which kinds of context `fill` found, weather first."""
    maps = (
        pl.scan_parquet(workspace.context, glob=False).collect_schema() if workspace.context.is_file() else {}
    )
    found = [
        name
        for name in ("soil", "elevation", "embedding", "history", "surface")
        if any(column.startswith(name) for column in maps)
    ]
    return ["weather", *found] if workspace.weather.is_file() else found


def stored_run(workspace: Workspace, wanted: Collection[str]) -> StoredRun:
    """Return a run's filled series with those of the `wanted` kinds of context that it has."""
    maps = tuple(name for name in wanted if name != "weather")
    columns: tuple[str, ...] = ()
    if maps and workspace.context.is_file():
        names = pl.scan_parquet(workspace.context, glob=False).collect_schema().names()
        columns = tuple(name for name in names if name.startswith(maps))
    weather = "weather" in wanted and workspace.weather.is_file()
    return StoredRun(
        workspace.filled.absolute(),
        workspace.context.absolute() if maps and workspace.context.is_file() else None,
        columns,
        workspace.weather.absolute() if weather else None,
    )
