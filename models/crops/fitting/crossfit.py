"""Cross-fitting: each parcel's probabilities come from models and weights fitted without its label."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import xarray as xr

from features.accounting import Tally, tally
from features.schema import ENSEMBLE
from features.workers import Progress
from models.crops.estimators.estimator import CropEstimator
from models.crops.fitting.bundle import Bundle
from models.crops.fitting.combination import combine, learn_weights
from models.crops.fitting.fits import Fitted, Job, run_all
from models.crops.fitting.kept import Fit
from models.crops.fitting.labels import SUSPECTS, find_suspects
from models.crops.fitting.options import TrainOptions
from models.crops.fitting.task import (
    Task,
    class_table,
    held_sets,
    known_classes,
    make_task,
    partners,
    training_of,
)
from models.crops.inputs.arrays import seen, take
from models.crops.inputs.imbalance import weights_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CrossFit:
    """What cross-fitting gives.

    Attributes
    ----------
    probabilities
        `parcel_id, model, fold`, then one Float64 column a class; a block of rows a model and one of
        `ensemble`. `fold` is -1 where the parcel was not trained on: all folds' mean.
    inner
        The same columns, for learning from predictions without seeing the labels of the fold that is to be
        judged: rows of `fold` k were predicted by models that saw no label of fold k, and are not of fold k
        themselves. Empty with fewer than three folds or a combination without learned weights.
    weights
        `fold, model, weight` of the ensemble.
    classes
        `crop_class, parcels, folds, trained, reason`.
    models
        Fitted estimators by name and fold.
    timing
        `model, fold, fit_seconds, predict_seconds`; fold is that held out.
    suspects
        Schema SUSPECTS and `held_out`: what label cleaning saw of each training parcel when that fold was
        held out; empty where labels are kept as they are.
    tally
        Parcels in; predicted, or set aside because nothing was observed.
    trained_on
        Parcels that models were trained on, all folds together; fewer than have a class where a sample was
        drawn.
    """

    probabilities: pl.DataFrame
    inner: pl.DataFrame
    weights: pl.DataFrame
    classes: pl.DataFrame
    models: dict[str, dict[int, CropEstimator]]
    timing: pl.DataFrame
    suspects: pl.DataFrame
    tally: Tally
    trained_on: int

    def only(self, parcel_ids: Sequence[str]) -> "CrossFit":
        """Return what was found of these parcels; classes, weights and models are those of all."""
        kept = pl.col("parcel_id").is_in(list(parcel_ids))
        known = set(self.probabilities["parcel_id"])
        reasons = [None if name in known else "nothing_observed" for name in parcel_ids]
        return replace(
            self,
            probabilities=self.probabilities.filter(kept),
            inner=self.inner.filter(kept),
            suspects=self.suspects.filter(kept),
            tally=tally("train", "parcels", reasons),
        )


def cross_fit(
    series: xr.Dataset,
    y: Sequence[str | None],
    folds: np.ndarray,
    options: TrainOptions,
    folder: Path | None = None,
    progress: Progress | None = None,
    start: Bundle | None = None,
    holdings: np.ndarray | None = None,
    kept: Fit | None = None,
) -> CrossFit:
    """Fit every model once per fold, on a sample where there are many parcels, and predict all parcels of
    that fold.

    Parameters
    ----------
    series
        ParcelSeries of `n` parcels, gap-filled or not.
    y
        `(n,)` declared classes; None where there is none.
    folds
        `(n,)` from `models.folds`; -1 for a parcel that is not to be trained on.
    folder
        Where each finished fit is kept (`<model>/fold_<k>`), so that a second call does nothing twice.
    progress
        Called with fits done and in all.
    start
        Models of another run, in place of those that the options name: taken as they are, or trained
        further, as `options.transfer.use` says.
    holdings
        `(n,)` numbers: what a sample of the parcels draws whole.
    kept
        What the models in `folder` were fitted on: they predict as they are, and none is fitted. Weights of
        the ensemble are learned anew, on the new predictions.

    Raises
    ------
    ModelError
        With fewer than two folds, two classes, or nothing observed at all.
    """
    labels = np.array([name or "" for name in y])
    known = seen(series)
    usable = np.where(known, folds, -1)
    if start is not None:
        options = options.model_copy(update={"models": start.models})
    classes = kept.classes if kept else start.classes if start else None
    if classes is None:
        table = class_table(labels, usable, options.least_parcels)
    else:
        table = known_classes(labels, usable, classes)
    owners = None if holdings is None else holdings[known]
    task = make_task(
        take(series, known), labels[known], np.asarray(folds)[known], options, table, start, owners, kept
    )
    jobs = [(name, held) for name in options.models for held in held_sets(task)]
    if options.labels.method != "keep" and not task.loads and not kept:
        task.suspects.update(_suspects(task))
    fitted = run_all(task, jobs, folder, progress)
    accounts = tally("train", "parcels", [None if ok else "nothing_observed" for ok in known])
    log.info("%s", accounts)
    return _gather(task, fitted, table, accounts)


def _suspects(task: Task) -> dict[tuple[int, ...], pl.DataFrame]:
    """Find suspect labels among the training parcels of each job, by their own folds."""

    def look(held: tuple[int, ...]) -> pl.DataFrame:
        training = training_of(task, held)
        folds = task.folds[task.training_rows(held)]
        return find_suspects(training.series, training.y, folds, task.options.labels, task.options.seed)

    sets = held_sets(task)
    with ThreadPoolExecutor(task.options.threads) as pool:
        return dict(zip(sets, pool.map(look, sets), strict=True))


def _gather(task: Task, fitted: dict[Job, Fitted], table: pl.DataFrame, accounts: Tally) -> CrossFit:
    names, pairs = list(task.options.models), partners(task)
    n = len(task.y)
    single = {k: np.stack([_spread(fitted[name, (k,)], n) for name in names]) for k in task.fold_numbers}
    weights, inner = {}, []
    for k in task.fold_numbers:
        weights[k] = task.start.weights_of(k) if task.start else np.full(len(names), 1 / len(names))
        if k in pairs:
            rows = np.flatnonzero(np.isin(task.folds, pairs[k]) & (task.folds != k))
            inside = np.stack([_spread(fitted[name, pairs[k]], n)[rows] for name in names])
            counted = weights_of(task.y[rows], task.options.balance)
            weights[k] = learn_weights(inside, np.searchsorted(task.classes, task.y[rows]), counted)
            inner.append(_rows(task, rows, np.full(len(rows), k), names, inside, combine(inside, weights[k])))
    outer = np.stack([_merge(task, {k: single[k][m] for k in single}) for m in range(len(names))])
    ensemble = _merge(task, {k: combine(single[k], weights[k]) for k in single})
    if task.start and task.loads:
        ensemble = task.start.calibrator.apply(ensemble)
    timing = [(name, held[0], *fit.seconds) for (name, held), fit in fitted.items() if len(held) == 1]
    return CrossFit(
        probabilities=_rows(task, np.arange(n), task.folds, names, outer, ensemble),
        inner=pl.concat(inner)
        if inner
        else _rows(task, np.arange(0), np.arange(0), names, outer[:, :0], ensemble[:0]),
        weights=pl.DataFrame(
            [(k, name, float(w)) for k in weights for name, w in zip(names, weights[k], strict=True)],
            schema={"fold": pl.Int32, "model": pl.String, "weight": pl.Float64},
            orient="row",
        ),
        classes=table,
        models=_models(names, task, fitted),
        timing=pl.DataFrame(timing, schema=["model", "fold", "fit_seconds", "predict_seconds"], orient="row"),
        suspects=_recorded(task),
        tally=accounts,
        trained_on=task.kept.parcels if task.kept else len(task.training_rows(())),
    )


def _recorded(task: Task) -> pl.DataFrame:
    tables = [
        table.with_columns(held_out=pl.lit(held[0], pl.Int32))
        for held, table in task.suspects.items()
        if len(held) == 1
    ]
    return pl.concat(tables) if tables else pl.DataFrame(schema={**SUSPECTS, "held_out": pl.Int32})


def _models(names: list[str], task: Task, fitted: dict[Job, Fitted]) -> dict[str, dict[int, CropEstimator]]:
    every = {name: {k: fitted[name, (k,)].model for k in task.fold_numbers} for name in names}
    return {name: {k: model for k, model in of.items() if model is not None} for name, of in every.items()}


def _spread(fit: Fitted, n: int) -> np.ndarray:
    """Return `(n, k)` with NaN for the parcels that the job trained on."""
    full = np.full((n, fit.probabilities.shape[1]), np.nan)
    full[fit.rows] = fit.probabilities
    return full


def _merge(task: Task, by_fold: dict[int, np.ndarray]) -> np.ndarray:
    """Return `(n, k)`: from the model without the parcel's fold, or the mean of all where it has none."""
    merged = np.mean(list(by_fold.values()), axis=0)
    for k, probabilities in by_fold.items():
        merged[task.folds == k] = probabilities[task.folds == k]
    return np.asarray(merged)


def _rows(
    task: Task,
    rows: np.ndarray,
    folds: np.ndarray,
    names: list[str],
    models: np.ndarray,
    ensemble: np.ndarray,
) -> pl.DataFrame:
    """Lay probabilities `(model, rows, k)` and the ensemble's out as the probability table."""
    ids = task.series["parcel"].values[rows].astype(str)
    blocks = []
    for name, block in [*zip(names, models, strict=True), (ENSEMBLE, ensemble)]:
        keys = pl.DataFrame(
            {"parcel_id": ids, "model": [name] * len(ids), "fold": folds},
            schema={"parcel_id": pl.String, "model": pl.String, "fold": pl.Int32},
        )
        blocks.append(
            keys.with_columns(pl.Series(c, block[:, i], pl.Float64) for i, c in enumerate(task.classes))
        )
    return pl.concat(blocks)
