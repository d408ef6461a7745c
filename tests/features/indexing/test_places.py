"""Images of two places, orbits, directions or moments are never taken for one; the account of a folder."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import rasterio
import xarray as xr
from affine import Affine
from typer.testing import CliRunner

from features.catalog.reader import ImageryOptions, read_acquisitions
from features.indexing.file_names import read_name, read_path
from features.indexing.folder import Indexed, index_folder
from pipelines.cli import app

YEAR = (date(2024, 1, 1), date(2024, 12, 31))
LEFT, TOP = 620_000.0, 5_642_200.0


def raster(
    path: Path, value: float = 0.2, left: float = LEFT, size: int = 4, metres: float = 10, **more: Any
) -> Path:
    """A raster of one value; `descriptions` name its bands."""
    names = more.pop("descriptions", ())
    values = np.full((max(len(names), 1), size, size), value, more.pop("dtype", np.float32))
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "count": len(values), "height": size, "width": size, "dtype": values.dtype,
               "crs": "EPSG:32631", "transform": Affine(metres, 0, left, 0, -metres, TOP)}  # fmt: skip
    with rasterio.open(path, "w", **(profile | more)) as out:
        out.write(values)
        for position, name in enumerate(names, start=1):
            out.set_band_description(position, name)
    return path


def read(found: Indexed) -> tuple[pl.DataFrame, Any]:
    options = ImageryOptions(catalog=str(found.catalog), default_offset=0)
    return read_acquisitions(options, (-180, -90, 180, 90), *YEAR)


def balanced(found: Indexed) -> Indexed:
    """The account holds: bands that came out are the assets of the items."""
    table, tally = read(found)
    assert found.items == tally.came_in
    if not tally.set_aside:
        assert found.bands.went_out == table["assets"].list.len().sum()
    return found


def test_two_places_that_share_a_moment_are_two_acquisitions(tmp_path: Path) -> None:
    for name, left in (("west", LEFT), ("east", LEFT + 300)):
        for band in ("B04", "B08", "SCL"):
            value = 4 if band == "SCL" else 0.2
            raster(tmp_path / f"in/{name}/{name}_20240501T104031_{band}.tif", value, left)
    found = balanced(index_folder(tmp_path / "in", tmp_path / "out"))
    table, _ = read(found)
    assert table["tile"].n_unique() == 2
    assert [len(assets) for assets in table["assets"]] == [3, 3]
    folders = [{Path(asset["href"]).parent.name for asset in assets} for assets in table["assets"].to_list()]
    assert sorted(map(sorted, folders)) == [["east"], ["west"]]


def test_chips_of_several_farms_in_one_tile_are_told_apart(tmp_path: Path) -> None:
    name = "S2A_MSIL2A_20240404T102601_N0510_R108_T31UFS_20240404T135834.tif"
    for k, left in enumerate((LEFT, LEFT + 500, LEFT + 900)):
        raster(tmp_path / f"in/farm{k}" / name, left=left, descriptions=("B04", "B08"))
    table, tally = read(balanced(index_folder(tmp_path / "in", tmp_path / "out")))
    assert (table.height, tally.set_aside) == (3, {})
    assert all(tile.startswith("31UFS_") for tile in table["tile"])
    values = {row["tile"]: Path(row["assets"][0]["href"]) for row in table.iter_rows(named=True)}
    assert len(set(values.values())) == 3, "files of one name in three folders become three"


def test_tiles_named_as_earth_engine_names_them(tmp_path: Path) -> None:
    for tile, left in (("T31UFS", LEFT), ("T31UFT", LEFT)):
        raster(
            tmp_path / f"in/20240404T102601_20240404T103629_{tile}.tif", left=left, descriptions=("B4", "B8")
        )
    table, _ = read(balanced(index_folder(tmp_path / "in", tmp_path / "out")))
    assert table["tile"].to_list() == ["31UFS", "31UFT"]
    assert set(table["datetime"]) == {datetime(2024, 4, 4, 10, 26, 1)}


def test_ascending_and_descending_of_one_composite_week_are_two(tmp_path: Path) -> None:
    for state, power in (("ascending", 0.1), ("DESC", 0.2)):
        for band in ("VV", "VH"):
            raster(tmp_path / f"in/S1_{state}_2024-03-04_2024-03-10_{band}.tif", power)
    table, _ = read(balanced(index_folder(tmp_path / "in", tmp_path / "out")))
    assert sorted(table["orbit_state"]) == ["ascending", "descending"]
    assert set(table["datetime"]) == {datetime(2024, 3, 4)}, "a period's end is no time of day"
    assert table["relative_orbit"].n_unique() == 2


def test_a_composite_that_reaches_past_the_last_day_is_not_looked_at(tmp_path: Path) -> None:
    for week in ("2024-03-04_2024-03-10", "2024-03-11_2024-03-17"):
        raster(tmp_path / f"in/S1_asc_{week}_VV.tif")
    found = index_folder(tmp_path / "in", tmp_path / "out")
    options = ImageryOptions(catalog=str(found.catalog))
    table, tally = read_acquisitions(options, (-180, -90, 180, 90), date(2024, 1, 1), date(2024, 3, 12))
    assert (table.height, tally.set_aside) == (1, {"outside_season": 1})


@pytest.mark.parametrize(
    ("name", "taken", "end"),
    [
        ("s2_2024-03-04_2024-03-10_B04", datetime(2024, 3, 4), datetime(2024, 3, 10, 23, 59, 59)),
        ("s2_20240304_20240310_B04", datetime(2024, 3, 4), datetime(2024, 3, 10, 23, 59, 59)),
        ("s2_2024_03_04_2024_03_10", datetime(2024, 3, 4), datetime(2024, 3, 10, 23, 59, 59)),
        ("s2_20240304_to_20240310", datetime(2024, 3, 4), datetime(2024, 3, 10, 23, 59, 59)),
        ("s2_2024-W10_asc", datetime(2024, 3, 4), datetime(2024, 3, 10, 23, 59, 59)),
        ("mosaic_2024-02", datetime(2024, 2, 1), datetime(2024, 2, 29, 23, 59, 59)),
        ("s2_20240304_104031", datetime(2024, 3, 4, 10, 40, 31), None),
        ("s2_20240304_204031", datetime(2024, 3, 4, 20, 40, 31), None),
        ("S1A_IW_GRDH_1SDV_20240304T173210_20240304T173235_052836_066514_1A2B",
         datetime(2024, 3, 4, 17, 32, 10), None),
        ("s2_20240310_20240304", datetime(2024, 3, 10), None),
        ("s2_20241304", None, None),
        ("S2_A2024122_B04", datetime(2024, 5, 1), None),
        ("S2_2024366", datetime(2024, 12, 31), None),
        ("s1_20240304T000000Z_20240310T235959Z", datetime(2024, 3, 4), datetime(2024, 3, 10, 23, 59, 59)),
        ("s1_2024-03-04T00-00-00_2024-03-10", datetime(2024, 3, 4), datetime(2024, 3, 10, 23, 59, 59)),
        ("s1_20240304to20240310_vv", datetime(2024, 3, 4), datetime(2024, 3, 10, 23, 59, 59)),
        ("s1_20240304 - 20240310_vv", datetime(2024, 3, 4), datetime(2024, 3, 10, 23, 59, 59)),
        ("s1_2024064_2024070_vv", datetime(2024, 3, 4), datetime(2024, 3, 10, 23, 59, 59)),
        ("s1_2024-W10_2024-W12_vv", datetime(2024, 3, 4), datetime(2024, 3, 24, 23, 59, 59)),
        ("s2_2024-03_2024-05_B04", datetime(2024, 3, 1), datetime(2024, 5, 31, 23, 59, 59)),
        ("coh_VV_04Mar2024_16Mar2024", datetime(2024, 3, 4), datetime(2024, 3, 16, 23, 59, 59)),
        ("Sigma0_VV_mst_04Mar2024", datetime(2024, 3, 4), None),
        ("s1_KW10_2024", datetime(2024, 3, 4), datetime(2024, 3, 10, 23, 59, 59)),
        ("week_2024_05", datetime(2024, 1, 29), datetime(2024, 2, 4, 23, 59, 59)),
        ("s1_2024-W10-3", datetime(2024, 3, 6), None),
        ("s1_2024-W53", None, None),
        ("Sentinel-1_IW_mosaic_2024_M03_31UFS_0_0", datetime(2024, 3, 1), datetime(2024, 3, 31, 23, 59, 59)),
        ("s1_2024064T173210_vv", datetime(2024, 3, 4, 17, 32, 10), None),
        ("s1_20240304T1732_vv", datetime(2024, 3, 4, 17, 32), None),
        ("s1a-iw-grd-vv-20240304t173210-20240304t173235-052839-066514-001",
         datetime(2024, 3, 4, 17, 32, 10), None),
        ("s1_04-03-2024_10-03-2024", None, None),  # 2024_10-03 is no day
        ("s1_04.03.2024-10.03.2024", None, None),
        ("s1_04-03-2024-10-03-2024", None, None),
        ("ndvi_2024_100m", None, None),
        ("S2_2023366", None, None),
    ],
)  # fmt: skip
def test_periods_and_moments_in_names(name: str, taken: datetime | None, end: datetime | None) -> None:
    said = read_name(name)
    assert (said and said.taken, said and said.end) == (taken, end)


@pytest.mark.parametrize(
    ("name", "platform", "orbit", "state"),
    [
        ("S1A_IW_GRDH_1SDV_20240304T173210_20240304T173235_052839_066514_1A2B_VV", "sentinel-1a", 92, None),
        ("s1a-iw-grd-vv-20240304t173210-20240304t173235-052839-066514-001", "sentinel-1a", 92, None),
        ("S1A_IW_NRB__1SDV_20220721T051222_044194_05465E_33TUF_4810_vv", "sentinel-1a", 22, None),
        ("S1A__IW___D_20240304T053210_VV_gamma0-rtc_db", "sentinel-1a", None, "descending"),
        ("OPERA_L2_RTC-S1_T037-078083-IW2_20240304T173210Z_20240305T010101Z_S1A_30_v1.0", None, 37, None),
        ("s1_desc_r037_20240304_vv", None, 37, "descending"),
        ("ASCENDING_088_2024-03-04_vv", None, 88, "ascending"),
        ("orbit_139_20240304_vv", None, 139, None),
        ("s1_r999_20240304_vv", None, None, None),
        ("desc_2024-03-04_vv", None, None, "descending"),
    ],
)
def test_orbits_in_names(name: str, platform: str | None, orbit: int | None, state: str | None) -> None:
    said = read_name(name)
    assert said is not None
    assert (said.platform, said.orbit, said.state) == (platform, orbit, state)


def test_an_orbit_may_stand_in_a_folders_name(tmp_path: Path) -> None:
    for folder in ("desc_r037", "asc_r088"):
        raster(tmp_path / f"in/{folder}/2024-05-06_VV.tif", 0.1)
    table, _ = read(balanced(index_folder(tmp_path / "in", tmp_path / "out")))
    assert set(table.select("orbit_state", "relative_orbit").rows()) == {
        ("ascending", 88),
        ("descending", 37),
    }


def test_two_places_seen_in_other_directions_do_not_share_an_orbits_number(tmp_path: Path) -> None:
    raster(tmp_path / "in/west_asc_20240506T173210_VV.tif", 0.1)
    raster(tmp_path / "in/east_desc_20240507T053210_VV.tif", 0.1, left=LEFT + 50_000)
    table, _ = read(balanced(index_folder(tmp_path / "in", tmp_path / "out")))
    assert table.select("orbit_state", "relative_orbit").rows() == [("ascending", 901), ("descending", 931)]


def test_a_date_may_stand_in_a_folders_name(tmp_path: Path) -> None:
    for day in ("2024-05-01", "2024-05-11"):
        for band in ("B04", "B08"):
            raster(tmp_path / f"in/T31UFS/{day}/R10m/{band}.tif")
    table, _ = read(balanced(index_folder(tmp_path / "in", tmp_path / "out")))
    assert table["datetime"].to_list() == [datetime(2024, 5, 1), datetime(2024, 5, 11)]
    assert set(table["tile"]) == {"31UFS"}
    said = read_path(tmp_path / "2023-01-01" / "2024-05-01" / "x.tif", tmp_path)
    assert said is not None
    assert said.taken == datetime(2024, 5, 1), "the nearest folder counts"


@pytest.mark.parametrize("folders", ["2024/05/01", "31/U/FS/2024/5/1", "2024/05/01/R10m"])
def test_a_date_may_stand_in_nested_folders(folders: str) -> None:
    said = read_path(Path("in") / folders / "B04.tif", Path("in"))
    assert said is not None
    assert said.taken == datetime(2024, 5, 1)


def test_radar_and_optical_bands_of_one_file_are_two_acquisitions(tmp_path: Path) -> None:
    raster(tmp_path / "in/fused_20240501.tif", descriptions=("B04", "VV", "VH", "elevation"))
    found = balanced(index_folder(tmp_path / "in", tmp_path / "out"))
    table, _ = read(found)
    assert sorted(zip(table["sensor"], table["assets"].list.len(), strict=True)) == [("s1", 2), ("s2", 1)]
    assert (found.bands.came_in, found.bands.set_aside) == (4, {"no_known_band": 1})


def test_a_band_that_comes_twice_makes_a_second_acquisition(tmp_path: Path) -> None:
    for label in ("a", "b"):
        for band in ("B04", "B08"):
            raster(tmp_path / f"in/{label}_20240501_{band}.tif", 0.1 if label == "a" else 0.3)
    raster(tmp_path / "in/a_20240501_B04_20m.tif", size=2, metres=20)
    found = index_folder(tmp_path / "in", tmp_path / "out")
    assert (found.items, found.files.went_out, found.bands.went_out) == (2, 5, 4)
    assert found.bands.set_aside == {"coarser_copy": 1}


def test_weather_and_parcels_of_two_places_in_one_folder_do_not_replace_each_other(tmp_path: Path) -> None:
    raster(tmp_path / "in/B04_20240501.tif")
    for name, code in (("north", 1), ("south", 2)):
        codes = xr.Dataset({"CT": (("y", "x"), np.full((4, 4), code, np.int16))},
                           coords={"y": TOP - 10 * np.arange(4), "x": LEFT + 10 * np.arange(4)},
                           attrs={"crs": "EPSG:32631"})  # fmt: skip
        codes.to_netcdf(tmp_path / f"in/{name}.nc", engine="h5netcdf")
    found = index_folder(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in found.parcels] == ["parcels.gpkg", "parcels_south.gpkg"]


X, Y = LEFT + 5 + 10 * np.arange(6), TOP - 5 - 10 * np.arange(5)
TIMES = np.array(["2024-05-01T10:40", "2024-05-11T10:40"], "datetime64[ns]")


def pixels(count: int = 2) -> np.ndarray:
    return np.arange(1, count * 30 + 1, dtype=np.int16).reshape(count, 5, 6)


def cube(dims: tuple[str, str, str] = ("time", "y", "x"), **coords: Any) -> xr.Dataset:
    axes = {dims[0]: TIMES, dims[1]: Y, dims[2]: X} | coords
    bands = {name: (dims, pixels(len(axes[dims[0]]))) for name in ("B04", "B08")}
    return xr.Dataset(bands, coords=axes, attrs={"crs": "EPSG:32631"})


def stacked(**more: Any) -> xr.Dataset:
    values = np.stack([pixels(), pixels() + 100], axis=1)
    return xr.Dataset({"reflectance": (("time", "band", "y", "x"), values)},
                      coords={"time": TIMES, "y": Y, "x": X} | more, attrs={"crs": "EPSG:32631"})  # fmt: skip


FORMS = {
    "plain": cube(),
    "bands as a dimension": stacked(band=["B04", "B08"]),
    "time as text": cube(time=["2024-05-01", "2024-05-11"]),
    "one date": cube().isel(time=[0]),
    "a date beside the dimensions": cube().isel(time=0),
    "rows northwards": cube().isel(y=slice(None, None, -1)),
    "columns westwards": cube().isel(x=slice(None, None, -1)),
    "prefixed bands": cube().rename(B04="s2_B04", B08="s2_B08"),
    "capital axes": cube(("T", "Y", "X")),
}


@pytest.mark.parametrize("form", FORMS)
def test_cubes_in_any_form_give_the_same_pixels(form: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    FORMS[form].to_netcdf(tmp_path / "in/cube.nc", engine="h5netcdf")
    found = balanced(index_folder(tmp_path / "in", tmp_path / "out"))
    table, _ = read(found)
    assert table.height == (1 if "date" in form else 2)
    for row, expected in zip(table.iter_rows(named=True), pixels(), strict=False):
        held = {asset["band"]: asset["href"] for asset in row["assets"]}
        assert sorted(held) == ["B04", "B08"]
        with rasterio.open(held["B04"]) as file:
            np.testing.assert_array_equal(file.read(1), expected)
            assert file.transform == Affine(10, 0, LEFT, 0, -10, TOP)


def test_a_cube_in_degrees_states_so(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    axes = {"latitude": 50.9 - 1e-4 * np.arange(5), "longitude": 4.7 + 1e-4 * np.arange(6)}
    degrees = cube(("time", "latitude", "longitude"), **axes)
    degrees.attrs = {}
    degrees.to_netcdf(tmp_path / "in/cube.nc", engine="h5netcdf")
    table, _ = read(balanced(index_folder(tmp_path / "in", tmp_path / "out")))
    assert (table.height, set(table["epsg"])) == (2, {4326})


def test_moments_that_repeat_in_a_cube_are_both_kept(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    twice = xr.concat([cube(), cube() + 500], "time")
    twice.attrs = {"crs": "EPSG:32631"}
    twice.to_netcdf(tmp_path / "in/cube.nc", engine="h5netcdf")
    found = index_folder(tmp_path / "in", tmp_path / "out")
    assert (found.items, found.dates.went_out, found.bands.went_out) == (4, 4, 8)
    firsts = set()
    for path in (tmp_path / "out").rglob("B04.tif"):
        with rasterio.open(path) as file:
            firsts.add(int(file.read(1)[0, 0]))
    assert firsts == {1, 31, 501, 531}, "no pixel of one replaces the other's"


@pytest.mark.parametrize(
    ("name", "form", "reason"),
    [
        ("cube.nc", cube().assign_attrs(crs=""), "no_crs"),
        ("cube.nc", cube(x=np.r_[X[:3], X[3:] + 7]), "uneven_grid"),
        ("cube.nc", stacked(), "unnamed_bands"),
        ("cube.nc", cube().isel(time=0).drop_vars("time"), "no_date"),
        ("cube.nc", cube(time=["spring", "autumn"]), "unreadable_times"),
        ("cube.nc", cube().isel(x=[0]), "too_small"),
        ("cube.nc", xr.Dataset({"NDVI": (("t", "y", "x"), pixels())}), "no_known_band"),
    ],
)
def test_a_cube_that_lacks_something_says_what(
    name: str, form: xr.Dataset, reason: str, tmp_path: Path
) -> None:
    raster(tmp_path / "in/B04_20240501.tif")
    form.to_netcdf(tmp_path / "in" / name, engine="h5netcdf")
    found = index_folder(tmp_path / "in", tmp_path / "out")
    assert (found.items, found.files.set_aside) == (1, {reason: 1})


def test_a_cube_of_one_moment_takes_its_date_from_its_name(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    cube().isel(time=0).drop_vars("time").to_netcdf(tmp_path / "in/farm_2024-05-01.nc", engine="h5netcdf")
    table, _ = read(balanced(index_folder(tmp_path / "in", tmp_path / "out")))
    assert table["datetime"].to_list() == [datetime(2024, 5, 1)]


def test_the_command_prints_what_became_of_files_dates_and_bands(tmp_path: Path) -> None:
    raster(tmp_path / "in/B04_20240501.tif")
    raster(tmp_path / "in/B08_undated.tif")
    (tmp_path / "in/readme.txt").write_text("about")
    done = CliRunner().invoke(app, ["catalog", str(tmp_path / "in"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0
    said = " ".join(done.output.split())
    assert "catalog: 3 files in, 1 out, 2 set aside (no_date 1, other_format 1)" in said
    assert "catalog: 1 dates in, 1 out, 0 set aside" in said
    assert "catalog: 1 bands in, 1 out, 0 set aside" in said
    assert "no_date: the date must stand in the file's name, in the name of a folder" in said


def test_what_is_nodata_is_left_out_of_the_footprint(tmp_path: Path) -> None:
    path = raster(tmp_path / "in/B04_20240501.tif", 500, size=10, dtype=np.uint16, nodata=0)
    with rasterio.open(path, "r+") as file:
        values = file.read(1)
        values[:, 5:] = 0
        file.write(values, 1)
    table, _ = read(index_folder(tmp_path / "in", tmp_path / "out"))
    import geopandas as gpd

    seen = gpd.GeoSeries.from_wkt(table["footprint"].to_list(), crs=4326).to_crs(32631).iloc[0]
    assert seen.area == pytest.approx(50 * 100, rel=0.01)
