"""Composites in time: means of clear looks, gaps interpolated, what was never seen unknown."""

from datetime import date

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.patches.inputs.composites import channels, composite, edges_of, interpolated
from models.patches.options import PatchOptions


def stack(values: list[float], clear: list[bool], days: list[str]) -> xr.Dataset:
    """One pixel, one band."""
    shape = (len(values), 1, 1, 1)
    return xr.Dataset(
        {
            "reflectance": (("time", "band", "y", "x"), np.array(values, np.float32).reshape(shape)),
            "clear": (("time", "y", "x"), np.array(clear).reshape(-1, 1, 1)),
        },
        coords={"time": np.array(days, "datetime64[ns]")},
    )


def test_a_step_is_the_mean_of_its_clear_looks_and_gaps_are_interpolated() -> None:
    edges = [date(2024, 5, 1), date(2024, 5, 11), date(2024, 5, 21), date(2024, 5, 31)]
    looks = stack(
        [0.1, 0.3, 0.9, 0.6],
        [True, True, False, True],
        ["2024-05-02", "2024-05-05", "2024-05-12", "2024-05-22"],
    )
    found = composite(looks, edges)
    np.testing.assert_allclose(found.values.ravel(), [0.2, 0.4, 0.6], atol=1e-6)
    assert found.seen.ravel().tolist() == [True, False, True]


def test_a_pixel_under_cloud_on_every_date_is_unknown_and_zero_in_no_channel_but_by_mask() -> None:
    found = composite(stack([0.1], [False], ["2024-05-02"]), [date(2024, 5, 1), date(2024, 5, 11)])
    assert not found.known.any() and np.isnan(found.values).all()
    assert (channels(found) == 0).all()


def test_looks_outside_the_season_do_not_count() -> None:
    looks = stack([0.1, 0.5], [True, True], ["2024-04-30", "2024-05-02"])
    found = composite(looks, [date(2024, 5, 1), date(2024, 5, 11)])
    np.testing.assert_allclose(found.values.ravel(), [0.5])


def test_one_date_is_one_composite_around_it() -> None:
    options = PatchOptions(input="date", day=date(2024, 6, 10), step_days=20)
    assert edges_of(options, date(2024, 3, 1), date(2024, 10, 31)) == [date(2024, 5, 31), date(2024, 6, 20)]


@given(arrays(np.float64, 6, elements=st.one_of(st.floats(0, 1), st.just(np.nan))))
def test_interpolation_keeps_what_is_known_and_stays_within_it(values: np.ndarray) -> None:
    filled = interpolated(values, np.arange(6.0))
    known = np.isfinite(values)
    np.testing.assert_array_equal(filled[known], values[known])
    if known.any():
        assert filled.min() >= values[known].min() - 1e-12 and filled.max() <= values[known].max() + 1e-12
    else:
        assert np.isnan(filled).all()


@pytest.mark.parametrize("settings", [{"input": "date"}, {"method": "boosting", "labels": "multi"}])
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"day: 2024-06-10|choose method: unet"):
        PatchOptions(**settings)
