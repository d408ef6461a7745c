"""Series and declarations become out-of-fold probabilities, models and explanations."""

import numpy as np
import polars as pl

from features.series import read_series
from pipelines.config import RunConfig
from pipelines.read import read_declared, write_table
from pipelines.stage import Outcome, Progress, Stage
from pipelines.workspace import Workspace

FOLDS = "folds"


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write probabilities, models, importance and contributions."""
    from models.backend import bring_up
    from models.crops.catalogue import FAMILIES
    from models.crops.crossfit import cross_fit
    from models.explanation import explain
    from models.splits import plan_folds

    if any(config.train.kind(name) not in FAMILIES for name in config.train.models):
        bring_up()
    declarations, series = read_declared(workspace), read_series(workspace.filled)
    plan = plan_folds(
        declarations, config.folds.count, config.seed, config.folds.by, config.folds.block_metres
    )
    declared = declarations["crop_class"]
    y = declared.astype(object).where(declared.notna(), None).tolist()
    fitted = cross_fit(series, y, plan.fold, config.train, workspace.models, progress)
    options = config.train.explanation
    importance, contributions = explain(fitted, series, y, options, threads=config.train.threads)
    tables = {
        workspace.probabilities: fitted.probabilities,
        workspace.inner: fitted.inner,
        workspace.importance: importance,
        workspace.contributions: contributions,
        workspace.table("ensemble_weights"): fitted.weights,
        workspace.table("classes"): fitted.classes,
        workspace.table("timing"): fitted.timing,
        workspace.table("suspects"): fitted.suspects,
        workspace.table(FOLDS): _folds_table(declarations["parcel_id"].tolist(), plan.fold, plan.group),
    }
    if config.train.ablation:
        from models.ablation import ablation

        tables[workspace.table("ablation")] = ablation(series, y, plan.fold, plan.group, config.train)
    for path, table in tables.items():
        write_table(table, path)
    facts = {
        "folds_by": plan.by,
        "block_metres": plan.block_metres,
        "folds_note": plan.note,
        "groups": plan.n_groups,
    }
    return Outcome([*tables, workspace.models], [fitted.tally], facts)


def _folds_table(parcel_ids: list[str], fold: np.ndarray, group: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame(
        {"parcel_id": parcel_ids, "fold": fold.astype(np.int32), "group": group.astype(np.int32)}
    )


STAGE = Stage("train", ("features", "models"), ("folds", "train"), ("read", "fill"), run)
