"""The baselines: observed pixels stay, hidden values cannot leak, bad input is named."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ModelError
from models.clouds.methods import build, load
from models.clouds.removal.baselines import Last, Linear, Predict
from models.clouds.removal.cube import Cube, cube_of, missing_bands
from models.clouds.removal.hiding import hide
from models.clouds.removal.options import BASELINES
from models.clouds.scoring import collect, score
from tests.benchmarks.data.cloud_data import made_up


def stack_of(values: np.ndarray, clear: np.ndarray, days: list[int]) -> xr.Dataset:
    """Return a stack of one-band frames `(time, y, x)` on the given days."""
    times = np.datetime64("2023-05-01", "ns") + np.array(days, "timedelta64[D]")
    return xr.Dataset(
        {
            "reflectance": (("time", "band", "y", "x"), values[:, None].astype(np.float32)),
            "clear": (("time", "y", "x"), clear),
        },
        coords={"time": times, "band": ["B04"]},
    )


@pytest.fixture
def gap() -> xr.Dataset:
    """One pixel, seen on days 0 and 10 with values 0.1 and 0.3, clouded on day 2."""
    return stack_of(
        np.array([0.1, 0.9, 0.3])[:, None, None], np.array([True, False, True])[:, None, None], [0, 2, 10]
    )


@pytest.mark.parametrize(
    ("method", "expected"), [("last", 0.1), ("closest", 0.1), ("linear", 0.14), ("mosaic", 0.2)]
)
def test_a_gap_is_filled_as_the_method_says(gap: xr.Dataset, method: str, expected: float) -> None:
    filled = build(method).fill(gap)
    assert filled["reflectance"].values[1, 0, 0, 0] == pytest.approx(expected, abs=1e-6)
    assert filled["filled"].values.ravel().tolist() == [False, True, False]


def test_what_is_filled_is_no_darker_than_the_band_has_shown(gap: xr.Dataset) -> None:
    class Wild(Last):
        def predictor(self, cube: Cube, before: np.ndarray, after: np.ndarray) -> Predict:
            return lambda frame: np.full((1, 1, 1), -1, np.float32)

    assert Wild().fill(gap)["reflectance"].values[1, 0, 0, 0] == np.float32(0.1)


def test_whittaker_follows_a_straight_line() -> None:
    days = [0, 3, 7, 12, 20]
    clear = np.array([True, True, False, True, True])[:, None, None]
    stack = stack_of(0.1 + 0.01 * np.array(days)[:, None, None], clear, days)
    filled = build("whittaker", smoothness_days=10.0).fill(stack)
    assert filled["reflectance"].values[2, 0, 0, 0] == pytest.approx(0.17, abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(method=st.sampled_from(BASELINES), seed=st.integers(0, 10_000), share=st.floats(0, 1))
def test_what_was_observed_comes_back_bit_for_bit(method: str, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    clear = rng.random((6, 4, 5)) > share
    values = rng.random((6, 4, 5)).astype(np.float32)
    filled = build(method).fill(stack_of(values, clear, [0, 1, 5, 9, 20, 21]))
    np.testing.assert_array_equal(filled["reflectance"].values[:, 0][clear], values[clear])
    assert not filled["filled"].values[clear].any()
    assert (filled["sigma"].values[:, 0][clear] == 0).all()
    missing = ~np.isfinite(filled["reflectance"].values[:, 0])
    np.testing.assert_array_equal(missing, np.broadcast_to(~clear.any(axis=0), missing.shape))


@pytest.mark.parametrize("method", BASELINES)
def test_hidden_values_never_reach_the_filling(method: str) -> None:
    scene = made_up(1, size=24, dates=12)
    cube = cube_of(scene.stack)
    hidden = hide(cube.clear, np.random.default_rng(0))
    first, second = scene.stack.copy(deep=True), scene.stack.copy(deep=True)
    for stack in (first, second):
        stack["clear"] = (("time", "y", "x"), cube.clear & ~hidden)
    poisoned = np.moveaxis(second["reflectance"].values, 1, -1)
    poisoned[hidden] = 77.0
    a, b = build(method).fill(first), build(method).fill(second)
    np.testing.assert_array_equal(
        a["reflectance"].values, np.where(hidden[:, None], a["reflectance"].values, b["reflectance"].values)
    )
    np.testing.assert_array_equal(
        np.moveaxis(a["reflectance"].values, 1, -1)[hidden],
        np.moveaxis(b["reflectance"].values, 1, -1)[hidden],
    )


def test_frames_out_of_order_are_filled_as_in_order(gap: xr.Dataset) -> None:
    shuffled = gap.isel(time=[2, 0, 1])
    filled = build("linear").fill(shuffled)
    assert filled["reflectance"].values[2, 0, 0, 0] == pytest.approx(0.14, abs=1e-6)


def test_a_pixel_never_seen_stays_missing_and_is_counted(gap: xr.Dataset) -> None:
    gap["clear"] = xr.zeros_like(gap["clear"])
    filled = build("linear").fill(gap)
    assert np.isnan(filled["reflectance"]).all()
    assert filled.attrs["never_seen"] == 1
    assert filled.attrs["not_filled"] == 3


def test_a_clear_pixel_with_a_value_that_is_not_finite_counts_as_unseen(gap: xr.Dataset) -> None:
    gap["clear"] = xr.ones_like(gap["clear"])
    gap["reflectance"].values[1] = np.inf
    filled = build("linear").fill(gap)
    assert filled["reflectance"].values[1, 0, 0, 0] == pytest.approx(0.14, abs=1e-6)


def test_a_pixel_that_clouds_surround_is_not_filled_from_where_there_is_another() -> None:
    """Day 5 is seen through one hole in the clouds, brighter than it should be; day 20 is clear."""
    values = np.full((3, 40, 40), 0.1)
    values[0] = 0.5
    clear = np.zeros((3, 40, 40), bool)
    clear[0, 20, 20], clear[2] = True, True
    stack = stack_of(values, clear, [5, 6, 20])
    assert build("linear", trust_all=False).fill(stack)["reflectance"].values[1, 0, 20, 20] < 0.11
    assert build("linear", trust_all=True).fill(stack)["reflectance"].values[1, 0, 20, 20] > 0.4


def test_masks_that_cover_nothing_change_nothing() -> None:
    values = np.random.default_rng(0).random((4, 3, 3))
    stack = stack_of(values, np.ones((4, 3, 3), bool), [0, 5, 10, 15])
    filled = build("linear").fit([stack]).fill(stack)
    np.testing.assert_array_equal(filled["reflectance"].values, stack["reflectance"].values)


def test_a_season_without_a_clear_frame_is_an_error(gap: xr.Dataset) -> None:
    gap["clear"] = xr.zeros_like(gap["clear"])
    with pytest.raises(ModelError, match="cloud removal needs two"):
        build("linear").fit([gap])


def test_a_stack_without_a_mask_is_an_error(gap: xr.Dataset) -> None:
    with pytest.raises(ModelError, match="neither `clear` nor `scene_class`"):
        build("linear").fill(gap.drop_vars("clear"))


def test_other_bands_than_learnt_show_the_difference(gap: xr.Dataset) -> None:
    model = build("linear").fit([made_up(0, size=24, dates=10).stack])
    with pytest.raises(ModelError, match=r"missing .*B02.*unknown"):
        model.fill(gap.assign_coords(band=["B09"]))


@pytest.mark.parametrize("method", BASELINES)
def test_a_saved_method_fills_as_before(method: str, tmp_path: Path) -> None:
    scene = made_up(2, size=24, dates=12)
    model = build(method).fit([scene.stack])
    model.save(tmp_path)
    again = load(tmp_path)
    xr.testing.assert_identical(model.fill(scene.stack), again.fill(scene.stack))


def test_weights_with_another_hash_are_refused(tmp_path: Path) -> None:
    build("linear").fit([made_up(2, size=24, dates=12).stack]).save(tmp_path)
    with (tmp_path / "weights.npz").open("ab") as handle:
        handle.write(b"x")
    with pytest.raises(ModelError, match="SHA-256"):
        load(tmp_path)


def test_sigma_at_ninety_percent_covers_about_that() -> None:
    scene = made_up(3, size=72, dates=30)
    cube = cube_of(scene.stack)
    hidden = hide(cube.clear, np.random.default_rng(5))
    clear = cube.clear & ~hidden
    stack = scene.stack.copy()
    stack["clear"] = (("time", "y", "x"), clear)
    out = Linear().fit([stack]).fill(stack)
    arrays = (out["reflectance"].values, out["sigma"].values, hidden, clear, cube.days, cube.bands)
    scores = score(collect(cube.reflectance, *arrays, scene.parcels))
    assert 0.8 < scores["interval_90_coverage"][0] < 0.97
    assert scores["filled_share"][0] == 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cloud=st.floats(0, 1))
def test_at_most_half_the_frames_are_hidden_and_only_what_was_clear(seed: int, cloud: float) -> None:
    rng = np.random.default_rng(seed)
    clear = rng.random((8, 5, 5)) > cloud
    clear[:2, 0, 0] = True
    hidden = hide(clear, rng)
    assert not (hidden & ~clear).any()
    assert hidden.any(axis=(1, 2)).sum() <= max(1, clear.any(axis=(1, 2)).sum() // 2)


@pytest.mark.parametrize("name", ["linear", "closest", "mosaic", "whittaker"])
def test_one_masked_band_hides_no_other(name: str) -> None:
    """The third band has no value in the west on any date, and none in a corner of the east on one."""
    scene = made_up(size=36, dates=16).stack
    whole = build(name).fit([scene]).fill(scene)
    holed = scene.copy(deep=True)
    holed["reflectance"][:, 2, :, :12] = np.nan
    holed["reflectance"][5, 2, :6, 30:] = np.nan
    filled = build(name).fit([holed]).fill(holed)
    clear, band = scene["clear"].values, filled["reflectance"].values
    assert np.isnan(band[:, 2, :, :12]).all()
    lacking = holed["clear"].values[5, :6, 30:]
    assert np.isnan(band[5, 2, :6, 30:][lacking]).all()
    seen = np.broadcast_to(clear[:, None], band.shape) & np.isfinite(holed["reflectance"].values)
    np.testing.assert_array_equal(band[seen], holed["reflectance"].values[seen])
    others = [0, 1, 3, 4]
    np.testing.assert_array_equal(band[:, others], whole["reflectance"].values[:, others])
    assert np.isfinite(band[:, others]).mean() > 0.99


def test_a_band_masked_on_one_date_is_filled_there_on_the_others() -> None:
    """Three dates ten days apart; of a pixel the second band is masked on the middle one."""
    values = np.array([[0.1, 0.1], [0.2, np.nan], [0.3, 0.5]], np.float32)[:, :, None, None]
    stack = xr.Dataset(
        {"reflectance": (("time", "band", "y", "x"), values),
         "clear": (("time", "y", "x"), np.ones((3, 1, 1), bool))},
        coords={"time": np.array(["2024-05-01", "2024-05-11", "2024-05-21"], "datetime64[ns]"),
                "band": ["B02", "B04"]},
    )  # fmt: skip
    assert cube_of(stack).reflectance[:, 1, 0, 0].tolist() == pytest.approx([0.1, 0.3, 0.5])
    found = missing_bands(stack)
    assert found is not None
    assert found[0][:, 1, 0, 0].tolist() == [False, True, False]
    assert not found[1].any()
    never = stack.copy(deep=True)
    never["reflectance"][:, 1] = np.nan
    assert missing_bands(never)[1][:, 0, 0].tolist() == [False, True]
    cloudy = stack.copy(deep=True)
    cloudy["clear"][0] = False
    filled = build("linear").fit([cloudy]).fill(cloudy)["reflectance"].values[:, 1, 0, 0]
    assert np.isfinite(filled).tolist() == [True, False, True]


def test_where_no_mask_covers_what_was_seen_a_frame_is_hidden_whole_and_the_fit_goes_on() -> None:
    """Two dates with cloud over the same half: the mask of one hides nothing that the other saw."""
    clear = np.zeros((2, 4, 6), bool)
    clear[:, :, :3] = True
    hidden = hide(clear, np.random.default_rng(0))
    assert hidden.sum() == 12 and sorted(hidden.any(axis=(1, 2)).tolist()) == [False, True]
    for method in ("linear", "closest", "mosaic", "whittaker"):
        stack = stack_of(np.full((2, 4, 6), 0.2), clear, [0, 10])
        filled = build(method).fit([stack]).fill(stack)["reflectance"].values
        assert filled[:, :, :, :3] == pytest.approx(0.2)
