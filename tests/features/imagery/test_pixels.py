from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from features.errors import ImageryError
from features.imagery.blocks import Block
from features.imagery.grids import crop, grid_of, placed
from features.imagery.masks import MaskOptions, clear_mask
from features.imagery.physical import Encoding
from features.imagery.rasters.opening import source_of
from features.imagery.rasters.tiff import read_blocks, read_layout
from features.imagery.stacks import read_stack
from features.imagery.windows import nearest_on_grid, physical_on_grid, read_window
from tests.small_imagery import LEFT, SIDE, TOP, all_clear, asset, optical, radar, scene, table, write_tif

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("compress", ["deflate", "zstd", "none"])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("extra", [{}, {"predictor": 2}, {"BIGTIFF": "YES"}])
def test_own_decoder_reads_what_gdal_reads(tmp_path: Path, compress: str, kind: str, extra: dict) -> None:
    values = RNG.integers(0, 120, (50, 70)).astype(kind)
    if compress == "none":
        extra = {key: value for key, value in extra.items() if key != "predictor"}
    path = write_tif(tmp_path / "a.tif", values, compress=compress, **extra)
    layout = read_layout(str(path))
    if extra.get("predictor") == 2 and kind == "float32":
        assert layout is None
        return
    assert layout is not None
    assert (read_blocks(layout, slice(0, 50), slice(0, 70)) == values).all()
    assert (read_blocks(layout, slice(7, 40), slice(19, 64)) == values[7:40, 19:64]).all()
    assert layout.grid == GeoBox((50, 70), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32635")


@pytest.mark.parametrize(
    "extra", [{"compress": "lzw"}, {"tiled": False, "blockysize": 5}, {"compress": "deflate", "count": 2}]
)
def test_other_layouts_are_left_to_gdal_and_read_alike(tmp_path: Path, extra: dict) -> None:
    values = RNG.integers(0, 999, (50, 70)).astype(np.uint16)
    path = str(write_tif(tmp_path / "a.tif", values, **extra))
    assert read_layout(path) is None
    assert (read_window(path, slice(3, 20), slice(5, 60)) == values[3:20, 5:60]).all()
    assert grid_of(path).shape == (50, 70)


@pytest.mark.parametrize("cut", [8, 200, 2000, -400, -1])
def test_truncated_files_are_refused(tmp_path: Path, cut: int) -> None:
    path = write_tif(tmp_path / "a.tif", RNG.integers(0, 9999, (50, 70)).astype(np.uint16))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ImageryError, match=r"download it again"):
        read_window(str(path))


def test_a_corrupt_block_is_refused(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "a.tif", RNG.integers(0, 9999, (50, 70)).astype(np.uint16))
    layout = read_layout(str(path))
    assert layout is not None
    data = bytearray(path.read_bytes())
    at = int(layout.offsets[3])
    data[at : at + 60] = bytes(60)
    path.write_bytes(data)
    with pytest.raises(ImageryError, match="damaged"):
        read_window(str(path))


@pytest.mark.parametrize("href", ["/vsicurl/http://a/b.tif", "/vsizip/a.zip/b.tif", "/vsimem/x.tif"])
def test_virtual_paths_are_refused(href: str) -> None:
    with pytest.raises(ImageryError, match="virtual path"):
        source_of(href)


def test_addresses_that_the_catalog_let_through() -> None:
    assert source_of("https://example.org/a.tif") == "/vsicurl/https://example.org/a.tif"
    assert source_of("/vsis3/bucket/a.tif") == "/vsis3/bucket/a.tif"


def test_a_vrt_in_a_tif_is_refused_and_a_file_without_crs_too(tmp_path: Path) -> None:
    real = write_tif(tmp_path / "real.tif", np.ones((20, 20), np.uint16))
    fake = tmp_path / "fake.tif"
    source = f"<SimpleSource><SourceFilename>{real}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    fake.write_text(
        f'<VRTDataset rasterXSize="20" rasterYSize="20"><VRTRasterBand dataType="UInt16" band="1">{source}'
        "</VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(ImageryError, match="cannot be read"):
        read_window(str(fake))
    bare = write_tif(tmp_path / "bare.tif", np.ones((20, 20), np.uint16), crs=None)
    with pytest.raises(ImageryError, match="no coordinate system"):
        grid_of(str(bare))
    with pytest.raises(ImageryError, match="does not exist"):
        read_window(str(tmp_path / "none.tif"))


def test_physical_values_are_scaled_and_unknown_ones_missing() -> None:
    found = Encoding(1e-4, -0.1, "reflectance", (0.0,)).physical(np.uint16([[0, 1000, 6000]]))[0]
    assert found == pytest.approx([np.nan, 0, 0.5], abs=1e-7, nan_ok=True)
    wild = np.float32([np.inf, -np.inf, 1e20, np.nan, 0.01])
    found = Encoding(1.0, 0.0, "linear").physical(wild)
    assert np.isnan(found[:4]).all()
    assert found[4] == pytest.approx(-20)


def test_clear_mask_grows_clouds_and_refuses_unknown_classes() -> None:
    classes = np.full((7, 7), 4.0)
    classes[3, 3], classes[0, 0], classes[6, 6], classes[0, 6] = 9, 1e20, np.nan, 6
    clear = clear_mask(classes, MaskOptions(dilation_m=20), (20, 20))
    hidden = {(3, 3), (2, 3), (4, 3), (3, 2), (3, 4), (0, 0), (6, 6)}
    assert {tuple(at) for at in np.argwhere(~clear)} == hidden
    assert clear_mask(classes, MaskOptions(masked_classes=(), dilation_m=0), (20, 20)).sum() == 47


