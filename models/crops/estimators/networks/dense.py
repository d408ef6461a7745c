"""A dense network after KappaZeta's crop classifier: three dense layers over everything at once."""

from typing import TYPE_CHECKING

from models.crops.estimators.networks.neural import NeuralClassifier
from models.crops.estimators.options import DenseOptions

if TYPE_CHECKING:
    from keras import KerasTensor


class DenseClassifier(NeuralClassifier):
    """All dates and channels at once."""

    name = "dense"
    options_type = DenseOptions

    @classmethod
    def network(
        cls, options: DenseOptions, series: "KerasTensor", days: tuple[int, ...], n_classes: int
    ) -> "KerasTensor":
        """Return the last hidden state `(n, unit)`; see NeuralClassifier.network."""
        from keras import layers

        x = layers.Flatten()(series)
        for _ in range(2):
            x = layers.Dense(options.units, activation="relu")(x)
            x = layers.BatchNormalization(momentum=0.9)(x)
            x = layers.Dropout(options.dropout)(x)
        return layers.Dense(options.units // 2, activation="relu")(x)
