"""Indices against hand-worked values, spyndex's own evaluation and broken pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.errors import ConfigError
from features.indices.formulas import (
    INDICES,
    LEAST_DIVISOR,
    SPYNDEX_BANDS,
    bands_of,
    compute,
    find_index,
    left_out,
    sensor_of,
    to_db,
)

LETTERS = {band: letter for letter, band in SPYNDEX_BANDS.items()}
OF_SPYNDEX = {
    "ndvi": "NDVI", "gndvi": "GNDVI", "ndwi": "NDWI", "psri": "PSRI", "tcari": "TCARI", "mcari": "MCARI",
    "evi2": "EVI2", "evi": "EVI", "ndre": "SeLI",
}  # fmt: skip


def reflectances(shape: tuple[int, ...] = (5, 7)) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {band: rng.uniform(0.02, 0.6, shape).astype(np.float32) for band in SPYNDEX_BANDS.values()}


@pytest.mark.parametrize("name", OF_SPYNDEX)
def test_formulas_agree_with_spyndex(name: str) -> None:
    import spyndex

    bands = reflectances()
    params = {LETTERS[band]: values.astype(float) for band, values in bands.items()}
    constants = {"g": 2.5, "L": 1.0, "C1": 6.0, "C2": 7.5}
    expected = spyndex.computeIndex(OF_SPYNDEX[name], {**params, **constants})
    ours = compute(name, bands)
    defined = np.isfinite(ours)
    assert defined.mean() > 0.5
    np.testing.assert_allclose(ours[defined], expected[defined], rtol=2e-3, atol=1e-5)


def test_an_index_that_only_spyndex_has_is_found_by_its_name() -> None:
    import spyndex

    bands = reflectances()
    expected = spyndex.computeIndex(
        "IRECI", {LETTERS[band]: values.astype(float) for band, values in bands.items()}
    )
    np.testing.assert_allclose(compute("ireci", bands), expected, rtol=1e-4, atol=1e-5)


def test_hand_worked_pixels() -> None:
    one = {
        "B02": 0.04,
        "B03": 0.08,
        "B04": 0.05,
        "B05": 0.1,
        "B06": 0.2,
        "B08": 0.4,
        "B8A": 0.3,
        "B11": 0.1,
        "B12": 0.05,
    }
    bands = {band: np.float32([value]) for band, value in one.items()}
    assert compute("psri", bands)[0] == pytest.approx((0.05 - 0.04) / 0.2, rel=1e-5)
    assert compute("ndmi", bands)[0] == pytest.approx(0.5, rel=1e-5)
    assert compute("ndre", bands)[0] == pytest.approx(0.5, rel=1e-5)
    greenness = -0.3599 * 0.04 - 0.3533 * 0.08 - 0.4734 * 0.05 + 0.6633 * 0.4 + 0.0087 * 0.1 - 0.2856 * 0.05
    assert compute("tcg", bands)[0] == pytest.approx(greenness, rel=1e-5)


def test_radar_features_of_one_pixel() -> None:
    vv, vh = np.float32([-10.0]), np.float32([-16.0])
    bands = {"vv": vv, "vh": vh, "cohvv": np.float32([0.4])}
    assert compute("ratio_db", bands)[0] == -6
    linear_vv, linear_vh = 10**-1.0, 10**-1.6
    assert compute("rvi", bands)[0] == pytest.approx(4 * linear_vh / (linear_vv + linear_vh), rel=1e-5)
    assert (compute("s0vv_db", bands)[0], compute("cohvv", bands)[0]) == (-10, np.float32(0.4))


def test_a_band_returned_as_it_is_is_a_copy() -> None:
    band = np.ones((2, 2), np.float32)
    compute("B04", {"B04": band})[:] = 9
    assert band.max() == 1


def test_tasselled_cap_axes_are_unit_vectors() -> None:
    import features.indices.formulas as module

    for weights in module.TASSELLED_CAP.values():
        assert np.linalg.norm(weights) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize(
    ("red", "nir"), [(0.0, 0.0), (-0.2, 0.1), (np.nan, 0.3), (np.inf, 0.3), (0.1, np.nan)]
)
def test_no_index_where_the_denominator_or_a_band_is_unusable(red: float, nir: float) -> None:
    assert np.isnan(compute("ndvi", {"B04": np.float32([red]), "B08": np.float32([nir])})[0])


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (2, 40), elements=st.floats(-1, 2, width=32) | st.just(np.float32("nan"))))
def test_ndvi_is_nan_or_bounded_for_any_reflectance_above_zero(values: np.ndarray) -> None:
    red, nir = values
    ndvi = compute("ndvi", {"B04": red, "B08": nir})
    defined = (red + nir >= np.float32(LEAST_DIVISOR)) & np.isfinite(red) & np.isfinite(nir)
    positive = defined & (red >= 0) & (nir >= 0)
    assert np.isfinite(ndvi[positive]).all()
    assert not np.isfinite(ndvi[~defined]).any()
    assert (np.abs(ndvi[np.isfinite(ndvi)]) <= 1 + 1e-3).all()


def test_a_dark_pixel_has_no_ndvi_and_is_counted() -> None:
    """Red -0.004 and near infrared 0.005 would make 9, 0.002 and 0.007 are noise."""
    bands = {"B04": np.float32([-0.004, 0.002, 0.02, np.nan]), "B08": np.float32([0.005, 0.007, 0.10, 0.1])}
    ndvi = compute("ndvi", bands)
    np.testing.assert_allclose(ndvi, [np.nan, np.nan, 2 / 3, np.nan], rtol=1e-5)
    assert left_out("ndvi", bands, ndvi, np.float32([1, 1, 1, 1])) == 2
    assert left_out("ndvi", bands, ndvi, np.float32([0, 1, 1, 1])) == 1  # an unseen pixel is not counted


@pytest.mark.parametrize(
    ("name", "bands"),
    [
        ("psri", {"B04": 0.2, "B02": 0.02, "B06": 0.05}),
        ("cire", {"B07": 0.4, "B05": 0.011}),
        ("tcari", {"B03": 0.08, "B04": 0.011, "B05": 0.6}),
        ("evi", {"B02": 0.2, "B04": 0.02, "B08": 0.6}),
        ("msavi", {"B04": -0.3, "B08": -0.3}),
    ],
)
def test_ratios_leave_no_value_outside_their_range(name: str, bands: dict[str, float]) -> None:
    found = compute(name, {band: np.float32([value]) for band, value in bands.items()})
    low, high = find_index(name).limits
    assert np.isnan(found[0]) or low <= found[0] <= high
    assert np.isfinite((low, high)).all()


@pytest.mark.parametrize("name", ["savi", "gndvi", "ireci", "ndre"])
def test_the_range_of_a_published_index_holds_what_fields_have(name: str) -> None:
    fields = reflectances((40, 40))
    index = find_index(name)
    value = compute(name, {band: fields[band] for band in index.bands})
    assert np.isfinite(value).mean() > 0.9


def test_blocks_longer_than_a_chunk_equal_one_pass() -> None:
    bands = reflectances((300, 301))
    whole = compute("evi2", bands)
    rows = np.vstack(
        [compute("evi2", {band: values[[row]] for band, values in bands.items()}) for row in range(300)]
    )
    np.testing.assert_array_equal(whole, rows)


@pytest.mark.parametrize("name", INDICES)
def test_every_index_is_computable_and_says_its_unit_and_source(name: str) -> None:
    index = find_index(name)
    bands = {band: np.full((2, 3), 0.3, np.float32) for band in index.bands}
    result = compute(name, bands)
    assert result.shape == (2, 3)
    assert result.dtype == np.float32
    assert index.unit in {"1", "dB", "reflectance"}
    assert index.source


def test_backscatter_that_is_not_above_zero_has_no_decibels() -> None:
    assert np.isnan(to_db(np.float32([0, -1, np.nan]))).all()


def test_unknown_names_and_bands_are_refused() -> None:
    with pytest.raises(ConfigError, match="No index is called 'nvdi'; the built-in ones are B02"):
        find_index("nvdi")
    with pytest.raises(ConfigError, match="which Sentinel-2 does not give"):
        find_index("ndbai")


def test_bands_and_sensor_of_features() -> None:
    assert bands_of(["psri", "cohvv"]) == ("B02", "B04", "B06", "cohvv")
    assert [sensor_of(name) for name in ("ratio_db", "tcw", "B8A")] == ["s1", "s2", "s2"]
