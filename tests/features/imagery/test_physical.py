"""What the file says counts where the item is silent; where both speak, the stated rule."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from features.errors import ImageryError
from features.imagery.physical import encoding_of
from features.imagery.rasters.header import header_of
from features.imagery.windows import physical_on_grid, read_window
from tests.small_imagery import asset, write_tif

SILENT = ["nodata", "scale", "offset"]


def read(path: Path, unit: str, nodata: float | None = None, **said: Any) -> np.ndarray:
    item = asset("B04", path, unit, nodata) | said
    return physical_on_grid(item, header_of(str(path)).grid)[0]


def tagged(path: Path, values: np.ndarray, **tags: Any) -> Path:
    write_tif(path, values, **{name: tags.pop(name) for name in ("nodata",) if name in tags})
    with rasterio.open(path, "r+") as raster:
        for name, value in tags.items():
            setattr(raster, name, value)
    return path


def test_nodata_that_only_the_file_states_is_left_out(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "vv.tif", np.float32([[-9999, -12.5]]), nodata=-9999)
    np.testing.assert_array_equal(read(path, "db", assumed=SILENT), [np.nan, -12.5])


def test_where_item_and_file_name_two_values_neither_is_used_and_it_is_said(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "a.tif", np.uint16([[0, 65535, 2000]]), nodata=65535)
    found = read(path, "reflectance", 0.0)
    assert found.tolist() == [pytest.approx(np.nan, nan_ok=True)] * 2 + [pytest.approx(0.1)]
    assert encoding_of(asset("B04", path)).notes == ("nodata_differs",)
    assert encoding_of(asset("B04", path) | {"assumed": SILENT}).notes == ()


def test_saturated_pixels_are_no_measurement(tmp_path: Path) -> None:
    """65535 is ESA's mark of saturation; it would be a reflectance of 6.45."""
    path = write_tif(tmp_path / "a.tif", np.uint16([[0, 65535, 2000]]))
    assert np.isnan(read(path, "reflectance", 0.0)).tolist() == [True, True, False]
    raw, nodata = encoding_of(asset("B04", path)).with_one_nodata(np.uint16([0, 65535, 2000]))
    assert (nodata, np.isnan(raw).tolist()) == (None, [True, True, False])
    grid = header_of(str(path)).grid
    assert np.isinf(physical_on_grid(asset("B04", path), grid, np.inf)[0]).tolist() == [False, True, False]
    fill = physical_on_grid(asset("B04", path, nodata=65535), grid, np.inf)[0]
    assert np.isnan(fill).tolist() == [False, True, False], "where 65535 is called nodata it says no more"
    plain = np.uint16([0, 1500, 2000])
    assert encoding_of(asset("B04", path)).with_one_nodata(plain) == (plain, 0.0)


@pytest.mark.parametrize("nodata", [-9999.0, 70_000.0, np.nan, 0.5])
def test_nodata_that_the_type_cannot_hold_hides_nothing(tmp_path: Path, nodata: float) -> None:
    path = write_tif(tmp_path / "a.tif", np.uint16([[1500, 55537]]))
    assert np.isfinite(read(path, "reflectance", nodata)).all()


@pytest.mark.parametrize("unit", ["db", "coherence"])
def test_zeros_of_a_mask_that_was_burnt_in_are_no_measurement(tmp_path: Path, unit: str) -> None:
    path = write_tif(tmp_path / "a.tif", np.float32([[0, 0.4]]), nodata=-9999)
    np.testing.assert_allclose(read(path, unit, -9999.0), [np.nan, 0.4])


def test_scale_and_offset_of_the_file_count_where_the_item_is_silent(tmp_path: Path) -> None:
    path = tagged(tmp_path / "a.tif", np.int16([[-1200, -32768]]), scales=(0.01,), offsets=(-1.0,))
    assert read(path, "db", -32768.0, assumed=["scale", "offset"])[0] == pytest.approx(-13)
    stated = asset("vv", path, "db", -32768.0) | {"scale": 0.02, "offset": 0.0, "assumed": []}
    assert encoding_of(stated).scale == 0.02
    assert encoding_of(stated).notes == ("scaling_differs",)


def test_the_files_offset_wins_over_what_the_baseline_lets_assume(tmp_path: Path) -> None:
    path = tagged(tmp_path / "a.tif", np.uint16([[1500]]), scales=(0.0001,), offsets=(0.0,))
    assert read(path, "reflectance", 0.0, assumed=["offset"])[0] == pytest.approx(0.15)
    assert read(path, "reflectance", 0.0, assumed=[])[0] == pytest.approx(0.05)


def test_floating_point_reflectance_is_reflectance(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "a.tif", np.float32([[0.31, 0.0]]))
    found = read(path, "reflectance", 0.0, assumed=SILENT)
    np.testing.assert_allclose(found, [0.31, np.nan])


