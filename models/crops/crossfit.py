"""Cross-fitting: every parcel's probabilities come from models, and weights, that never saw its label."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xarray as xr

from features.accounting import Tally, tally
from features.errors import ModelError
from features.files import atomic_path, fingerprint, sha256, write_json
from models.crops.catalogue import FAMILIES, estimator_type
from models.crops.combination import combine, learn_weights
from models.crops.estimator import RECIPE, CropEstimator
from models.crops.imbalance import Training, balance
from models.crops.inputs import CONTEXT, seen, take
from models.crops.options import TrainOptions
from models.labels import SUSPECTS, find_suspects

ENSEMBLE = "ensemble"
JOB = "job.json"
HELD_OUT = "held_out.parquet"
KEYS = ("parcel_id", "model", "fold")
Progress = Callable[[int, int], None]
Job = tuple[str, tuple[int, ...]]  # a model and the folds it is fitted without
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
        themselves. Empty with fewer than three folds or a combination that learns nothing.
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
    """

    probabilities: pl.DataFrame
    inner: pl.DataFrame
    weights: pl.DataFrame
    classes: pl.DataFrame
    models: dict[str, dict[int, CropEstimator]]
    timing: pl.DataFrame
    suspects: pl.DataFrame
    tally: Tally


@dataclass(frozen=True)
class Task:
    """What all jobs share: the parcels, their classes and folds, and which may be trained on."""

    series: xr.Dataset
    y: np.ndarray  # (n,) str; "" where there is none to train on
    folds: np.ndarray  # (n,) int; -1 where the parcel is not trained on
    options: TrainOptions
    classes: tuple[str, ...]
    digest: str
    suspects: dict[tuple[int, ...], pl.DataFrame] = field(default_factory=dict)

    @property
    def fold_numbers(self) -> list[int]:
        """The folds in use."""
        return [int(k) for k in np.unique(self.folds) if k >= 0]

    def rows_of(self, held: Sequence[int]) -> np.ndarray:
        """Return the parcels that a job without the folds `held` did not train on."""
        return np.flatnonzero(np.isin(self.folds, [*held, -1]))


@dataclass(frozen=True)
class Fitted:
    """One finished job."""

    model: CropEstimator | None
    rows: np.ndarray
    probabilities: np.ndarray  # (rows, class of the task)
    seconds: tuple[float, float]


