"""One fit of a cross-fitting: run, kept on disk, and not done twice."""

import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.code import code_version
from features.files import atomic_path, fingerprint, read_parquet, sha256, write_json
from features.workers import Progress
from models.crops.estimators.by_name import FAMILIES, estimator_type
from models.crops.estimators.estimator import CropEstimator
from models.crops.estimators.options import RECIPE
from models.crops.fitting.kept import Fit
from models.crops.fitting.task import Task, on_classes, training_of
from models.crops.inputs.arrays import take
from models.crops.inputs.imbalance import balance

JOB = "job.json"
HELD_OUT = "held_out.parquet"
PREDICTED_AT_ONCE = 16_384  # parcels; networks predict 1,024 together, of which this is a multiple
CODE = "models.crops.fitting.fits"  # with all that it imports: what a fit depends on
Job = tuple[str, tuple[int, ...]]  # a model and the folds it is fitted without
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitted:
    """One finished job."""

    model: CropEstimator | None
    rows: np.ndarray
    probabilities: np.ndarray  # (rows, class of the task)
    seconds: tuple[float, float]


def run_all(task: Task, jobs: list[Job], folder: Path | None, progress: Progress | None) -> dict[Job, Fitted]:
    """Run the jobs in parallel, one thread each; trees first, as they would compete with networks."""
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
    settings = task.options.estimator(name, held[0]).settings.model_dump(mode="json")
    kept = [task.kept.digest] if task.kept else []
    key = fingerprint([code_version(CODE), task.digest, name, held, settings, *kept])
    if place and (before := _resumed(task, name, held, place, key)):
        return before
    if place and task.kept:
        return _predicted_anew(task, task.kept, name, held, place, key)
    fitted = _fit(task, name, held)
    if place and fitted.model:
        place.mkdir(parents=True, exist_ok=True)
        _note(task, fitted, place, sha256(fitted.model.save(place)), key)
    return fitted


def _predicted_anew(task: Task, kept: Fit, name: str, held: tuple[int, ...], place: Path, key: str) -> Fitted:
    """Load a model that this run fitted before, and predict the parcels as they are now."""
    recipe = kept.files[f"{name}/{place.name}/{RECIPE}"]
    model = estimator_type(task.options.kind(name)).load(place, recipe)
    started = time.perf_counter()
    rows, probabilities = _predicted(task, model, held)
    fitted = Fitted(model, rows, probabilities, (0.0, time.perf_counter() - started))
    _note(task, fitted, place, recipe, key)
    return fitted


def _fit(task: Task, name: str, held: tuple[int, ...]) -> Fitted:
    started = time.perf_counter()
    model = _loaded(task, name, held) if task.loads else _trained(task, name, held)
    middle = time.perf_counter()
    rows, probabilities = _predicted(task, model, held)
    return Fitted(model, rows, probabilities, (middle - started, time.perf_counter() - middle))


def _predicted(task: Task, model: CropEstimator, held: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the parcels that a job was not trained on, and their probabilities `(rows, class)`."""
    rows = task.rows_of(held)
    found = [
        model.predict_proba(take(task.series, rows[start : start + PREDICTED_AT_ONCE]))
        for start in range(0, max(len(rows), 1), PREDICTED_AT_ONCE)
    ]
    return rows, on_classes(np.concatenate(found), model.classes_, task.classes)


def _loaded(task: Task, name: str, held: tuple[int, ...]) -> CropEstimator:
    assert task.start is not None
    return task.start.estimator(name, held[0])


def _trained(task: Task, name: str, held: tuple[int, ...]) -> CropEstimator:
    """Fit anew, or train another run's network further."""
    started = time.perf_counter()
    rng = np.random.default_rng([task.options.seed, *held])
    training = balance(training_of(task, held), task.options.balance, rng)
    begun = task.start is not None and estimator_type(task.options.kind(name)).tunable
    if begun:
        model = _loaded(task, name, held)
        model.tune_further(training.series, training.y, training.weight, task.options.transfer.tuning)
    else:
        model = task.options.estimator(name, held[0])
        model.fit(training.series, training.y, training.weight)
    what = ("trained further" if begun else "fitted", len(training.y), time.perf_counter() - started)
    log.info("%s without fold %s: %s on %d parcels in %.1f s", name, held, *what)
    return model


def _note(task: Task, fitted: Fitted, place: Path, recipe: str, key: str) -> None:
    """Write what a model predicted, and the note that its job has ended; `recipe` is its recipe's SHA-256."""
    columns = dict(zip(task.classes, fitted.probabilities.T, strict=True))
    with atomic_path(place / HELD_OUT) as partial:
        pl.DataFrame({"row": fitted.rows, **columns}).write_parquet(partial)
    hashes = {RECIPE: recipe, HELD_OUT: sha256(place / HELD_OUT)}
    write_json(place / JOB, {"key": key, "sha256": hashes, "seconds": list(fitted.seconds)})


def _resumed(task: Task, name: str, held: tuple[int, ...], place: Path, key: str) -> Fitted | None:
    """Return a fit that an earlier call finished on the same inputs, if there is one."""
    if not (place / JOB).is_file():
        return None
    job: dict[str, Any] = json.loads((place / JOB).read_text(encoding="utf-8"))
    if job["key"] != key or sha256(place / HELD_OUT) != job["sha256"][HELD_OUT]:
        return None
    table = read_parquet(place / HELD_OUT)
    kind = estimator_type(task.options.kind(name))
    model = kind.load(place, job["sha256"][RECIPE]) if kind.storable else None
    seconds = (float(job["seconds"][0]), float(job["seconds"][1]))
    return Fitted(model, table["row"].to_numpy(), table.select(task.classes).to_numpy(), seconds)
