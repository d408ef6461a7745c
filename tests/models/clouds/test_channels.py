"""What a network is told of a frame by its visible part."""

import numpy as np

from models.clouds.removal.cube import Cube
from models.clouds.removal.inputs.channels import DEVIATION_SCALE, DEVIATIONS, Frames, InputChannels


def test_a_deviation_that_a_frame_has_in_common_is_told_in_full_and_a_missed_cloud_is_not() -> None:
    """Three dates at 0.1; the second is 0.08 brighter where it is seen, and one pixel there is cloud."""
    values = np.full((3, 2, 32, 32), 0.1, np.float32)
    values[1] = 0.18
    values[1, :, 8, 8] = 0.9
    clear = np.ones((3, 32, 32), bool)
    clear[1, :, 16:] = False
    cube = Cube(np.where(clear[:, None], values, np.nan), clear, np.array([0.0, 5.0, 10.0]), ("B02", "B04"))
    scene = Frames(cube, InputChannels(cube.bands, 0, 2, recent=False, optical=True)).sample(1).scene
    at = 2 * 2 + (DEVIATIONS - 1) * 3
    told = scene[..., at : at + 2] / DEVIATION_SCALE
    np.testing.assert_allclose(told[:, 16:], 0.08, atol=1e-3)


def test_a_frame_written_over_another_is_as_if_written_on_nothing() -> None:
    """Memory is used again from frame to frame: what is clear in the second was not in the first."""
    rng = np.random.default_rng(0)
    clear = rng.random((5, 16, 16)) < 0.6
    values = rng.random((5, 2, 16, 16)).astype(np.float32)
    cube = Cube(np.where(clear[:, None], values, np.nan), clear, np.arange(5.0), ("B02", "B04"))
    frames = Frames(cube, InputChannels(cube.bands, 0, 2, recent=False, optical=True))
    layers, scene = frames.blank(1)
    assert layers.ctypes.data % 64 == scene.ctypes.data % 64 == 0  # TensorFlow would copy others
    for frame in range(5):
        again, fresh = frames.sample(frame, (layers[0], scene[0])), frames.sample(frame)
        np.testing.assert_array_equal(again.layers, fresh.layers)
        np.testing.assert_array_equal(again.scene, fresh.scene)
