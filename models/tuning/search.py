"""Hyper-parameters by Optuna: grouped folds, pruning, a journal that processes share and that resumes."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import xarray as xr
import yaml

from features.errors import ModelError
from features.files import write_text
from features.workers import Progress
from models.crops.estimators.by_name import build, estimator_type
from models.crops.fitting.task import on_classes
from models.crops.inputs.arrays import take
from models.evaluation.metrics import confusion, macro_f1
from models.tuning.options import TuneOptions

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)
Fold = Callable[[Mapping[str, Any]], Iterator[float]]  # options to one score a fold, higher is better


@dataclass(frozen=True)
class Range:
    """Values that an option may take: between `low` and `high`, or one of `choices`."""

    low: float = 0
    high: float = 0
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()

    def suggest(self, trial: "optuna.trial.BaseTrial", name: str) -> Any:
        """Ask an Optuna trial for a value."""
        if self.choices:
            return trial.suggest_categorical(name, self.choices)
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


NEURAL = {
    "learning_rate": Range(5e-4, 1e-2, log=True),
    "weight_decay": Range(1e-4, 1e-1, log=True),
    "label_smoothing": Range(0.0, 0.2),
    "dropout": Range(0.0, 0.6),
    "epochs": Range(15, 60, whole=True),
}
SPACES: Mapping[str, Mapping[str, Range]] = {
    "lightgbm": {
        "rounds": Range(40, 300, whole=True, log=True),
        "learning_rate": Range(0.03, 0.3, log=True),
        "leaves": Range(4, 48, whole=True, log=True),
        "column_share": Range(0.05, 0.6, log=True),
        "leaf_parcels": Range(2, 30, whole=True, log=True),
        "l2": Range(0.01, 30, log=True),
        "summaries": Range(choices=(False, True)),
    },
    "forest": {"leaf_parcels": Range(1, 8, whole=True), "summaries": Range(choices=(False, True))},
    "extratrees": {"leaf_parcels": Range(1, 8, whole=True), "column_share": Range(0.02, 0.5, log=True)},
    "ridge": {"summaries": Range(choices=(False, True))},
    "rocket": {"kernels": Range(100, 1000, whole=True, log=True), "levels": Range(1, 5, whole=True)},
    "dense": NEURAL | {"units": Range(48, 320, whole=True, log=True)},
    "lstm": NEURAL | {"units": Range(24, 128, whole=True, log=True), "joined_steps": Range(1, 3, whole=True)},
    "bilstm": NEURAL
    | {"units": Range(24, 96, whole=True, log=True), "joined_steps": Range(1, 3, whole=True)},
    "tempcnn": NEURAL | {"filters": Range(24, 96, whole=True, log=True), "width": Range(choices=(3, 5, 7))},
    "resnet": NEURAL | {"filters": Range(16, 64, whole=True, log=True)},
    "ltae": NEURAL | {"width": Range(choices=(64, 128, 256)), "heads": Range(choices=(4, 8, 16))},
}


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    `trials` has `number, state, value, seconds` and a column an option; `importance` is the share of the
    spread of scores that each option explains, empty with too few trials.
    """

    name: str
    best: dict[str, Any]
    value: float
    trials: pl.DataFrame
    importance: dict[str, float]


def tune(
    name: str,
    series: xr.Dataset,
    y: np.ndarray,
    folds: np.ndarray,
    options: TuneOptions,
    *,
    journal: Path,
    fixed: Mapping[str, Any] | None = None,
    on_trial: Callable[[dict[str, Any]], None] | None = None,
    progress: Progress | None = None,
) -> Tuned:
    """Search for a crop model's options.

    Parameters
    ----------
    y, folds
        `(n,)` classes ("" where there is none) and grouped folds (-1 where a parcel is not trained on).
    journal
        Optuna's journal; several processes may share it, and a second call goes on where the first one
        stopped.
    fixed
        Options that are not searched.
    on_trial
        Called with each finished trial: `number, state, value, options` (for MLflow's child runs).

    Raises
    ------
    ModelError
        For an unknown model, or parcels of fewer than two folds.
    """
    estimator_type(name)
    score = _crop_scores(name, series, np.asarray(y, str), np.asarray(folds), options, dict(fixed or {}))
    space = {option: values for option, values in SPACES[name].items() if option not in (fixed or {})}
    return search(
        name, space, score, options, options.metric, journal=journal, on_trial=on_trial, progress=progress
    )


