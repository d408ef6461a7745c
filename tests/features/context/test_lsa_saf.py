"""Land-surface products, on files made after the product user manuals."""

import bz2
from collections.abc import Callable
from datetime import date
from pathlib import Path

import h5py
import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from features.context.blocks import Channel
from features.context.lsa_saf import files_in, mean_surface, missing_percent, periods_of, read_surface
from features.context.options import LandSurfaceOptions
from features.errors import ConfigError, ImageryError
from features.limits import LimitOptions
from pipelines.config import load_config
from pipelines.inputs.pixels.clear_context import clear_context, context_files
from pipelines.workspace import Workspace

LAT, LON = np.array([50.1, 50.05, 50.0]), np.array([4.0, 4.05, 4.1, 4.15])
VALUES = np.arange(12).reshape(3, 4)


def netcdf(
    folder: Path, day: str = "20240501", product: str = "DMETv3", variable: str = "ET",
    values: np.ndarray = VALUES, lat: np.ndarray = LAT, missing: float = 0, scale: float = 0.1,
) -> Path:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"NETCDF4_LSASAF_MSG_{product}_MSG-Disk_{day}0000.nc"
    with h5py.File(path, "w") as file:
        file["lat"], file["lon"] = lat.astype(np.float32), LON.astype(np.float32)
        stored = file.create_dataset(variable, data=values.astype(np.int16)[None])
        stored.attrs.update({"scale_factor": scale, "_FillValue": np.int16(-1), "units": "mm"})
        file["missing_values_percent"] = np.full((1, 3, 4), missing, np.float32)
        file["quality_flag"] = np.zeros((1, 3, 4), np.uint8)
    return path


def hdf5(folder: Path, day: str = "20160501") -> Path:
    path = folder / f"HDF5_LSASAF_MSG_DIDSSF_MSG-Disk_{day}0000"
    with h5py.File(path, "w") as file:
        stored = file.create_dataset("DSSF", data=np.array([[100, 200], [-8000, 400]], np.int16))
        stored.attrs.update(
            {"SCALING_FACTOR": 10.0, "OFFSET": 0.0, "MISSING_VALUE": np.int16(-8000), "UNITS": b"W/m2"}
        )
        file.attrs.update(
            {"CFAC": 13642337, "LFAC": 13642337, "COFF": 1, "LOFF": 1, "PROJECTION_NAME": b"GEOS(+000.0)"}
        )
    return path


def test_values_are_scaled_by_the_file_and_fill_is_unknown(tmp_path: Path) -> None:
    values = VALUES.copy()
    values[0, 0] = -1
    netcdf(tmp_path, values=values)
    found = read_surface(files_in(tmp_path)[0])
    assert np.isnan(found.value[0, 0])
    assert found.value[2, 3] == pytest.approx(1.1)
    assert found.unit == "mm"


def test_an_offset_of_the_file_is_added(tmp_path: Path) -> None:
    with h5py.File(netcdf(tmp_path), "a") as file:
        file["ET"].attrs["add_offset"] = 5.0
    assert read_surface(files_in(tmp_path)[0]).value[2, 3] == pytest.approx(6.1)  # 11 * 0.1 + 5
    (tmp_path / "older").mkdir()
    with h5py.File(hdf5(tmp_path / "older"), "a") as file:
        file["DSSF"].attrs["OFFSET"] = 2.0
    assert read_surface(files_in(tmp_path / "older")[0]).value[0, 1] == pytest.approx(22)  # 200 / 10 + 2


def test_both_orders_of_latitude_are_north_up(tmp_path: Path) -> None:
    netcdf(tmp_path / "down")
    netcdf(tmp_path / "up", values=VALUES[::-1], lat=LAT[::-1])
    down, up = (read_surface(files_in(tmp_path / name)[0]) for name in ("down", "up"))
    assert np.array_equal(down.value, up.value)
    assert down.grid.affine.almost_equals(up.grid.affine, 1e-5)
    assert down.grid.affine.e == pytest.approx(-0.05, abs=1e-5)
    assert down.grid.affine.c == pytest.approx(3.975, abs=1e-5)  # the edge of the first pixel, not its centre


def test_a_part_is_as_the_same_part_of_the_whole(tmp_path: Path) -> None:
    netcdf(tmp_path)
    around = GeoBox((2, 2), Affine(0.01, 0, 4.09, 0, -0.01, 50.06), "EPSG:4326")
    whole, part = (read_surface(files_in(tmp_path)[0], one) for one in (None, around))
    column = round((part.grid.affine.c - whole.grid.affine.c) / 0.05)
    row = round((whole.grid.affine.f - part.grid.affine.f) / 0.05)
    rows, columns = part.value.shape
    assert np.array_equal(part.value, whole.value[row : row + rows, column : column + columns])
    assert part.value.size < whole.value.size