def test_nested_grids_are_placed_and_others_refused() -> None:
    fine = GeoBox((10, 10), Affine(10, 0, 500_040, 0, -10, 4_999_980), "EPSG:32635")
    coarse = GeoBox((10, 10), Affine(20, 0, 500_000, 0, -20, 5_000_000), "EPSG:32635")
    assert placed(fine, coarse, "it") == (2, 2, 4)
    shifted = GeoBox((10, 10), Affine(20, 0, 500_005, 0, -20, 5_000_000), "EPSG:32635")
    with pytest.raises(ImageryError, match="do not nest"):
        placed(fine, shifted, "it")
    with pytest.raises(ImageryError, match="another coordinate system"):
        placed(fine, GeoBox((10, 10), coarse.affine, "EPSG:32634"), "it")
    for metres in (-20.0, 1e7, 1e300):  # as a damaged header may say
        odd = GeoBox((10, 10), Affine(metres, 0, 500_000, 0, -metres, 5_000_000), coarse.crs)
        with pytest.raises(ImageryError, match="do not nest"):
            placed(fine, odd, "it")


def test_values_on_a_grid_that_reaches_beyond_the_raster_are_missing_there(tmp_path: Path) -> None:
    values = RNG.integers(1000, 5000, (SIDE // 2, SIDE // 2)).astype(np.uint16)
    item = asset("B05", write_tif(tmp_path / "b.tif", values, 20.0))
    grid = GeoBox((8, 8), Affine(10, 0, 499_970, 0, -10, 5_000_010), "EPSG:32635")
    found = physical_on_grid(item, grid)
    assert np.isnan(found[0]).all()
    assert np.isnan(found[:, :3]).all()
    assert found[1:3, 3:5] == pytest.approx(values[0, 0] * 1e-4 - 0.1)


def test_stack_holds_bands_masks_and_backscatter_on_one_grid(tmp_path: Path) -> None:
    bands, classes = scene(RNG), all_clear()
    classes[2:4, 2:4] = 8
    power = {"vv": RNG.gamma(4, 0.02, (SIDE, SIDE)).astype(np.float32)}
    rows = table(
        optical(tmp_path, 0, bands, classes),
        optical(tmp_path, 3, bands, all_clear()),
        radar(tmp_path, 1, power),
    )
    full = grid_of(rows["assets"][0][1]["href"])
    assert full.shape == (SIDE, SIDE)
    grid = crop(full, Block(slice(4, 24), slice(2, 32)))
    stack = read_stack(rows, grid, ["B04", "B05"], MaskOptions(dilation_m=0), ["vv"])
    assert stack["reflectance"].dims == ("time", "band", "y", "x")
    assert stack["reflectance"].sel(band="B04")[0].values == pytest.approx(
        bands["B04"][4:24, 2:32] * 1e-4 - 0.1, rel=1e-5
    )
    fine = bands["B05"].repeat(2, 0).repeat(2, 1)[4:24, 2:32] * 1e-4 - 0.1
    assert stack["reflectance"].sel(band="B05")[1].values == pytest.approx(fine, rel=1e-5)
    assert (~stack["clear"][0].values).sum() == 16
    assert stack["clear"][1].values.all()
    assert stack["backscatter"].sel(polarisation="vv")[0].values == pytest.approx(
        10 * np.log10(power["vv"][4:24, 2:32]), abs=1e-4
    )
    assert float(stack["x"][0]) == 500_025


def test_a_stack_closes_up_over_what_cannot_be_read(tmp_path: Path) -> None:
    levels = (1500, 2000, 2500, 3000)
    rows = [
        optical(tmp_path, day, {"B04": np.full((SIDE, SIDE), level, np.uint16)}, all_clear())
        for day, level in enumerate(levels)
    ]
    for number in (0, 2):
        href = Path(rows[number]["assets"][0]["href"])
        href.write_bytes(href.read_bytes()[:-40])
    failed: dict[str, ImageryError] = {}
    stack = read_stack(table(*rows), grid_of(rows[1]["assets"][0]["href"]), ["B04"], None, [], failed)
    assert sorted(failed) == [rows[0]["item_id"], rows[2]["item_id"]]
    days = np.array([rows[1]["datetime"], rows[3]["datetime"]], "datetime64[ns]")
    np.testing.assert_array_equal(stack["time"].values, days)
    assert stack["reflectance"].values.mean(axis=(1, 2, 3)) == pytest.approx([0.1, 0.2], rel=1e-5)
    assert stack["clear"].values.all()


def test_radar_on_a_lattice_of_its_own_gives_the_pixel_that_holds_the_centre(tmp_path: Path) -> None:
    values = np.arange(1, 17, dtype=np.float32).reshape(4, 4)  # pixels of 20 m, the corner 4 m to the east
    path = write_tif(tmp_path / "vv.tif", values, step=20.0, corner=(LEFT + 4, TOP), nodata=0.0)
    grid = GeoBox((2, 5), Affine(10, 0, LEFT, 0, -10, TOP), "EPSG:32635")
    # centres at 5, 15, 25, 35, 45 m east: 1, 11, 21, 31, 41 m into the raster
    expected = [[1, 1, 2, 2, 3]] * 2
    assert nearest_on_grid(asset("s0vv_db", path, "db"), grid).tolist() == expected
    west = GeoBox((1, 2), Affine(10, 0, LEFT - 10, 0, -10, TOP), "EPSG:32635")
    np.testing.assert_array_equal(nearest_on_grid(asset("s0vv_db", path, "db"), west), [[np.nan, 1]])
