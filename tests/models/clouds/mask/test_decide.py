"""From chances to what is left out."""

from typing import Any

import numpy as np

from models.clouds.mask.classes import CLEAR, CLOUD, NODATA, SHADOW, SNOW, THIN, UNKNOWN
from models.clouds.mask.decide import classes_of, to_scene_class
from models.clouds.mask.options import Buffers, ByClass, CloudMaskOptions

NO_BUFFER = Buffers(cloud=0, thin=0, shadow=0)


def decided(*chances: tuple[float, ...], **options: Any) -> list[int]:
    """Classes of pixels side by side, each with its chances of clear, shadow, thin cloud and cloud."""
    values = np.array(chances, np.float32).T[:, None, :]
    settings = CloudMaskOptions(**{"method": "temporal", "buffer_px": NO_BUFFER, **options})
    return [int(number) for number in classes_of(values, settings)[0]]


def test_the_class_with_half_of_the_chance_is_taken() -> None:
    pixels = [(0.9, 0.1, 0, 0), (0.4, 0.6, 0, 0), (0.4, 0, 0.6, 0), (0.1, 0, 0, 0.9)]
    assert decided(*pixels) == [CLEAR, SHADOW, THIN, CLOUD]


def test_chances_that_are_high_together_leave_a_pixel_out_as_the_likeliest() -> None:
    assert decided((0.4, 0.1, 0.3, 0.2)) == [THIN]
    assert decided((0.4, 0.1, 0.3, 0.2), together=0.7) == [CLEAR]


def test_a_class_may_be_left_in_and_another_left_out_early() -> None:
    early = ByClass(thin=1.1, shadow=0.2)
    assert decided((0.1, 0, 0.9, 0), (0.7, 0.3, 0, 0), least_chance=early) == [CLEAR, SHADOW]


def test_what_is_unknown_stays_unknown() -> None:
    assert decided((np.nan,) * 4, (1, 0, 0, 0)) == [UNKNOWN, CLEAR]


def test_each_class_grows_by_its_own_buffer_and_never_over_another() -> None:
    clear, cloud, shadow = (1, 0, 0, 0), (0, 0, 0, 1), (0, 1, 0, 0)
    row = [clear, clear, cloud, clear, clear, clear, shadow, clear]
    buffers = Buffers(cloud=2, thin=0, shadow=1)
    assert decided(*row, buffer_px=buffers) == [CLOUD] * 5 + [SHADOW] * 3


def test_a_wide_buffer_is_a_disc_too() -> None:
    values = np.zeros((4, 21, 21), np.float32)
    values[CLEAR] = 1
    values[:, 10, 10] = [0, 0, 0, 1]
    options = CloudMaskOptions(method="temporal", buffer_px=Buffers(cloud=8, thin=0, shadow=0))
    down, right = np.ogrid[-10:11, -10:11]
    assert ((classes_of(values, options) == CLOUD) == (down**2 + right**2 <= 64)).all()


def test_as_scene_classes_the_ground_is_kept_where_clear_and_the_unknown_is_named() -> None:
    classes = np.array([[CLEAR, CLEAR, SHADOW, THIN, CLOUD, UNKNOWN, CLOUD]], np.uint8)
    unknown = np.array([[0, 0, 0, 0, 0, NODATA, SNOW]], np.uint8)
    delivered = np.array([[6, 9, 4, 4, 4, 4, 4]], np.uint8)
    assert to_scene_class(classes, unknown, delivered)[0].tolist() == [6, 7, 3, 10, 9, 0, 11]
    assert to_scene_class(classes, unknown, None)[0].tolist() == [7, 7, 3, 10, 9, 0, 11]
