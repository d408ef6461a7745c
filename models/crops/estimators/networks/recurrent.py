"""Long short-term memory networks, forwards or both ways, over the steps of a season."""

from typing import TYPE_CHECKING

from models.crops.estimators.networks.neural import NeuralClassifier
from models.crops.estimators.options import BilstmOptions, LstmOptions

if TYPE_CHECKING:
    from keras import KerasTensor


class LstmClassifier(NeuralClassifier):
    """One state carried through the season."""

    name = "lstm"
    options_type = LstmOptions

    @classmethod
    def network(
        cls, options: LstmOptions, series: "KerasTensor", days: tuple[int, ...], n_classes: int
    ) -> "KerasTensor":
        """Return the last hidden state `(n, unit)`; see NeuralClassifier.network."""
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
