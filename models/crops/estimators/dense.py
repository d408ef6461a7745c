"""A dense network after KappaZeta's crop classifier: three dense layers over everything at once."""

from typing import TYPE_CHECKING

from pydantic import Field

from models.crops.estimators.neural import NeuralClassifier, NeuralOptions

if TYPE_CHECKING:
    from keras import KerasTensor


class DenseOptions(NeuralOptions):
    """The dense network: flatten, three dense layers, batch normalisation after two of them."""

    units: int = Field(128, ge=2, le=4096, description="Units of the first two layers; the third has half.")
    dropout: float = Field(0.4, ge=0, lt=1, description="Share of units dropped while training.")


class DenseClassifier(NeuralClassifier):
    """All dates and channels at once."""

    name = "dense"
    options_type = DenseOptions

    @classmethod
    def network(
        cls, options: DenseOptions, series: "KerasTensor", days: tuple[int, ...], n_classes: int
    ) -> "KerasTensor":
        """Return the last hidden state; see NeuralClassifier.network."""
        from keras import layers

        x = layers.Flatten()(series)
        for _ in range(2):
            x = layers.Dense(options.units, activation="relu")(x)
            x = layers.BatchNormalization(momentum=0.9)(x)
            x = layers.Dropout(options.dropout)(x)
        return layers.Dense(options.units // 2, activation="relu")(x)
