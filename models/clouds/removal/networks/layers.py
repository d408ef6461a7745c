"""Parts that the networks share; `keras.ops` only, so that they run on TensorFlow and on JAX."""

from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

import keras
import numpy as np
from keras import ops

from models.clouds.removal.error_units import NDVI_FLOOR, NDVI_UNIT, UNIT
from models.clouds.removal.inputs.channels import DEVIATION_SCALE, DEVIATIONS, InputChannels

Tensor: TypeAlias = keras.KerasTensor
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # of packed truth and prediction
LOG_LIMIT = 4.0
INTERPOLATION = 2.0
RESERVE = 3.0
MOST_RESIDUAL = 7.5  # units: what the network may add on its own, so that a strange frame cannot run away


def input_tensors(channels: InputChannels) -> list[Tensor]:
    """Return the input tensors `layers` and `scene`, of any height and width."""
    return [
        keras.Input((None, None, channels.layers, channels.features), name="layers"),
        keras.Input((None, None, channels.scene), name="scene"),
    ]


def first_guess(scene: Tensor, channels: InputChannels) -> tuple[Tensor, Tensor]:
    """Return the interpolation in time, and the centre from which layers deviate, `(…, band)` each."""
    bands = len(channels.bands)
    if not channels.optical:
        constant = ops.zeros_like(scene[..., :1]) + ops.convert_to_tensor(channels.constant, "float32")
        return constant, constant
    centre = scene[..., bands : 2 * bands] / 4 + 0.2
    return centre + scene[..., :bands] / float(DEVIATION_SCALE), centre


def weigh_layers(
    layers: Tensor, width: int, channels: InputChannels, reduce: int = 1
) -> tuple[Tensor, Tensor]:
    """Weigh the observations of other dates, each scored by the same small network beside their mean.

    Parameters
    ----------
    reduce
        Scores are computed at this fraction of the resolution and repeated, as L-TAE's attention is; which
        observations there are stays a matter of each pixel.

    Returns
    -------
    tuple
        Weighted mean of the layers' deviations from their centre, in reflectance, and of the features
        `(n, y / reduce, x / reduce, width)`. Layers without an observation have weight zero.
    """
    seen = layers[..., -1]
    low = BlockMeans(reduce)(layers) if reduce > 1 else layers
    hidden = keras.layers.Dense(width, activation="relu", name="score_1")(low)
    shared = keras.layers.Dense(width, name="score_mean")(ops.mean(hidden, axis=-2, keepdims=True))
    hidden = ops.relu(keras.layers.Dense(width, name="score_2")(hidden) + shared)
    score = keras.layers.Dense(1, name="score")(hidden)[..., 0]
    if channels.optical:  # begin near the interpolation, the last layer, not at a mean of all dates
        score = score + INTERPOLATION * ops.one_hot(channels.layers - 1, channels.layers)
    pooled = _weighted(_shares(score - 1e4 * ops.cast(low[..., -1] < 1e-3, low.dtype)), hidden)
    if reduce > 1:
        score = keras.layers.UpSampling2D(reduce)(score)
    weight = _shares(score - 1e4 * (1 - seen))
    deviation = layers[..., : len(channels.bands)] / float(DEVIATION_SCALE)
    return _weighted(weight, deviation), pooled


def _weighted(weight: Tensor, values: Tensor) -> Tensor:
    """Return the sum of `values (…, layer, c)` by `weight (…, layer)`."""
    return ops.matmul(weight[..., None, :], values)[..., 0, :]


def _shares(score: Tensor) -> Tensor:
    """Return the softmax over the last axis, also where it holds one layer alone, which Keras warns of."""
    grown = ops.exp(score - ops.max(score, axis=-1, keepdims=True))
    return grown / ops.sum(grown, axis=-1, keepdims=True)


