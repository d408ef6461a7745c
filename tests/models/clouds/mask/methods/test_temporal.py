"""Each date against the clear dates around it."""

import numpy as np
import pytest

from models.clouds.mask.classes import CLEAR, CLOUD, SHADOW, THIN
from models.clouds.mask.frames import Frames
from models.clouds.mask.methods.temporal import TemporalMask
from tests.models.clouds.mask.made import BANDS, GRASS, SHADED, STUBBLE, VEIL, WATER, frames
from tests.models.clouds.mask.made import CLOUD as WHITE


def classes(made: Frames, back: bool = False) -> list[int]:
    """The class of the middle pixel on every date; -1 where unknown."""
    found = [chances[:, 3, 3] for chances in TemporalMask(back).chances(made)]
    return [-1 if np.isnan(chances[0]) else int(chances.argmax()) for chances in found]


def test_what_is_brighter_in_the_blue_than_before_and_after_is_cloud_thick_or_thin() -> None:
    made = frames(GRASS, GRASS, WHITE, GRASS, VEIL, GRASS)
    assert classes(made) == [CLEAR, CLEAR, CLOUD, CLEAR, THIN, CLEAR]


@pytest.mark.parametrize("back", [False, True])
def test_a_harvest_is_no_cloud_and_no_shadow(back: bool) -> None:
    made = frames(GRASS, GRASS, GRASS, STUBBLE, STUBBLE, STUBBLE)
    assert classes(made, back)[3:] == [CLEAR, CLEAR, CLEAR]


@pytest.mark.parametrize("back", [False, True])
def test_a_crop_that_grows_after_bare_soil_is_no_shadow(back: bool) -> None:
    made = frames(STUBBLE, STUBBLE, STUBBLE, GRASS, GRASS, GRASS)
    assert classes(made, back)[3:] == [CLEAR, CLEAR, CLEAR]


def test_mowing_darkens_the_near_infrared_only_and_is_no_shadow() -> None:
    mown = (0.045, 0.075, 0.07, 0.26, 0.24, 0.14)
    assert classes(frames(GRASS, GRASS, mown, mown, GRASS, GRASS)) == [CLEAR] * 6


def cloud_and_shadow(north: int) -> np.ndarray:
    """Grass, a cloud of 4 x 4 pixels, and so many pixels north of it its shadow; the same dark elsewhere."""
    out = np.tile(np.array(GRASS)[:, None, None], (1, 40, 40))
    out[:, 20:24, 10:14] = np.array(WHITE)[:, None, None]
    weak = 0.72 * np.array(GRASS)  # a quarter darker: too little without a cloud that explains it
    out[:, 20 - north : 24 - north, 10:14] = weak[:, None, None]
    out[:, 30:34, 30:34] = weak[:, None, None]
    return out


def test_a_weak_shadow_counts_where_the_sun_throws_a_cloud_and_not_elsewhere() -> None:
    made = frames(*[np.tile(np.array(GRASS)[:, None, None], (1, 40, 40))] * 2, cloud_and_shadow(12),
                  *[np.tile(np.array(GRASS)[:, None, None], (1, 40, 40))] * 2)  # fmt: skip
    found = list(TemporalMask().chances(made))[2].argmax(axis=0)
    assert (found[20:24, 10:14] == CLOUD).all()
    assert (found[9:11, 11:13] == SHADOW).all()
    assert (found[30:34, 30:34] == CLEAR).all()


def test_water_is_ground_and_a_cloud_over_it_is_cloud() -> None:
    assert classes(frames(WATER, WATER, WATER, WATER)) == [CLEAR] * 4
    assert classes(frames(WATER, WATER, WHITE, WATER)) == [CLEAR, CLEAR, CLOUD, CLEAR]


def test_looking_back_a_later_date_changes_nothing() -> None:
    dates = (GRASS, GRASS, WHITE, GRASS, SHADED, GRASS)
    all_of_them = list(TemporalMask(back=True).chances(frames(*dates)))
    first_four = list(TemporalMask(back=True).chances(frames(*dates[:4])))
    assert np.array_equal(np.stack(all_of_them[:4]), np.stack(first_four), equal_nan=True)


def test_without_any_clear_date_nothing_is_known() -> None:
    assert classes(frames(WHITE, WHITE, WHITE)) == [-1, -1, -1]


def test_of_two_dates_each_is_compared_with_the_other() -> None:
    assert classes(frames(GRASS, WHITE)) == [-1, CLOUD]
    assert classes(frames(GRASS, GRASS)) == [CLEAR, CLEAR]


def test_where_there_is_no_date_to_compare_with_the_scene_class_speaks() -> None:
    assert classes(frames(WHITE, scene_class=np.full((1, 6, 6), 9, np.uint8))) == [CLOUD]


def test_the_red_stands_in_for_a_missing_infrared_band() -> None:
    made = frames(GRASS, GRASS, SHADED, GRASS, GRASS)
    keep = [BANDS.index(b) for b in ("B02", "B04", "B08")]
    fewer = Frames(("B02", "B04", "B08"), made.reflectance[:, keep], made.times, made.sun)
    depth = TemporalMask().differences(fewer)[1]
    assert depth[2, 3, 3] == pytest.approx(1 - 0.022 / 0.04)  # 0.425 is left of the near infrared, 0.55 here


def test_the_order_of_pixels_does_not_matter() -> None:
    values = np.random.default_rng(0).uniform(0, 0.6, (8, 6, 5, 7)).astype(np.float32)
    times = np.datetime64("2024-05-01T10:30:00") + np.arange(8) * np.timedelta64(5, "D")
    sun = np.tile((45.0, 180.0), (8, 1))
    one = TemporalMask().differences(Frames(BANDS, values, times, sun))
    two = TemporalMask().differences(Frames(BANDS, values[..., ::-1].copy(), times, sun))
    assert all(np.array_equal(a, b[..., ::-1], equal_nan=True) for a, b in zip(one, two, strict=True))
