"""Compiled networks, borrowed to one fit at a time: folds share a graph and bring their own weights."""

import math
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from keras import KerasTensor, Model

MOST_KINDS = 8  # architectures kept ready; the one used longest ago is dropped
_free: dict[Hashable, list["Model"]] = {}
_lock = threading.Lock()


@contextmanager
def borrowed(key: Hashable, make: Callable[[], "Model"]) -> Iterator["Model"]:
    """Yield a compiled model for `key`, made by `make()` where none is free, for one fit at a time."""
    with _lock:
        models = _free.pop(key, [])
        model = models.pop() if models else make()
        _free[key] = models
        while len(_free) > MOST_KINDS:
            del _free[next(iter(_free))]
    yield model
    with _lock:
        _free.setdefault(key, []).append(model)


def compile_network(
    inputs: list["KerasTensor"], logits: "KerasTensor", rate: float, decay: float, smoothing: float
) -> "Model":
    """Compile logits `(n, k)` for one-hot targets with sample weights; keep the first weights for `reset`."""
    import keras

    model = keras.Model(inputs, logits)
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=decay, clipnorm=1.0),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing),
        # TensorFlow has its graph, and compiling small ones takes longer than running them; without it JAX
        # would run each operation by itself
        jit_compile=keras.backend.backend() == "jax",
    )
    model.optimizer.build(model.trainable_variables)
    model.first_weights = [np.asarray(variable) for variable in model.variables]
    return model


def train(
    model: "Model", rates: np.ndarray, inputs: list[np.ndarray], targets: np.ndarray, weights: np.ndarray
) -> None:
    """Update a compiled network by one batch after another.

    Parameters
    ----------
    rates
        `(update,)`, the learning rate of each.
    inputs, targets, weights
        `(update, n, …)`, one batch an update.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        if not hasattr(model, "updates"):
            model.updates = _updates_in_one_graph(model)
        model.updates(rates, inputs, targets, weights)
        return
    for update, rate in enumerate(rates):
        model.optimizer.learning_rate = rate
        batch = [part[update] for part in inputs]
        model.train_on_batch(batch, targets[update], sample_weight=weights[update])


def _updates_in_one_graph(model: "Model") -> Any:
    """Return a function of many batches: calling a small network takes as long as what it computes."""
    import tensorflow

    def of(*shape: int | None) -> Any:
        return tensorflow.TensorSpec((None, None, *shape))

    signature = [
        tensorflow.TensorSpec((None,)), [of(*part.shape[1:]) for part in model.inputs],
        of(model.outputs[0].shape[-1]), of(),
    ]  # fmt: skip

    @tensorflow.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def updates(rates: Any, inputs: Any, targets: Any, weights: Any) -> None:
        for update in tensorflow.range(tensorflow.shape(rates)[0]):
            model.optimizer.learning_rate.assign(rates[update])
            model.train_step(([part[update] for part in inputs], targets[update], weights[update]))

    return updates


def reset(model: "Model", rng: np.random.Generator, weights: list[np.ndarray] | None = None) -> None:
    """Reset a compiled network's optimiser, and its weights to new ones, or to `weights` (arrays of the
    network's own shapes).

    Kernels are Glorot uniform (Glorot and Bengio, 2010), recurrent kernels orthogonal, drawn from `rng` so
    that every backend starts alike; the rest starts as built.
    """
    for variable, first in zip(model.variables, model.first_weights, strict=True):
        variable.assign(_fresh(variable.path, first, rng))
    if weights is not None:
        model.set_weights(weights)
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape, dtype=variable.dtype))


def _fresh(path: str, first: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if "seed_generator" in path:
        return rng.integers(0, 2**31, first.shape).astype(first.dtype)
    if first.ndim < 2:
        return first
    if path.endswith("recurrent_kernel"):
        gates = range(first.shape[1] // first.shape[0])
        parts = [np.linalg.qr(rng.normal(size=(first.shape[0],) * 2))[0] for _ in gates]
        return np.concatenate(parts, axis=1).astype(first.dtype)
    receptive = math.prod(first.shape[:-2])
    limit = math.sqrt(6 / (receptive * (first.shape[-2] + first.shape[-1])))
    return rng.uniform(-limit, limit, first.shape).astype(first.dtype)
