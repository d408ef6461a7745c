"""Base of the networks: `keras.ops` only, batches of one shape, weights as plain arrays."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import xarray as xr

from features.errors import ModelError
from features.files import atomic_path
from features.workers import Item
from models.backend import bring_up
from models.crops.estimators.estimator import Arrays, CropEstimator
from models.crops.estimators.networks.compiled import borrowed, compile_network, reset, train
from models.crops.estimators.networks.outputs import fit_new, widened
from models.crops.estimators.options import NeuralOptions, TuneFurther
from models.crops.inputs.augmentation import augment
from models.crops.inputs.options import AugmentationOptions
from models.crops.inputs.scaling import Scaler, Tensors

if TYPE_CHECKING:
    import keras
    from keras import KerasTensor, Model

WEIGHTS = "weights.npz"
OUTPUTS = "logits"  # name of the last layer
WARM_UP = 0.1  # share of the updates in which the learning rate rises
TOGETHER = 16  # updates in one call
PREDICTED_AT_ONCE = 1024


class NeuralClassifier(CropEstimator):
    """Base of the networks; a subclass gives `network`, the Keras graph from inputs to logits."""

    options_type: ClassVar[type[NeuralOptions]]
    tunable: ClassVar[bool] = True
    batch: ClassVar[int] = PREDICTED_AT_ONCE
    weights_: list[np.ndarray]

    @classmethod
    def network(
        cls, options: Any, series: "KerasTensor", days: tuple[int, ...], n_classes: int
    ) -> "KerasTensor":
        """Return the last hidden state `(n, unit)` of `(n, time, channel)`; the head is added to it."""
        raise NotImplementedError

    def _fit(self, series: xr.Dataset, codes: np.ndarray, weight: np.ndarray) -> None:
        self.scaler_ = Scaler.fitted(series)
        self._train(series, codes, weight, None)

    def _tune(
        self,
        series: xr.Dataset,
        codes: np.ndarray,
        weight: np.ndarray,
        options: TuneFurther,
        known: np.ndarray,
    ) -> None:
        place = np.searchsorted(self.classes_, known)
        if len(place) < len(self.classes_):
            *body, kernel, bias = self.weights_  # the layer of the outputs is the last one
            self.weights_ = [*body, *widened(kernel, bias, place, len(self.classes_))]
            self.weights_ = [*body, *fit_new(*self._last_layer(series), codes, weight, place)]
        self.options = self.settings.model_copy(update={"epochs": options.epochs})
        self._train(series, codes, weight, self.weights_, options.learning_rate_share)

    def _last_layer(self, series: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the hidden state `(n, unit)` that the outputs read, their kernel and their bias."""

        def hidden(model: "Model") -> Callable[[list[np.ndarray]], Any]:
            import keras

            return partial(keras.Model(model.inputs, model.get_layer(OUTPUTS).input), training=False)

        return self._in_batches(series, hidden), self.weights_[-2], self.weights_[-1]

    def _train(
        self,
        series: xr.Dataset,
        codes: np.ndarray,
        weight: np.ndarray,
        start: list[np.ndarray] | None,
        share: float = 1.0,
    ) -> None:
        rng = np.random.default_rng(self.settings.seed)
        tensors = self.scaler_.tensors(series)
        one_hot = np.eye(len(self.classes_), dtype=np.float32)
        with self._model() as model:
            reset(model, rng, start)
            for updates in chunked(self._updates(tensors, rng), TOGETHER):
                rates, rows, batches = zip(*updates, strict=True)
                train(
                    model,
                    np.array(rates, np.float32) * np.float32(share),
                    [np.stack(parts) for parts in zip(*batches, strict=True)],
                    one_hot[codes[np.stack(rows)]],
                    weight[np.stack(rows)].astype(np.float32),
                )
            self.weights_ = [np.asarray(value) for value in model.get_weights()]
        if not all(np.isfinite(value).all() for value in self.weights_):
            raise ModelError(
                f"{self.name} did not converge (weights are not finite); lower its learning_rate."
            )

    def _updates(
        self, tensors: Tensors, rng: np.random.Generator
    ) -> Iterator[tuple[float, np.ndarray, list[np.ndarray]]]:
        """Yield rate, rows and inputs of each update; all batches have one shape, so one graph serves."""
        options: NeuralOptions = self.settings
        assembled = None if options.augmentation.active else self.scaler_.assemble(tensors)
        n = len(tensors.values)
        per_epoch = math.ceil(n / options.batch)
        total = max(options.epochs * per_epoch, options.least_updates)
        rows_of = _batches(n, options.batch, per_epoch, rng)
        for update in range(total):
            rows = next(rows_of)
            values = self._varied(tensors.take(rows), rng) if assembled is None else assembled[rows]
            rate = learning_rate(update / total) * options.learning_rate
            yield rate, rows, _inputs(values, tensors.context[rows])

    def _varied(self, tensors: Tensors, rng: np.random.Generator) -> np.ndarray:
        names = [self.layout_.channels[i] for i in self.scaler_.channels]
        bands = np.array([name.startswith("B") and "|std" not in name for name in names])
        offset = np.divide(self.scaler_.mean, self.scaler_.deviation)
        return self.scaler_.assemble(augment(tensors, self.settings.augmentation, bands, offset, rng))

    def _scores(self, series: xr.Dataset) -> np.ndarray:
        logits = self.logits(series).astype(np.float64)
        return np.asarray(np.exp(logits - logits.max(1, keepdims=True)))

    def logits(self, series: xr.Dataset) -> np.ndarray:
        """Return `(n, k)` float32 logits of a series that conforms to the layout."""
        return self._in_batches(series, lambda model: model.predict_on_batch)

    def _in_batches(
        self, series: xr.Dataset, reading: Callable[["Model"], Callable[[list[np.ndarray]], Any]]
    ) -> np.ndarray:
        """Return what `reading` of the network with its weights gives of `n` parcels, `(n, …)`."""
        tensors = self.scaler_.tensors(series)
        values = self.scaler_.assemble(tensors)
        parts = []
        with self._model() as model:
            self._check_weights(model)
            model.set_weights(self.weights_)
            read = reading(model)
            for start in range(0, len(values), PREDICTED_AT_ONCE):
                rows = slice(start, start + PREDICTED_AT_ONCE)
                parts.append(np.asarray(read(_inputs(values[rows], tensors.context[rows]))))
        return np.concatenate(parts)

    def _model(self) -> AbstractContextManager["Model"]:
        """Lend the compiled network of this architecture."""
        bring_up()
        free = {"seed": 0, "threads": 1, "epochs": 1, "batch": 2, "least_updates": 1}
        options = self.settings.model_copy(update={**free, "augmentation": AugmentationOptions()})
        context = 2 * len(self.layout_.context)
        key = (
            type(self).__name__,
            options,
            self.layout_.days,
            self.scaler_.width,
            context,
            len(self.classes_),
        )
        return borrowed(key, lambda: self._make(options, context))

    def _make(self, options: NeuralOptions, context: int) -> "Model":
        import keras

        series = keras.Input((len(self.layout_.days), self.scaler_.width), name="series")
        inputs = [series] + ([keras.Input((context,), name="context")] if context else [])
        x, days = joined(series, self.layout_.days, options.joined_steps)
        x = self.network(options, x, days, len(self.classes_))
        x = keras.layers.Concatenate()([x, *inputs[1:]]) if context else x
        logits = keras.layers.Dense(len(self.classes_), name=OUTPUTS)(x)
        return compile_network(
            inputs, logits, options.learning_rate, options.weight_decay, options.label_smoothing
        )

    def _check_weights(self, model: "keras.Model") -> None:
        """Raise a ModelError where stored weights are not of the network that the recipe describes."""
        wanted, found = [tuple(w.shape) for w in model.weights], [w.shape for w in self.weights_]
        if found != wanted:
            raise ModelError(
                f"The weights of {self.name} have the shapes {found[:3]}…, where the recipe's network has "
                f"{wanted[:3]}…; copy the bundle anew, or train again."
            )

    def _write(self, folder: Path) -> list[Path]:
        with atomic_path(folder / WEIGHTS) as partial:
            arrays: dict[str, Any] = {f"w{i:03d}": value for i, value in enumerate(self.weights_)}
            np.savez(partial, **arrays)
        return [folder / WEIGHTS]

    def _state(self) -> dict[str, Any]:
        return {"scaler": self.scaler_.as_json()}

    def _read(self, folder: Path, state: dict[str, Any], arrays: Mapping[str, Arrays]) -> None:
        self.scaler_ = Scaler.from_json(state["scaler"], self.layout_)
        self.weights_ = [arrays[WEIGHTS][name] for name in sorted(arrays[WEIGHTS])]

    def _weights_digest(self) -> str:
        digest = hashlib.sha256(repr(self.scaler_).encode())
        for value in self.weights_:
            digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()


def joined(series: "KerasTensor", days: tuple[int, ...], steps: int) -> tuple["KerasTensor", tuple[int, ...]]:
    """Read `steps` neighbouring steps of `(n, time, channel)` as one; a shorter rest is padded with zeros."""
    from keras import layers

    if steps == 1:
        return series, days
    length, width = series.shape[1:]
    groups = math.ceil(length / steps)
    padded = layers.ZeroPadding1D((0, groups * steps - length))(series)
    return layers.Reshape((groups, steps * width))(padded), days[::steps]


def chunked(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` items, the last one shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _inputs(values: np.ndarray, context: np.ndarray) -> list[np.ndarray]:
    return [values, context] if context.shape[1] else [values]


def learning_rate(progress: float) -> float:
    """Return the share of the peak rate at `progress` 0 to 1: a linear rise, then half a cosine to zero.

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