class BlockMeans(keras.layers.Layer):  # type: ignore[misc]
    """Average `(n, y, x, layer, c)` over blocks of `size` pixels; a layer, because sizes are known only
    when called."""

    def __init__(self, size: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs: Tensor) -> Tensor:
        """Return `(n, y / size, x / size, layer, c)`."""
        _, height, width, layers, channels = ops.shape(inputs)
        flat = ops.reshape(inputs, (-1, height, width, layers * channels))
        low = ops.average_pool(flat, self.size, strides=self.size)
        return ops.reshape(low, (-1, height // self.size, width // self.size, layers, channels))


class Joined(keras.layers.Layer):  # type: ignore[misc]
    """A dense layer with ReLU over several tensors `(…, c)` as if they were side by side.

    To put them there would take as long as to multiply them.
    """

    def __init__(self, width: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.width = width

    def build(self, shapes: list[tuple[int, ...]]) -> None:
        """Make the weights that one dense layer would have."""
        channels = sum(shape[-1] for shape in shapes)
        self.kernel = self.add_weight(shape=(channels, self.width), initializer="glorot_uniform")
        self.bias = self.add_weight(shape=(self.width,), initializer="zeros")

    def call(self, inputs: list[Tensor]) -> Tensor:
        """Return `(…, width)`."""
        edges = np.cumsum([0, *(part.shape[-1] for part in inputs)])
        parts = [ops.matmul(x, self.kernel[a:b]) for x, (a, b) in zip(inputs, pairwise(edges), strict=True)]
        return ops.relu(sum(parts[1:], parts[0]) + self.bias)

    def compute_output_shape(self, shapes: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Return the first tensor's shape with `width` channels."""
        return (*shapes[0][:-1], self.width)


class Flatten(keras.layers.Layer):  # type: ignore[misc]
    """Put the layers beside each other: `(n, y, x, layer, c)` to `(n, y, x, layer * c)`."""

    def call(self, inputs: Tensor) -> Tensor:
        """Return the flattened tensor."""
        _, height, width, layers, channels = ops.shape(inputs)
        return ops.reshape(inputs, (-1, height, width, layers * channels))


def correct(blend: Tensor, features: Tensor, scene: Tensor, channels: InputChannels) -> Tensor:
    """Add the gated deviations of the frame's visible part and a residual to a first guess; append sigma.

    Returns
    -------
    Tensor
        `(…, 2 * band)`: reflectance, then log sigma in units of 0.02.
    """
    bands = len(channels.bands)
    value = blend
    if channels.optical:
        gates = keras.layers.Dense(DEVIATIONS + 1, kernel_initializer="zeros", name="gates")(features)
        start = keras.utils.to_categorical(DEVIATIONS - 1, DEVIATIONS + 1) * RESERVE  # with the mean of all
        start[-1] = RESERVE - 2  # the last: none of them
        gates = _shares(gates + ops.convert_to_tensor(start, "float32"))
        for k in range(DEVIATIONS):
            at = 2 * bands + k * (bands + 1)
            value = value + gates[..., k : k + 1] * scene[..., at : at + bands] / float(DEVIATION_SCALE)
    residual = keras.layers.Dense(bands, kernel_initializer="zeros", name="residual")(features)
    spread = keras.layers.Dense(bands, kernel_initializer="zeros", name="log_sigma")(features)
    residual = MOST_RESIDUAL * ops.tanh(residual / MOST_RESIDUAL)
    return ops.concatenate([value + UNIT * residual, ops.clip(spread, -LOG_LIMIT, LOG_LIMIT)], axis=-1)


def make_loss(bands: tuple[str, ...], kind: str, ndvi_weight: float) -> Loss:
    """Return a Keras loss on packed truth `(…, band + 2)`: reflectance, pixel weight, weight of the NDVI
    term.

    `mae` and `mse` train sigma beside the values, as a Laplace scale of the error without touching them;
    `likelihood` is that of a diagonal Gaussian (Ebel et al. 2023, UnCRtainTS, CVPR workshops).
    """
    count = len(bands)

    def loss(truth: Tensor, found: Tensor) -> Tensor:
        value, spread = found[..., :count], found[..., count:]
        error = (value - truth[..., :count]) / UNIT
        if kind == "likelihood":
            each = 0.5 * ops.square(error) * ops.exp(-2 * spread) + spread
        else:
            main = ops.abs(error) if kind == "mae" else 0.25 * ops.square(error)
            each = main + 0.1 * (ops.abs(ops.stop_gradient(error)) * ops.exp(-spread) + spread)
        weight = truth[..., count]
        total = ops.sum(ops.mean(each, axis=-1) * weight) / (ops.sum(weight) + 1e-6)
        if ndvi_weight and "B04" in bands and ("B08" in bands or "B8A" in bands):
            farmed = truth[..., count + 1]
            difference = ops.abs(_ndvi(value, bands) - _ndvi(truth, bands)) / NDVI_UNIT
            total = total + ndvi_weight * ops.sum(difference * farmed) / (ops.sum(farmed) + 1e-6)
        return total

    return loss


def _ndvi(value: Tensor, bands: tuple[str, ...]) -> Tensor:
    red = value[..., bands.index("B04")]
    near = value[..., bands.index("B08" if "B08" in bands else "B8A")]
    return (near - red) / ops.maximum(near + red, NDVI_FLOOR)
