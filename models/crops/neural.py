"""What the networks share: Keras with `keras.ops` only, one compiled graph for all folds, weights as plain arrays."""

import hashlib
import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from pydantic import Field

from features.errors import ModelError
from features.files import atomic_path
from models.crops.augmentation import AugmentationOptions, augment
from models.crops.estimator import CropEstimator, EstimatorOptions
from models.crops.scaling import Scaler, Tensors

WEIGHTS = "weights.npz"
WARM_UP = 0.1  # share of the updates in which the learning rate rises
PREDICTED_AT_ONCE = 1024


class NeuralOptions(EstimatorOptions):
    """Settings of the training loop that every network has."""

    epochs: int = Field(30, ge=1, description="Passes over the training parcels.")
    least_updates: int = Field(100, ge=1, description="Updates at least, however few parcels there are.")
    batch: int = Field(128, ge=2, description="Parcels in an update.")
    learning_rate: float = Field(
        3e-3, gt=0, description="Peak learning rate; it warms up, then falls as a cosine."
    )
    weight_decay: float = Field(1e-2, ge=0, description="Decoupled weight decay (AdamW).")
    label_smoothing: float = Field(0.05, ge=0, lt=1, description="Share of a label spread over all classes.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of units dropped while training.")
    augmentation: AugmentationOptions = AugmentationOptions()


class NeuralClassifier(CropEstimator):
    """Base of the networks; a subclass gives `network`, the Keras model from inputs to logits."""

    options_type: ClassVar[type[NeuralOptions]]

    @classmethod
    def network(cls, options: Any, inputs: list[Any], days: tuple[int, ...], n_classes: int) -> Any:
        """Return logits `(n, k)` from `inputs`: series `(n, time, channel)` and, if any, context `(n, variable)`."""
        raise NotImplementedError

    def _fit(self, series: xr.Dataset, codes: np.ndarray, weight: np.ndarray) -> None:
        prepare_backend(self.settings.threads)
        self.scaler_ = Scaler.fitted(series)
        rng = np.random.default_rng(self.settings.seed)
        model = self._model()
        reset(model, rng)
        tensors = self.scaler_.tensors(series)
        for rate, rows, batch in self._updates(tensors, rng):
            model.optimizer.learning_rate = rate
            targets = np.eye(len(self.classes_), dtype=np.float32)[codes[rows]]
            model.train_on_batch(batch, targets, sample_weight=weight[rows].astype(np.float32))
        self.weights_ = [np.asarray(value) for value in model.get_weights()]
        if not all(np.isfinite(value).all() for value in self.weights_):
            raise ModelError(
                f"{self.name} did not converge (weights are not finite); lower its learning_rate."
            )

    def _updates(
        self, tensors: Tensors, rng: np.random.Generator
    ) -> Iterator[tuple[float, np.ndarray, list[Any]]]:
        """Yield learning rate, rows and inputs of each update; all batches have one shape, so one graph serves."""
        options: NeuralOptions = self.settings
        varied = options.augmentation.active
        assembled = None if varied else self.scaler_.assemble(tensors)
        n = len(tensors.values)
        per_epoch = math.ceil(n / options.batch)
        total = max(options.epochs * per_epoch, options.least_updates)
        rows_of: Iterator[np.ndarray] = _batches(n, options.batch, per_epoch, rng)
        for update in range(total):
            rows = next(rows_of)
            inputs = self._varied(tensors.take(rows), rng) if assembled is None else assembled[rows]
            yield (
                learning_rate(update / total) * options.learning_rate,
                rows,
                self._inputs(inputs, tensors.context[rows]),
            )

    def _varied(self, tensors: Tensors, rng: np.random.Generator) -> np.ndarray:
        names = [self.layout_.channels[i] for i in self.scaler_.channels]
        bands = np.array(
            [name.startswith("B") and not name.split("|")[1].startswith("std") for name in names]
        )
        offset = np.divide(self.scaler_.mean, self.scaler_.deviation)
        return self.scaler_.assemble(augment(tensors, self.settings.augmentation, bands, offset, rng))

    def _inputs(self, values: np.ndarray, context: np.ndarray) -> list[Any]:
        return [values, context] if context.shape[1] else [values]

    def _scores(self, series: xr.Dataset) -> np.ndarray:
        logits = self.logits(series).astype(np.float64)
        return np.exp(logits - logits.max(1, keepdims=True))

    def logits(self, series: xr.Dataset) -> np.ndarray:
        """Return `(n, k)` float32 logits of a series that conforms to the layout."""
        prepare_backend(self.settings.threads)
        model = self._model()
        model.set_weights(self.weights_)
        tensors = self.scaler_.tensors(series)
        values = self.scaler_.assemble(tensors)
        parts = []
        for start in range(0, len(values), PREDICTED_AT_ONCE):
            rows = slice(start, start + PREDICTED_AT_ONCE)
            parts.append(
                np.asarray(model.predict_on_batch(self._inputs(values[rows], tensors.context[rows])))
            )
        return np.concatenate(parts)

    def _model(self) -> Any:
        options = self.settings.model_copy(
            update={"seed": 0, "threads": 1, "augmentation": AugmentationOptions()}
        )
        shape = (len(self.layout_.days), self.scaler_.width, 2 * len(self.layout_.context))
        return compiled(type(self), options, shape, self.layout_.days, len(self.classes_))

    def _write(self, folder: Path) -> list[Path]:
        with atomic_path(folder / WEIGHTS) as partial:
            np.savez(partial, **{f"w{i:03d}": value for i, value in enumerate(self.weights_)})
        return [folder / WEIGHTS]

    def _state(self) -> dict[str, Any]:
        return {"scaler": self.scaler_.as_json()}

    def _read(self, folder: Path, state: dict[str, Any]) -> None:
        self.scaler_ = Scaler.from_json(state["scaler"])
        with np.load(folder / WEIGHTS, allow_pickle=False) as arrays:
            self.weights_ = [arrays[name] for name in sorted(arrays.files)]

    def _weights_digest(self) -> str:
        digest = hashlib.sha256(repr(self.scaler_).encode())
        for value in self.weights_:
            digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()


