"""Labelled tiles as they are published."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.errors import NotGeoreferencedWarning

from features.errors import ImageryError, ModelError
from features.limits import DEFAULT_LIMITS, LimitOptions
from models.clouds.mask.labels.tiles import L2A, read_tiles
from models.clouds.mask.options import LabelledTiles

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
assert NotGeoreferencedWarning
BANDS = ("B02", "B03", "B04", "B08")


def write(path: Path, values: np.ndarray, names: tuple[str, ...] = ()) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    with rasterio.open(path, "w", driver="GTiff", count=count, height=height, width=width,
                       dtype=values.dtype) as raster:  # fmt: skip
        raster.write(values)
        if names:
            raster.descriptions = names


def image(count: int, value: int = 1500) -> np.ndarray:
    return np.full((count, 16, 16), value, np.uint16)


def mask(code: int) -> np.ndarray:
    return np.full((1, 16, 16), code, np.uint8)


def first(folder: Path, limits: LimitOptions = DEFAULT_LIMITS, **settings: Any) -> tuple[list[float], int]:
    """Bands and label of the first pixel of the first tile."""
    (tile, *_) = read_tiles(LabelledTiles(path=folder, **settings), limits)
    return [round(float(value), 4) for value in tile.values[:, 0, 0]], int(tile.labels[0, 0])


def test_pairs_with_bands_by_description(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", image(4), BANDS)
    write(tmp_path / "a_mask.tif", mask(2))
    values, label = first(tmp_path)
    assert (values[:4], label) == ([0.15] * 4, 2)
    assert np.isnan(values[4:]).all()


def test_the_offset_since_baseline_4_is_subtracted_where_it_is_stated(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", image(4, 2500), BANDS)
    write(tmp_path / "a_mask.tif", mask(0))
    assert first(tmp_path, offset=-0.1)[0][0] == pytest.approx(0.15)


@pytest.mark.parametrize(("code", "label"), [(0, 0), (1, 3), (2, 2), (3, 1)])
def test_cloudsen12_and_its_codes(tmp_path: Path, code: int, label: int) -> None:
    values = np.stack([np.full((16, 16), 1000 + k, np.int16) for k in range(12)])
    write(tmp_path / "ROI_1" / "S2L2A.tif", values)
    write(tmp_path / "ROI_1" / "labels" / "manual_hq.tif", mask(code))
    found, name = first(tmp_path, layout="cloudsen12")
    assert name == label
    order = [L2A.index(band) for band in ("B02", "B03", "B04", "B8A", "B11", "B12")]
    assert found == [round(0.1 + 1e-4 * k, 4) for k in order]


@pytest.mark.parametrize(("code", "label"), [(1, 0), (2, 1), (3, 2), (4, 3), (5, 255)])
def test_kappaset_and_its_codes(tmp_path: Path, code: int, label: int) -> None:
    layers = {band: (("y", "x"), image(1)[0]) for band in (*BANDS, "B11", "B12")}
    tile = xr.Dataset({**layers, "Label": (("y", "x"), mask(code)[0])})
    tile.to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    assert first(tmp_path, layout="kappaset") == ([0.15] * 6, label)


def test_npz_pairs_and_a_class_table_of_ones_own(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=image(4), mask=mask(7)[0], bands=np.array(BANDS))
    found = first(tmp_path, layout="npz", classes={7: "shadow"})
    assert found[1] == 1


def test_an_array_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=np.array([{}], object), mask=mask(0)[0], bands=np.array(BANDS))
    with pytest.raises(ModelError, match="cannot be read"):
        first(tmp_path, layout="npz")


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    few = LimitOptions(tile_megavalues=0.01)
    np.savez_compressed(tmp_path / "a.npz", image=np.zeros((4, 600, 600)), mask=np.zeros((600, 600)))
    assert (tmp_path / "a.npz").stat().st_size < 20_000
    with pytest.raises(ModelError, match=r"a\.npz .* unpacks to 13 MiB.*raise limits\.tile_megavalues"):
        first(tmp_path, few, layout="npz")
    write(tmp_path / "b.tif", np.zeros((4, 80, 80), np.uint16), BANDS)
    write(tmp_path / "b_mask.tif", mask(0))
    with pytest.raises(
        ModelError, match=r"b\.tif declares 4 bands of 80 x 80 pixels.*raise limits\.tile_megavalues"
    ):
        first(tmp_path, few)
    tile = xr.Dataset(
        {"B02": (("y", "x"), np.zeros((200, 200))), "Label": (("y", "x"), np.zeros((200, 200)))}
    )
    tile.to_netcdf(tmp_path / "c.nc", engine="h5netcdf")
    with pytest.raises(ImageryError, match=r"c\.nc: /\w+ declares \(200, 200\) values"):
        first(tmp_path, few, layout="kappaset")


def test_a_virtual_file_under_another_name_is_not_opened(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", image(4), BANDS)
    write(tmp_path / "other.tiff", mask(0))
    (tmp_path / "a_mask.tif").write_text(
        '<VRTDataset rasterXSize="16" rasterYSize="16"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{tmp_path}/other.tiff</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(ImageryError, match=r"a_mask\.tif cannot be read"):
        first(tmp_path)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", image(4), BANDS)
    write(tmp_path / "a_mask.tif", mask(0)[:, :8])
    with pytest.raises(ModelError, match="8 x 16 pixels, the image 16 x 16") as raised:
        first(tmp_path)
    assert raised.value.reason == "shifted_grid"


def test_labels_that_no_table_knows_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", image(4), BANDS)
    write(tmp_path / "a_mask.tif", mask(9))
    with pytest.raises(ModelError, match="label 9") as raised:
        first(tmp_path)
    assert raised.value.reason == "unknown_label"


def test_a_missing_band_and_unnamed_bands_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", image(3), ("B02", "B03", "B04"))
    write(tmp_path / "a_mask.tif", mask(0))
    with pytest.raises(ModelError, match="no B8A or B08"):
        first(tmp_path)
    with pytest.raises(ModelError, match="3 bands, but 2 are named"):
        first(tmp_path, bands=("B02", "B03"))


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no labelled tile"):
        first(tmp_path, layout="kappaset")
