"""Maps and weather beside a block's imagery: in the right place, of the right day, never missed silently."""

from datetime import date, timedelta
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from features.context.blocks import BlockContext, Channel, pixels_in, read_days
from features.context.maps import read_map
from features.errors import ConfigError
from features.imagery.windows import read_on_grid
from models.clouds.removal.cube import cube_of
from tests.small_imagery import LEFT, TOP, field, write_tif


def grid(rows: int, columns: int, down: float = 0, right: float = 0) -> GeoBox:
    """Pixels of 10 m, from a point so many metres from the rasters' corner."""
    return GeoBox((rows, columns), Affine(10, 0, LEFT + right, 0, -10, TOP - down), "EPSG:32635")


def frames(*days: str) -> xr.Dataset:
    """A stack of two by two pixels."""
    times = np.array(days, "datetime64[ns]")
    shape = (len(days), 1, 2, 2)
    data = {
        "reflectance": (("time", "band", "y", "x"), np.ones(shape, np.float32)),
        "clear": (("time", "y", "x"), np.ones((len(days), 2, 2), bool)),
    }
    return xr.Dataset(data, coords={"time": times, "band": ["B04"]})


def write_weather(path: Path, first: date, rain: list[float | None]) -> Path:
    rows = [f"{first + timedelta(days=k)},4,14,{'' if mm is None else mm}" for k, mm in enumerate(rain)]
    path.write_text("\n".join(["date,t_min_c,t_max_c,precipitation_mm", *rows]))
    return path


