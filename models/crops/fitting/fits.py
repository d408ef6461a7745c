"""One fit of a cross-fitting as a work unit: run anywhere, kept on disk, and not done twice."""

import json
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from features.code.version import code_version
from features.errors import ModelError
from features.files import fingerprint, sha256, write_json
from features.workers import Executor
from models.crops.estimators.by_name import FAMILIES, estimator_type
from models.crops.estimators.estimator import CropEstimator
from models.crops.estimators.options import RECIPE
from models.crops.fitting.bundle import Bundle
from models.crops.fitting.options import TrainOptions
from models.crops.fitting.task import Sample, Task
from models.crops.inputs.imbalance import Training, balance

JOB = "job.json"
CODE = "models.crops.fitting.fits"  # with all that it imports: what a fit depends on
Job = tuple[str, tuple[int, ...]]  # a model and the folds it is fitted without
log = logging.getLogger(__name__)
_models: dict[str, CropEstimator] = {}  # by key: those that this process has fitted or read
_refitting = threading.Lock()


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a fit learns from: `rows (k,)` of the sample, their classes by number, and weights."""

    sample: Sample
    rows: np.ndarray
    codes: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, eq=False)
class FitUnit:
    """A model to be fitted without some folds.

    Attributes
    ----------
    classes
        Names of the classes of the task, in order.
    place
        Folder that the model and the note of the finished fit are written to.
    key
        Hash of all that the fit depends on.
    lesson
        None where the model is another run's, taken as it is, or need not be fitted again.
    start
        Models of another run, to judge with or to train further.
    recipe
        SHA-256 of the recipe of a model that lies in `place` and is kept, where it is not to be fitted.
    """

    name: str
    held: tuple[int, ...]
    options: TrainOptions
    classes: tuple[str, ...]
    place: Path
    key: str
    lesson: Lesson | None
    start: Bundle | None = None
    recipe: str | None = None

    @property
    def job(self) -> Job:
        """The model's name and the folds that it is fitted without."""
        return self.name, self.held

    @property
    def storable(self) -> bool:
        """Whether the model can be read back; else each process that needs it fits it again."""
        return estimator_type(self.options.kind(self.name)).storable

    def to_predict(self) -> "FitUnit":
        """Return what a prediction needs of it: without the lesson, where the model is read back."""
        return replace(self, lesson=None) if self.storable else self


@dataclass(frozen=True)
class Fitted:
    """A finished fit, and the seconds that it took."""

    job: Job
    seconds: float


def units_of(task: Task, jobs: Iterable[Job], folder: Path) -> list[FitUnit]:
    """Return one unit a job; models are kept in `folder`."""
    lessons = {held: _lesson(task, held) for held in dict.fromkeys(held for _, held in jobs)}
    units = []
    for name, held in jobs:
        place = folder / name / ("fold_" + "_".join(map(str, held)))
        units.append(
            FitUnit(
                name=name,
                held=held,
                options=task.options,
                classes=task.classes,
                place=place,
                key=_key(task, name, held),
                lesson=None if task.loads or task.kept else lessons[held],
                start=task.start,
                recipe=task.kept.files[f"{name}/{place.name}/{RECIPE}"] if task.kept else None,
            )
        )
    return units


def _lesson(task: Task, held: tuple[int, ...]) -> Lesson:
    rows = task.chosen(held)
    suspects = task.suspects.get(held)
    weight = task.weight[rows]
    weight = weight if suspects is None else weight * suspects["weight"].to_numpy()
    codes = np.searchsorted(task.classes, task.y[task.learned[rows]]).astype(np.int16)
    return Lesson(task.sample, rows, codes, weight)


def _key(task: Task, name: str, held: tuple[int, ...]) -> str:
    settings = task.options.estimator(name, held[0]).settings.model_dump(mode="json")
    kept = [task.kept.digest] if task.kept else []
    return fingerprint([code_version(CODE), task.digest, name, held, settings, *kept])


