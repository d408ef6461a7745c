"""Fmask's rules."""

import numpy as np

from models.clouds.mask.classes import CLEAR, CLOUD, SHADOW
from models.clouds.mask.methods.fmask import FmaskMask, fill, matched_shadows
from tests.models.clouds.mask.made import CLOUD as WHITE
from tests.models.clouds.mask.made import GRASS, SHADED, WATER, frames


def test_a_cloud_over_grass_and_the_shadow_that_it_throws() -> None:
    values = np.tile(np.array(GRASS)[:, None, None], (1, 60, 60))
    values[:, 40:46, 20:26] = np.array(WHITE)[:, None, None]
    values[:, 20:26, 20:26] = np.array(SHADED)[:, None, None]  # 400 m north of it
    (chances,) = FmaskMask().chances(frames(values))
    found = chances.argmax(axis=0)
    assert (found[40:46, 20:26] == CLOUD).all()
    assert (found[20:26, 20:26] == SHADOW).all()
    assert (found[:10] == CLEAR).all()


def test_a_lake_in_grass_is_no_shadow_and_no_cloud() -> None:
    values = np.tile(np.array(GRASS)[:, None, None], (1, 60, 60))
    values[:, 20:30, 20:30] = np.array(WATER)[:, None, None]
    (chances,) = FmaskMask().chances(frames(values))
    assert (chances.argmax(axis=0) == CLEAR).all()


def test_basins_are_raised_to_the_lowest_point_of_their_rim() -> None:
    values = np.array([[9.0, 9, 9, 9, 9], [9, 1, 4, 9, 9], [9, 9, 9, 9, 9]])
    assert fill(values).tolist() == [[9.0] * 5] * 3


def test_no_shadow_where_nothing_is_dark() -> None:
    cloud = np.zeros((30, 30), bool)
    cloud[10:15, 10:15] = True
    assert not matched_shadows(cloud, np.zeros((30, 30), bool), np.array([45.0, 180.0]), 20.0).any()