@pytest.mark.parametrize(("offset", "reflectance"), [(0.0, 0.31), (-0.1, 0.21)])
def test_configured_offsets_are_in_the_files_own_numbers(
    tmp_path: Path, offset: float, reflectance: float
) -> None:
    path = write_tif(tmp_path / "a.tif", np.float32([[0.31]]))
    said = {"scale": 1e-4, "offset": offset * 1e-4, "assumed": ["nodata", "scale", "offset_unit"]}
    assert read(path, "reflectance", 0.0, **said)[0] == pytest.approx(reflectance)


def test_an_offset_of_digital_numbers_is_refused_for_floating_point_reflectance(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "a.tif", np.float32([[0.31]]))
    said = {"scale": 1e-4, "offset": -0.1, "assumed": ["nodata", "scale", "offset_unit"]}
    with pytest.raises(ImageryError, match=r"give it in imagery.offsets as 0 or -0\.1") as refusal:
        read(path, "reflectance", 0.0, **said)
    assert refusal.value.reason == "offset_out_of_range"


@pytest.mark.parametrize("inside", [True, False], ids=["in_the_file", "beside_it"])
def test_pixels_under_the_files_own_mask_are_not_seen(tmp_path: Path, inside: bool) -> None:
    values = np.uint16([[1500, 3000, 4000]])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside):
        path = write_tif(tmp_path / "a.tif", values)
        with rasterio.open(path, "r+") as raster:
            raster.write_mask(np.array([[True, False, True]]))
    assert (tmp_path / "a.tif.msk").exists() != inside
    np.testing.assert_allclose(read(path, "reflectance", 0.0), [0.05, np.nan, 0.3], rtol=1e-5)
    np.testing.assert_array_equal(read_window(str(path))[0], [1500, np.nan, 4000])


def test_pixels_that_an_alpha_band_hides_are_not_seen(tmp_path: Path) -> None:
    path = write_tif(
        tmp_path / "a.tif", np.uint8([[150, 200]]), count=2, photometric="MINISBLACK", alpha="YES"
    )
    with rasterio.open(path, "r+") as raster:
        raster.write(np.uint8([[0, 255]]), 2)
    np.testing.assert_array_equal(read_window(str(path))[0], [np.nan, 200])


def test_a_file_that_changes_is_read_anew(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "a.tif", np.float32([[-9999, 1]]), nodata=-9999)
    assert header_of(str(path)).nodata == -9999
    write_tif(path, np.float32([[-9999, 1, 2]]), nodata=-1)
    assert header_of(str(path)).nodata == -1


UNKNOWN = ["nodata", "scale", "offset", "offset_unknown"]


@pytest.mark.parametrize(
    ("tags", "reflectance"),
    [
        ({"scales": (0.0001,), "offsets": (-0.1,)}, 0.05),
        ({"scales": (0.0001,), "offsets": (0.0,)}, 0.15),
        ({"baseline": "05.10"}, 0.05),
        ({"baseline": "02.14"}, 0.15),
    ],
)
def test_an_item_that_says_nothing_of_the_offset_is_read_as_its_file_says(
    tmp_path: Path, tags: dict[str, Any], reflectance: float
) -> None:
    baseline = tags.pop("baseline", None)
    path = tagged(tmp_path / "a.tif", np.uint16([[1500]]), **tags)
    if baseline:
        with rasterio.open(path, "r+") as raster:
            raster.update_tags(PROCESSING_BASELINE=baseline)
    said = {"offset": 0.0, "assumed": UNKNOWN}
    assert read(path, "reflectance", 0.0, **said)[0] == pytest.approx(reflectance)
    assert encoding_of(asset("B04", path) | said).notes == ()


def test_floating_point_reflectance_of_an_item_that_says_nothing_has_no_offset(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "a.tif", np.float32([[0.31]]))
    assert read(path, "reflectance", 0.0, offset=0.0, assumed=UNKNOWN)[0] == pytest.approx(0.31)


def test_where_neither_item_nor_file_says_the_offset_it_is_refused(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "a.tif", np.uint16([[1500]]))
    with pytest.raises(ImageryError, match=r"imagery\.default_offset whether 0 or -1000") as refusal:
        read(path, "reflectance", 0.0, offset=0.0, assumed=UNKNOWN)
    assert refusal.value.reason == "unknown_offset"


@pytest.mark.parametrize(
    ("unit", "values"), [("dB", [-13.0]), ("linear power", [np.nan]), ("m2/m2", [np.nan])]
)
def test_the_unit_of_backscatter_may_stand_in_the_file_only(
    tmp_path: Path, unit: str, values: list[float]
) -> None:
    path = tagged(tmp_path / "vv.tif", np.float32([[-13]]), units=(unit,))
    found = read(path, "unknown", None, assumed=SILENT)
    np.testing.assert_allclose(found, values)  # no power is negative


def test_backscatter_of_which_nothing_states_the_unit_is_refused(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "vv.tif", np.float32([[-13]]))
    with pytest.raises(ImageryError, match=r"linear or in decibels; say so in imagery\.radar\.unit"):
        read(path, "unknown", None, assumed=SILENT)