def run_fits(units: list[FitUnit], executor: Executor) -> Iterator[Fitted]:
    """Run fits and yield what has ended; trees first, as they would compete with networks."""
    yield from executor(run_fit, sorted(units, key=lambda unit: unit.options.kind(unit.name) not in FAMILIES))


def run_fit(unit: FitUnit) -> Fitted:
    """Fit a model and keep it, unless an earlier call did so from the same inputs, or it is kept as it is."""
    before = _resumed(unit)
    if before is not None:
        return before
    started = time.perf_counter()
    if unit.recipe is not None:
        _models[unit.key] = estimator_type(unit.options.kind(unit.name)).load(unit.place, unit.recipe)
        return _noted(unit, unit.recipe, 0.0)
    model = _models[unit.key] = _fit(unit)
    seconds = time.perf_counter() - started
    unit.place.mkdir(parents=True, exist_ok=True)
    return _noted(unit, sha256(model.save(unit.place)), seconds)


def _noted(unit: FitUnit, recipe: str, seconds: float) -> Fitted:
    """Note that a fit has ended; `recipe` is its recipe's SHA-256."""
    write_json(unit.place / JOB, {"key": unit.key, "sha256": {RECIPE: recipe}, "seconds": seconds})
    return Fitted(unit.job, seconds)


def model_of(unit: FitUnit) -> CropEstimator:
    """Return a fitted model: as this process holds it, read back, or, where it cannot be stored, fitted
    again.
    """
    found = _models.get(unit.key)
    if found is not None:
        return found
    with _refitting:
        if unit.key not in _models:
            _models[unit.key] = _read_back(unit) if unit.storable else _fit(unit)
        return _models[unit.key]


@contextmanager
def models_held(units: Iterable[FitUnit]) -> Iterator[None]:
    """Free the models of these fits afterwards."""
    keys = [unit.key for unit in units]
    try:
        yield
    finally:
        for key in keys:
            _models.pop(key, None)


def _read_back(unit: FitUnit) -> CropEstimator:
    noted = json.loads((unit.place / JOB).read_text(encoding="utf-8"))
    return estimator_type(unit.options.kind(unit.name)).load(unit.place, noted["sha256"][RECIPE])


def _resumed(unit: FitUnit) -> Fitted | None:
    """Return a fit that an earlier call finished on the same inputs, if there is one and it is whole."""
    try:
        noted: dict[str, Any] = json.loads((unit.place / JOB).read_text(encoding="utf-8"))
        if noted["key"] != unit.key:
            return None
        if unit.storable:
            model_of(unit)  # its files are held against their hashes
        return Fitted(unit.job, float(noted["seconds"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, ModelError) as error:
        log.warning("What is left in %s cannot be used (%s); it is fitted anew.", unit.place, error)
        return None


def _fit(unit: FitUnit) -> CropEstimator:
    """Fit anew, train another run's network further, or take that as it is."""
    lesson, kind = unit.lesson, estimator_type(unit.options.kind(unit.name))
    if lesson is None:
        assert unit.start is not None
        return unit.start.estimator(unit.name, unit.held[0])
    started = time.perf_counter()
    rng = np.random.default_rng([unit.options.seed, *unit.held])
    y = np.array(unit.classes)[lesson.codes]
    training = balance(Training(lesson.sample.take(lesson.rows), y, lesson.weight), unit.options.balance, rng)
    begun = unit.start is not None and kind.tunable
    if begun:
        assert unit.start is not None
        model = unit.start.estimator(unit.name, unit.held[0])
        model.tune_further(training.series, training.y, training.weight, unit.options.transfer.tuning)
    else:
        model = unit.options.estimator(unit.name, unit.held[0])
        model.fit(training.series, training.y, training.weight)
    what = ("trained further" if begun else "fitted", len(training.y), time.perf_counter() - started)
    log.info("%s without fold %s: %s on %d parcels in %.1f s", unit.name, unit.held, *what)
    return model
