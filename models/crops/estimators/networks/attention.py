"""A light temporal attention encoder: each head weights the dates of the season with one learned query."""

from typing import TYPE_CHECKING

import numpy as np

from models.crops.estimators.networks.neural import NeuralClassifier
from models.crops.estimators.options import LtaeOptions

if TYPE_CHECKING:
    from keras import KerasTensor

PERIOD = 1000.0  # longest wave of the positions, in days, as in the authors' code


class LtaeClassifier(NeuralClassifier):
    """Attention over the dates of the season."""

    name = "ltae"
    options_type = LtaeOptions

    @classmethod
    def network(
        cls, options: LtaeOptions, series: "KerasTensor", days: tuple[int, ...], n_classes: int
    ) -> "KerasTensor":
        """Return the last hidden state `(n, unit)`; see NeuralClassifier.network."""
        from keras import layers, ops

        per_head = max(options.width // options.heads, 1)
        width = per_head * options.heads
        x = layers.LayerNormalization()(layers.Dense(width)(series))
        positions = np.tile(day_waves(days, per_head), (1, options.heads))
        placed = x + ops.convert_to_tensor(positions[None], dtype="float32")
        keys = layers.Reshape((len(days), options.heads, options.key_size))(
            layers.Dense(options.heads * options.key_size)(placed)
        )
        asked = layers.EinsumDense("nthd,hd->nth", output_shape=(len(days), options.heads), name="query")
        weights = ops.softmax(asked(keys) / np.sqrt(options.key_size), axis=1)
        split = layers.Reshape((len(days), options.heads, per_head))(placed)
        x = layers.Flatten()(ops.einsum("nth,nthc->nhc", layers.Dropout(options.dropout / 2)(weights), split))
        x = layers.Dense(options.units, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        return layers.Dropout(options.dropout)(x)


def day_waves(days: tuple[int, ...], width: int) -> np.ndarray:
    """Return `(time, width)` sines and cosines of the day of the year (Vaswani et al., 2017).

    Examples
    --------
    >>> day_waves((0, 100), 2).astype(float).round(2).tolist()
    [[0.0, 1.0], [-0.51, 0.86]]
    """
    place = np.arange(width)
    rate = PERIOD ** -(2 * (place // 2) / width)
    angle = np.asarray(days, float)[:, None] * rate
    return np.where(place % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)
