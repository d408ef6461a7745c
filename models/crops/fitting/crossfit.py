"""Cross-fitting: each parcel's probabilities come from models and weights fitted without its label."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import xarray as xr

from features.accounting import Tally, tally
from features.schema import ENSEMBLE
from features.storage.scratch import scratch_folder
from features.workers import Executor, Progress, in_threads, one_by_one
from models.crops.estimators.estimator import CropEstimator
from models.crops.fitting import fits, predictions
from models.crops.fitting.bundle import Bundle
from models.crops.fitting.combination import combine, learn_weights
from models.crops.fitting.fits import FitUnit, Job
from models.crops.fitting.kept import Fit
from models.crops.fitting.labels import SUSPECTS, SuspectUnit, run_suspects
from models.crops.fitting.options import TrainOptions
from models.crops.fitting.predictions import Predictions
from models.crops.fitting.task import (
    Looked,
    Task,
    class_table,
    held_sets,
    known_classes,
    look,
    make_task,
    partners,
)
from models.crops.inputs.imbalance import weights_of
from models.crops.inputs.source import InMemory, SeriesSource

PREDICTIONS = "predictions"  # folder of what fits predict, until the tables are made of it
SAMPLE = "sample.nc"
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


@dataclass(frozen=True)
class OutOfFold:
    """The same as CrossFit, its tables still on disk: they come in blocks of some parcels.

    Attributes
    ----------
    task
        Parcels, classes and folds.
    of_ensemble
        By fold, `(model,)` the ensemble's weights.
    classes, models, timing, suspects, tally, trained_on
        As in CrossFit.
    predictions
        What every fit predicts.
    """

    task: Task
    of_ensemble: dict[int, np.ndarray]
    classes: pl.DataFrame
    models: dict[str, dict[int, CropEstimator]]
    timing: pl.DataFrame
    suspects: pl.DataFrame
    trained_on: int
    predictions: Predictions

    @property
    def names(self) -> list[str]:
        """Names of the models."""
        return list(self.task.options.models)

    @property
    def weights(self) -> pl.DataFrame:
        """`fold, model, weight` of the ensemble."""
        rows = [
            (k, name, float(weight))
            for k, weights in self.of_ensemble.items()
            for name, weight in zip(self.names, weights, strict=True)
        ]
        schema = {"fold": pl.Int32, "model": pl.String, "weight": pl.Float64}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def tally(self, own: int | None = None) -> Tally:
        """Count the first `own` parcels, or all, in and out."""
        known = self.task.looked.known[:own]
        return tally("train", "parcels", [None if ok else "nothing_observed" for ok in known])

    def agreement(self) -> float:
        """Return the share of the parcels, each judged by models without its fold, that look as declared."""
        right = total = 0
        for parcels in self.task.chunks:
            mine = self.task.folds[parcels] >= 0
            best = self._of_model(parcels, ENSEMBLE)[mine].argmax(1)
            declared = np.searchsorted(self.task.classes, self.task.y[parcels][mine])
            right, total = right + int((best == declared).sum()), total + int(mine.sum())
        return round(right / total, 6) if total else 0.0

    def probabilities(
        self, rows: np.ndarray | None = None, model: str | None = None
    ) -> Iterator[pl.DataFrame]:
        """Yield `CrossFit.probabilities` in blocks: model after model, in each the parcels in order.

        Parameters
        ----------
        rows
            `(n,)` bool: the parcels that are wanted; all when omitted.
        model
            One of the models, or `ensemble`, alone.
        """
        for name in [*self.names, ENSEMBLE] if model is None else [model]:
            for parcels in self.task.chunks:
                chosen = self.task.looked.known[parcels] & (True if rows is None else rows[parcels])
                values = self._of_model(parcels, name)[chosen]
                yield self._rows(parcels, chosen, self.task.folds[parcels][chosen], name, values)

    def inner(self, rows: np.ndarray | None = None) -> Iterator[pl.DataFrame]:
        """Yield `CrossFit.inner` in blocks, of all parcels or those of a bool `(parcel)`: fold after fold,
        in each model after model.
        """
        yield self._rows(
            slice(0, 0), np.zeros(0, bool), np.zeros(0, int), ENSEMBLE, np.empty((0, len(self.task.classes)))
        )
        for k, pair in partners(self.task).items():
            for name in [*self.names, ENSEMBLE]:
                for parcels in self.task.chunks:
                    chosen = self._partners(parcels, k, pair) & (True if rows is None else rows[parcels])
                    values = self._of_pair(parcels, name, k, pair)[chosen]
                    yield self._rows(parcels, chosen, np.full(chosen.sum(), k), name, values)

    def learned_from(self) -> Iterator[pl.DataFrame]:
        """Yield the probabilities of the parcels that were learned from."""
        rows = np.zeros(len(self.task.y), bool)
        rows[self.task.learned] = True
        return self.probabilities(rows)

    def _of_model(self, parcels: slice, name: str) -> np.ndarray:
        """Return `(parcel, class)`: by the fit without the parcel's fold, or the mean of all where it has
        none.
        """
        folds = self.task.folds[parcels]
        by_fold = {k: self._of_fold(parcels, name, k) for k in self.task.fold_numbers}
        merged = np.mean(list(by_fold.values()), axis=0)
        for k, values in by_fold.items():
            merged[folds == k] = values[folds == k]
        if name == ENSEMBLE and self.task.start and self.task.loads:
            merged = self.task.start.calibrator.apply(merged)
        return np.asarray(merged)

    def _of_fold(self, parcels: slice, name: str, k: int) -> np.ndarray:
        if name != ENSEMBLE:
            return self.predictions.of(parcels.start, (name, (k,)))
        return combine(stacked(self.predictions, self.names, parcels, (k,)), self.of_ensemble[k])

    def _of_pair(self, parcels: slice, name: str, k: int, pair: tuple[int, int]) -> np.ndarray:
        if name != ENSEMBLE:
            return self.predictions.of(parcels.start, (name, pair))
        return combine(stacked(self.predictions, self.names, parcels, pair), self.of_ensemble[k])

    def _partners(self, parcels: slice, k: int, pair: tuple[int, int]) -> np.ndarray:
        folds = self.task.folds[parcels]
        return np.asarray(np.isin(folds, pair) & (folds != k))

    def _rows(
        self, parcels: slice, chosen: np.ndarray, folds: np.ndarray, name: str, values: np.ndarray
    ) -> pl.DataFrame:
        ids = self.task.names[parcels][chosen].tolist()
        keys = pl.DataFrame(
            {"parcel_id": ids, "model": [name] * len(ids), "fold": folds},
            schema={"parcel_id": pl.String, "model": pl.String, "fold": pl.Int32},
        )
        return keys.with_columns(
            pl.Series(c, values[:, i], pl.Float64) for i, c in enumerate(self.task.classes)
        )

    def in_memory(self) -> CrossFit:
        """Return all of it, read."""
        return CrossFit(
            probabilities=pl.concat(self.probabilities()),
            inner=pl.concat(self.inner()),
            weights=self.weights,
            classes=self.classes,
            models=self.models,
            timing=self.timing,
            suspects=self.suspects,
            tally=self.tally(),
            trained_on=self.trained_on,
        )


def stacked(
    predictions: Predictions, names: Sequence[str], parcels: slice, held: tuple[int, ...]
) -> np.ndarray:
    """Return `(model, parcel, class)` what the models that were fitted without `held` predict."""
    return np.stack([predictions.of(parcels.start, (name, held)) for name in names])


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
    that fold; everything is held in memory.

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
        Called with the work units done and in all: fits, then chunks of predictions.
    start
        Models of another run, in place of those that the options name: taken as they are, or trained
        further, with the classes that can be trained on here beside their own, as `options.transfer.use`
        says.
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
    with ExitStack() as stack:
        place = folder or stack.enter_context(scratch_folder())
        work = stack.enter_context(scratch_folder())
        found = cross_fit_stored(
            InMemory(series), y, folds, options, place, work, None, progress, start, holdings, kept
        )
        return found.in_memory()


def cross_fit_stored(
    source: SeriesSource,
    y: Sequence[str | None],
    folds: np.ndarray,
    options: TrainOptions,
    folder: Path,
    work: Path,
    executor: Executor | None = None,
    progress: Progress | None = None,
    start: Bundle | None = None,
    holdings: np.ndarray | None = None,
    kept: Fit | None = None,
    looked: Looked | None = None,
) -> OutOfFold:
    """Cross-fit as `cross_fit` does, with memory bounded by the sample and a chunk of parcels; `folds` is
    `(parcel)`.

    Parameters
    ----------
    source
        Series of all parcels.
    folder, work
        Where models are kept, and where predictions are, as long as the result is used.
    executor
        Runs fits and chunks of predictions; threads of this process (`options.threads`) when omitted. Other
        processes read series from files, and see `folder` and `work` under the same paths.
    looked
        What `first_look` told of the source that it returned; called here when omitted.
    """
    labels = np.array([name or "" for name in y])
    if looked is None:
        source, looked = first_look(source, len(labels), options, executor)
    here = _here(executor)
    run = in_threads(options.threads) if here or executor is None else executor
    usable = np.where(looked.known, folds, -1)
    if start is not None:
        options = options.model_copy(update={"models": start.models})
    classes = kept.classes if kept else start.classes if start else None
    if classes is None:
        table = class_table(labels, usable, options.least_parcels)
    else:
        learns = kept is None and options.transfer.use == "tune"
        least = options.least_parcels if kept or learns else 0
        table = known_classes(labels, usable, classes, least, learns)
    file = None if here else work / SAMPLE
    task = make_task(source, looked, labels, np.asarray(folds), options, table, start, holdings, file, kept)
    if options.labels.method != "keep" and not task.loads and not kept:
        task.suspects.update(_suspects(task, run))
    jobs = [(name, held) for name in options.models for held in held_sets(task)]
    units = fits.units_of(task, jobs, folder)
    with fits.models_held(units):
        found = _run(task, units, work / PREDICTIONS, run, progress)
        models = _models(options.models, units)
    predictions.let_go()
    log.info("%d parcels were learned from", len(task.learned))
    return OutOfFold(
        task=task,
        of_ensemble=_weights(task, found.predictions),
        classes=table,
        models=models,
        timing=_timing(found.seconds),
        suspects=_recorded(task),
        trained_on=kept.parcels if kept else len(task.learned),
        predictions=found.predictions,
    )


def first_look(
    source: SeriesSource, total: int, options: TrainOptions, executor: Executor | None = None
) -> tuple[SeriesSource, Looked]:
    """Read all series once; return what reads them from now on, and what was seen.

    Where all are learned from, in this process, they are held.
    """
    source = held(source, total, options, executor)
    return source, look(source, total, options.chunk)


def held(
    source: SeriesSource, total: int, options: TrainOptions, executor: Executor | None = None
) -> SeriesSource:
    """Return what reads the series of `total` parcels from memory, where all are learned from in this
    process; else the source as it is.
    """
    if not _here(executor) or isinstance(source, InMemory) or total > options.sample.size:
        return source
    return InMemory(source.read(slice(0, total)))


def _here(executor: Executor | None) -> bool:
    """Whether work units run in this process."""
    return executor is None or executor is one_by_one


@dataclass(frozen=True)
class _Ran:
    predictions: Predictions
    seconds: dict[Job, list[float]]  # to fit and to predict


def _run(
    task: Task, units: list[FitUnit], folder: Path, executor: Executor, progress: Progress | None
) -> _Ran:
    """Run all fits, then all predictions."""
    folder.mkdir(parents=True, exist_ok=True)
    chunks = predictions.units_of(task, units, folder)
    seconds = {unit.job: [0.0, 0.0] for unit in units}
    done, total = 0, len(units) + len(chunks)
    for fitted in fits.run_fits(units, executor):
        seconds[fitted.job][0] = fitted.seconds
        done += 1
        if progress:
            progress(done, total)
    for took in executor(predictions.run_chunk, chunks):
        for job, amount in took:
            seconds[job][1] += amount
        done += 1
        if progress:
            progress(done, total)
    return _Ran(Predictions(chunks), seconds)


def _suspects(task: Task, executor: Executor) -> dict[tuple[int, ...], pl.DataFrame]:
    """Find suspect labels among the training parcels of each job, by their own folds."""
    units, sets = [], held_sets(task)
    for held in sets:
        rows = task.chosen(held)
        at = task.learned[rows]
        units.append(
            SuspectUnit(
                held, task.sample, rows, task.y[at], task.folds[at], task.options.labels, task.options.seed
            )
        )
    found = dict(executor(run_suspects, units))
    return {held: found[held] for held in sets}


def _weights(task: Task, predictions: Predictions) -> dict[int, np.ndarray]:
    """Return the ensemble's weights by fold, learned on the predictions for its partner fold; where a sample
    was drawn, for the parcels of the sample.
    """
    names, pairs = list(task.options.models), partners(task)
    weights = {
        k: task.start.weights_of(k) if task.start else np.full(len(names), 1 / len(names))
        for k in task.fold_numbers
    }
    for k, pair in pairs.items():
        inside, rows = [], []
        folds = task.folds[task.learned]
        mine = np.flatnonzero(np.isin(folds, pair) & (folds != k))
        for parcels in task.chunks:
            at = task.learned[mine]
            some = at[(at >= parcels.start) & (at < parcels.stop)]
            inside.append(stacked(predictions, names, parcels, pair)[:, some - parcels.start])
            rows.append(some)
        at = np.concatenate(rows)
        counted = weights_of(task.y[at], task.options.balance)
        counted = counted * task.weight[mine] if task.sampled else counted
        codes = np.searchsorted(task.classes, task.y[at])
        together = np.ascontiguousarray(np.concatenate(inside, axis=1))  # sums follow the order in memory
        weights[k] = learn_weights(together, codes, counted)
    return weights


def _timing(seconds: Mapping[Job, Sequence[float]]) -> pl.DataFrame:
    rows = [(name, held[0], *took) for (name, held), took in seconds.items() if len(held) == 1]
    schema = {"model": pl.String, "fold": pl.Int64, "fit_seconds": pl.Float64, "predict_seconds": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _recorded(task: Task) -> pl.DataFrame:
    tables = [
        table.with_columns(held_out=pl.lit(held[0], pl.Int32))
        for held, table in task.suspects.items()
        if len(held) == 1
    ]
    return pl.concat(tables) if tables else pl.DataFrame(schema={**SUSPECTS, "held_out": pl.Int32})


def _models(
    names: Sequence[str] | Mapping[str, object], units: list[FitUnit]
) -> dict[str, dict[int, CropEstimator]]:
    found: dict[str, dict[int, CropEstimator]] = {name: {} for name in names}
    for unit in units:
        if len(unit.held) == 1:
            found[unit.name][unit.held[0]] = fits.model_of(unit)
    return found
