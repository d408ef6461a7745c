"""A sequence network over six-day steps: convolutions that tell of every step whether it holds an event."""

from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from features.errors import ModelError
from models.backend import bring_up
from models.events.kinds import EVENTS
from models.events.labels import Labels
from models.events.learning.steps import (
    READ,
    SCALED,
    days_since,
    layout,
    n_steps,
    taught_steps,
    with_neighbours,
)
from models.events.options import EventOptions
from models.events.series import CHANNELS, EventSeries

if TYPE_CHECKING:
    import keras

DILATIONS = (1, 2, 4)
KERNEL = 5
BATCH = 64
PEAK_RATE = 3e-3
KEPT_LOOKS = (0.5, 1.0)  # share of steps with a clear look that a batch keeps
PREDICTED_AT_ONCE = 1024
LENT = Lock()  # chunks of parcels are searched side by side; the network that predicts is one
RARE = -3.0  # log-odds that a fit starts from: few steps hold an event


@dataclass(frozen=True)
class StepNetwork:
    """Weights, and the mean and standard deviation `(SCALED,)` that its inputs are scaled with."""

    weights: list[np.ndarray]
    mean: np.ndarray
    scale: np.ndarray
    filters: int

    def density(self, series: EventSeries) -> np.ndarray:
        """Return `(parcel, step, event)` the chance that an event of each kind fell into a step."""
        steps = n_steps(series)
        model = _lent(self.filters)
        n, parts = len(series), []
        with LENT:
            model.set_weights(self.weights)
            for begin in range(0, n, PREDICTED_AT_ONCE):
                rows = np.arange(begin, begin + PREDICTED_AT_ONCE) % n  # topped up: batches of one shape
                scaled = self.scaled(layout(series.take(rows)))
                parts.append(np.asarray(model.predict_on_batch(with_neighbours(scaled))))
        return np.concatenate(parts)[:n] if parts else np.zeros((0, steps, len(EVENTS)))

    def scaled(self, inputs: np.ndarray) -> np.ndarray:
        """Return inputs of `layout`, `(…, channel)`, with measured values scaled; 0, the mean, where nothing
        was measured.
        """
        out = inputs.copy()
        out[..., :SCALED] = np.nan_to_num((inputs[..., :SCALED] - self.mean) / self.scale)
        return out


def build(filters: int) -> "keras.Model":
    """Return the Keras network: `(parcel, step, READ)` in, `(parcel, step, event)` chances out."""
    bring_up()
    import keras
    from keras import layers

    read = keras.Input((None, READ))
    x = layers.Conv1D(filters, KERNEL, padding="same", activation="relu")(read)
    for dilation in DILATIONS:
        more = layers.Conv1D(filters, KERNEL, padding="same", dilation_rate=dilation, activation="relu")(x)
        x = layers.LayerNormalization()(layers.Add()([x, layers.Dropout(0.1)(more)]))
    told = layers.Dense(
        len(EVENTS), activation="sigmoid", bias_initializer=keras.initializers.Constant(RARE)
    )(x)
    return keras.Model(read, told)


def weight_shapes(filters: int) -> list[tuple[int, ...]]:
    """Return the shapes of a network's weights, in order, without building it.

    Examples
    --------
    >>> weight_shapes(8)[-1]
    (7,)
    """
    convolved = [((KERNEL, n, filters), (filters,)) for n in (READ, *[filters] * len(DILATIONS))]
    shapes: list[tuple[int, ...]] = [*convolved[0]]
    for kernel, bias in convolved[1:]:
        shapes += [kernel, bias, (filters,), (filters,)]  # the last two normalise
    return [*shapes, (filters, len(EVENTS)), (len(EVENTS),)]


def fit_network(series: EventSeries, labels: Labels, options: EventOptions) -> StepNetwork:
    """Train on the labelled parcels of a series.

    Every batch hides a random share of the steps with clear looks, so that long gaps are learned as well.

    Raises
    ------
    ModelError
        Where it does not converge.
    """
    bring_up()
    import keras

    inputs = layout(series)
    y, weight = taught_steps(series, labels)
    known = inputs[..., :SCALED].reshape(-1, SCALED)
    some = np.isfinite(known).any(0)
    mean, scale = np.zeros(SCALED, np.float32), np.ones(SCALED, np.float32)
    mean[some], scale[some] = np.nanmean(known[:, some], 0), np.nanstd(known[:, some], 0)
    network = StepNetwork([], mean, np.maximum(scale, 1e-6), options.filters)
    x = network.scaled(inputs)
    keras.utils.set_random_seed(options.seed)
    model = build(options.filters)
    size = min(BATCH, len(x))
    per_epoch = len(x) // size
    rate = keras.optimizers.schedules.CosineDecay(PEAK_RATE, options.epochs * per_epoch, alpha=0.02)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-3, clipnorm=1.0), _weighted_log_loss)
    rng = np.random.default_rng([options.seed, 23])
    target = np.concatenate([y, weight], axis=2)
    for _ in range(options.epochs):
        # batches of one shape, so that one graph serves
        for rows in rng.permutation(len(x))[: per_epoch * size].reshape(per_epoch, size):
            model.train_on_batch(with_neighbours(hide_looks(x[rows], rng)), target[rows])
    weights = [np.asarray(value) for value in model.get_weights()]
    if not all(np.isfinite(value).all() for value in weights):
        raise ModelError("The event network did not converge; lower events.filters or give more labels.")
    return StepNetwork(weights, network.mean, network.scale, options.filters)


def hide_looks(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hide a random share of each parcel's clear steps, of scaled inputs `(parcel, step, INPUTS)`.

    The days since and to a look are counted anew.
    """
    kept = rng.uniform(*KEPT_LOOKS, len(x))
    hidden = rng.random(x.shape[:2]) > kept[:, None]
    out = x.copy()
    out[..., : len(CHANNELS)][hidden] = 0
    seen = (x[..., SCALED] > 0) & ~hidden
    out[..., SCALED] = seen
    out[..., -4], out[..., -3] = days_since(seen), days_since(seen[:, ::-1])[:, ::-1]
    return out


@lru_cache(maxsize=2)
def _lent(filters: int) -> "keras.Model":
    """Return a network that only predicts, traced once."""
    return build(filters)


def _weighted_log_loss(truth: "keras.KerasTensor", chance: "keras.KerasTensor") -> "keras.KerasTensor":
    from keras import ops

    y, weight = truth[..., : len(EVENTS)], truth[..., len(EVENTS) :]
    held = ops.clip(chance, 1e-6, 1 - 1e-6)
    loss = -(y * ops.log(held) + (1 - y) * ops.log(1 - held))
    return ops.sum(weight * loss) / ops.maximum(ops.sum(weight), 1.0)