def test_the_geostationary_disk_is_read_where_it_lies(tmp_path: Path) -> None:
    hdf5(tmp_path)
    found = read_surface(files_in(tmp_path)[0])
    assert found.value[0].tolist() == [10, 20]  # divided by the scaling factor
    assert np.isnan(found.value[1, 0])
    assert found.unit == "W/m2"
    # column 1 and line 1 are the disk's centre here: below the satellite, 3 km wide
    assert found.grid.affine @ (0.5, 0.5) == pytest.approx((0, 0), abs=1e-6)
    assert found.grid.affine.a == pytest.approx(3000.4, abs=0.1)
    assert "geos" in found.grid.crs.to_wkt().lower()


def test_a_packed_file_is_as_it_was(tmp_path: Path) -> None:
    plain = hdf5(tmp_path)
    before = read_surface(files_in(tmp_path)[0])
    (tmp_path / f"{plain.name}.bz2").write_bytes(bz2.compress(plain.read_bytes()))
    plain.unlink()
    after = read_surface(files_in(tmp_path)[0])
    assert np.array_equal(before.value, after.value, equal_nan=True)


def test_a_truncated_file_is_said(tmp_path: Path) -> None:
    plain = netcdf(tmp_path / "nc")
    plain.write_bytes(plain.read_bytes()[:500])
    with pytest.raises(ImageryError, match=r"cannot be read .*download it again"):
        read_surface(files_in(tmp_path / "nc")[0])
    whole = bz2.compress(hdf5(tmp_path).read_bytes())
    cut = tmp_path / "bz2" / "HDF5_LSASAF_MSG_DMET_MSG-Disk_202109230000.bz2"
    cut.parent.mkdir()
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageryError, match=r"ends too early.*download it again"):
        read_surface(files_in(cut.parent)[0])


def test_a_changed_variable_name_is_said(tmp_path: Path) -> None:
    netcdf(tmp_path, variable="ETR")
    with pytest.raises(ImageryError, match=r"has no variable ET \(it has ETR, missing_values_percent"):
        read_surface(files_in(tmp_path)[0])


def test_other_products_and_several_are_said(tmp_path: Path) -> None:
    netcdf(tmp_path / "lst", product="MLST")
    with pytest.raises(ImageryError, match="holds the product MLST, which is not read"):
        files_in(tmp_path / "lst")
    netcdf(tmp_path / "two")
    netcdf(tmp_path / "two", product="DIDSSF", day="20240502")
    with pytest.raises(ImageryError, match=r"several products \(DIDSSF, DMETv3\)"):
        files_in(tmp_path / "two")
    (tmp_path / "none").mkdir()
    with pytest.raises(ImageryError, match="no product of LSA SAF"):
        files_in(tmp_path / "none")


def test_a_day_that_comes_twice_is_said(tmp_path: Path) -> None:
    netcdf(tmp_path / "a")
    netcdf(tmp_path / "b")
    with pytest.raises(ImageryError, match="more than one file of 2024-05-01"):
        files_in(tmp_path)


def test_a_file_without_a_place_is_said(tmp_path: Path) -> None:
    path = netcdf(tmp_path)
    with h5py.File(path, "a") as file:
        del file["lat"]
    with pytest.raises(ImageryError, match="neither coordinates"):
        read_surface(files_in(tmp_path)[0])


def test_dekads_and_months_are_known_at_their_end(tmp_path: Path) -> None:
    for day in ("20240201", "20240210", "20240211", "20240229"):
        netcdf(tmp_path, day=day)
    files = files_in(tmp_path)
    dekads = [(one.known_on.day, len(one.files), one.days) for one in periods_of(files, "dekad")]
    assert dekads == [(10, 2, 10), (20, 1, 10), (29, 1, 9)]
    assert [one.known_on for one in periods_of(files, "month")] == [date(2024, 2, 29)]
    # in season, a period that has not ended is not there
    assert [one.known_on.day for one in periods_of(files, "dekad", date(2024, 2, 19))] == [10]
    assert periods_of(files, "month", date(2024, 2, 28)) == []


def test_days_with_much_missing_are_set_aside(tmp_path: Path) -> None:
    netcdf(tmp_path, day="20240501", missing=21, values=VALUES)
    netcdf(tmp_path, day="20240502", missing=20, values=VALUES + 10)
    files = files_in(tmp_path)
    assert [missing_percent(file) for file in files] == [21, 20]
    first, second = periods_of(files, "day")
    assert mean_surface(first, 20) is None
    kept = mean_surface(second, 20)
    assert kept is not None
    assert kept.value[0, 0] == pytest.approx(1.0)
    month = periods_of(files, "month")[0]
    assert mean_surface(month, 100) is None  # two days of 31


def test_a_mean_needs_half_of_the_days(tmp_path: Path) -> None:
    for k in range(1, 11):
        values = np.full((3, 4), k)
        values[0, 0] = -1 if k > 4 else k
        netcdf(tmp_path, day=f"202405{k:02d}", values=values)
    found = mean_surface(periods_of(files_in(tmp_path), "dekad")[0], 20)
    assert found is not None
    assert np.isnan(found.value[0, 0])  # four days of ten
    assert found.value[1, 1] == pytest.approx(0.55)


