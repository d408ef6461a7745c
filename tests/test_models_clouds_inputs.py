"""What a network is told of a frame by its visible part."""

import numpy as np

from models.clouds.cube import Cube
from models.clouds.inputs import DEVIATION_SCALE, DEVIATIONS, Frames, Recipe


def test_a_deviation_that_a_frame_has_in_common_is_told_in_full_and_a_missed_cloud_is_not() -> None:
    """Three dates at 0.1; the second is 0.08 brighter where it is seen, and one pixel there is cloud."""
    values = np.full((3, 2, 32, 32), 0.1, np.float32)
    values[1] = 0.18
    values[1, :, 8, 8] = 0.9
    clear = np.ones((3, 32, 32), bool)
    clear[1, :, 16:] = False
    cube = Cube(np.where(clear[:, None], values, np.nan), clear, np.array([0.0, 5.0, 10.0]), ("B02", "B04"))
    scene = Frames(cube, Recipe(cube.bands, 0, 2, recent=False, optical=True)).sample(1).scene
    at = 2 * 2 + (DEVIATIONS - 1) * 3
    told = scene[..., at : at + 2] / DEVIATION_SCALE
    np.testing.assert_allclose(told[:, 16:], 0.08, atol=1e-3)