def cross_fit(
    series: xr.Dataset,
    y: Sequence[str | None],
    folds: np.ndarray,
    options: TrainOptions,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> CrossFit:
    """Fit every model once a fold and predict what it did not see.

    Parameters
    ----------
    series
        ParcelSeries of `n` parcels, gap-filled or not.
    y
        `(n,)` declared classes; None where there is none.
    folds
        `(n,)` from `models.splits`; -1 for a parcel that is not to be trained on.
    folder
        Where each finished fit is kept (`<model>/fold_<k>`), so that a second call does nothing twice.
    progress
        Called with fits done and in all.

    Raises
    ------
    ModelError
        With fewer than two folds, two classes, or nothing observed at all.
    """
    labels = np.array([name or "" for name in y])
    known = seen(series)
    table = class_table(labels, np.where(known, folds, -1), options.least_parcels)
    task = _task(take(series, known), labels[known], np.asarray(folds)[known], options, table)
    jobs = [(name, held) for name in options.models for held in held_sets(task)]
    if options.labels.method != "keep":
        task.suspects.update(_suspects(task))
    fitted = _run_all(task, jobs, folder, progress)
    accounts = tally("train", "parcels", [None if ok else "nothing_observed" for ok in known])
    log.info("%s", accounts)
    return _gather(task, fitted, table, accounts)


def class_table(y: np.ndarray, folds: np.ndarray, least: int) -> pl.DataFrame:
    """Say of each class whether it can be trained on: enough parcels, and in more than one fold."""
    rows = []
    for name in sorted(set(y.tolist()) - {""}):
        member = (y == name) & (folds >= 0)
        count, spread = int(member.sum()), len(np.unique(folds[member]))
        reason = "too_few_parcels" if count < least else "in_one_fold_only" if spread < 2 else None
        rows.append((name, count, spread, reason is None, reason))
    schema = {
        "crop_class": pl.String,
        "parcels": pl.Int32,
        "folds": pl.Int32,
        "trained": pl.Boolean,
        "reason": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def held_sets(task: Task) -> list[tuple[int, ...]]:
    """Return the folds each job leaves out: one a fold, and pairs where the ensemble's weights are learnt.

    The weights for fold k are learnt on its partner's predictions by a model that saw neither: three extra
    fits for five folds.
    """
    numbers = task.fold_numbers
    singles: list[tuple[int, ...]] = [(k,) for k in numbers]
    return singles + sorted(set(partners(task).values()))


def partners(task: Task) -> dict[int, tuple[int, int]]:
    """Return for each fold the pair it is left out with; empty where no weights are to be learnt."""
    numbers = task.fold_numbers
    if task.options.combination != "learnt" or len(task.options.models) < 2 or len(numbers) < 3:
        return {}
    found = {}
    for first, second in zip(numbers[::2], numbers[1::2], strict=False):
        found[first] = found[second] = (first, second)
    if len(numbers) % 2:
        found[numbers[-1]] = (numbers[0], numbers[-1])
    return found


def _task(
    series: xr.Dataset, y: np.ndarray, folds: np.ndarray, options: TrainOptions, table: pl.DataFrame
) -> Task:
    classes = tuple(table.filter("trained")["crop_class"].to_list())
    folds = np.where(np.isin(y, classes), folds, -1)
    task = Task(
        series, np.where(folds >= 0, y, ""), folds, options, classes, _digest(series, y, folds, options)
    )
    if len(classes) < 2 or len(task.fold_numbers) < 2:
        why = ", ".join(
            f"{row['crop_class']}: {row['reason']}" for row in table.rows(named=True) if row["reason"]
        )
        raise ModelError(
            f"Training needs two classes and two folds; {len(classes)} classes in "
            f"{len(task.fold_numbers)} folds are "
            f"left ({why or 'no parcel has a class'}). Give more parcels, coarser classes "
            "or a lower least_parcels."
        )
    return task


def _digest(series: xr.Dataset, y: np.ndarray, folds: np.ndarray, options: TrainOptions) -> str:
    names = [name for name in ("value", "observed", CONTEXT) if name in series]
    parts = [
        fingerprint([str(v) for v in series[axis].values])
        for axis in ("parcel", "time", "feature", "statistic")
    ]
    parts += [
        hashlib.sha256(np.ascontiguousarray(series[name].values).tobytes()).hexdigest() for name in names
    ]
    chosen = [options.balance.model_dump(), options.labels.model_dump()]
    return fingerprint([*parts, y.tolist(), folds.tolist(), *chosen])


def _run_all(
    task: Task, jobs: list[Job], folder: Path | None, progress: Progress | None
) -> dict[Job, Fitted]:
    """Run the jobs side by side, a thread each; trees first, for their threads and networks' would spin."""
    fitted: dict[Job, Fitted] = {}
    for trees in (True, False):
        phase = [job for job in jobs if (task.options.kind(job[0]) in FAMILIES) == trees]
        with ThreadPoolExecutor(task.options.threads) as pool:
            futures = {pool.submit(_run, task, *job, folder): job for job in phase}
            try:
                for future in as_completed(futures):
                    fitted[futures[future]] = future.result()
                    if progress:
                        progress(len(fitted), len(jobs))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return {job: fitted[job] for job in jobs}


def _run(task: Task, name: str, held: tuple[int, ...], folder: Path | None) -> Fitted:
    place = folder / name / ("fold_" + "_".join(map(str, held))) if folder else None
    key = fingerprint(
        [task.digest, name, held, task.options.estimator(name, held[0]).settings.model_dump(mode="json")]
    )
    if place and (before := _resumed(task, name, held, place, key)):
        return before
    fitted = _fit(task, name, held)
    if place and fitted.model:
        _keep(task, fitted, place, key)
    return fitted


def _fit(task: Task, name: str, held: tuple[int, ...]) -> Fitted:
    started = time.perf_counter()
    model = task.options.estimator(name, held[0])
    rng = np.random.default_rng([task.options.seed, *held])
    training = balance(training_of(task, held), task.options.balance, rng)
    model.fit(training.series, training.y, training.weight)
    middle = time.perf_counter()
    rows = task.rows_of(held)
    probabilities = on_classes(model.predict_proba(take(task.series, rows)), model.classes_, task.classes)
    seconds = (middle - started, time.perf_counter() - middle)
    log.info("%s without fold %s: fitted on %d parcels in %.1f s", name, held, len(training.y), seconds[0])
    return Fitted(model, rows, probabilities, seconds)


def training_of(task: Task, held: Sequence[int]) -> Training:
    """Return what a job without the folds `held` may see."""
    rows = np.flatnonzero((task.folds >= 0) & ~np.isin(task.folds, held))
    suspects = task.suspects.get(tuple(held))
    weight = np.ones(len(rows)) if suspects is None else suspects["weight"].to_numpy()
    return Training(take(task.series, rows), task.y[rows], weight)


def _suspects(task: Task) -> dict[tuple[int, ...], pl.DataFrame]:
    """Look for doubtful labels in the training parcels of each job, by their own folds."""

    def look(held: tuple[int, ...]) -> pl.DataFrame:
        training = training_of(task, held)
        folds = task.folds[(task.folds >= 0) & ~np.isin(task.folds, held)]
        return find_suspects(training.series, training.y, folds, task.options.labels, task.options.seed)

    sets = held_sets(task)
    with ThreadPoolExecutor(task.options.threads) as pool:
        return dict(zip(sets, pool.map(look, sets), strict=True))


def on_classes(probabilities: np.ndarray, found: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return the columns in the order of `classes`; a class that the model never saw has probability 0."""
    full = np.zeros((len(probabilities), len(classes)))
    full[:, np.searchsorted(classes, found)] = probabilities
    return full


def _keep(task: Task, fitted: Fitted, place: Path, key: str) -> None:
    assert fitted.model is not None
    place.mkdir(parents=True, exist_ok=True)
    recipe = fitted.model.save(place)
    columns = dict(zip(task.classes, fitted.probabilities.T, strict=True))
    with atomic_path(place / HELD_OUT) as partial:
        pl.DataFrame({"row": fitted.rows, **columns}).write_parquet(partial)
    hashes = {RECIPE: sha256(recipe), HELD_OUT: sha256(place / HELD_OUT)}
    write_json(place / JOB, {"key": key, "sha256": hashes, "seconds": list(fitted.seconds)})


def _resumed(task: Task, name: str, held: tuple[int, ...], place: Path, key: str) -> Fitted | None:
    """Return a fit that an earlier call finished on the same inputs, if there is one."""
    if not (place / JOB).is_file():
        return None
    job: dict[str, Any] = json.loads((place / JOB).read_text(encoding="utf-8"))
    if job["key"] != key or sha256(place / HELD_OUT) != job["sha256"][HELD_OUT]:
        return None
    table = pl.read_parquet(place / HELD_OUT)
    kind = estimator_type(task.options.kind(name))
    model = kind.load(place, job["sha256"][RECIPE]) if kind.storable else None
    seconds = (float(job["seconds"][0]), float(job["seconds"][1]))
    return Fitted(model, table["row"].to_numpy(), table.select(task.classes).to_numpy(), seconds)


def _gather(task: Task, fitted: dict[Job, Fitted], table: pl.DataFrame, accounts: Tally) -> CrossFit:
    names, pairs = list(task.options.models), partners(task)
    n = len(task.y)
    single = {k: np.stack([_spread(fitted[name, (k,)], n) for name in names]) for k in task.fold_numbers}
    weights, inner = {}, []
    for k in task.fold_numbers:
        weights[k] = np.full(len(names), 1 / len(names))
        if k in pairs:
            rows = np.flatnonzero(np.isin(task.folds, pairs[k]) & (task.folds != k))
            inside = np.stack([_spread(fitted[name, pairs[k]], n)[rows] for name in names])
            weights[k] = learn_weights(inside, np.searchsorted(task.classes, task.y[rows]))
            inner.append(_rows(task, rows, np.full(len(rows), k), names, inside, combine(inside, weights[k])))
    outer = np.stack([_merge(task, {k: single[k][m] for k in single}) for m in range(len(names))])
    ensemble = _merge(task, {k: combine(single[k], weights[k]) for k in single})
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
