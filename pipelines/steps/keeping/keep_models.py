"""The season's crop models: kept while images come in, fitted anew where the rule of `train.keep` says so."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from features.files import read_parquet
from features.workers import Executor, Progress
from models.crops.fitting.carried_folds import kept_folds
from models.crops.fitting.crossfit import OutOfFold, cross_fit_stored, first_look
from models.crops.fitting.kept import (
    FIT,
    FOLDER,
    Fit,
    Images,
    axes_of,
    files_of,
    fitted_parcels,
    read_fit,
    suspects_of,
    why_not,
    write_fit,
)
from models.crops.fitting.options import TrainOptions
from models.crops.fitting.task import class_table
from models.folds import FoldPlan
from pipelines.inputs.model_series import LearningSet
from pipelines.record.inputs import Entries
from pipelines.steps.keeping.stands_on import stands_on_of
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from models.crops.fitting.bundle import Bundle

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitting:
    """What cross-fitting gave, under which folds, and what the record says of the models."""

    found: OutOfFold
    plan: FoldPlan
    facts: dict[str, Any]

    @property
    def kept(self) -> bool:
        """Whether the models were there before, and predicted as they were."""
        return bool(self.facts.get("fit", {}).get("kept"))


def fit_or_keep(
    made_with: Mapping[str, Entries],
    options: TrainOptions,
    workspace: Workspace,
    learnt: LearningSet,
    plan: FoldPlan,
    start: "Bundle | None",
    holdings: np.ndarray,
    work: Path,
    progress: Progress,
    executor: Executor | None = None,
) -> Fitting:
    """Predict every parcel out of fold: by the models that this run has, as long as they may be kept, else by
    models that are fitted now.

    Parameters
    ----------
    made_with
        What the train stage and those before it stand on, by stage and name.
    start
        Models of another run that fitting begins with.
    holdings
        `(parcel,)` numbers.
    work
        Folder of the predictions, as long as what is returned is used.
    executor
        Runs fits and chunks of predictions.
    """
    stands_on, images = stands_on_of(made_with), images_of(workspace)
    every = _classes(learnt)
    source, looked = first_look(learnt.source, len(every), options, executor)

    def cross_fit(fold: np.ndarray, kept: Fit | None = None) -> OutOfFold:
        return cross_fit_stored(
            source, every, fold, options, workspace.models.absolute(), work, executor, progress, start,
            holdings, kept, looked,
        )  # fmt: skip

    axes, seen = axes_of(source.read(slice(0, 0))), np.flatnonzero(looked.steps).tolist()
    before = read_fit(workspace.models) if start is None or options.transfer.use != "load" else None
    why = ""
    if before is None and (workspace.models / FOLDER / FIT).is_file():
        why = "what the models that are there were fitted on is not whole, or of an earlier version"
    if before is not None:
        kept = kept_folds(plan, learnt.declarations, fitted_parcels(workspace.models))
        folds = [int(k) for k in np.unique(kept.fold) if k >= 0]
        trainable = class_table(np.array([name or "" for name in every]), kept.fold, options.least_parcels)
        classes = trainable.filter("trained")["crop_class"].to_list()
        why = why_not(before, workspace.models, options, stands_on, axes, seen, images, classes, folds)
        if not why:
            found = cross_fit(kept.fold, before)
            now = found.agreement()
            if before.agreement - now <= options.keep.most_loss:
                said = _said(before, images, kept=True, agreement=now)
                return Fitting(found, kept, said)
            why = (
                f"{now:.1%} of the parcels look as declared to them, {before.agreement:.1%} did; "
                f"train.keep.most_loss allows {options.keep.most_loss:.1%} less"
            )
    if why:
        log.info("The crop models are fitted anew: %s.", why)
    found = cross_fit(plan.fold)
    if start is not None and options.transfer.use == "load":
        return Fitting(found, plan, {})
    fit = Fit(
        stands_on=dict(stands_on),
        axes=axes,
        seen=seen,
        images={sensor: list(times) for sensor, times in images.items()},
        classes=list(found.task.classes),
        folds=found.task.fold_numbers,
        parcels=found.trained_on,
        agreement=found.agreement(),
        files=files_of(workspace.models, options),
    )
    write_fit(workspace.models, fit, learnt.declarations, plan.fold, found.suspects)
    return Fitting(found, plan, _said(fit, images, kept=False, agreement=fit.agreement, why=why))


def images_of(workspace: Workspace) -> dict[str, list[str]]:
    """Return the times of the acquisitions that the series were made of, by sensor, in order."""
    dates = read_parquet(workspace.table("dates")).select("sensor", "datetime").sort("sensor", "datetime")
    return {
        str(sensor): [when.isoformat(timespec="seconds") for when in rows["datetime"]]
        for (sensor,), rows in dates.group_by("sensor", maintain_order=True)
    }


def kept_suspects(fitting: Fitting, workspace: Workspace) -> pl.DataFrame:
    """Return what label cleaning saw when the models were fitted."""
    return suspects_of(workspace.models) if fitting.kept else fitting.found.suspects


def _classes(learnt: LearningSet) -> list[str | None]:
    declared = learnt.declarations["crop_class"]
    found: list[str | None] = declared.astype(object).where(declared.notna(), None).tolist()
    return found


def _said(fit: Fit, images: Images, *, kept: bool, agreement: float, why: str = "") -> dict[str, Any]:
    """Return what receipt, pages and `status` say of the models."""
    return {
        "fit": {
            "kept": kept,
            "why_fitted": why,
            "until": fit.until,
            "images": {sensor: len(times) for sensor, times in fit.images.items()},
            "newer": fit.newer(images),
            "parcels": fit.parcels,
            "agreement": {"fitted": fit.agreement, "now": agreement},
            "digest": fit.digest[:16],
        }
    }
