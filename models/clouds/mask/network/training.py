"""Training the network: cross-entropy over pixels whose class is known, rare classes weighted up."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from features.errors import ModelError
from features.workers import Progress
from models.clouds.mask.classes import NAMES
from models.clouds.mask.network.inputs import channels
from models.clouds.mask.network.samples import Sample
from models.clouds.mask.options import MaskNetworkOptions
from models.clouds.removal.networks.training import compile_network

WITHOUT_LONGWAVE = 0.25  # of the samples lose 1.6 and 2.2 um, so that four bands suffice
BRIGHTER = 0.08  # spread of the factor on all bands of a sample


def train_network(
    model: keras.Model,
    samples: Sequence[Sample],
    options: MaskNetworkOptions,
    seed: int,
    progress: Progress | None = None,
) -> list[float]:
    """Train on windows of one size; return each epoch's mean loss.

    Raises
    ------
    ModelError
        Where no pixel has a class, or the loss is not finite.
    """
    counts = np.bincount(
        np.concatenate([s.labels[s.labels < 4] for s in samples] or [np.empty(0)]).astype(int), None, 4
    )
    if not counts.sum():
        raise ModelError(
            "No pixel of the training windows has a class: no date is clear enough to teach the network."
            " Choose clear.mask.method: temporal, or give labelled tiles.",
            reason="nothing_to_learn",
        )
    shares = counts / counts.sum()
    weights = np.where(counts > 0, np.clip((0.25 / np.maximum(shares, 1e-6)) ** 0.5, 0.3, 3.0), 0)
    rng = np.random.default_rng([seed, 5])
    size = min(options.batch_size, len(samples))
    steps = -(-len(samples) // size)
    compile_network(model, _loss, options.learning_rate, options.epochs * steps)
    history = []
    for epoch in range(options.epochs):
        order = rng.permutation(len(samples))
        losses = []
        for start in range(0, len(order), size):
            chosen = [samples[k] for k in np.take(order, range(start, start + size), mode="wrap")]
            inputs, truth = _batch(chosen, weights, rng)
            losses.append(float(model.train_on_batch(inputs, truth)))
        history.append(float(np.mean(losses)))
        if not np.isfinite(history[-1]):
            raise ModelError("Training diverged; lower clear.mask.network.learning_rate.")
        if progress:
            progress(epoch + 1, options.epochs)
    return history


def _batch(
    samples: Sequence[Sample], weights: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Channels `(n, y, x, channel)` and packed truth `(n, y, x, class + 1)`, turned and dimmed by chance.

    Shadows point away from the sun, so that turning teaches the network to find them by colour and shape.
    """
    inputs, truth = [], []
    for sample in samples:
        values = sample.values * np.float32(1 + BRIGHTER * rng.standard_normal())
        if rng.random() < WITHOUT_LONGWAVE:
            values = values.copy()
            values[4:] = np.nan
        known = sample.labels < 4
        packed = np.zeros((*sample.labels.shape, len(NAMES) + 1), np.float32)
        labels = np.where(known, sample.labels, 0)
        packed[..., :4] = np.eye(4, dtype=np.float32)[labels]
        packed[..., 4] = np.where(known, weights[labels], 0)
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))
        pair = [channels(values, sample.top_of_atmosphere), packed]
        pair = [np.rot90(array[:, ::-1] if flip else array, turns) for array in pair]
        inputs.append(pair[0])
        truth.append(pair[1])
    return np.ascontiguousarray(np.stack(inputs)), np.ascontiguousarray(np.stack(truth))


def _loss(truth: keras.KerasTensor, found: keras.KerasTensor) -> keras.KerasTensor:
    each = -ops.sum(truth[..., :4] * ops.log_softmax(found, axis=-1), axis=-1)
    weight = truth[..., 4]
    return ops.sum(each * weight) / (ops.sum(weight) + 1e-6)
