"""A model's settings are searched for, and the best written as a file to lay over a config."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import polars as pl

from features.files import read_parquet
from features.workers import Progress
from models.clouds.removal.options import LEARNED
from models.crops.estimators.by_name import estimator_type
from models.folds import plan_folds
from models.registry import Tracker
from models.tuning.clouds import METRIC, tune_clouds
from models.tuning.search import Tuned, tune, write_best
from pipelines.config import RunConfig
from pipelines.inputs.model_series import model_series
from pipelines.inputs.pixels.cloud_masks import read_masked
from pipelines.main_job import display
from pipelines.record.receipt import needed
from pipelines.record.whole import refuse_altered
from pipelines.stages.observing.clear import fitting_stacks
from pipelines.tables import read_declared, write_vouched
from pipelines.workspace import Workspace


class Kept(TypedDict):
    """Where a search is kept, and who hears of it."""

    journal: Path
    on_trial: Callable[[dict[str, object]], None]
    progress: Progress


def tune_model(config: RunConfig, workspace: Workspace, model: str, trials: int) -> str:
    """Run trials on the series that `fill` left, or on the imagery; say what was found and how to use it."""
    if model not in LEARNED:
        estimator_type(model)
    reader = f"tune --model {model}"
    needed(workspace, "read" if model in LEARNED else "fill", reader)
    series = (workspace.filled, workspace.context, workspace.weather)
    refuse_altered(workspace, (workspace.declarations, workspace.acquisitions, *series), reader)
    options = config.tune.model_copy(update={"trials": trials})
    tracker = _tracker(config)
    parent = tracker.begin(f"tune {model}", {"model": model, **options.model_dump()}) if tracker else ""

    def on_trial(trial: dict[str, Any]) -> None:
        if tracker:
            tracker.trial(parent, trial)

    with display() as bars:
        bar = bars.add_task(f"tune {model}", total=None)
        kept: Kept = {
            "journal": workspace.tuned / f"{model}.journal",
            "on_trial": on_trial,
            "progress": lambda done, total: bars.update(bar, completed=done, total=total),
        }
        if model in LEARNED:
            acquisitions = read_masked(config, workspace)
            stacks, _ = fitting_stacks(acquisitions, config, workspace, model)
            found = tune_clouds(model, stacks, config.clear.removal, options, **kept)
        else:
            found = tune(model, *_task(config, workspace), options, **kept)
    if tracker:
        tracker.close(parent, [], {"best": str(found.value)})
    path = write_best(winning(found), workspace.tuned / f"{model}.yaml")
    for name, table in tuning_tables(found).items():
        write_vouched(beside_other_models(table, workspace.table(name)), workspace.table(name))
    metric = METRIC if model in LEARNED else options.metric
    return f"{_described(found, metric)}\nUse it: cropcheck run CONFIG --with {path}"


def winning(found: Tuned) -> dict[str, object]:
    """Return the best options where a run's config has them."""
    if found.name in LEARNED:
        return {"clear": {"method": found.name, **found.best}}
    return {"train": {"models": {found.name: found.best}}}


def tuning_tables(found: Tuned) -> dict[str, pl.DataFrame]:
    """Return the evaluation tables of a search: its trials, and what mattered where that can be said."""
    shares = sorted(found.importance.items(), key=lambda item: -item[1])
    importance = pl.DataFrame(shares, schema={"option": pl.String, "share": pl.Float64}, orient="row")
    tables = {"tuning": found.trials, "tuning_importance": importance}
    return {name: table.select(pl.lit(found.name).alias("model"), pl.all()) for name, table in tables.items()}


def beside_other_models(table: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Return the rows of one model, and those of the others that `path` holds."""
    if not path.is_file():
        return table
    others = read_parquet(path).filter(~pl.col("model").is_in(table["model"].unique().to_list()))
    return pl.concat([others, table], how="diagonal_relaxed")


def _task(config: RunConfig, workspace: Workspace) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return the series, classes and folds that a trial is scored on."""
    declarations, series = read_declared(workspace), model_series(config.train, workspace)
    options = config.folds
    plan = plan_folds(declarations, options.count, config.seed, options.by, options.block_metres)
    return series, declarations["crop_class"].fillna("").to_numpy().astype(str), plan.fold


def _described(found: Tuned, metric: str) -> str:
    ranked = sorted(found.importance.items(), key=lambda item: -item[1])
    mattered = ", ".join(f"{name} {share:.0%}" for name, share in ranked)
    return (
        f"Best {metric} {found.value:.4f} over {len(found.trials)} trials: {found.best}\n"
        f"What mattered: {mattered or 'too few trials to say'}"
    )


def _tracker(config: RunConfig) -> Tracker | None:
    tracking = config.tracking
    return Tracker(tracking.store, tracking.artifacts, tracking.experiment) if tracking.enabled else None