def learning_rate(progress: float) -> float:
    """Return the share of the peak rate at `progress` 0 to 1: a linear rise, then half a cosine down to zero.

    Examples
    --------
    >>> [round(learning_rate(x), 2) for x in (0.05, 0.1, 0.55, 1.0)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.01)
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def _batches(n: int, size: int, per_epoch: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield row numbers for ever; the last batch of a pass is topped up from the pass's own start."""
    while True:
        order = np.resize(rng.permutation(n), per_epoch * size)
        yield from order.reshape(per_epoch, size)


@lru_cache(maxsize=6)
def compiled(
    kind: type[NeuralClassifier],
    options: NeuralOptions,
    shape: tuple[int, int, int],
    days: tuple[int, ...],
    k: int,
) -> Any:
    """Build and compile a network once per architecture: folds share the graph and bring their own weights."""
    import keras

    steps, channels, variables = shape
    inputs = [keras.Input((steps, channels), name="series")]
    if variables:
        inputs.append(keras.Input((variables,), name="context"))
    model = keras.Model(inputs, kind.network(options, inputs, days, k))
    model.compile(
        optimizer=keras.optimizers.AdamW(
            options.learning_rate, weight_decay=options.weight_decay, clipnorm=1.0
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=options.label_smoothing),
        jit_compile=False,  # compiling small nets takes longer than running them
    )
    model.optimizer.build(model.trainable_variables)
    model.first_weights = [np.asarray(variable) for variable in model.variables]
    return model


def reset(model: Any, rng: np.random.Generator) -> None:
    """Give a compiled network fresh weights from `rng`, the same on every backend, and a fresh optimiser.

    Kernels are Glorot uniform (Glorot and Bengio, 2010), recurrent kernels orthogonal; the rest starts as built.
    """
    for variable, first in zip(model.variables, model.first_weights, strict=True):
        variable.assign(_fresh(variable.path, first, rng))
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape, dtype=variable.dtype))


def _fresh(path: str, first: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if "seed_generator" in path:
        return rng.integers(0, 2**31, first.shape).astype(first.dtype)
    if first.ndim < 2:
        return first
    if path.endswith("recurrent_kernel"):
        gates = [
            np.linalg.qr(rng.normal(size=(first.shape[0],) * 2))[0]
            for _ in range(first.shape[1] // first.shape[0])
        ]
        return np.concatenate(gates, axis=1).astype(first.dtype)
    receptive = math.prod(first.shape[:-2])
    limit = math.sqrt(6 / (receptive * (first.shape[-2] + first.shape[-1])))
    return rng.uniform(-limit, limit, first.shape).astype(first.dtype)


@lru_cache(maxsize=1)
def prepare_backend(threads: int) -> None:
    """Import Keras with `threads` threads and repeatable operations; later calls keep what the first one set."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow

    try:
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
        tensorflow.config.experimental.enable_op_determinism()
    except RuntimeError:  # TensorFlow is already running, with threads that someone else chose
        return