def channel(folder: Path, **settings: object) -> Channel:
    return Channel.of_surface("et", LandSurfaceOptions(product="lsa_saf", path=folder, **settings))  # type: ignore[arg-type]


GRID = GeoBox((2, 2), Affine(0.001, 0, 4.05, 0, -0.001, 50.051), "EPSG:4326")  # around a centre


def test_a_frame_has_the_last_mean_known_by_its_day(tmp_path: Path) -> None:
    netcdf(tmp_path, day="20240501", values=np.full((3, 4), 10))
    netcdf(tmp_path, day="20240503", values=np.full((3, 4), 30))
    netcdf(tmp_path, day="20240504", values=np.full((3, 4), 40), missing=50)
    times = np.array(["2024-04-30", "2024-05-01", "2024-05-02", "2024-05-03", "2024-05-04"], "datetime64[ns]")
    found = channel(tmp_path).at_frames(GRID, times)[:, 0, 0]
    # before the first it is unknown; the fourth lacks half of its slots, so that the third still counts
    assert np.isnan(found[0])
    assert found[1:] == pytest.approx([1, 1, 3, 3])


def test_in_season_later_days_are_not_there(tmp_path: Path) -> None:
    netcdf(tmp_path, day="20240501")
    netcdf(tmp_path, day="20240503")
    kept = channel(tmp_path).until(date(2024, 5, 2))
    assert [path.name[-15:-7] for path in kept.files] == ["20240501"]
    with pytest.raises(ConfigError, match="the first map is of 2024-05-01"):
        channel(tmp_path).until(date(2024, 4, 1))


def test_values_between_pixels_are_interpolated(tmp_path: Path) -> None:
    netcdf(tmp_path)
    middle = GeoBox((1, 1), Affine(0.001, 0, 4.0745, 0, -0.001, 50.0505), "EPSG:4326")
    assert channel(tmp_path).at_frames(middle, np.array(["2024-05-01"], "datetime64[ns]"))[0, 0, 0] == (
        pytest.approx(0.1 * 5.5, abs=0.01)
    )


def test_check_names_the_channel_and_the_file(tmp_path: Path) -> None:
    netcdf(tmp_path, variable="ETR")
    with pytest.raises(ConfigError, match=r"et cannot be used .* has no variable ET"):
        channel(tmp_path).check()


def test_a_config_names_a_folder_of_products(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        f"""
name: et
season: {{year: 2024, start: 2024-03-01, end: 2024-10-31}}
declarations: {{path: parcels.gpkg, fields: {{parcel_id: id, code: crop}}}}
rasters: {{et: {{product: lsa_saf, path: {tmp_path}, aggregate: dekad}}}}
clear: {{method: unet, context: [et]}}
"""
    )
    for k in range(1, 11):
        netcdf(tmp_path / "files", day=f"202405{k:02d}")
    config = load_config(path, ["season.until=2024-05-12"])
    (found,) = clear_context(config, Workspace(tmp_path)).channels
    assert (found.name, found.days) == ("et", (date(2024, 5, 10),))
    assert len(context_files(config, Workspace(tmp_path))) == 10


def hostile(folder: Path, write: Callable[[h5py.File], object]) -> Path:
    path = netcdf(folder)
    with h5py.File(path, "r+") as file:
        write(file)
    return path


def a_huge_map(file: h5py.File) -> None:
    del file["ET"]
    file.create_dataset("ET", (1, 200_000, 200_000), np.int16, chunks=(1, 100, 100))


def a_huge_axis(file: h5py.File) -> None:
    del file["lat"]
    file.create_dataset("lat", (10**11,), np.float32, chunks=(1000,))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "write",
    [
        a_huge_map, a_huge_axis,
        lambda file: file["ET"].attrs.update(scale_factor="ten"),
        lambda file: file["ET"].attrs.update(scale_factor=[]),
        lambda file: file["ET"].attrs.update(_FillValue="none"),
        lambda file: file.pop("lat"),
    ],
)  # fmt: skip
def test_hostile_files_are_a_sentence(write: Callable[[h5py.File], object], tmp_path: Path) -> None:
    hostile(tmp_path, write)
    with pytest.raises(ImageryError, match="NETCDF4_LSASAF_MSG_DMETv3"):
        read_surface(files_in(tmp_path)[0])


def test_a_packed_bomb_is_refused_as_it_is_unpacked(tmp_path: Path) -> None:
    path = netcdf(tmp_path)
    path.with_name(f"{path.name}.bz2").write_bytes(bz2.compress(bytes(20_000_000)))
    path.unlink()
    with pytest.raises(ImageryError, match=r"unpacks to more than 1 MiB \(limits\.document_mib"):
        read_surface(files_in(tmp_path, LimitOptions(document_mib=1))[0])


def test_a_map_of_more_values_than_the_config_allows_is_refused(tmp_path: Path) -> None:
    netcdf(tmp_path)
    with pytest.raises(ImageryError, match=r"declares .* \(limits\.map_megavalues\)"):
        read_surface(files_in(tmp_path, LimitOptions(map_megavalues=1e-6))[0])
