"""Expected gradients of a network: what each value adds to a class's score against the training parcels."""

from typing import Any

import numpy as np
import xarray as xr

from features.errors import ModelError
from models.crops.estimators.networks.neural import NeuralClassifier
from models.crops.inputs.arrays import conform
from models.crops.inputs.table import Column

AT_ONCE = 512


def network_contributions(
    model: NeuralClassifier,
    series: xr.Dataset,
    crop_class: str,
    background: xr.Dataset,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float]:
    """Return contributions `(n, column)` to a class's logit, and how far they are from adding up.

    Expected gradients (Erion et al., 2021, Nature Machine Intelligence 3): the gradient, times the way from a
    training parcel, at a point of that way, averaged over training parcels; one random point for each, spread
    evenly. The second value is the mean gap between the sum of contributions and the logit less its mean over
    the training parcels, as a share of that difference's mean size.
    """
    values, context = _inputs(model, series)
    reference, reference_context = _inputs(model, background)
    position = int(np.searchsorted(model.classes_, crop_class))
    points = rng.permutation((np.arange(len(reference)) + rng.random(len(reference))) / len(reference))
    found = [np.zeros(values.shape), np.zeros(context.shape)]
    with model._model() as network:
        network.set_weights(model.weights_)
        for base, base_context, share in zip(reference, reference_context, points, strict=True):
            for start in range(0, len(values), AT_ONCE):
                rows = slice(start, start + AT_ONCE)
                steps = [values[rows] - base, context[rows] - base_context]
                at = [base + share * steps[0], base_context + share * steps[1]]
                gradients = class_gradients(network, at[:1] if not context.shape[1] else at, position)
                for total, step, gradient in zip(found, steps, gradients, strict=False):
                    total[rows] += step * gradient / len(reference)
    flat = np.concatenate([found[0].reshape(len(values), -1), found[1]], axis=1)
    gap = (
        model.logits(conform(series, model.layout_))[:, position]
        - model.logits(conform(background, model.layout_))[:, position].mean()
    )
    return flat, float(np.abs(flat.sum(1) - gap).mean() / max(np.abs(gap).mean(), 1e-9))


def network_columns(model: NeuralClassifier) -> list[Column]:
    """Name the columns of `network_contributions`: values, then the masks of what is known and observed."""
    scaler, layout = model.scaler_, model.layout_
    names = [tuple(layout.channels[i].split("|")) for i in scaler.channels]
    channels = [(feature, statistic) for feature, statistic in names]
    channels += [(names[i][0], "known") for i in scaler.known_masks]
    channels += [(layout.features[i], "observed") for i in scaler.observed_masks]
    columns = [Column(f, s, step) for step in range(len(layout.days)) for f, s in channels]
    return columns + [Column(name, kind, None) for kind in ("context", "known") for name in layout.context]


def _inputs(model: NeuralClassifier, series: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    tensors = model.scaler_.tensors(conform(series, model.layout_))
    return model.scaler_.assemble(tensors), tensors.context


def class_gradients(network: Any, inputs: list[np.ndarray], position: int) -> list[np.ndarray]:
    """Return the gradients of one logit, in the shapes `(n, …)` of the inputs, on TensorFlow or JAX.

    Raises
    ------
    ModelError
        On any other backend.
    """
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow

        tensors = [tensorflow.convert_to_tensor(x, tensorflow.float32) for x in inputs]
        with tensorflow.GradientTape() as tape:
            for tensor in tensors:
                tape.watch(tensor)
            score = tensorflow.reduce_sum(network(tensors, training=False)[:, position])
        return [np.asarray(gradient) for gradient in tape.gradient(score, tensors)]
    if backend == "jax":
        import jax  # type: ignore[import-not-found]  # optional

        def total(arrays: list[Any]) -> Any:
            return network(arrays, training=False)[:, position].sum()

        return [np.asarray(gradient) for gradient in jax.grad(total)([jax.numpy.asarray(x) for x in inputs])]
    raise ModelError(f"Networks are explained on the tensorflow and jax backends; this is {backend}.")
