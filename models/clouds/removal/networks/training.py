"""Training a Keras network in epochs that can be watched, stopped early, killed and resumed."""

import json
import logging
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from features.files import is_vouched, vouched_path
from features.workers import Progress
from models.clouds.removal.networks.layers import Loss

log = logging.getLogger(__name__)
OnEpoch = Callable[[int, dict[str, float]], None]
STATE = "checkpoint.npz"
EPOCHS_JUDGED = 5  # an epoch counts by its mean validation error with those before it


@dataclass
class State:
    """The state of a training, complete enough to resume it with the same result."""

    epoch: int = 0
    best: float = float("inf")
    best_epoch: int = -1
    history: list[dict[str, float]] = field(default_factory=list)
    best_weights: list[np.ndarray] = field(default_factory=list)


@dataclass
class Plan:
    """How long to train, how to stop, and where to keep checkpoints.

    Attributes
    ----------
    fingerprint
        Of options and data: a checkpoint of another run is not resumed.
    """

    epochs: int
    patience: int
    seconds: float | None = None
    folder: Path | None = None
    fingerprint: str = ""


def train(
    model: keras.Model,
    epoch_of: Callable[[int], float],
    validate: Callable[[], dict[str, float]],
    plan: Plan,
    progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
) -> State:
    """Run epochs until none is left, time is up, or the validation error has not improved for `patience`
    of them.

    Parameters
    ----------
    epoch_of
        Trains one epoch, given its number, and returns its loss. It must draw by that number alone, so that a
        resumed run sees what an uninterrupted one would.
    validate
        Returns figures; `validation_mae` decides, an epoch's by its mean over the last few: it is of few
        dates, and by chance alone an early epoch would often seem the best.

    Returns
    -------
    State
        The best weights are those the model holds on return.
    """
    state = _resume(model, plan)
    started = time.monotonic()
    while state.epoch < plan.epochs and not _stale(state, plan):
        before = time.monotonic()
        if plan.seconds is not None and before - started > plan.seconds:
            log.info("Training stopped after %d epochs: its time is up.", state.epoch)
            break
        figures = {"loss": epoch_of(state.epoch), **validate()}
        figures["seconds"] = time.monotonic() - before
        _note(model, state, figures)
        if plan.folder is not None:
            _write(model, state, plan)
        if on_epoch:
            on_epoch(state.epoch - 1, figures)
        if progress:
            progress(state.epoch, plan.epochs)
    if state.best_weights:
        model.set_weights(state.best_weights)
    if progress:
        progress(plan.epochs, plan.epochs)
    return state


def compile_network(model: keras.Model, loss: Loss | None, learning_rate: float, steps: int) -> None:
    """Compile with AdamW on a cosine schedule; XLA stays off on TensorFlow, where it slows small networks."""
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, max(1, steps), alpha=0.02)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=1e-3, clipnorm=1.0)
    jit = "auto" if keras.backend.backend() == "jax" else False
    model.compile(optimizer, loss=loss, jit_compile=jit)
    if loss is not None:  # its variables, made while the first step is traced, would have it traced twice
        optimizer.build(model.trainable_variables)


def _stale(state: State, plan: Plan) -> bool:
    return state.best_epoch >= 0 and state.epoch - 1 - state.best_epoch >= plan.patience


def _note(model: keras.Model, state: State, figures: dict[str, float]) -> None:
    before = [row["validation_mae"] for row in state.history[1 - EPOCHS_JUDGED :]]
    judged = float(np.mean([*before, figures["validation_mae"]]))
    state.history.append({"epoch": float(state.epoch), **figures, "judged_mae": judged})
    if judged < state.best:
        state.best, state.best_epoch = judged, state.epoch
        state.best_weights = model.get_weights()
    state.epoch += 1


def _write(model: keras.Model, state: State, plan: Plan) -> None:
    assert plan.folder is not None
    arrays = {f"weight{k}": w for k, w in enumerate(model.get_weights())}
    arrays |= {f"best{k}": w for k, w in enumerate(state.best_weights)}
    arrays |= {f"optimizer{k}": np.asarray(v) for k, v in enumerate(model.optimizer.variables)}
    notes = {
        "fingerprint": plan.fingerprint,
        "epoch": state.epoch,
        "best": state.best if np.isfinite(state.best) else None,
        "best_epoch": state.best_epoch,
        "history": state.history,
    }
    arrays["notes"] = np.frombuffer(json.dumps(notes).encode(), np.uint8)
    path = plan.folder / STATE
    with vouched_path(path) as partial:
        np.savez(partial, **arrays)


def _resume(model: keras.Model, plan: Plan) -> State:
    if plan.folder is None or not (plan.folder / STATE).is_file():
        return State()
    path = plan.folder / STATE
    try:
        if not is_vouched(path):
            raise ValueError("it is not as it was written")
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        notes = json.loads(arrays.pop("notes").tobytes().decode())
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        log.warning("The checkpoint %s cannot be read (%s); training starts anew.", path, error)
        return State()
    if notes["fingerprint"] != plan.fingerprint:
        log.info("The checkpoint %s is of other options or data; training starts anew.", path)
        return State()
    model.set_weights(_listed(arrays, "weight"))
    model.optimizer.build(model.trainable_variables)
    for variable, value in zip(model.optimizer.variables, _listed(arrays, "optimizer"), strict=True):
        variable.assign(value)
    best = float("inf") if notes["best"] is None else notes["best"]
    log.info("Training goes on after %d epochs.", notes["epoch"])
    return State(notes["epoch"], best, notes["best_epoch"], notes["history"], _listed(arrays, "best"))


def _listed(arrays: dict[str, np.ndarray], prefix: str) -> list[np.ndarray]:
    count = sum(name.startswith(prefix) for name in arrays)
    return [arrays[f"{prefix}{k}"] for k in range(count)]
