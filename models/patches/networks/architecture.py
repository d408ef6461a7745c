"""The U-Net on patches, with a temporal encoder in front where asked for; `keras.ops` and layers only.

A pixel's own season says most of its crop, its surroundings say where a field ends: two dense layers look at
the pixel by itself, the U at all around it, and the last layer sees both.
"""

from typing import TypeAlias

import keras
from keras import ops

from models.clouds.mask.network.architecture import u_levels
from models.patches.options import PatchNetworkOptions

Tensor: TypeAlias = keras.KerasTensor
PIXEL_WIDTHS = 4  # times the width: a pixel's own layers need more channels than its surroundings
CONVOLUTIONS = 3  # along the season


def build_trunk(options: PatchNetworkOptions, steps: int, features: int, temporal: bool) -> keras.Model:
    """Return the network without its last layer: `(n, y, x, step, feature)` to `(n, y, x, 5 * width)`."""
    inputs = keras.Input((None, None, steps, features))
    if not temporal:
        x = SideBySide(name="stacked")(inputs)
    elif options.encoder == "attention":
        x = TemporalEncoder(options.encoder_width, options.heads, name="encoder")(inputs)
    else:
        x = _season_convolutions(inputs, options)
    for layer in range(2):
        x = keras.layers.Dense(PIXEL_WIDTHS * options.width, activation="relu", name=f"pixel_{layer}")(x)
        x = _dropped(x, options)
    around = _dropped(u_levels(x, options.width, options.depth), options)
    return keras.Model(inputs, keras.layers.Concatenate()([x, around]), name="trunk")


def _season_convolutions(inputs: Tensor, options: PatchNetworkOptions) -> Tensor:
    """Convolve the steps of each pixel, after TempCNN (Pelletier, Webb and Petitjean 2019):
    `(n, y, x, step, feature)` to `(n, y, x, step * channel)`."""
    x = InOneRow(name="in_one_row")(inputs)
    span = (1, options.encoder_span)
    for _ in range(CONVOLUTIONS):
        x = keras.layers.Conv2D(options.encoder_width, span, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
        x = _dropped(x, options)
    return BackInPlace(name="back_in_place")([x, inputs])


def _dropped(x: Tensor, options: PatchNetworkOptions) -> Tensor:
    """Drop channels while training, the same in all pixels of a patch: neighbours say the same, and a channel
    dropped from one of them only would hardly be missed."""
    return keras.layers.SpatialDropout2D(options.dropout)(x) if options.dropout else x


def build_network(
    options: PatchNetworkOptions, steps: int, features: int, classes: int, temporal: bool
) -> keras.Model:
    """Return the network: channels `(n, y, x, step, feature)` to logits `(n, y, x, class)`."""
    trunk = build_trunk(options, steps, features, temporal)
    logits = keras.layers.Conv2D(classes, 1, name="logits")(trunk.output)
    return keras.Model(trunk.input, logits)


class SideBySide(keras.layers.Layer):  # type: ignore[misc]
    """Put the steps beside each other: `(n, y, x, step, feature)` to `(n, y, x, step * feature)`."""

    def call(self, inputs: Tensor) -> Tensor:
        """Return the flattened tensor."""
        shape = ops.shape(inputs)
        return ops.reshape(inputs, (-1, shape[1], shape[2], inputs.shape[3] * inputs.shape[4]))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape without the axis of steps."""
        return (*shape[:3], (shape[3] or 0) * (shape[4] or 0))


class InOneRow(keras.layers.Layer):  # type: ignore[misc]
    """Put the pixels in one row: `(n, y, x, step, feature)` to `(n, y * x, step, feature)`."""

    def call(self, inputs: Tensor) -> Tensor:
        """Return the tensor with one axis of pixels."""
        shape = ops.shape(inputs)
        return ops.reshape(inputs, (-1, shape[1] * shape[2], inputs.shape[3], inputs.shape[4]))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape with one axis of pixels."""
        pixels = None if shape[1] is None or shape[2] is None else shape[1] * shape[2]
        return (shape[0], pixels, *shape[3:])


class BackInPlace(keras.layers.Layer):  # type: ignore[misc]
    """Undo `InOneRow`, steps side by side: `(n, y * x, step, channel)` to `(n, y, x, step * channel)`; the
    second input has the places."""

    def call(self, inputs: list[Tensor]) -> Tensor:
        """Return the tensor with two axes of pixels."""
        row, like = inputs
        shape = ops.shape(like)
        return ops.reshape(row, (-1, shape[1], shape[2], row.shape[2] * row.shape[3]))

    def compute_output_shape(self, shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Return the shape with two axes of pixels."""
        row, like = shape
        return (*like[:3], (row[2] or 0) * (row[3] or 0))


class TemporalEncoder(keras.layers.Layer):  # type: ignore[misc]
    """Attend to the steps of each pixel, after the lightweight attention of Garnot and Landrieu (2020).

    Each head has one learned query; the last feature says whether a step was seen, and steps that were not
    weigh less by a learned amount. Returns `(n, y, x, heads * width)`.
    """

    def __init__(self, width: int, heads: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.width, self.heads = width, heads
        self.embed = keras.layers.Dense(width, activation="relu")
        self.key = keras.layers.Dense(heads)

    def build(self, shape: tuple[int, ...]) -> None:
        """Make the weights: of the embedding, of the place in the season, of the queries."""
        self.place = self.add_weight(shape=(shape[3], self.width), initializer="glorot_uniform", name="place")
        self.unseen = self.add_weight(shape=(self.heads,), initializer="zeros", name="unseen")
        self.embed.build(shape)
        self.key.build((*shape[:-1], self.width))

    def call(self, inputs: Tensor) -> Tensor:
        """Return what each head gathers, side by side."""
        hidden = self.embed(inputs) + self.place
        score = self.key(hidden) + (1 - inputs[..., -1:]) * self.unseen
        grown = ops.exp(score - ops.max(score, axis=-2, keepdims=True))
        share = grown / ops.sum(grown, axis=-2, keepdims=True)
        gathered = ops.matmul(ops.swapaxes(share, -1, -2), hidden)
        shape = ops.shape(inputs)
        return ops.reshape(gathered, (-1, shape[1], shape[2], self.heads * self.width))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape with heads beside each other."""
        return (*shape[:3], self.heads * self.width)
