"""Haze that the mask missed: found between clearer dates, never where a field has changed."""

from dataclasses import replace

import numpy as np
import pytest

from models.clouds.removal.cube import Cube
from models.clouds.removal.inputs.channels import Frames, InputChannels
from models.clouds.removal.inputs.haze import LEVELS, excess, usable
from models.clouds.removal.inputs.sources import Sources, choose_sources
from models.clouds.removal.options import CloudRemovalOptions

DAYS = np.array([0.0, 5.0, 10.0, 15.0])


def scene(blue: list[float], red: list[float], side: int = 8) -> Cube:
    """Dates of one colour each."""
    values = np.array([blue, red], np.float32).T[:, :, None, None] * np.ones((1, 1, side, side), np.float32)
    return Cube(values, np.isfinite(values[:, 0]), DAYS[: len(blue)], ("B02", "B04"))


def test_a_date_brighter_than_both_sides_is_hazy() -> None:
    more, used = excess(scene([0.05, 0.10, 0.06, 0.05], [0.05, 0.09, 0.06, 0.05]), 0.03)
    np.testing.assert_allclose(more[1], 0.04, atol=1e-6)
    np.testing.assert_array_equal(used.all(axis=(1, 2)), [True, False, True, True])


@pytest.mark.parametrize(
    "red",
    [[0.05, 0.20, 0.05, 0.05], [0.05, 0.14, 0.05, 0.05]],
    ids=["thrice as much", "nearly twice"],
)
def test_bare_soil_is_red_and_no_haze(red: list[float]) -> None:
    _, used = excess(scene([0.05, 0.10, 0.05, 0.05], red), 0.03)
    assert used.all()


def test_a_field_that_stays_bright_was_harvested() -> None:
    _, used = excess(scene([0.05, 0.05, 0.11, 0.11], [0.04, 0.04, 0.10, 0.10]), 0.03)
    assert used.all()


def test_the_second_look_finds_a_hazy_date_beside_another() -> None:
    _, used = excess(scene([0.05, 0.12, 0.20, 0.05], [0.05, 0.12, 0.20, 0.05]), 0.03)
    np.testing.assert_array_equal(used.all(axis=(1, 2)), [True, False, False, True])


def test_a_pixel_keeps_its_only_date() -> None:
    cube = scene([0.05, 0.10, 0.05], [0.05, 0.10, 0.05])
    clear = cube.clear.copy()
    clear[[0, 2], 0, 0] = False
    used = usable(cube.without(~clear), excess(cube, 0.03)[1])
    np.testing.assert_array_equal(used[:, 0, 0], [False, True, False])
    np.testing.assert_array_equal(used[:, 1, 1], [True, False, True])


@pytest.fixture
def clean() -> Cube:
    """Sixty days on which nothing changes, half of each frame clear."""
    rng = np.random.default_rng(0)
    values = 0.05 + rng.normal(0, 0.001, (12, 2, 32, 32)).astype(np.float32)
    clear = np.ones((12, 32, 32), bool)
    clear[1::4, :20], clear[3::4, :, 12:] = False, False
    return Cube(np.where(clear[:, None], values, np.nan), clear, np.arange(12) * 5.0, ("B02", "B04"))


def test_nothing_is_left_out_where_nothing_is_hazy(clean: Cube) -> None:
    assert choose_sources([clean], CloudRemovalOptions(method="unet", reduce=1)).haze == LEVELS[0]


def test_hazy_dates_are_left_out_where_there_are_some(clean: Cube) -> None:
    haze = np.where(np.arange(12) % 3 == 1, np.float32(0.025), np.float32(0))[:, None, None, None]
    hazy = replace(clean, reflectance=clean.reflectance + haze)
    assert choose_sources([hazy], CloudRemovalOptions(method="unet", reduce=1)).haze < 0.025


def test_what_the_options_settle_is_not_chosen(clean: Cube) -> None:
    asked = CloudRemovalOptions(method="unet", reduce=1, trust_all=True, which="recent")
    assert choose_sources([clean], asked) == Sources(True, LEVELS[0])


def test_on_the_day_itself_later_dates_do_not_tell_what_is_hazy() -> None:
    cube = scene([0.05, 0.10, 0.05, 0.05], [0.05, 0.10, 0.05, 0.05])
    recent = Frames(cube, InputChannels(cube.bands, 0, 2, recent=True, optical=True, haze=0.03))
    both = Frames(cube, InputChannels(cube.bands, 0, 2, recent=False, optical=True, haze=0.03))
    assert recent.haze[1].all()
    assert not both.haze[1].all()
