"""Where the points of a table lie: two columns of degrees, or one of points as programs write them."""

import json
from pathlib import Path

import geopandas as gpd
import polars as pl
import pytest
import shapely

from features.errors import ConfigError, DeclarationError
from features.tables.labels import read_points
from features.tables.options import LabelOptions, TableOptions

PLACES = {"1": (4.70, 50.90), "2": (4.71, 50.91)}


def rows(**columns: list[object]) -> pl.DataFrame:
    return pl.DataFrame({"parcel_id": ["1", "2"], "crop": ["wheat", "maize"], **columns})


def points_of(path: Path, **labels: object) -> dict[str, tuple[float, float]]:
    """Places in degrees, to a metre or so, by parcel."""
    options = LabelOptions.model_validate({"code": "crop", **labels})
    found = read_points([TableOptions(path=str(path), columns={})], options)
    middles = found.centroid.to_crs(4326)
    return {
        name: (round(point.x, 5), round(point.y, 5))
        for name, point in zip(found["parcel_id"], middles, strict=True)
    }


@pytest.mark.parametrize("epsg", [4326, 31370])
def test_points_of_geoparquet_in_any_coordinate_system(tmp_path: Path, epsg: int) -> None:
    shapes = gpd.GeoSeries([shapely.Point(*place) for place in PLACES.values()], crs=4326).to_crs(epsg)
    table = gpd.GeoDataFrame(rows().to_pandas(), geometry=shapes)
    table.to_parquet(tmp_path / "points.parquet")
    assert points_of(tmp_path / "points.parquet") == PLACES
    table.to_parquet(tmp_path / "points.parquet", geometry_encoding="geoarrow")
    assert points_of(tmp_path / "points.parquet") == PLACES


def test_points_as_earth_engine_and_others_write_them_in_text(tmp_path: Path) -> None:
    said = [json.dumps({"type": "Point", "coordinates": place}) for place in PLACES.values()]
    rows(**{".geo": said}).write_csv(tmp_path / "engine.csv")
    assert points_of(tmp_path / "engine.csv") == PLACES
    said = [shapely.Point(*place).wkt for place in PLACES.values()]
    rows(where=said).write_csv(tmp_path / "wkt.csv")
    assert points_of(tmp_path / "wkt.csv", geometry="where") == PLACES


def test_columns_of_degrees_come_first(tmp_path: Path) -> None:
    lon, lat = zip(*PLACES.values(), strict=True)
    rows(lon=list(lon), lat=list(lat), geometry=["POINT (0 0)"] * 2).write_csv(tmp_path / "t.csv")
    assert points_of(tmp_path / "t.csv") == PLACES


def test_degrees_with_decimal_commas(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("parcel_id;crop;lon;lat\n1;wheat;4,70;50,90\n2;maize;4,71;50,91\n")
    assert points_of(tmp_path / "points.csv") == PLACES


def test_a_parcel_without_a_place_stays_without_one(tmp_path: Path) -> None:
    rows(geometry=["POINT (4.7 50.9)", None]).write_csv(tmp_path / "t.csv")
    found = read_points([TableOptions(path=str(tmp_path / "t.csv"))], LabelOptions(code="crop"))
    assert found.geometry.is_empty.tolist() == [False, True]


def test_other_shapes_and_unknown_coordinate_systems_are_refused(tmp_path: Path) -> None:
    rows(geometry=["POLYGON ((0 0, 0 1, 1 1, 0 0))"] * 2).write_csv(tmp_path / "t.csv")
    with pytest.raises(DeclarationError, match=r"other shapes than points in 'geometry'.*declarations\.path"):
        points_of(tmp_path / "t.csv")
    shapes = gpd.GeoSeries([shapely.Point(500_000, 5_600_000)] * 2)
    gpd.GeoDataFrame(rows().to_pandas(), geometry=shapes).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DeclarationError, match=r"coordinate system of 'geometry' .* cannot be told"):
        points_of(tmp_path / "t.parquet")
    rows().write_csv(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="no column 'lon'"):
        points_of(tmp_path / "none.csv")
