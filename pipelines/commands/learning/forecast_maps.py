"""NDVI maps of days ahead of all imagery of a run, tile by tile, block by block."""

import shutil
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.errors import ConfigError, StageError
from features.files import fingerprint, read_parquet, sha256, write_json, write_text
from features.workers import Executor, Progress, one_by_one
from models.clouds.products import make_catalog
from models.forecast.bundle import BUNDLE, forecaster_file, read_forecaster
from models.forecast.forecaster import ALL, Forecaster, renewed
from models.forecast.intervals import LEAST_GROUPS, LEAST_SAMPLES
from models.forecast.pixels.intervals import calibrated
from models.forecast.pixels.looks import pixel_history
from models.forecast.pixels.maps import (
    DESCRIPTION,
    ForecastUnit,
    Models,
    Plan,
    assemble,
    run_forecast_unit,
)
from pipelines.config import RunConfig
from pipelines.inputs.forecast_history import Known, known_history
from pipelines.inputs.pixels.forecast_tiles import Tile, drawn_pixels, forecast_tiles
from pipelines.stages.forecast import drawn_parcels, folds_of, made_on
from pipelines.tables import read_stamps
from pipelines.workspace import Workspace

WORK = ".writing"
DRAWN, MAPPED = 30, 70  # percent of the progress


