"""UnCRtainTS (Ebel et al. 2023, CVPR workshops): attention over time at reduced resolution, means and
variances.

Structure as published: 1x1 convolution, MBConv encoder shared by all dates, L-TAE attention (Garnot and
Landrieu 2020) at a quarter of the resolution, its weights upsampled and applied to the full-resolution
features, five MBConv, means by sigmoid and variances by softplus under a diagonal Gaussian. What differs: the
dates are each pixel's clear observations around the gap (with their radar change) rather than whole frames;
the mean's logit starts from linear interpolation; `small` has fewer channels, heads and blocks, and pools
before attention with a mean.
"""

from dataclasses import dataclass

import keras
from keras import ops

from models.clouds.removal.inputs.channels import InputChannels
from models.clouds.removal.networks.layers import LOG_LIMIT, Tensor, first_guess, input_tensors
from models.clouds.removal.networks.learned import Learned

REDUCE = 4


@dataclass(frozen=True)
class Size:
    """Channels, blocks and heads."""

    width: int
    before: int
    after: int
    heads: int
    key: int
    model: int


SMALL = Size(width=16, before=1, after=1, heads=4, key=4, model=32)
FULL = Size(width=128, before=1, after=5, heads=16, key=4, model=256)


class UnCRtainTS(Learned):
    """UnCRtainTS; see the module."""

    name = "uncrtaints"
    margin_px = 32

    def network(self, channels: InputChannels) -> keras.Model:
        """Return the Keras model for these channels."""
        size = FULL if self.options.size == "full" else SMALL
        width = self.options.width or size.width
        inputs = input_tensors(channels)
        layers, scene = inputs
        bands = len(channels.bands)
        entered = keras.layers.Dense(width)(layers) + keras.layers.Dense(width)(scene)[..., None, :]
        dates = Encoder(width, size.before, name="encoder")(entered)
        seen = layers[..., -1]
        x = TemporalAttention(size, width, name="ltae")(dates, seen)
        for k in range(size.after):
            x = MBConv(width, name=f"decoder{k}")(x)
        start = ops.clip(first_guess(scene, channels)[0], 0.002, 0.998)
        shift = keras.layers.Dense(bands, kernel_initializer="zeros", name="mean")(x)
        mean = ops.sigmoid(ops.log(start / (1 - start)) + shift)
        variance = ops.softplus(keras.layers.Dense(bands, kernel_initializer="zeros", name="variance")(x))
        spread = ops.clip(0.5 * ops.log(variance + 1e-6), -LOG_LIMIT, LOG_LIMIT)
        return keras.Model(inputs, ops.concatenate([mean, spread], axis=-1), name=self.name)


def _fold(x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Turn `(n, y, x, date, c)` into `(n * date, y, x, c)`, and return the shape to unfold with."""
    n, height, width, dates, _ = ops.shape(x)
    folded = ops.reshape(ops.transpose(x, (0, 3, 1, 2, 4)), (-1, height, width, x.shape[-1]))
    return folded, (n, dates, height, width)


class MBConv(keras.layers.Layer):  # type: ignore[misc]
    """Inverted bottleneck: expansion 2, pre-norm, GELU, squeeze-excite 0.25, group norm, residual."""

    def __init__(self, width: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        wide = 2 * width
        groups = 4 if width % 4 == 0 else 1
        self.norm = keras.layers.GroupNormalization(groups)
        self.expand = keras.layers.Dense(wide)
        self.depthwise = keras.layers.DepthwiseConv2D(3, padding="same")
        self.inner_norm = keras.layers.GroupNormalization(groups)
        self.squeeze = keras.layers.Dense(max(1, wide // 4), activation="gelu")
        self.excite = keras.layers.Dense(wide, activation="sigmoid")
        self.project = keras.layers.Dense(width)

    def call(self, inputs: Tensor) -> Tensor:
        """Return `(n, y, x, width)`."""
        x = keras.activations.gelu(self.expand(self.norm(inputs)))
        x = keras.activations.gelu(self.inner_norm(self.depthwise(x)))
        x = x * self.excite(self.squeeze(ops.mean(x, axis=(1, 2), keepdims=True)))
        return inputs + self.project(x)


class Encoder(keras.layers.Layer):  # type: ignore[misc]
    """MBConv blocks, shared by all dates, after the 1x1 convolution on each date beside the frame's own
    channels."""

    def __init__(self, width: int, blocks: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.blocks = [MBConv(width) for _ in range(blocks)]

    def call(self, inputs: Tensor) -> Tensor:
        """Turn `(n, y, x, date, c)` into `(n, y, x, date, width)`."""
        x, (n, dates, height, width) = _fold(inputs)
        for block in self.blocks:
            x = block(x)
        x = ops.reshape(x, (n, dates, height, width, self.width))
        return ops.transpose(x, (0, 2, 3, 1, 4))


class TemporalAttention(keras.layers.Layer):  # type: ignore[misc]
    """L-TAE: one learnt query a head, attention over dates at a quarter of the resolution, applied at the
    full one."""

    def __init__(self, size: Size, width: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.heads, self.key, self.width = size.heads, size.key, width
        heads, key, model = size.heads, size.key, size.model
        self.exit = keras.layers.Dense(width, activation="gelu")
        self.enter = keras.layers.Dense(model)
        self.norm = keras.layers.LayerNormalization()
        self.keys = keras.layers.Dense(heads * key)

    def build(
        self, dates_shape: tuple[int | None, ...], seen_shape: tuple[int | None, ...] | None = None
    ) -> None:
        """Make the queries."""
        self.query = self.add_weight(shape=(self.heads, self.key), initializer="glorot_uniform", name="query")
        super().build(dates_shape)

    def call(self, dates: Tensor, seen: Tensor) -> Tensor:
        """Attend: `(n, y, x, date, width)` and `(n, y, x, date)` to `(n, y, x, width)`."""
        folded, (n, count, height, width) = _fold(dates)
        low = keras.ops.average_pool(folded, REDUCE, strides=REDUCE, padding="same")
        keys = self.keys(self.norm(self.enter(low)))
        keys = ops.reshape(keys, (*ops.shape(keys)[:3], self.heads, self.key))
        score = ops.sum(keys * self.query, axis=-1) / self.key**0.5
        score = ops.repeat(ops.repeat(score, REDUCE, axis=1), REDUCE, axis=2)[:, :height, :width]
        score = ops.transpose(ops.reshape(score, (n, count, height, width, self.heads)), (0, 2, 3, 1, 4))
        weight = ops.softmax(score - 1e4 * (1 - seen[..., None]), axis=3)
        values = ops.reshape(dates, (n, height, width, count, self.heads, self.width // self.heads))
        mixed = ops.sum(weight[..., None] * values, axis=3)
        return self.exit(ops.reshape(mixed, (n, height, width, self.width)))
