"""The networks' own layers."""

import keras
import numpy as np

from models.clouds.removal.networks.layers import Joined


def test_tensors_joined_are_what_a_dense_layer_makes_of_them_side_by_side() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(2, 3, 4, channels)).astype(np.float32) for channels in (5, 1, 7)]
    joined, dense = Joined(6), keras.layers.Dense(6, activation="relu")
    found = joined(parts)
    whole = np.concatenate(parts, axis=-1)
    dense.build(whole.shape)
    dense.set_weights(joined.get_weights())
    np.testing.assert_allclose(found, dense(whole), atol=1e-6)
    assert found.shape == joined.compute_output_shape([part.shape for part in parts])