def search(
    name: str,
    space: Mapping[str, Range],
    scores: Fold,
    options: TuneOptions,
    metric: str,
    *,
    journal: Path,
    on_trial: Callable[[dict[str, Any]], None] | None = None,
    progress: Progress | None = None,
) -> Tuned:
    """Maximise the mean of `scores`, pruning by its running mean; whatever can be scored by fold.

    Scores of one `metric` are compared with each other in the journal, and with no others.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _study(f"{name}_{metric}_{options.folds}_folds", options, journal)

    def objective(trial: "optuna.Trial") -> float:
        found: list[float] = []
        for step, value in enumerate(
            scores({key: values.suggest(trial, key) for key, values in space.items()})
        ):
            found.append(value)
            trial.report(float(np.mean(found)), step)
            if options.pruning and trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(found))

    def finished(study: "optuna.Study", trial: "optuna.trial.FrozenTrial") -> None:
        done = _finished(study)
        log.info("%s trial %d: %s %s", name, trial.number, trial.state.name.lower(), trial.value)
        if on_trial:
            on_trial(
                {
                    "number": trial.number,
                    "state": trial.state.name,
                    "value": trial.value,
                    "options": trial.params,
                }
            )
        if progress:
            progress(min(done, options.trials), options.trials)
        if done >= options.trials:
            study.stop()

    if _finished(study) < options.trials:
        study.optimize(objective, n_trials=options.trials, callbacks=[finished], catch=(ModelError,))
    return _result(name, study)


def _study(study: str, options: TuneOptions, journal: Path) -> "optuna.Study":
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=options.seed, multivariate=True)
        storage = JournalStorage(JournalFileBackend(str(journal)))
    return optuna.create_study(
        study_name=study,
        storage=storage,
        sampler=sampler,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=0),
        direction="maximize",
        load_if_exists=True,
    )


def _finished(study: "optuna.Study") -> int:
    return sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))


def _result(name: str, study: "optuna.Study") -> Tuned:
    import optuna

    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE]
    if not complete:
        raise ModelError(f"No trial of {name} was completed; look at the log for why, or allow more trials.")
    rows = [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "value": trial.value,
            "seconds": trial.duration.total_seconds() if trial.duration else None,
            **trial.params,
        }
        for trial in trials
    ]
    importance: dict[str, float] = {}
    if len(complete) >= 8 and len({trial.value for trial in complete}) > 1:
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        importance = dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
    best = study.best_trial
    return Tuned(
        name,
        dict(best.params),
        float(study.best_value),
        pl.DataFrame(rows, infer_schema_length=None),
        importance,
    )


def _crop_scores(
    name: str,
    series: xr.Dataset,
    y: np.ndarray,
    folds: np.ndarray,
    options: TuneOptions,
    fixed: dict[str, Any],
) -> Fold:
    folds = np.where(y == "", -1, folds)
    numbers = np.unique(folds[folds >= 0])
    if len(numbers) < 2:
        raise ModelError(f"Tuning {name} needs parcels in two folds or more; they are in {len(numbers)}.")
    classes, codes = np.unique(y[folds >= 0], return_inverse=True)
    every = np.full(len(y), -1)
    every[folds >= 0] = codes

    def scores(chosen: Mapping[str, Any]) -> Iterator[float]:
        for fold in numbers[: options.folds]:
            held, rest = np.flatnonzero(folds == fold), np.flatnonzero((folds >= 0) & (folds != fold))
            model = build(name, **{"seed": options.seed, **fixed, **chosen}).fit(take(series, rest), y[rest])
            found = on_classes(model.predict_proba(take(series, held)), model.classes_, classes.tolist())
            yield _score(found, every[held], options.metric)

    return scores


def _score(probabilities: np.ndarray, codes: np.ndarray, metric: str) -> float:
    if metric == "log_loss":
        own = probabilities[np.arange(len(codes)), codes]
        return float(np.log(np.maximum(own, 1e-6)).mean())
    k = probabilities.shape[1]
    return float(macro_f1(confusion(codes, probabilities.argmax(1), k)))


def write_best(values: Mapping[str, Any], path: Path) -> Path:
    """Write the winning values as YAML that a run's config can take in."""
    return write_text(path, yaml.safe_dump(dict(values), sort_keys=True, allow_unicode=True))
