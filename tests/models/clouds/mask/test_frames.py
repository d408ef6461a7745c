"""What cannot be judged, and what does not fit."""

from typing import Literal

import numpy as np
import pytest

from features.errors import ModelError
from features.imagery.sun import sun_position
from models.clouds.mask.by_name import build
from models.clouds.mask.classes import NODATA, SATURATED, SNOW, recoded
from models.clouds.mask.frames import Frames, unknown_of
from models.clouds.mask.options import CloudMaskOptions
from tests.models.clouds.mask.made import BANDS, CLOUD, GRASS, frames
from tests.models.clouds.mask.made import SNOW as WHITE


def test_snow_saturated_and_nodata_pixels_are_unknown_and_say_why() -> None:
    values = np.stack([GRASS, WHITE, CLOUD, (6.45,) * 6, (np.nan,) * 6]).T.reshape(6, 1, 5)
    assert unknown_of(frames(values), 0)[0].tolist() == [0, SNOW, 0, SATURATED, NODATA]


def test_the_delivered_classes_come_before_the_rule_of_snow() -> None:
    values = np.stack([WHITE, WHITE, WHITE]).T.reshape(6, 1, 3)
    delivered = np.array([[[9, 11, 1]]], np.uint8)
    assert unknown_of(frames(values, scene_class=delivered), 0)[0].tolist() == [0, SNOW, SATURATED]


def test_a_band_that_the_mask_does_not_need_may_be_missing() -> None:
    values = np.array(GRASS).reshape(6, 1, 1).copy()
    values[BANDS.index("B12")] = np.nan
    made = frames(values)
    assert unknown_of(made, 0, (("B02",),))[0, 0] == 0
    assert unknown_of(made, 0, (("B02",), ("B12",)))[0, 0] == NODATA


def test_scene_classes_of_another_size_are_refused() -> None:
    with pytest.raises(ModelError, match="another grid"):
        frames(GRASS, scene_class=np.zeros((1, 3, 3), np.uint8))


@pytest.mark.parametrize(("method", "band"), [("temporal", "B8A or B08"), ("fmask", "B02")])
def test_a_missing_band_is_named_with_the_cure(method: Literal["temporal", "fmask"], band: str) -> None:
    times = np.array(["2024-05-01"], "datetime64[s]")
    made = Frames(("B04",), np.zeros((1, 1, 2, 2), np.float32), times, np.array([[45.0, 180.0]]))
    with pytest.raises(ModelError, match=f"needs {band}.*clear.mask.method") as raised:
        list(build(CloudMaskOptions(method=method)).chances(made))
    assert raised.value.reason == "missing_band"


def test_s2cloudless_does_not_read_surface_reflectance() -> None:
    with pytest.raises(ModelError, match="L1C") as raised:
        list(build(CloudMaskOptions(method="s2cloudless")).chances(frames(GRASS)))
    assert raised.value.reason == "other_level"


def test_labels_with_unknown_codes_are_refused_with_the_table() -> None:
    with pytest.raises(ModelError, match=r"label 7, which the class table \(0: clear, 3: cloud\)") as raised:
        recoded(np.array([[0, 7]]), {0: 0, 3: 3}, "a.tif")
    assert raised.value.reason == "unknown_label"


def test_the_sun_at_noon_on_the_longest_day_and_in_the_morning() -> None:
    """Over Greenwich the sun is 23.4 degrees north of the equator at noon; in the morning it stands east."""
    zenith, azimuth = sun_position(np.array(["2024-06-20T12:02:00"], "datetime64[s]"), 0.0, 51.48)[0]
    assert (zenith, azimuth) == (pytest.approx(51.48 - 23.44, abs=0.05), pytest.approx(180, abs=0.5))
    assert 90 < sun_position(np.array(["2024-06-20T10:30:00"], "datetime64[s]"), 0.0, 51.48)[0, 1] < 160