def write_forecast_maps(
    config: RunConfig,
    workspace: Workspace,
    days: Sequence[date],
    folder: Path,
    progress: Progress,
    executor: Executor = one_by_one,
) -> str:
    """Write maps of NDVI on some days ahead, with intervals, and their catalog; return what to print.

    Pixels go by their own clear looks of the season; all else is their parcel's. What a run that was stopped
    has finished is not done again.

    Raises
    ------
    ConfigError
        Where a day does not lie ahead, or further than `forecast.ahead_days`; where there is no imagery.
    StageError
        Where nothing was forecast.
    """
    known, bundle = known_history(config, workspace), _bundle(config, workspace)
    by = made_on(config, known.history)
    targets = _targets(days, by, config.forecast.ahead_days, known.history.day(by))
    tiles = forecast_tiles(config, workspace, by)
    fold, group = folds_of(read_parquet(workspace.table("folds")), known.history)
    digest = sha256(bundle / BUNDLE)
    forecaster, own = _served(config, workspace, known, (fold, group), known.history.day(by))
    since = known.history.day(min(row["datetime"].date() for tile in tiles for row in tile.imagery.rows))
    drawn, looks = drawn_pixels(
        tiles, known.history, config.seed, lambda done, total: progress(DRAWN * done // total, 100)
    )
    intervals, scores = calibrated(
        forecaster, pixel_history(known.history, drawn, looks, since), own[drawn], group[drawn],
        (since, known.history.day(by)), known.take(drawn).ahead, config.seed,
    )  # fmt: skip
    curves = {k: curves for k, (curves, _) in forecaster.folds.items()}
    models = Models(bundle.absolute(), config.forecast, digest, curves, intervals)
    plan = Plan(models, known.history.origin, since, known.history.day(by), targets)
    items = _mapped(workspace, known, own, tiles, plan, folder, progress, executor)
    write_text(folder / "scores.csv", scores.write_csv())
    shutil.rmtree(folder / WORK, ignore_errors=True)
    title = f"{config.name}: NDVI ahead of {by}"
    catalog = write_json(folder / "catalog.json", make_catalog("ndvi-ahead", title, DESCRIPTION, items))
    return "\n".join([f"{len(items)} maps of NDVI, forecast on {by}: {catalog}", *_said(plan, scores)])


def _mapped(
    workspace: Workspace,
    known: Known,
    own: np.ndarray,
    tiles: Sequence[Tile],
    plan: Plan,
    folder: Path,
    progress: Progress,
    executor: Executor,
) -> list[dict[str, Any]]:
    """Write the maps of all tiles, block by block; return the items' links."""
    intervals, stamps = plan.models.intervals, read_stamps(workspace)
    numbers = None if intervals is None else intervals.quantile.tobytes().hex()
    key = [sha256(workspace.forecast), plan.models.sha256, plan.since, plan.made_on, plan.targets, numbers]
    items, done, every = [], 0, sum(len(tile.blocks) for tile in tiles)
    for tile in tiles:
        work = folder / WORK / f"{tile.name}_{fingerprint([key, tile.seen(stamps)])[:16]}"
        files = [work.absolute() / f"{k:06d}.npy" for k in range(len(tile.blocks))]
        for _ in executor(run_forecast_unit, _units(tile, known, own, plan, files)):
            done += 1
            progress(DRAWN + MAPPED * done // every, 100)
        blocks = list(zip(tile.blocks, files, strict=True))
        items += assemble(tile.name, tile.imagery.grid, plan, blocks, folder)
    return items


def _said(plan: Plan, scores: pl.DataFrame) -> list[str]:
    """Say how good forecasts of pixels were, and which days have no intervals."""
    lines = []
    for (horizon,), rows in scores.group_by("horizon_days", maintain_order=True):
        of = {(m, k): (v, n) for m, k, v, n in rows.select("method", "metric", "value", "n").iter_rows()}
        rmse, n = of["combined", "rmse"]
        covered = of.get(("combined", "coverage_90"))
        held = f"; {covered[0]:.0%} within the 90% interval" if covered else ""
        lines.append(
            f"  {horizon} days ahead, pixels looked back on: RMSE {rmse:.3f} (damped persistence "
            f"{of['damped', 'rmse'][0]:.3f}; n = {n}){held}"
        )
    unknown = [str(plan.when(target)) for target in plan.targets if not plan.bounded(target)]
    if unknown:
        lines.append(
            f"No intervals on {', '.join(unknown)}: too few looks at pixels came so many days ahead, or too "
            f"few holdings have any ({LEAST_SAMPLES} looks of {LEAST_GROUPS} are the least)."
        )
    return lines


def _bundle(config: RunConfig, workspace: Workspace) -> Path:
    """Return the folder of the models that the stage used."""
    options = config.forecast
    if options.from_run is not None and options.use != "continue":
        return forecaster_file(options.from_run).parent
    if not (workspace.forecast_models / BUNDLE).is_file():
        raise StageError(
            f"{workspace.folder} holds no forecast models: nothing was forecast there (the lines above say "
            "why), or forecast.enabled is false."
        )
    return workspace.forecast_models


def _served(
    config: RunConfig, workspace: Workspace, known: Known, placed: tuple[np.ndarray, np.ndarray], day: int
) -> tuple[Forecaster, np.ndarray]:
    """Return the models that the stage used, and the fold whose models serve each parcel: those that did not
    see it.

    Parameters
    ----------
    placed
        `(parcel,)` fold, and holding or block.
    day
        That of the forecast; what was seen by then is usual.
    """
    options, bundle, (fold, group) = config.forecast, _bundle(config, workspace), placed
    if bundle != workspace.forecast_models:
        return read_forecaster(bundle, options), np.full(len(fold), ALL)
    # they were made, or held against their receipt, just now; the manifest may be older
    forecaster = read_forecaster(bundle, options, sha256(bundle / BUNDLE))
    drawn = drawn_parcels(group, options)
    forecaster = renewed(forecaster, known.take(drawn).history.until(day), fold[drawn])
    return forecaster, np.where(np.isin(fold, list(forecaster.folds)), fold, ALL)


def _targets(days: Sequence[date], by: date, most: int, number: int) -> tuple[int, ...]:
    beyond = [day for day in days if not 0 < (day - by).days <= most]
    if beyond or not days:
        raise ConfigError(
            f"--maps: {', '.join(map(str, beyond)) or 'no day'} cannot be mapped from {by}: days lie 1 to "
            f"{most} days ahead of it. Give other days, look further ahead (--ahead), or forecast from "
            "another day (--from)."
        )
    return tuple(number + (day - by).days for day in days)


def _units(
    tile: Tile, known: Known, own: np.ndarray, plan: Plan, files: Sequence[Path]
) -> Iterator[ForecastUnit]:
    """Yield the units of a tile, one at a time: each holds what is known of its parcels."""
    for place, file in zip(tile.blocks, files, strict=True):
        near = tile.within(place)
        part = known.take(tile.rows[near])
        yield ForecastUnit(
            tile.imagery, place, tile.shapes[near], part.history, own[tile.rows[near]], part.ahead, plan, file
        )
