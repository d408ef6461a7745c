"""GeoPackages: tables are read, queries are not run."""

import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from features.declarations.vector_file import Request, read_vector
from features.errors import DeclarationError

ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT i AS fid, '1' AS id, NULL AS geom FROM n"
)
LARGE = "SELECT 1 AS fid, hex(randomblob(1000000000)) AS id, NULL AS geom"
# CURVEPOLYGON(COMPOUNDCURVE(CIRCULARSTRING(0 0,1 1,2 0),(2 0,0 0))): half a disc of radius 1
ARC = bytes.fromhex(
    "010A000000010000000109000000020000000108000000030000000000000000000000000000000000000000000000"
    "0000F03F000000000000F03F0000000000000040000000000000000001020000000200000000000000000000400000"
    "00000000000000000000000000000000000000000000"
)  # fmt: skip


def package(folder: Path, ids: list[object] | None = None) -> Path:
    path = folder / "p.gpkg"
    values = pd.array(["001", "002"]) if ids is None else pd.array(ids, dtype="Int64")
    frame = gpd.GeoDataFrame({"id": values}, geometry=[shapely.box(0, 0, 1, 1)] * 2, crs="EPSG:3035")
    frame.to_file(path, layer="parcels", driver="GPKG")
    return path


def altered(path: Path, *statements: str, values: tuple[object, ...] = ()) -> Path:
    with closing(sqlite3.connect(path)) as database:
        for name, kind in database.execute(
            "SELECT name, type FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            database.execute(f'DROP {kind} "{name}"')
        for statement in statements:
            database.execute(statement, values if "?" in statement else ())
        database.commit()
    return path


def with_view(path: Path, query: str) -> Path:
    return altered(
        path,
        f"CREATE VIEW seen AS {query}",
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) "
        "VALUES ('seen', 'features', 'seen', 3035)",
        "INSERT INTO gpkg_geometry_columns VALUES ('seen', 'geom', 'POLYGON', 3035, 0, 0)",
    )


def ids(path: Path, **request: object) -> list[object]:
    return list(read_vector(str(path), Request(["id"], **request))["id"])  # type: ignore[arg-type]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("query", [ENDLESS, LARGE])
def test_a_view_is_refused_and_a_table_beside_it_is_read(tmp_path: Path, query: str) -> None:
    path = with_view(package(tmp_path), query)
    assert ids(path) == ["001", "002"]
    with pytest.raises(
        DeclarationError, match=r"'seen' of p\.gpkg is a view, which is computed as it is read"
    ):
        ids(path, layer="seen")


@pytest.mark.timeout(20)
def test_a_view_alone_leaves_nothing_to_read(tmp_path: Path) -> None:
    path = altered(
        with_view(package(tmp_path), ENDLESS),
        "DELETE FROM gpkg_geometry_columns WHERE table_name = 'parcels'",
    )
    with pytest.raises(DeclarationError, match="0 layers with geometry"):
        ids(path)


@pytest.mark.timeout(20)
def test_a_view_in_place_of_the_packages_own_tables_is_refused(tmp_path: Path) -> None:
    path = altered(
        package(tmp_path), "ALTER TABLE gpkg_contents RENAME TO c", f"CREATE VIEW gpkg_contents AS {ENDLESS}"
    )
    with pytest.raises(DeclarationError, match="has a query in place of the table gpkg_contents"):
        ids(path)


def test_computed_columns_are_not_computed(tmp_path: Path) -> None:
    path = altered(package(tmp_path), "ALTER TABLE parcels ADD COLUMN big TEXT AS (hex(zeroblob(400000000)))")
    with pytest.raises(DeclarationError, match="layers with geometry"):
        ids(path)
    with pytest.raises(DeclarationError, match="is a table with computed columns"):
        ids(path, layer="parcels")


def test_the_feature_id_has_a_name(tmp_path: Path) -> None:
    assert list(read_vector(str(package(tmp_path)), Request(["fid"]))["fid"]) == ["1", "2"]


def test_integers_beside_nulls_keep_their_digits(tmp_path: Path) -> None:
    assert ids(package(tmp_path, [12345678900000001, None])) == [12345678900000001, None]


def test_text_in_a_column_of_numbers_is_refused(tmp_path: Path) -> None:
    path = altered(package(tmp_path, [1, 2]), "UPDATE parcels SET id = 'A7' WHERE fid = 1")
    with pytest.raises(
        DeclarationError, match=r"'id' of p\.gpkg is one of numbers but holds text, such as A7"
    ):
        ids(path)


def test_a_nul_does_not_end_an_id(tmp_path: Path) -> None:
    path = altered(package(tmp_path), "UPDATE parcels SET id = ? WHERE fid = 2", values=("001\0b",))
    assert ids(path) == ["001", "001\0b"]


def test_arcs_become_chords(tmp_path: Path) -> None:
    header = b"GP\x00\x01" + (3035).to_bytes(4, "little")
    path = altered(package(tmp_path), "UPDATE parcels SET geom = ? WHERE fid = 1", values=(header + ARC,))
    frame = read_vector(str(path), Request(["id"]))
    assert list(frame["id"]) == ["001", "002"]
    assert frame.area.tolist() == pytest.approx([1.5708, 1], abs=0.002)


def test_more_rows_than_allowed_are_not_read(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"holds 2 parcels; at most 1 are read.*most_parcels"):
        ids(package(tmp_path), most_parcels=1)


def test_nothing_is_written_beside_it(tmp_path: Path) -> None:
    path = package(tmp_path)
    ids(path)
    assert list(tmp_path.iterdir()) == [path]
