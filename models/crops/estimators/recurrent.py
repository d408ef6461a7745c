"""Long short-term memory networks, forwards or both ways, over the steps of a season."""

from typing import TYPE_CHECKING

from pydantic import Field

from models.crops.estimators.neural import NeuralClassifier, NeuralOptions

if TYPE_CHECKING:
    from keras import KerasTensor


class LstmOptions(NeuralOptions):
    """A recurrent network (Hochreiter and Schmidhuber, 1997) whose last state is classified."""

    units: int = Field(64, ge=2, le=4096, description="Units of each recurrent layer.")
    layers: int = Field(1, ge=1, le=4, description="Recurrent layers.")
    both_ways: bool = Field(False, description="Read the season forwards and backwards.")
    epochs: int = Field(20, ge=1, description="Passes over the training parcels.")
    joined_steps: int = Field(2, ge=1, le=4096, description="Neighbouring steps that are read as one.")


class BilstmOptions(LstmOptions):
    """The same read both ways."""

    both_ways: bool = Field(True, description="Read the season forwards and backwards.")


class LstmClassifier(NeuralClassifier):
    """One state carried through the season."""

    name = "lstm"
    options_type = LstmOptions

    @classmethod
    def network(
        cls, options: LstmOptions, series: "KerasTensor", days: tuple[int, ...], n_classes: int
    ) -> "KerasTensor":
        """Return the last hidden state; see NeuralClassifier.network."""
        from keras import layers

        x = layers.Dense(options.units, activation="relu")(series)
        for depth in range(options.layers):
            layer = layers.LSTM(options.units, return_sequences=depth < options.layers - 1)
            x = layers.Bidirectional(layer)(x) if options.both_ways else layer(x)
        return layers.Dropout(options.dropout)(layers.LayerNormalization()(x))


class BilstmClassifier(LstmClassifier):
    """Two states, one from each end of the season."""

    name = "bilstm"
    options_type = BilstmOptions
