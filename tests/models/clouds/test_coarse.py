"""Networks see block means; what they say is laid over the detail of interpolation."""

import numpy as np
import pytest

from models.clouds.removal.cube import Cube
from models.clouds.removal.inputs.coarse import Detail, coarsen, whole_blocks

NAN = np.nan


@pytest.fixture
def block() -> Cube:
    """One block of four pixels: seen whole on days 0 and 10, in its last pixel alone on day 5."""
    seen = np.array([[0.1, 0.2], [0.3, 0.4]], np.float32)
    partly = np.array([[NAN, NAN], [NAN, 0.9]], np.float32)
    values = np.stack([seen, partly, seen + np.float32(0.2)])[:, None]
    return Cube(values, np.isfinite(values[:, 0]), np.array([0.0, 5.0, 10.0]), ("B04",))


def test_a_block_is_the_mean_of_what_is_clear_in_it(block: Cube) -> None:
    coarse = coarsen(block, 2)
    np.testing.assert_allclose(coarse.reflectance.ravel(), [0.25, 0.9, 0.45], atol=1e-6)
    assert coarse.clear.all()
    hidden = coarsen(block.without(np.ones_like(block.clear)), 2)
    assert not hidden.clear.any()
    assert np.isnan(hidden.reflectance).all()


def test_the_filled_mean_is_the_networks_and_the_detail_is_the_interpolations(block: Cube) -> None:
    low, spread = np.full((1, 1, 1), 0.5, np.float32), np.full((1, 1, 1), 0.02, np.float32)
    factor = np.arange(1.0, 8.0)[:, None]  # by gap: 5 days lie in the second bin
    value, sigma = Detail.of(block, 2, False, None).refine(1, low, spread, factor)
    # unseen pixels interpolate to 0.2, 0.3 and 0.4, whose mean is 0.3: all rise by 0.2
    np.testing.assert_allclose(value[0], [[0.4, 0.5], [0.6, NAN]], atol=1e-6)
    np.testing.assert_allclose(sigma[0], [[0.04, 0.04], [0.04, NAN]], atol=1e-6)


def test_only_earlier_dates_or_none_can_be_asked_for(block: Cube) -> None:
    low, spread = np.full((1, 1, 1), 0.5, np.float32), np.ones((1, 1, 1), np.float32)
    recent, _ = Detail.of(block, 2, True, None).refine(1, low, spread, np.ones((7, 1)))
    np.testing.assert_allclose(recent[0], [[0.4, 0.5], [0.6, NAN]], atol=1e-6)  # 0.1, 0.2, 0.3 risen by 0.3
    flat, _ = Detail.of(block, 2, False, np.array([0.1])).refine(1, low, spread, np.ones((7, 1)))
    np.testing.assert_allclose(flat[0], [[0.5, 0.5], [0.5, NAN]], atol=1e-6)


def test_a_block_is_whole_where_all_of_it_is_clear(block: Cube) -> None:
    np.testing.assert_array_equal(whole_blocks(block.clear, 2).ravel(), [True, False, True])


def test_blocks_over_the_edge_are_of_the_pixels_that_there_are(block: Cube) -> None:
    """Three pixels a side in three blocks of two: as if unseen pixels lay beyond."""
    wide = block.padded(1, 1)
    padded = coarsen(wide.padded(3, 3), 2)
    coarse = coarsen(wide, 2, multiple=3)
    np.testing.assert_array_equal(coarse.reflectance, padded.reflectance)
    np.testing.assert_array_equal(coarse.clear, padded.clear)
    assert not whole_blocks(np.ones((1, 3, 3), bool), 2, 2)[0, 1].any()  # which reach beyond the edge


def test_pixels_at_an_edge_are_filled_as_within(block: Cube) -> None:
    low, spread = np.full((2, 2, 1), 0.5, np.float32), np.full((2, 2, 1), 0.02, np.float32)
    odd = block.window(slice(0, 1), slice(0, 2)).padded(
        0, 1
    )  # one row, and a column that nothing is known of
    value, _ = Detail.of(odd, 2, False, None).refine(1, low, spread, np.ones((7, 1)))
    np.testing.assert_allclose(value[0], [[0.45, 0.55, NAN]], atol=1e-6)  # 0.2 and 0.3, risen by 0.25
