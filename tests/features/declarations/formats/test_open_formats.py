"""GeoParquet, GeoJSON and GML: what is stored is what is read, and odd metadata is a sentence."""

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from features.declarations.vector_file import FEATURE_ID, Request, read_vector
from features.errors import DeclarationError

SQUARE = shapely.box(4_000_000, 3_000_000, 4_000_100, 3_000_100)
GML = """<?xml version="1.0"?>
<gml:FeatureCollection xmlns:gml="http://www.opengis.net/gml/3.2" xmlns:lu="http://lu"
  xmlns:xlink="http://www.w3.org/1999/xlink" gml:id="fc">{members}</gml:FeatureCollection>"""
MEMBER = """<gml:featureMember><lu:Field gml:id="{id}">{inside}<lu:geometry><gml:Polygon gml:id="g{id}"
  srsName="urn:ogc:def:crs:EPSG::3035"><gml:exterior><gml:LinearRing><gml:posList>
  3000000 4000000 3000000 4000100
  3000100 4000100 3000100 4000000 3000000 4000000</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon>
  </lu:geometry></lu:Field></gml:featureMember>"""


def read(path: Path, *columns: str, **more: Any) -> gpd.GeoDataFrame:
    return read_vector(str(path), Request(columns, **more))


def parquet(folder: Path, **columns: Any) -> Path:
    path = folder / "p.parquet"
    gpd.GeoDataFrame(columns, geometry=[SQUARE] * 2, crs="EPSG:3035").to_parquet(path)
    return path


def geojson(folder: Path, **changes: Any) -> Path:
    path = folder / "p.geojson"
    feature = {"type": "Feature", "id": "f1", "properties": {"id": "1"}, "geometry": None}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]} | changes))
    return path


def test_an_id_that_pandas_made_the_index_is_a_column(tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame({"id": ["007", "008"]}, geometry=[SQUARE] * 2, crs="EPSG:3035").set_index("id")
    frame.to_parquet(tmp_path / "p.parquet")
    assert list(read(tmp_path / "p.parquet", "id")["id"]) == ["007", "008"]
    frame.set_index(pd.MultiIndex.from_tuples([("A", 1), ("B", 2)], names=["a", "b"])).to_parquet(
        tmp_path / "q.parquet"
    )
    assert list(read(tmp_path / "q.parquet", "a", "b")["b"]) == [1, 2]


def test_parquet_keeps_integers_beside_nulls_categories_and_lists(tmp_path: Path) -> None:
    path = parquet(
        tmp_path,
        n=pd.array([12345678900000001, None], dtype="Int64"),
        c=pd.Categorical(["001", "002"]),
        many=[["110", "120"], None],
    )
    frame = read(path, "n", "c", "many")
    assert list(frame["n"]) == [12345678900000001, None]
    assert list(frame["c"]) == ["001", "002"]
    assert list(frame["many"].iloc[0]) == ["110", "120"]


def test_a_small_table_that_unpacks_to_much_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path, id=["x" * 100_000, "y"])
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table.slice(0, 1)] * 10_000), path)
    assert path.stat().st_size < 2_000_000
    with pytest.raises(DeclarationError, match=r"unpacks to more than 0\.5 GiB.*most_unpacked_gib"):
        read(path, "id", most_gib=0.5)
    with pytest.raises(DeclarationError, match="holds 10,000 parcels; at most 9,999"):
        read(path, "id", most_parcels=9_999)


@pytest.mark.parametrize(
    "geo",
    ["3", "[]", "no json", "{}", '{"primary_column": 3, "columns": {}}', '{"primary_column": "geometry"}',
     '{"primary_column": "other", "columns": {"other": {}}}', '{"primary_column": "geometry", "columns": []}',
     '{"primary_column": "geometry", "columns": {"geometry": 3}}',
     '{"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": {"encoding": 7}}}',
     '{"primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB", "crs": 5}}}'],
)  # fmt: skip
def test_parquet_metadata_of_wrong_types_is_a_sentence(tmp_path: Path, geo: str) -> None:
    path = parquet(tmp_path, id=["1", "2"])
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"geo": geo.encode()}), path)
    with pytest.raises(DeclarationError, match=r"p\.parquet"):
        read(path, "id")


@pytest.mark.parametrize(
    "changes",
    [{"features": {}}, {"features": [3]}, {"features": "x"}, {"features": [{"properties": []}, 1]},
     {"features": [{"properties": [1], "geometry": None}]}, {"crs": [1]}, {"crs": {"properties": 3}},
     {"crs": {"properties": {"name": ["EPSG:3035"]}}}, {"type": 3, "features": None}],
)  # fmt: skip
def test_geojson_of_wrong_types_is_a_sentence(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match=r"p\.geojson"):
        read(geojson(tmp_path, **changes), "id")


@pytest.mark.parametrize("geometry", ["x", [1], 3, {"type": 3}, {"type": "Polygon", "coordinates": "x"}])
def test_a_geometry_of_a_wrong_type_is_none_that_is_a_polygon(tmp_path: Path, geometry: Any) -> None:
    features = [{"type": "Feature", "properties": {"id": "1"}, "geometry": geometry}]
    shape = read(geojson(tmp_path, features=features), "id").geometry.iloc[0]
    assert shape is None or shape.geom_type == "Point"


def test_geojson_in_another_encoding_says_so_and_the_config_names_it(tmp_path: Path) -> None:
    path = geojson(tmp_path, features=[{"type": "Feature", "properties": {"id": "Å"}, "geometry": None}])
    path.write_bytes(json.dumps(json.loads(path.read_text()), ensure_ascii=False).encode("latin-1"))
    with pytest.raises(DeclarationError, match=r"is not in utf-8 .* set `declarations\.encoding`"):
        read(path, "id")
    assert list(read(path, "id", encoding="latin-1")["id"]) == ["Å"]


def test_the_id_member_of_a_feature_serves_by_its_name(tmp_path: Path) -> None:
    path = geojson(
        tmp_path, features=[{"type": "Feature", "id": "f1", "properties": {"n": 1}, "geometry": None}]
    )
    assert list(read(path, "id", "n")["id"]) == ["f1"]


def test_gml_attributes_are_columns_and_repeated_elements_are_lists(tmp_path: Path) -> None:
    one = MEMBER.format(id="p1", inside='<lu:crop xlink:href="http://c/110" xlink:title="011"/>')
    two = MEMBER.format(id="p2", inside='<lu:crop xlink:title="012"/><lu:crop xlink:title="013"/>')
    path = tmp_path / "p.gml"
    path.write_text(GML.format(members=one + two))
    frame = read(path, "crop_title", "gml_id")
    assert [list(cell) for cell in frame["crop_title"]] == [["011"], ["012", "013"]]
    assert list(frame["gml_id"]) == ["p1", "p2"]
    assert frame.area.tolist() == [10_000, 10_000]
    assert frame[FEATURE_ID].is_unique


def test_all_missing_columns_are_named_at_once(tmp_path: Path) -> None:
    path = parquet(tmp_path, id=["1", "2"], crop=["a", "b"])
    with pytest.raises(
        DeclarationError, match=r"no column 'holdng'; no column 'crops'\. Did you mean 'crop'\?"
    ):
        read(path, "id", "holdng", "crops")


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "[" + "1" * 10_000 + "]"])
def test_json_nested_without_end_is_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.geojson"
    for content in (text, f'{{"type": "FeatureCollection", "features": {text}'):
        path.write_text(content)
        with pytest.raises(DeclarationError, match=r"p\.geojson"):
            read(path, "id")
