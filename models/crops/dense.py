"""A dense network after KappaZeta's crop classifier: flatten, three dense layers, batch normalisation after two."""

from typing import Any

from pydantic import Field

from models.crops.neural import NeuralClassifier, NeuralOptions


class DenseOptions(NeuralOptions):
    """The dense network; its order of layers is that of KappaZeta's national classifier for Estonia."""

    units: int = Field(
        192, ge=2, description="Units of the first layer; the second has as many, the third half."
    )
    epochs: int = Field(40, ge=1, description="Passes over the training parcels.")
    dropout: float = Field(0.4, ge=0, lt=1, description="Share of units dropped while training.")


class DenseClassifier(NeuralClassifier):
    """All dates and channels at once."""

    name = "dense"
    options_type = DenseOptions

    @classmethod
    def network(cls, options: DenseOptions, inputs: list[Any], days: tuple[int, ...], n_classes: int) -> Any:
        """Return logits; see NeuralClassifier.network."""
        from keras import layers

        parts = [layers.Flatten()(inputs[0]), *inputs[1:]]
        x = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
        for _ in range(2):
            x = layers.Dense(options.units, activation="relu")(x)
            x = layers.BatchNormalization(momentum=0.9)(x)
            x = layers.Dropout(options.dropout)(x)
        x = layers.Dense(options.units // 2, activation="relu")(x)
        return layers.Dense(n_classes)(x)
