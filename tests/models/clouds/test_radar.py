"""Radar at the dates of optical frames: speckle goes, the edges of fields stay."""

from dataclasses import replace

import numpy as np

from models.clouds.removal.cube import Cube
from models.clouds.removal.inputs.radar import radar_at

SIDE = 24


def two_fields(noise: float) -> Cube:
    """Return a tile whose left half radar sees at -10 dB and whose right half at -16 dB, on one date."""
    level = np.where(np.arange(SIDE) < SIDE // 2, -10.0, -16.0)
    power = np.broadcast_to(level, (1, 1, SIDE, SIDE)) + np.random.default_rng(0).normal(
        0, noise, (1, 1, SIDE, SIDE)
    )
    reflectance = np.full((1, 1, SIDE, SIDE), 0.1, np.float32)
    return Cube(
        reflectance=reflectance, clear=np.ones((1, SIDE, SIDE), bool), days=np.array([100.0]), bands=("B04",),
        backscatter=power.astype(np.float32), radar_days=np.array([100.0]), radar_orbits=np.array([0]),
    )  # fmt: skip


def profiles_of(noise: float) -> np.ndarray:
    """Return what optics tell apart: 0 on the left, 1 on the right, and a little grain."""
    grain = np.random.default_rng(1).normal(0, noise, (SIDE, SIDE, 1))
    return ((np.arange(SIDE) >= SIDE // 2)[None, :, None] + grain).astype(np.float32)


def test_the_wide_window_averages_a_field_and_not_its_neighbour() -> None:
    cube = two_fields(noise=2.0)
    narrow, alike, _ = radar_at(cube, cube.days, profiles_of(0.01))[0]
    plain = radar_at(cube, cube.days)[0, 1]
    edge = SIDE // 2
    assert abs(alike[:, edge - 1].mean() + 10) < 0.5
    assert abs(alike[:, edge].mean() + 16) < 0.5
    assert abs(plain[:, edge].mean() + 16) > 1.5  # a square takes in the field beside it
    assert alike[:, :6].std() < 0.6 * narrow[:, :6].std()


def test_what_radar_did_not_see_stays_missing_and_is_not_averaged_in() -> None:
    cube = two_fields(noise=0.0)
    cube.backscatter[:, :, :, : SIDE // 2] = np.nan
    alike = radar_at(cube, cube.days, profiles_of(0.01))[0, 1]
    assert np.isnan(alike[:, 0]).all()
    np.testing.assert_allclose(alike[:, SIDE // 2 :], -16, atol=1e-5)


def test_the_tiles_mean_follows_rain_that_a_fields_mean_has_averaged_away() -> None:
    """Three acquisitions, six days apart; soil is 3 dB brighter in the middle one."""
    cube = two_fields(noise=0.0)
    rain = np.array([0.0, 3.0, 0.0], np.float32)[:, None, None, None]
    cube = replace(cube, backscatter=cube.backscatter + rain, radar_days=np.array([94.0, 100.0, 106.0]),
                   radar_orbits=np.zeros(3, int))  # fmt: skip
    _, alike, tile = radar_at(cube, np.array([100.0]), profiles_of(0.01))[0]
    np.testing.assert_allclose(tile, -10, atol=0.01)  # the mean of -10 and -16 dB, and 3 dB
    assert abs(alike[:, 0].mean() + 10 - 3 / (1 + 2 * np.exp(-0.5))) < 0.05
