"""The network in OpenVINO, where that is installed (`cropcheck[openvino]`): the same weights, faster."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from features.errors import ModelError

if TYPE_CHECKING:
    import keras


def compiled(model: "keras.Model") -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from channels `(n, y, x, channel)` to logits `(n, y, x, class)`.

    Raises
    ------
    ModelError
        Where the package is not installed, or Keras runs on another backend than TensorFlow.
    """
    try:
        import openvino
    except ImportError as error:
        raise ModelError(
            "clear.mask.network.fast needs OpenVINO: pip install 'cropcheck[openvino]', or leave it out.",
            reason="not_installed",
        ) from error
    import tensorflow

    shape = tensorflow.TensorSpec((None, None, None, model.input_shape[-1]))
    call = tensorflow.function(lambda inputs: model(inputs, training=False), input_signature=[shape])
    network = openvino.convert_model(call)
    ready = openvino.compile_model(network, "CPU", {"PERFORMANCE_HINT": "LATENCY"})

    def predict(inputs: np.ndarray) -> np.ndarray:
        return np.asarray(ready.create_infer_request().infer([inputs])[0])  # a request a thread

    return predict