def test_a_map_on_the_blocks_own_grid_comes_as_it_is(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(100, 30, (40, 50)).astype(np.float32)
    path = write_tif(tmp_path / "e.tif", values)
    block = grid(20, 30, down=70, right=40)
    for smooth in (True, False):
        np.testing.assert_array_equal(read_map(path, block, smooth), values[7:27, 4:34])
        np.testing.assert_array_equal(read_map(path, block, smooth), read_on_grid(str(path), block))


def test_beyond_the_map_and_where_it_knows_nothing_is_nan(tmp_path: Path) -> None:
    soil = write_tif(tmp_path / "s.tif", np.array([[1, 2], [0, 3]], np.uint8), nodata=0)
    found = read_map(soil, grid(3, 3, down=-10), smooth=False)
    np.testing.assert_array_equal(found, np.float32([[np.nan] * 3, [1, 2, np.nan], [np.nan, 3, np.nan]]))
    assert np.isnan(read_map(soil, grid(3, 3, down=90_000), smooth=True)).all()


def test_classes_stay_classes_and_heights_lie_between(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "m.tif", np.array([[10, 20]], np.int16), step=20.0)
    assert read_map(path, grid(1, 4), smooth=False).tolist() == [[10, 10, 20, 20]]
    assert read_map(path, grid(1, 4), smooth=True).tolist() == [[10, 12.5, 17.5, 20]]


def test_scale_and_offset_of_a_file_are_applied(tmp_path: Path) -> None:
    import rasterio

    path = write_tif(tmp_path / "m.tif", np.array([[10, 20]], np.int16))
    with rasterio.open(path, "r+") as raster:
        raster.scales, raster.offsets = (0.5,), (1.0,)
    assert read_map(path, grid(1, 2), smooth=True).tolist() == [[6, 11]]


def test_a_map_in_degrees_is_read_where_the_block_lies(tmp_path: Path) -> None:
    import rasterio
    from pyproj import Transformer

    lon, lat = Transformer.from_crs(32635, 4326, always_xy=True).transform(LEFT, TOP)
    west, north, step = lon - 0.01, lat + 0.01, 0.0005
    column = np.arange(80)
    profile = {"driver": "GTiff", "height": 80, "width": 80, "count": 1, "dtype": "float32"}
    with rasterio.open(
        tmp_path / "lon.tif",
        "w",
        **profile,
        crs="EPSG:4326",
        transform=Affine(step, 0, west, 0, -step, north),
    ) as raster:
        raster.write(np.tile((west + (column + 0.5) * step).astype(np.float32), (80, 1)), 1)
    block = grid(5, 5)
    centres = np.arange(5) * 10 + 5.0
    expected, _ = Transformer.from_crs(32635, 4326, always_xy=True).transform(
        np.tile(LEFT + centres, (5, 1)), np.tile(TOP - centres[:, None], (1, 5))
    )
    np.testing.assert_allclose(read_map(tmp_path / "lon.tif", block, smooth=True), expected, atol=5e-6)


def test_each_frame_takes_the_latest_map_on_or_before_its_day(tmp_path: Path) -> None:
    for name, value in (("et_2024-05-10.tif", 10), ("ET20240501_v2.tif", 1), ("notes.txt", 0)):
        write_tif(tmp_path / "et" / name, np.full((2, 2), value, np.float32)) if ".tif" in name else (
            tmp_path / "et" / name
        ).write_text("read me")
    context = BlockContext((Channel.of("et", tmp_path / "et"),))
    stack = frames("2024-05-10T23:00", "2024-04-01T10:00", "2024-05-09T23:00", "2024-07-01T10:00")
    laid = context.laid_on(stack, grid(2, 2))
    assert laid["dated_context"].sel(dated_channel="et")[:, 0, 0].values.tolist() == [10, 1, 1, 10]
    cube = cube_of(laid)  # in order of time
    assert cube.context["et"][:, 1, 1].tolist() == [1, 1, 10, 10]


def test_maps_that_cannot_be_told_apart_or_read_are_refused(tmp_path: Path) -> None:
    ones = np.ones((2, 2), np.float32)
    write_tif(tmp_path / "none" / "flux.tif", ones)
    with pytest.raises(ConfigError, match=r"flux: .*flux\.tif has no date in its name"):
        Channel.of("flux", tmp_path / "none")
    for name in ("a_20240501.tif", "b_2024-05-01.tif"):
        write_tif(tmp_path / "twice" / name, ones)
    with pytest.raises(ConfigError, match="more than one map of 2024-05-01"):
        Channel.of("flux", tmp_path / "twice")
    with pytest.raises(ConfigError, match="neither a GeoTIFF nor a folder"):
        Channel.of("flux", tmp_path / "absent")
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(ConfigError, match=r"flux cannot be used .*text\.tif"):
        BlockContext((Channel.of("flux", tmp_path / "text.tif"),)).check()


def test_a_map_cut_short_is_a_clear_error(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "e.tif", np.random.default_rng(0).normal(size=(64, 64)))
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(ConfigError, match="elevation cannot be used"):
        BlockContext((Channel.of("elevation", path),)).laid_on(frames("2024-05-01"), grid(64, 64))


def test_a_map_of_several_bands_is_refused(tmp_path: Path) -> None:
    import rasterio

    profile = {"driver": "GTiff", "height": 2, "width": 2, "count": 2, "dtype": "uint8", "crs": "EPSG:32635"}
    where = Affine(10, 0, LEFT, 0, -10, TOP)
    with rasterio.open(tmp_path / "two.tif", "w", **profile, transform=where) as raster:
        raster.write(np.ones((2, 2, 2), np.uint8))
    with pytest.raises(ConfigError, match="has 2 bands"):
        BlockContext((Channel.of("soil", tmp_path / "two.tif"),)).check()


def test_a_changed_file_or_path_changes_the_key(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "a.tif", np.ones((2, 2), np.float32))
    before = BlockContext((Channel.of("a", path),)).key
    assert BlockContext((Channel.of("a", path),)).key == before
    assert BlockContext((Channel.of("b", path),)).key != before
    write_tif(path, np.full((3, 3), 2, np.float32))
    assert BlockContext((Channel.of("a", path),)).key != before
    assert BlockContext().key == [[], []]


def test_weather_is_the_mean_of_the_frames_own_day_and_the_29_before(tmp_path: Path) -> None:
    path = write_weather(tmp_path / "w.csv", date(2024, 4, 1), [float(k) for k in range(60)])
    stack = frames("2024-05-20T23:30", "2024-04-03T10:00")
    cube = cube_of(BlockContext(weather=path).laid_on(stack, grid(2, 2)))
    early, late = cube.context["weather:precipitation_mm"][:, 0, 0]
    assert early == pytest.approx(1)  # of 0, 1, 2: as far as the table goes back
    assert late == pytest.approx(34.5)  # of 20 to 49: 20 May is day 49, however late in the evening
    assert set(cube.context) == {"weather:t_min_c", "weather:t_max_c", "weather:precipitation_mm"}


def test_weather_that_lacks_a_day_is_refused(tmp_path: Path) -> None:
    times = np.array(["2024-04-03", "2024-04-06"], "datetime64[ns]")
    first = date(2024, 4, 1)
    assert read_days(write_weather(tmp_path / "whole.csv", first, [1.0] * 6), times).sizes["day"] == 6
    with pytest.raises(ConfigError, match=r"on 1 days .* first 2024-04-05"):
        read_days(write_weather(tmp_path / "hole.csv", first, [1, 1, 1, 1, None, 1]), times)
    with pytest.raises(ConfigError, match=r"on 2 days .* first 2024-04-05"):
        read_days(write_weather(tmp_path / "short.csv", first, [1.0] * 4), times)
    with pytest.raises(ConfigError, match="begins on 2024-04-04"):
        read_days(write_weather(tmp_path / "late.csv", date(2024, 4, 4), [1.0] * 4), times)


def test_pixels_in_parcels_are_those_whose_centre_lies_there() -> None:
    shapes = gpd.GeoSeries([field(0, 0, 20, 10), field(900, 900, 10, 10)], crs=32635)
    found = pixels_in(shapes.to_crs(4326), grid(2, 3))
    assert found.tolist() == [[True, True, False], [False, False, False]]
    assert not pixels_in(shapes, grid(2, 2, down=500)).any()
