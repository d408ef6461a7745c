"""A folder of cubes and dated rasters to a catalog that reads back with the same pixels."""

import json
import os
from datetime import date, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import h5py
import numpy as np
import polars as pl
import pytest
import rasterio
import xarray as xr
from affine import Affine

from features.catalog.reader import ImageryOptions, read_acquisitions
from features.errors import DeclarationError, ImageryError
from features.imagery.physical import encoding_of
from features.indexing.dated_image import describe_values
from features.indexing.field_raster import connected_fields, parcels_from_raster
from features.indexing.file_names import band_in_name, read_name
from features.indexing.folder import Indexed, index_folder
from features.indexing.netcdf_cube import read_weather

BOUNDS = (2.9, 50.7, 3.2, 50.9)
WHOLE_YEAR = (date(2018, 1, 1), date(2018, 12, 31))
LEFT, TOP = 501_360.0, 5_629_680.0
GRID = Affine(10, 0, LEFT, 0, -10, TOP)


def cube(path: Path, times: list[str], bands: dict[str, np.ndarray], metres: float = 10, **more: Any) -> Path:
    """A cube as openEO writes it: integers with a fill value, centres of pixels, a CRS variable."""
    _, rows, columns = next(iter(bands.values())).shape
    fill = {"_FillValue": 0}
    variables: dict[str, Any] = {name: (("t", "y", "x"), values, fill) for name, values in bands.items()}
    dataset = xr.Dataset(
        {**variables, "crs": ((), 0, {"crs_wkt": rasterio.crs.CRS.from_epsg(32631).to_wkt()}), **more},
        coords={
            "t": np.array(times, dtype="datetime64[ns]"),
            "y": TOP - metres * (np.arange(rows) + 0.5),
            "x": LEFT + metres * (np.arange(columns) + 0.5),
        },
        attrs={"tile": "31UDS"},
    )
    dataset.to_netcdf(path, engine="h5netcdf")
    return path


