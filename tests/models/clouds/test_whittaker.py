"""The smoother of pixels: the penalty is an integral over time, and each pixel has its own clear dates."""

import numpy as np

from features.series.whittaker import penalty
from models.clouds.removal.whittaker import penalty_bands, smooth_pixels


def test_the_penalty_is_the_integral_of_the_squared_second_derivative() -> None:
    # z = 0, 0, 6 at x = 0, 1, 3: slopes 0 and 3, their middles 1.5 apart: z'' = 2; integrated over 1.5: 6
    main, first, second = penalty(np.array([0.0, 1.0, 3.0]), 1.0, integral=True)
    matrix = np.diag(main) + np.diag(first[:2], 1) + np.diag(first[:2], -1)
    matrix += np.diag(second[:1], 2) + np.diag(second[:1], -2)
    z = np.array([0.0, 0.0, 6.0])
    np.testing.assert_allclose(z @ matrix @ z, 2.0**2 * 1.5)


def test_frames_of_one_day_lie_half_a_day_apart() -> None:
    np.testing.assert_allclose(
        penalty_bands(np.array([0.0, 0.0, 5.0]), 10.0), penalty_bands(np.array([0.0, 0.5, 5.5]), 10.0)
    )


def test_every_pixel_is_smoothed_over_its_own_clear_dates() -> None:
    rng = np.random.default_rng(0)
    days, clear = np.arange(6) * 5.0, rng.random((6, 3, 3)) < 0.6
    clear[:, 0, 0] = [True, True, False, False, False, False]  # too few for a curve
    clear[:, 1, 2] = [True, False, True, True, False, True]
    reflectance = np.where(clear[:, None], rng.random((6, 2, 3, 3)), np.nan).astype(np.float32)
    bands = penalty_bands(days, 10.0)
    matrix = np.diag(bands[0]) + sum(np.diag(bands[k, : 6 - k], side * k) for k in (1, 2) for side in (-1, 1))
    found = smooth_pixels(reflectance, clear, bands)
    assert np.isnan(found[:, :, 0, 0]).all()
    weights = clear[:, 1, 2].astype(float)
    expected = np.linalg.solve(np.diag(weights) + matrix, weights * np.nan_to_num(reflectance[:, 1, 1, 2]))
    np.testing.assert_allclose(found[:, 1, 1, 2], expected, rtol=1e-5)
