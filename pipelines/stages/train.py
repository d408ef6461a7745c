"""Series and declarations become out-of-fold probabilities, models and explanations."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from features.code.imports import uncollected
from features.files import is_vouched, read_parquet
from features.schema import ENSEMBLE
from features.workers import Executor, Progress
from models.crops.fitting.options import TrainOptions
from pipelines.config import RunConfig
from pipelines.record.inputs import Entries
from pipelines.record.stage import Outcome
from pipelines.tables import write_blocks, write_table, write_vouched
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from models.crops.fitting.crossfit import OutOfFold
    from models.folds import FoldPlan
    from pipelines.steps.keeping.keep_models import Fitting

WORK = ".work"  # folder of what the work units leave for the end of the stage


def run(
    config: RunConfig,
    workspace: Workspace,
    progress: Progress,
    stands_on: Mapping[str, Entries] | None = None,
    executor: Executor | None = None,
) -> Outcome:
    """Write probabilities, models and their bundle, importance and contributions.

    Memory holds the parcels that are learned from and a chunk of all; fits and chunks of predictions are work
    units, kept until the stage has ended.

    Parameters
    ----------
    stands_on
        What this stage and those before stand on, by stage and name: models are kept while that is as it was.
    """
    with uncollected():
        from models.crops.fitting.bundle import write_bundle
        from models.crops.fitting.crossfit import held
        from models.crops.inputs.ranges import ranges_of, refuse_other_units
        from models.folds import plan_folds
        from pipelines.inputs.model_series import FOLDS, carried_plan, learning_set, starting_bundle
        from pipelines.steps.keeping.keep_models import fit_or_keep, kept_suspects

    start = starting_bundle(config.train.transfer)
    options = config.train if start is None else config.train.model_copy(update={"models": start.models})
    _bring_up(options)
    learnt, folds = learning_set(options, workspace), config.folds
    learnt = replace(learnt, source=held(learnt.source, len(learnt.declarations), options, executor))
    ranges = ranges_of(learnt.source)
    if start is not None:
        refuse_other_units(ranges, start.ranges, config.train.transfer.runs[0])
    plan = plan_folds(learnt.declarations, folds.count, config.seed, folds.by, folds.block_metres)
    plan = carried_plan(plan, learnt.declarations, config.train.transfer, workspace)
    classes = learnt.declarations["crop_class"]
    every = classes.astype(object).where(classes.notna(), None).tolist()
    holdings = owners(learnt.declarations["holding_id"], plan.group)
    work = (workspace.models / WORK).absolute()
    fitting = fit_or_keep(
        stands_on or {}, options, workspace, learnt, plan, start, holdings, work, progress, executor
    )
    found, plan = fitting.found, fitting.plan
    own = slice(0, learnt.own)
    parcel_ids = learnt.declarations["parcel_id"].tolist()
    declared = pl.DataFrame(
        {"parcel_id": parcel_ids, "crop_class": every},
        schema={"parcel_id": pl.String, "crop_class": pl.String},
    )
    write_bundle(
        workspace.models,
        options,
        found.models,
        found.weights,
        pl.concat(found.learned_from()),
        declared,
        start.sets if start is not None else (),
        ranges,
    )
    mine = np.arange(len(every)) < learnt.own
    written = [
        write_blocks(workspace.probabilities, found.probabilities(mine)),
        write_blocks(workspace.inner, found.inner(mine)),
        *_explain(fitting, every, learnt.own, options, workspace),
    ]
    tables = {
        workspace.table("ensemble_weights"): found.weights,
        workspace.table("classes"): found.classes,
        workspace.table("timing"): found.timing,
        workspace.table("suspects"): kept_suspects(fitting, workspace).filter(
            pl.col("parcel_id").is_in(parcel_ids[own])
        ),
        workspace.table(FOLDS): _folds_table(parcel_ids[own], plan.fold[own], plan.group[own]),
    }
    if options.ablation:
        tables[workspace.table("ablation")] = _ablation(found, every, learnt.own, plan, options)
    for path, table in tables.items():
        write_table(table, path)
    shutil.rmtree(work, ignore_errors=True)
    facts: dict[str, Any] = {
        "folds_by": plan.by,
        "block_metres": plan.block_metres,
        "folds_note": plan.note,
        "groups": plan.n_groups,
        "trained_on": found.trained_on,
        **fitting.facts,
    }
    if config.train.transfer.runs:
        facts |= {
            "learnt_from": len(learnt.declarations),
            "transfer": config.train.transfer.use,
            "runs": [run.name for run in config.train.transfer.runs],
        }
    if start is not None and start.sets:
        facts["sets"] = list(start.sets)
    return Outcome([*written, *tables, workspace.models], [found.tally(learnt.own)], facts)


def _explain(
    fitting: "Fitting", every: list[str | None], own: int, options: TrainOptions, workspace: Workspace
) -> list[Path]:
    """Write importance and contributions, of the first `own` parcels.

    Importance tells of the models: it is measured when they are fitted, and kept as long as they are.
    """
    from models.crops.fitting.kept import importance_file
    from models.explanation.explain import Subject, explain_models, explain_parcels, predicted_of

    found = fitting.found
    task = found.task
    mine = np.arange(len(every)) < own
    subject = Subject(
        found.models,
        task.classes,
        predicted_of(found.probabilities(mine, ENSEMBLE), task.names[:own], every[:own]),
        task.source,
        own,
        np.isin(np.arange(own), task.learned),
        options.chunk,
    )
    measured = importance_file(workspace.models, options.explanation)
    if fitting.kept and is_vouched(measured):
        importance = read_parquet(measured)
    else:
        importance = explain_models(subject, options.explanation, threads=options.threads)
        if fitting.facts:  # models of another run that judge as they are, are not this run's to keep
            write_vouched(importance, measured)
    contributions = explain_parcels(subject, options.explanation, threads=options.threads)
    return [
        write_table(importance, workspace.importance),
        write_blocks(workspace.contributions, contributions),
    ]


def _ablation(
    found: "OutOfFold", every: list[str | None], own: int, plan: "FoldPlan", options: TrainOptions
) -> pl.DataFrame:
    """Fit without each kind of input, on those of the first `own` parcels that were learned from."""
    from models.crops.inputs.source import read_rows
    from models.explanation.ablation import ablation

    rows = found.task.learned[found.task.learned < own]
    series = read_rows(found.task.source, rows, own, options.chunk)
    return ablation(series, [every[row] for row in rows], plan.fold[rows], plan.group[rows], options)


def owners(holding_id: "pd.Series[str]", group: np.ndarray) -> np.ndarray:
    """Return `(parcel,)`: the number of each parcel's holding; where it names none, that of its group."""
    known = holding_id.notna().to_numpy()
    named = np.where(known, holding_id.astype(str).to_numpy(), "")
    _, number = np.unique(named, return_inverse=True)
    return np.where(known, number, number.max() + 1 + group)


def _bring_up(options: TrainOptions) -> None:
    from models.backend import bring_up
    from models.crops.estimators.by_name import FAMILIES

    if any(options.kind(name) not in FAMILIES for name in options.models):
        bring_up()


def _folds_table(parcel_ids: list[str], fold: np.ndarray, group: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame(
        {"parcel_id": parcel_ids, "fold": fold.astype(np.int32), "group": group.astype(np.int32)}
    )
