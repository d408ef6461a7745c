"""Weather before a date, and maps of soil and elevation over parcels."""

from datetime import date, timedelta
from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
import pytest
import rasterio
import shapely
from affine import Affine

from features.context.parcels import attach_context, parcel_context
from features.context.weather import growing_degree_days, read_weather, weather_before
from features.errors import ConfigError, ImageryError
from features.schema import SchemaError, check_series, make_series


def weather(days: int = 6, **columns: list[float | None]) -> pl.DataFrame:
    dates = [date(2024, 4, 1) + timedelta(days=day) for day in range(days)]
    rising = {"t_min_c": [float(day) for day in range(days)], "t_max_c": [day + 10.0 for day in range(days)]}
    return pl.DataFrame({"date": dates, **rising, "precipitation_mm": [1.0] * days, **columns})


def test_degree_days_cumulate_what_exceeds_the_base() -> None:
    assert growing_degree_days(weather(4), base_c=6)["gdd"].to_list() == [0, 0, 1, 3]


def test_degree_days_are_unknown_from_the_first_gap_on() -> None:
    gappy = weather(4).filter(pl.col("date") != date(2024, 4, 3))
    assert growing_degree_days(gappy)["gdd"].to_list() == [5, 11, None, None]


def test_weather_before_a_date_leaves_the_day_itself_out() -> None:
    table = weather(6, precipitation_mm=[1, 2, 4, 8, 16, 32])
    moments = np.array(["2024-04-04T10:50", "2024-04-01", "2024-04-30"], dtype="datetime64[ns]")
    before = weather_before(table, moments, window_days=2)
    assert before["weather_precipitation_mm"].to_list() == [6, None, None]
    assert before["weather_temperature_c"].to_list() == [6.5, None, None]
    assert before["weather_gdd"].to_list() == [18, None, None]


def test_a_gap_inside_the_window_makes_it_unknown() -> None:
    gappy = weather(6).filter(pl.col("date") != date(2024, 4, 2))
    before = weather_before(
        gappy, np.array(["2024-04-04", "2024-04-06"], dtype="datetime64[ns]"), window_days=3
    )
    assert before["weather_precipitation_mm"].to_list() == [None, 3]


def test_a_weather_file_is_read_in_order_of_date(tmp_path: Path) -> None:
    weather(3).reverse().write_csv(tmp_path / "weather.csv")
    table = read_weather(tmp_path / "weather.csv")
    assert table["date"].is_sorted()
    assert table["t_min_c"].to_list() == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("date,t_min_c\n2024-04-01,1\n", "lacks the columns"),
        ("date,t_min_c,t_max_c,precipitation_mm\n01/04/2024,1,2,3\n", "not YYYY-MM-DD"),
        ("date,t_min_c,t_max_c,precipitation_mm\n2024-04-01,mild,2,3\n", "text for a number"),
        ("date,t_min_c,t_max_c,precipitation_mm\n" + "2024-04-01,1,2,3\n" * 2, "repeated or missing date"),
        (
            "date,t_min_c,t_max_c,precipitation_mm\n2024-04-01,280.1,290,3\n",
            "in kelvin; give degrees Celsius",
        ),
        (
            "date,t_min_c,t_max_c,precipitation_mm\n2024-04-01,-9999,29,3\n2024-04-02,-9999,29,3\n",
            r"t_min_c outside -70 to 60 on 2 days, first 2024-04-01 .* leave unknown cells empty",
        ),
        (
            "date,t_min_c,t_max_c,precipitation_mm\n2024-04-01,5,9,-99\n2024-04-02,9,5,0\n2024-04-03,1,2,nan\n",
            r"t_min_c above t_max_c on 1 days, first 2024-04-02 .*; "
            r"precipitation_mm .* on 1 days, first 2024-04-01",
        ),
        ("", "no CSV table"),
    ],
)
def test_weather_files_that_cannot_be_right(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "weather.csv").write_text(text)
    with pytest.raises((ConfigError, SchemaError), match=message):
        read_weather(tmp_path / "weather.csv")


