"""Convolutions along the season: TempCNN and a residual network."""

from typing import TYPE_CHECKING

from models.crops.estimators.networks.neural import NeuralClassifier
from models.crops.estimators.options import ResnetOptions, TempcnnOptions

if TYPE_CHECKING:
    from keras import KerasTensor


class TempcnnClassifier(NeuralClassifier):
    """Local patterns at any date of the season."""

    name = "tempcnn"
    options_type = TempcnnOptions

    @classmethod
    def network(
        cls, options: TempcnnOptions, series: "KerasTensor", days: tuple[int, ...], n_classes: int
    ) -> "KerasTensor":
        """Return the last hidden state `(n, unit)`; see NeuralClassifier.network."""
        from keras import layers

        x = series
        for _ in range(3):
            x = layers.Conv1D(options.filters, options.width, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
            x = layers.Dropout(options.dropout)(x)
        x = layers.Dense(options.units, use_bias=False)(layers.Flatten()(x))
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        return layers.Dropout(options.dropout)(x)


class ResnetClassifier(NeuralClassifier):
    """Local patterns whose place in the season does not matter, unless the masks or edges show it."""

    name = "resnet"
    options_type = ResnetOptions

    @classmethod
    def network(
        cls, options: ResnetOptions, series: "KerasTensor", days: tuple[int, ...], n_classes: int
    ) -> "KerasTensor":
        """Return the last hidden state `(n, unit)`; see NeuralClassifier.network."""
        from keras import layers

        x = series
        for filters in (options.filters, 2 * options.filters, 2 * options.filters):
            x = cls._block(x, filters, options.widths)
        pooled = [layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)]
        return layers.Dropout(options.dropout)(layers.Concatenate()(pooled))

    @staticmethod
    def _block(x: "KerasTensor", filters: int, widths: tuple[int, ...]) -> "KerasTensor":
        from keras import layers

        short = x
        for position, width in enumerate(widths):
            x = layers.Conv1D(filters, width, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization(momentum=0.9)(x)
            x = layers.ReLU()(x) if position < len(widths) - 1 else x
        if short.shape[-1] != filters:
            short = layers.BatchNormalization(momentum=0.9)(layers.Conv1D(filters, 1, use_bias=False)(short))
        return layers.ReLU()(layers.Add()([x, short]))