def raster(path: Path, bands: dict[str | None, np.ndarray], nodata: float | None = 0, **tags: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.stack(list(bands.values()))
    profile = {
        "driver": "GTiff", "count": len(bands), "height": values.shape[1], "width": values.shape[2],
        "dtype": values.dtype, "crs": "EPSG:32631", "transform": GRID, "nodata": nodata,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as out:
        out.write(values)
        out.update_tags(**tags)
        for position, name in enumerate(bands, start=1):
            if name:
                out.set_band_description(position, name)
    return path


def read(found: Indexed, **settings: Any) -> tuple[pl.DataFrame, Any]:
    return read_acquisitions(ImageryOptions(catalog=str(found.catalog), **settings), BOUNDS, *WHOLE_YEAR)


def assets_of(table: pl.DataFrame, row: int = 0) -> dict[str, dict[str, Any]]:
    return {asset["band"]: asset for asset in table["assets"][row].to_list()}


def pixels(asset: dict[str, Any]) -> np.ndarray:
    with rasterio.open(asset["href"]) as file:
        return np.asarray(file.read(1))


def test_a_cube_reads_back_with_the_same_pixels(tmp_path: Path) -> None:
    red = np.arange(1, 2 * 6 * 4 + 1, dtype=np.uint16).reshape(2, 6, 4)
    scl = np.full((2, 3, 2), 4, np.uint8)
    times = ["2018-05-01T10:50:30", "2018-05-06T10:50:30"]
    (tmp_path / "in").mkdir()
    cube(tmp_path / "in/S2_10m.nc", times, {"B04": red})
    cube(tmp_path / "in/S2_20m.nc", times, {"SCL": scl, "B04": scl.astype(np.uint16)}, metres=20)
    table, tally = read(index_folder(tmp_path / "in", tmp_path / "out"))
    assert (tally.went_out, table["tile"].to_list()) == (2, ["31UDS", "31UDS"])
    held = assets_of(table, 1)
    assert list(held) == ["B04", "scl"], "one item has the bands of both files, the finer B04"
    np.testing.assert_array_equal(pixels(held["B04"]), red[1])
    np.testing.assert_array_equal(pixels(held["scl"]), scl[1])
    with rasterio.open(held["B04"]["href"]) as file:
        assert file.transform == GRID
    assert (held["B04"]["scale"], held["B04"]["offset"], held["B04"]["nodata"]) == (1e-4, 0, 0)


def test_a_cube_with_rows_from_south_to_north_is_turned(tmp_path: Path) -> None:
    red = np.arange(1, 13, dtype=np.uint16).reshape(1, 4, 3)
    path = cube(tmp_path / "up.nc", ["2018-05-01"], {"B04": red})
    with xr.open_dataset(path, engine="h5netcdf", mask_and_scale=False) as dataset:
        turned = dataset.isel(y=slice(None, None, -1)).load()
    (tmp_path / "in").mkdir()
    turned.to_netcdf(tmp_path / "in/down.nc", engine="h5netcdf")
    table, _ = read(index_folder(tmp_path / "in", tmp_path / "out"))
    np.testing.assert_array_equal(pixels(assets_of(table)["B04"]), red[0])


def test_a_date_without_data_is_set_aside_and_an_absent_band_is_absent(tmp_path: Path) -> None:
    red = np.zeros((2, 3, 3), np.uint16)
    red[0] = 500
    (tmp_path / "in").mkdir()
    cube(tmp_path / "in/a.nc", ["2018-05-01", "2018-05-06"], {"B04": red})
    table, _ = read(index_folder(tmp_path / "in", tmp_path / "out"))
    assert (table.height, list(assets_of(table))) == (1, ["B04"])


def test_orbits_are_inferred_from_times_and_numbered_as_no_real_orbit_is(tmp_path: Path) -> None:
    days = range(1, 25, 6)
    times = [f"2018-06-{day:02d}T17:32:{day:02d}" for day in days] + [
        f"2018-06-{day + 1:02d}T17:40:{day:02d}" for day in days
    ]
    backscatter = np.full((8, 3, 3), -120_000, np.int32)
    (tmp_path / "in").mkdir()
    cube(tmp_path / "in/S1_GRD-ASCENDING.nc", times, {"VV": backscatter, "VH": backscatter - 60_000})
    table, _ = read(index_folder(tmp_path / "in", tmp_path / "out"))
    by_minute = dict(
        zip(table["datetime"].dt.minute().to_list(), table["relative_orbit"].to_list(), strict=True)
    )
    assert by_minute == {32: 901, 40: 902}
    assert set(table["orbit_state"]) == {"ascending"}
    vv = assets_of(table)["vv"]
    assert (vv["unit"], vv["scale"]) == ("db", 1e-4)


def test_weather_becomes_a_table_in_celsius_and_millimetres(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    cube(tmp_path / "in/a.nc", ["2018-05-01"], {"B04": np.full((1, 3, 3), 500, np.uint16)})
    kelvin = np.float32([[[280.15]], [[-9999.0]]])
    one = {"_FillValue": np.float32(-9999)}
    weather = xr.Dataset(
        {
            "temperature_min": (("timestamp", "y", "x"), kelvin, one),
            "temperature_max": (("timestamp", "y", "x"), np.float32([[[290.15]], [[291.15]]]), one),
            "precipitation_flux": (("timestamp", "y", "x"), np.float32([[[1.5]], [[0.0]]]), one),
            "solar_radiation_flux": (("timestamp", "y", "x"), np.float32([[[2e7]], [[1e7]]]), one),
        },
        coords={
            "timestamp": np.array(["2018-05-01", "2018-05-02"], dtype="datetime64[ns]"),
            "y": [0.0],
            "x": [0.0],
        },
    )
    weather.to_netcdf(tmp_path / "in/AgERA5.nc", engine="h5netcdf")
    catalog = index_folder(tmp_path / "in", tmp_path / "out")
    table = pl.read_csv(catalog.catalog.with_name("weather.csv"), try_parse_dates=True)
    assert table["date"].to_list() == [date(2018, 5, 1), date(2018, 5, 2)]
    assert table["t_min_c"][0] == pytest.approx(7, abs=1e-3)
    assert table["t_min_c"][1] is None
    assert table["t_max_c"].to_list() == pytest.approx([17, 18], abs=1e-3)
    assert table["precipitation_mm"].to_list() == [1.5, 0]
    assert table["radiation_mj"].to_list() == pytest.approx([20, 10])


def packed_weather(name: str, raw: list[int], **attributes: object) -> xr.Dataset:
    values = np.array(raw, np.int16)[:, None, None]
    days = np.datetime64("2018-05-01", "ns") + np.arange(len(raw)) * np.timedelta64(1, "D")
    variable = (("time", "lat", "lon"), values, attributes)
    return xr.Dataset({name: variable}, coords={"time": days, "lat": [50.0], "lon": [4.0]})


@pytest.mark.parametrize(
    ("name", "attributes", "column", "expected"),
    [
        ("temperature_min", {"scale_factor": 0.01, "add_offset": 273.15}, "t_min_c", [10, -5, None]),
        ("temperature_min", {"scale_factor": 0.01, "units": "degC"}, "t_min_c", [10, -5, None]),
        ("precipitation_flux", {"scale_factor": 1e-4, "units": "m"}, "precipitation_mm", [100, -50, None]),
        ("precipitation_flux", {"add_offset": 500.0, "units": "mm d-1"}, "precipitation_mm", [1500, 0, None]),
    ],
)
def test_packed_weather_is_unpacked_and_its_unit_read(
    name: str, attributes: dict[str, object], column: str, expected: list[float | None]
) -> None:
    cube = packed_weather(name, [1000, -500, -32768], _FillValue=np.int16(-32768), **attributes)
    assert read_weather(cube)[column].to_list() == [
        value if value is None else pytest.approx(value, abs=1e-6) for value in expected
    ]


def test_weather_of_an_unknown_unit_is_refused() -> None:
    with pytest.raises(ImageryError, match="temperature_min is in 'degF'; give it in one of k, c"):
        read_weather(packed_weather("temperature_min", [50], units="degF"))


def crops(path: Path, codes: np.ndarray) -> Path:
    rows, columns = codes.shape
    dataset = xr.Dataset(
        {
            "CT": (("y", "x"), codes, {"_FillValue": np.uint16(0)}),
            "LC": (("y", "x"), np.full_like(codes, 11)),
        },
        coords={"y": TOP - 10 * (np.arange(rows) + 0.5), "x": LEFT + 10 * (np.arange(columns) + 0.5)},
        attrs={"epsg": 32631},
    )
    dataset.to_netcdf(path, engine="h5netcdf")
    return path


def test_connected_fields_of_a_raster_become_parcels(tmp_path: Path) -> None:
    codes = np.array(
        [[1200, 1200, 0, 5100], [1200, 1200, 5100, 0], [0, 0, 1200, 1200], [0, 0, 1200, 1200]], np.uint16
    )
    parcels = parcels_from_raster(crops(tmp_path / "OUTPUT.nc", codes), min_pixels=4)
    assert parcels["parcel_id"].to_list() == ["0001", "0002"], "fields that touch at a corner are two"
    assert parcels["crop_code"].to_list() == ["1200", "1200"]
    assert parcels["land_cover"].to_list() == ["11", "11"]
    assert parcels.area.to_list() == [400, 400]
    assert parcels.total_bounds.tolist() == [LEFT, TOP - 40, LEFT + 40, TOP]
    assert parcels.crs.to_epsg() == 32631
    with pytest.raises(DeclarationError, match="no connected field of 5 pixels"):
        parcels_from_raster(tmp_path / "OUTPUT.nc", min_pixels=5)
    assert connected_fields(codes, 1).max() == 4


def test_parcels_are_written_beside_the_catalog(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    cube(tmp_path / "in/a.nc", ["2018-05-01"], {"B04": np.full((1, 3, 3), 500, np.uint16)})
    crops(tmp_path / "in/OUTPUT.nc", np.full((3, 3), 1200, np.uint16))
    catalog = index_folder(tmp_path / "in", tmp_path / "out")
    parcels = gpd.read_file(catalog.catalog.with_name("parcels.gpkg"))
    assert (len(parcels), parcels["crop_code"][0], parcels["pixels"][0]) == (1, "1200", 9)


def test_single_band_rasters_stay_where_they_are(tmp_path: Path) -> None:
    red = np.full((4, 4), 1500, np.uint16)
    for day in ("20180501", "20180506"):
        for band in ("B04", "B08"):
            raster(tmp_path / f"in/{day}/T31UDS_{day}T105031_{band}_10m.tif", {None: red})
    catalog = index_folder(tmp_path / "in", tmp_path / "out")
    table, _ = read(catalog, default_offset=-1000)
    assert (table.height, list(assets_of(table)), table["tile"][0]) == (2, ["B04", "B08"], "31UDS")
    red_asset = assets_of(table)["B04"]
    assert Path(red_asset["href"]).parent == (tmp_path / "in/20180501").resolve()
    assert red_asset["offset"] == -0.1
    untold, _ = read(catalog)
    with pytest.raises(ImageryError, match=r"neither item nor file says .*imagery\.default_offset"):
        encoding_of(assets_of(untold)["B04"])


def test_rasters_of_several_bands_are_split_and_products_know_their_baseline(tmp_path: Path) -> None:
    reflectance = np.full((4, 4), 0.15, np.float32)
    scl = np.float32([[4, 5, 1e20, np.nan]] * 4)
    name = "S2B_MSIL2A_20180501T104021_N0500_R008_T31UDS_20230801T000000.tif"
    raster(tmp_path / "in" / name, {"B04": reflectance, "SCL": scl, "angle": reflectance})
    table, _ = read(index_folder(tmp_path / "in", tmp_path / "out"))
    row = table.row(0, named=True)
    assert (row["processing_baseline"], row["relative_orbit"], row["platform"]) == ("05.00", 8, "sentinel-2b")
    held = assets_of(table)
    assert list(held) == ["B04", "scl"]
    assert (held["B04"]["scale"], held["B04"]["offset"]) == (1, 0), "floating point is reflectance already"
    assert pixels(held["scl"])[0].tolist() == [4, 5, 0, 0]


def test_level_1c_in_a_folder_is_not_read_as_surface_reflectance(tmp_path: Path) -> None:
    """Both levels of one datatake, as ESA's products lie: two acquisitions, of which one level is read."""
    for level, number in (("1C", 3000), ("2A", 2000)):
        name = f"S2A_MSIL{level}_20180501T104021_N0500_R008_T31UDS_20230801T000000.SAFE"
        inside = f"GRANULE/L{level}_T31UDS_A014/IMG_DATA/T31UDS_20180501T104021_B04.tif"
        raster(tmp_path / "in" / name / inside, {None: np.full((4, 4), number, np.uint16)})
    found = index_folder(tmp_path / "in", tmp_path / "out")
    assert found.items == 2
    for level, value in (("L2A", 2000), ("L1C", 3000)):
        table, tally = read(found, level=level)
        assert (table.height, tally.set_aside) == (1, {"other_level": 1})
        red = assets_of(table)["B04"]
        assert (pixels(red)[0, 0], red["offset"]) == (value, -0.1)


def test_what_cannot_be_used_is_set_aside_and_the_rest_indexed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = np.full((4, 4), 0.2, np.float32)
    raster(tmp_path / "in/B04_2018-05-01.tif", {None: good})
    raster(tmp_path / "in/B04_undated.tif", {None: good})
    raster(tmp_path / "in/mystery_2018-05-01.tif", {None: good})
    raster(tmp_path / "in/B08_from_tag.tif", {None: good}, TIFFTAG_DATETIME="2018:05:01 00:00:00")
    (tmp_path / "in/B02_2018-05-02.tif").write_bytes(b"II*\0broken")
    (tmp_path / "in/broken.nc").write_bytes(b"no netcdf")
    (tmp_path / "in/B03_2018-05-03.tif").write_text('<VRTDataset rasterXSize="1" rasterYSize="1"/>')
    with caplog.at_level("INFO"):
        catalog = index_folder(tmp_path / "in", tmp_path / "out")
    for reason in ("no_date 1", "no_known_band 1", "unreadable 3"):
        assert reason in caplog.text
    table, _ = read(catalog)
    assert (table.height, list(assets_of(table))) == (1, ["B04", "B08"])


@pytest.mark.timeout(60)
def test_what_declares_more_than_is_read_is_set_aside_before_it_is_read(tmp_path: Path) -> None:
    raster(tmp_path / "in" / "20180604_B04.tif", {None: np.full((1, 20, 20), 500, np.uint16)[0]})
    for name, shape in {"wide": (100_000, 200_000), "block": (20, 20_000)}.items():
        profile = {
            "driver": "GTiff", "count": 2, "height": shape[0], "width": shape[1], "dtype": "uint16",
            "crs": "EPSG:32631", "transform": GRID, "sparse_ok": True, "tiled": name == "wide",
        }  # fmt: skip
        if name == "block":
            profile |= {"tiled": True, "blockxsize": 16_000, "blockysize": 16_000, "compress": "deflate"}
        with rasterio.open(tmp_path / "in" / f"20180605_{name}.tif", "w", **profile) as out:
            out.descriptions = ("B04", "B08")
    path = cube(tmp_path / "in" / "c.nc", ["2018-06-04"], {"B04": np.ones((1, 20, 20), np.uint16)})
    with h5py.File(path, "r+") as file:
        file.create_dataset("bomb", (200_000, 200_000), np.uint16, chunks=(100, 100))
    found = index_folder(tmp_path / "in", tmp_path / "out")
    assert (found.items, found.files.set_aside) == (1, {"too_large": 3})
    assert any("--most-megapixels" in cure for cure in found.cures)


def test_indexing_again_writes_no_pixel_twice(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    cube(tmp_path / "in/a.nc", ["2018-05-01"], {"B04": np.full((1, 3, 3), 500, np.uint16)})
    catalog = index_folder(tmp_path / "in", tmp_path / "out")
    cog = next((tmp_path / "out/cogs").rglob("*.tif"))
    before, content = cog.stat().st_mtime_ns, catalog.catalog.read_bytes()
    assert index_folder(tmp_path / "in", tmp_path / "out").catalog.read_bytes() == content
    assert cog.stat().st_mtime_ns == before


@pytest.mark.parametrize("content", ["missing", "empty", "hopeless"])
def test_a_folder_without_imagery_is_an_error(content: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    if content != "missing":
        folder.mkdir()
    if content == "hopeless":
        raster(folder / "undated.tif", {None: np.ones((2, 2), np.uint8)})
    with pytest.raises(ImageryError, match=r"no folder|holds no"):
        index_folder(folder, tmp_path / "out")
    assert not (tmp_path / "out/catalog.json").exists()


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("T31TCK_20211012T105011_B04_10m.tif", datetime(2021, 10, 12, 10, 50, 11)),
        ("S1A_IW_GRDH_1SDV_20210503T173210_x.tif", datetime(2021, 5, 3, 17, 32, 10)),
        ("openEO_2021-05-01Z.tif", datetime(2021, 5, 1)),
        ("field_2021_05_01_103015.tif", datetime(2021, 5, 1, 10, 30, 15)),
        ("B04_31UFS_v20201231_20210501.tif", datetime(2021, 5, 1)),  # a version before the day
        ("ndvi_20211301.tif", None),
        ("12345678.tif", None),
    ],
)
def test_dates_in_file_names(name: str, taken: datetime | None) -> None:
    said = read_name(name)
    assert (said.taken if said else None) == taken


def test_bands_in_file_names() -> None:
    assert [band_in_name(name) for name in ("x_nir_2021.tif", "SCL.tif", "dem.tif")] == ["B08", "scl", None]


@pytest.mark.parametrize(
    ("band", "values", "said"),
    [
        ("vv", np.int32([-120_000]), {"scale": 1e-4, "unit": "db"}),
        ("vv", np.int16([-1200]), {"scale": 1e-2, "unit": "db"}),
        ("vh", np.float32([-17.5]), {"scale": 1.0, "unit": "db"}),
        ("vh", np.float32([0.02]), {"scale": 1.0, "unit": "linear"}),
        ("vh", np.uint16([300]), "unknown_radar_scale"),
        ("B04", np.float32([1500.0]), {"scale": 1e-4, "unit": "reflectance"}),
        ("B04", np.float32([0.15]), {"scale": 1.0, "unit": "reflectance"}),
        ("B04", np.float32([15.0]), "unknown_reflectance_scale"),  # percent, or brightness
        ("B04", np.uint8([150]), "unknown_reflectance_scale"),
        ("cohvv", np.uint8([120]), "unknown_coherence_scale"),
        ("B04", np.float32([1e20, np.nan, np.inf]), "nothing_but_nodata"),
        ("scl", np.float32([np.nan]), "nothing_but_nodata"),
    ],
)
def test_scales_are_told_from_values(band: str, values: np.ndarray, said: dict[str, Any] | str) -> None:
    found = describe_values(band, values, None)
    assert found == said


def test_reflectance_in_percent_is_read_where_the_file_says_so_and_not_guessed(tmp_path: Path) -> None:
    values = np.full((4, 4), 15, np.float32)
    for day, scale in (("20240501", None), ("20240506", 0.01)):
        path = raster(tmp_path / f"in/S2_{day}_B04.tif", {None: values})
        if scale:
            with rasterio.open(path, "r+") as opened:
                opened.scales = (scale,)
    found = index_folder(tmp_path / "in", tmp_path / "out")
    assert (found.items, found.files.set_aside) == (1, {"unknown_reflectance_scale": 1})
    assert "-a_scale 0.01" in " ".join(found.cures)
    [item] = (tmp_path / "out" / "items").rglob("item.json")
    assert json.loads(item.read_text())["assets"]["B04"]["raster:scale"] == 0.01


@pytest.mark.parametrize(
    "name",
    [
        "HLS.L30.T31UDS.2018123T105031.v2.0.B05.tif",  # near infrared: red edge is Sentinel-2's B05
        "LC08_L2SP_199025_20180501_20180502_02_T1_SR_B5.tif",
        "20180501_104031_55_24b9_3B_AnalyticMS_SR_B04.tif",
        "landsat/20180501_B05.tif",
    ],
)
def test_images_of_other_satellites_are_set_aside(name: str, tmp_path: Path) -> None:
    raster(tmp_path / "in" / name, {None: np.full((4, 4), 2000, np.uint16)})
    raster(tmp_path / "in" / "S2A_31UDS_20180501_B05.tif", {None: np.full((4, 4), 2000, np.uint16)})
    found = index_folder(tmp_path / "in", tmp_path / "out")
    assert (found.items, dict(found.files.set_aside)) == (1, {"other_satellite": 1})


def test_radar_as_snap_names_its_bands(tmp_path: Path) -> None:
    power = np.linspace(0.01, 0.2, 16).reshape(4, 4).astype(np.float32)
    raster(tmp_path / "in" / "20180501_TC.tif", {"Sigma0_VV": power, "Sigma0_VH_db": 10 * np.log10(power)})
    table, _ = read(index_folder(tmp_path / "in", tmp_path / "out"))
    assert {band: asset["unit"] for band, asset in assets_of(table).items()} == {"vv": "linear", "vh": "db"}


def test_a_name_that_is_no_text_is_set_aside(tmp_path: Path) -> None:
    raster(tmp_path / "in" / "20180501_B04.tif", {None: np.full((4, 4), 2000, np.uint16)})
    odd = Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/\xff_20180502_B04.tif"))
    odd.write_bytes((tmp_path / "in" / "20180501_B04.tif").read_bytes())
    found = index_folder(tmp_path / "in", tmp_path / "out")
    assert (found.items, dict(found.files.set_aside)) == (1, {"unreadable_name": 1})


def test_a_second_copy_of_one_band_takes_no_other_band_away(tmp_path: Path) -> None:
    for name in ("20180501_B04.tif", "20180501_B04 (1).tif", "20180501_B08.tif"):
        raster(tmp_path / "in" / name, {None: np.full((4, 4), 2000, np.uint16)})
    table, tally = read(index_folder(tmp_path / "in", tmp_path / "out"))
    assert (tally.came_in, dict(tally.set_aside)) == (2, {"duplicate": 1})
    assert set(assets_of(table)) == {"B04", "B08"}