def test_unknown_weather_and_rounded_rain_are_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "weather.csv"
    path.write_text("date,t_min_c,t_max_c,precipitation_mm\n2024-04-01,,,-0.01\n2024-04-02,5,5,\n")
    assert read_weather(path)["precipitation_mm"].to_list() == [-0.01, None]


def test_a_missing_weather_file_and_an_empty_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="check the setting weather"):
        read_weather(tmp_path / "weather.csv")
    with pytest.raises(ConfigError, match="no rows"):
        growing_degree_days(weather(0))


def raster(path: Path, values: np.ndarray, crs: str | None = "EPSG:32631") -> Path:
    grid = Affine(10, 0, 500_000, 0, -10, 5_600_040)
    profile = {"driver": "GTiff", "count": 1, "height": values.shape[0], "width": values.shape[1], "crs": crs}
    with rasterio.open(path, "w", dtype=values.dtype, transform=grid, nodata=0, **profile) as out:
        out.write(values, 1)
    return path


def parcels() -> gpd.GeoDataFrame:
    """The whole raster, three fifths of the west, one outside, one without geometry."""
    outlines = [
        shapely.box(500_000, 5_600_000, 500_040, 5_600_040),
        shapely.box(500_005, 5_600_000, 500_025, 5_600_040),
        shapely.box(600_000, 5_600_000, 600_040, 5_600_040),
        shapely.Polygon(),
    ]
    return gpd.GeoDataFrame({"parcel_id": ["001", "002", "003", "004"]}, geometry=outlines, crs="EPSG:32631")


HALVES = np.array([[1, 1, 2, 2]] * 4, np.uint8)


def test_maps_over_parcels_by_exact_coverage(tmp_path: Path) -> None:
    elevation = raster(tmp_path / "elevation.tif", HALVES.astype(np.float32) * 100)
    context = parcel_context(parcels(), raster(tmp_path / "soil.tif", HALVES), elevation)
    assert context.columns == ["parcel_id", "elevation_m", "elevation_range_m", "soil_1", "soil_2"]
    assert context.row(0) == ("001", 150, 100, 0.5, 0.5)
    assert context.row(1) == ("002", 125, 100, 0.75, 0.25)
    assert context.row(2) == ("003", None, None, None, None)
    assert context.row(3) == ("004", None, None, None, None)


def test_maps_of_another_coordinate_system(tmp_path: Path) -> None:
    turned = parcels().iloc[:2].to_crs("EPSG:4326")
    context = parcel_context(turned, raster(tmp_path / "soil.tif", HALVES))
    assert context["soil_1"].to_list() == pytest.approx([0.5, 0.75], abs=1e-3)


def test_no_map_is_no_context() -> None:
    assert parcel_context(parcels()).columns == ["parcel_id"]


def test_maps_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ImageryError, match="does not exist"):
        parcel_context(parcels(), soil=tmp_path / "none.tif")
    with pytest.raises(ConfigError, match="no coordinate system"):
        parcel_context(parcels(), soil=raster(tmp_path / "soil.tif", HALVES, crs=None))


def test_context_joins_a_series_by_parcel(tmp_path: Path) -> None:
    series = make_series(["002", "009", "001"], np.array(["2024-04-01"], dtype="datetime64[ns]"), ["ndvi"])
    held = attach_context(series, parcel_context(parcels(), raster(tmp_path / "soil.tif", HALVES)))
    assert check_series(held)["context"].dims == ("parcel", "variable")
    assert held["context"].dtype == np.float32
    np.testing.assert_array_equal(held["context"].sel(variable="soil_1"), np.float32([0.75, np.nan, 0.5]))
    with pytest.raises(SchemaError, match="parcel_id"):
        attach_context(series, pl.DataFrame({"soil_1": [1.0]}))
