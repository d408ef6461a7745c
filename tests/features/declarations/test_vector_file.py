"""Parcel files as they come: every format, and every way in which one can be wrong or hostile."""

import json
import re
import sqlite3
import warnings
import zipfile
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely

from features.declarations.formats.archive import unpack
from features.declarations.vector_file import FEATURE_ID, Request, kind_of, local_file, read_vector
from features.errors import DeclarationError

SHAPES = [shapely.box(4e6 + 200 * number, 3e6, 4e6 + 200 * number + 100, 3e6 + 100) for number in range(3)]
PARCELS = gpd.GeoDataFrame(
    {"id": ["001", "002", "003"], "crop": ["NO", "1.0", None], "other": [1, 2, 3]},
    geometry=SHAPES,
    crs="EPSG:3035",
)
WRITTEN = {"gpkg": "GPKG", "shp": "ESRI Shapefile", "geojson": "GeoJSON", "gml": "GML", "parquet": ""}
OGR_LAYER = b'<OGRVRTLayer name="a"><SrcDataSource>/etc/hostname</SrcDataSource></OGRVRTLayer>'
OGR_VRT = b"<OGRVRTDataSource>" + OGR_LAYER + b"</OGRVRTDataSource>"
OGR_WFS = b"<OGRWFSDataSource><URL>http://127.0.0.1</URL></OGRWFSDataSource>"
GDAL_PIPE = b'{"type": "gdal_streamed_alg", "command_line": "gdal vector"}'
ONE = b'{"features": [{"properties": {"id": 1}, "geometry": null}], "crs": %b}'
ENTITY = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'


def written(folder: Path, suffix: str, name: str = "parcels") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{suffix}"
    if suffix == "parquet":
        PARCELS.to_parquet(path)
    elif suffix == "gml":
        PARCELS.to_file(path, driver="GML", FORMAT="GML3.2")
        for sidecar in folder.glob("*.xsd"):
            sidecar.unlink()
    else:
        PARCELS.to_file(path, driver=WRITTEN[suffix])
    return path


def read(
    path: Path, columns: list[str], layer: str | None = None, member: str | None = None, **changes: Any
) -> gpd.GeoDataFrame:
    return read_vector(str(path), Request(columns, layer, **changes), member)


def zipped(path: Path, *members: Path, below: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.write(member, below + member.name)
    return path


@pytest.mark.parametrize("suffix", WRITTEN)
def test_every_format_gives_the_same_text_and_geometry(tmp_path: Path, suffix: str) -> None:
    frame = read(written(tmp_path, suffix), ["id", "crop"])
    assert list(frame["id"]) == ["001", "002", "003"]
    assert [value or None for value in frame["crop"].fillna("")] == ["NO", "1.0", None]
    assert frame.crs.to_epsg() == 3035
    assert all(ours.equals(theirs) for ours, theirs in zip(frame.geometry, SHAPES, strict=True))
    assert "other" not in frame
    assert frame[FEATURE_ID].is_unique


@pytest.mark.parametrize("suffix", WRITTEN)
def test_every_format_reads_from_a_subfolder_of_a_zip(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path / "in", suffix)
    archive = zipped(tmp_path / "parcels.zip", *path.parent.iterdir(), below="2024/national/")
    assert list(read(archive, ["id"])["id"]) == ["001", "002", "003"]


def test_parts_of_a_shapefile_may_differ_in_capitals_within_a_zip_only(tmp_path: Path) -> None:
    path = written(tmp_path / "in", "shp")
    with zipfile.ZipFile(tmp_path / "parcels.zip", "w") as archive:
        for part in path.parent.iterdir():
            archive.write(part, f"{'Parcels' if part.suffix == '.shp' else 'parcels'}{part.suffix}")
    assert list(read(tmp_path / "parcels.zip", ["id"])["id"]) == ["001", "002", "003"]
    table = path.with_suffix(".dbf")
    table.rename(table.with_name(f"{table.stem.upper()}.dbf"))
    with pytest.raises(DeclarationError, match="are spelled differently; give all files of the Shapefile"):
        read(path, ["id"])


def test_what_is_wrong_inside_a_zip_is_told_of_the_zip(tmp_path: Path) -> None:
    path = written(tmp_path / "in", "shp")
    archive = zipped(tmp_path / "parcels.zip", path)
    with pytest.raises(DeclarationError, match=rf"{re.escape(str(archive))}/\S*{path.name} cannot be read"):
        read(archive, ["id"])


def test_nothing_is_written_beside_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "gml")
    read(path, ["id"])
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", WRITTEN)
def test_an_unknown_column_offers_the_nearest(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(DeclarationError, match=r"has no column 'crops'\. Did you mean 'crop'"):
        read(written(tmp_path, suffix), ["crops"])


def test_a_zip_of_several_lists_them_and_the_config_chooses(tmp_path: Path) -> None:
    first, second = written(tmp_path / "in", "gpkg", "a"), written(tmp_path / "in", "gpkg", "b")
    archive = zipped(tmp_path / "both.zip", first, second)
    with pytest.raises(
        DeclarationError, match=r"several parcel files; set `member` to one of a.gpkg, b.gpkg"
    ):
        read(archive, ["id"])
    assert len(read(archive, ["id"], member="b.gpkg")) == 3
    with pytest.raises(DeclarationError, match=r"no single member 'c.gpkg'; choose one of a.gpkg, b.gpkg"):
        read(archive, ["id"], member="c.gpkg")


def test_a_file_of_several_layers_lists_them_and_the_config_chooses(tmp_path: Path) -> None:
    path = tmp_path / "two.gpkg"
    PARCELS.to_file(path, layer="main", driver="GPKG")
    PARCELS.iloc[:1].to_file(path, layer="catch", driver="GPKG")
    with pytest.raises(DeclarationError, match=r"2 layers with geometry; set `layer` to one of main, catch"):
        read(path, ["id"])
    assert len(read(path, ["id"], layer="catch")) == 1
    with pytest.raises(DeclarationError, match=r"no layer 'cach'\. Did you mean 'catch'"):
        read(path, ["id"], layer="cach")


def test_geojson_without_a_system_is_in_degrees_and_keeps_its_ids(tmp_path: Path) -> None:
    path = tmp_path / "parcels.json"
    square = {"type": "Polygon", "coordinates": [[[3, 51], [3.1, 51], [3.1, 51.1], [3, 51]]]}
    features = [
        {"type": "Feature", "id": "P-7", "properties": {"crop": "007"}, "geometry": square},
        {"type": "Feature", "properties": {"crop": 7}, "geometry": None},
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    frame = read(path, ["crop"])
    assert frame.crs.to_authority() == ("OGC", "CRS84")
    assert list(frame[FEATURE_ID]) == ["P-7", "1"]
    assert list(frame["crop"]) == ["007", 7]
    assert frame.geometry.iloc[1] is None


@pytest.mark.parametrize(
    "path",
    ["https://example.org/a.gpkg", "/vsicurl/https://example.org/a.gpkg", "vsizip/a.zip", "s3://bucket/a.parquet",
     "WFS:https://example.org", "PG:dbname=land", "//vsimem/a.gpkg", "/VSIZIP/a.zip"],
)  # fmt: skip
def test_urls_and_virtual_paths_are_refused(path: str) -> None:
    with pytest.raises(DeclarationError, match="is not on this machine; download it first"):
        read_vector(path, Request(["id"]))


def test_missing_files_and_folders_say_so(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="does not exist"):
        local_file(str(tmp_path / "none.gpkg"))
    with pytest.raises(DeclarationError, match="is a folder; name the file inside it"):
        local_file(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.gpkg", OGR_VRT, "only points to another source"),
        ("a.shp", b"<?xml version='1.0'?>" + OGR_VRT, "only points to another source"),
        ("a.geojson", GDAL_PIPE, "only points to another source"),
        ("a.xml", OGR_WFS, "only points to another source"),
        ("a.zip", b"Rar!\x1a\x07\x01\x00", "is a RAR archive, which is not opened here; unpack it"),
        ("a.gpkg", b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive"),
        ("a.gpkg", b"", "is empty; fetch it again"),
        ("a.gpkg", b"\n<!DOCTYPE html><html>Sign in</html>", "is a web page, perhaps one that asks"),
        ("a.gpkg", b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
        ("a.fgb", b"fgb\x03fgb\x00", "is of no known format; give GeoPackage, Shapefile"),
        ("a.csv", b"id,crop\n1,2\n", "is of no known format"),
        ("a.gpkg", b"SQLite format 3\0" + b"\0" * 200, "cannot be read"),
        ("a.parquet", b"PAR1 and no more", "cannot be read"),
        ("a.zip", b"PK\x03\x04 and no more", "cannot be unpacked"),
        ("a.shp", b"\x00\x00\x27\x0a" + b"\0" * 96, "cannot be read"),
        ("a.geojson", b'{"type": "FeatureCollection", "features": [', "is no GeoJSON feature collection"),
        ("a.geojson", b'{"type": "FeatureCollection"}', "is no GeoJSON feature collection"),
        ("a.geojson", b'{"a": ' * 20_000, "is no GeoJSON feature collection"),
        ("a.geojson", ONE % b'{"properties": {"name": "EPSG:no"}}', "names no coordinate system"),
        ("a.geojson", ONE % b'"x"', "has a `crs` that is none of GeoJSON's"),
        ("a.gml", b"<html><body>404 Not found</body></html>", "is a web page"),
        ("a.gml", b"<kml><Document/></kml>", "is XML but no GML feature collection"),
        ("a.gml", b"<FeatureCollection", "is broken XML"),
        ("a.gml", b"<a></b>", "is broken XML"),
        ("a.gml", ENTITY, "declares a document type"),
    ],
)  # fmt: skip
def test_what_is_no_parcel_file_says_why(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DeclarationError, match=says):
        read(path, ["id"])


def test_a_database_that_is_no_geopackage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE parcels (id TEXT, geometry BLOB)")
    database.close()
    assert kind_of(path) == "GPKG"
    with pytest.raises(DeclarationError, match=r"a\.gpkg"):
        read(path, ["id"])


def test_parquet_without_geometry_metadata_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    PARCELS.drop(columns="geometry").to_parquet(path)
    with pytest.raises(DeclarationError, match="without geometry metadata; export it as GeoParquet"):
        read(path, ["id"])


@pytest.mark.parametrize(
    "name", ["../out.gpkg", "/etc/out.gpkg", "a/../../out.gpkg", "..\\out.gpkg", "C:/out.gpkg"]
)
def test_a_zip_that_would_escape_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "in" / "slip.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr(name, b"x")
    with pytest.raises(DeclarationError, match="would be written outside its folder"):
        read(archive, ["id"])
    assert not (tmp_path / "out.gpkg").exists()


def test_a_link_inside_a_zip_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "link.zip"
    entry = zipfile.ZipInfo("a.gpkg")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr(entry, "/etc/passwd")
    with pytest.raises(DeclarationError, match="would be written outside its folder"):
        read(archive, ["id"])


def test_a_bomb_is_refused_and_stops_early(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("a.gpkg", b"\0" * (80 * 2**20))
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(DeclarationError, match="it may be a bomb"):
        unpack(archive, None, into, most_gib=16)
    assert (into / "a.gpkg").stat().st_size <= 64 * 2**20
    with pytest.raises(DeclarationError, match=r"unpacks to 0\.0 GiB"):
        unpack(archive, None, into, most_gib=0.001)


def test_a_zip_without_parcels_or_with_another_zip_says_so(tmp_path: Path) -> None:
    note = tmp_path / "readme.txt"
    note.write_text("nothing here")
    with pytest.raises(DeclarationError, match=r"holds no parcel file .* it holds readme.txt"):
        read(zipped(tmp_path / "a.zip", note), ["id"])
    inner = zipped(tmp_path / "inner.gpkg", written(tmp_path / "in", "gpkg"))
    with pytest.raises(DeclarationError, match="holds another archive; unpack it"):
        read(zipped(tmp_path / "outer.zip", inner), ["id"])


def test_what_a_mac_adds_to_a_zip_is_no_parcel_file(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", *written(tmp_path / "in", "shp").parent.iterdir(), below="parcels/")
    with zipfile.ZipFile(archive, "a") as target:
        for name in ("__MACOSX/parcels/._parcels.shp", "parcels/._parcels.shp", "__MACOSX/._parcels.dbf"):
            target.writestr(name, b"\x00\x05\x16\x07 tags of a file")
    assert list(read(archive, ["id"])["id"]) == ["001", "002", "003"]


def test_an_encrypted_zip_says_so(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", written(tmp_path / "in", "gpkg"))
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # the encryption flag of the local header, and of the central directory
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(DeclarationError, match=r"cannot be unpacked: .*password"):
        read(archive, ["id"])


def test_a_shapefile_without_its_table_or_index_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, "shp")
    index = path.with_suffix(".shx").rename(tmp_path / "index")
    with pytest.raises(DeclarationError, match=r"without its index \(\.shx\).*copy all of them"):
        read(path, ["id"])
    index.rename(path.with_suffix(".SHX"))
    assert len(read(path, ["id"])) == 3
    path.with_suffix(".dbf").unlink()
    with pytest.raises(DeclarationError, match=r"without its table \(\.dbf\), which holds the ids"):
        read(path, ["id"])


def test_files_that_people_name_by_mistake_say_what_to_name(tmp_path: Path) -> None:
    path = written(tmp_path, "shp")
    with pytest.raises(DeclarationError, match=r"of no known format; name parcels\.shp beside it"):
        read(path.with_suffix(".dbf"), ["id"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        PARCELS.to_file(tmp_path / "p.gdb", driver="OpenFileGDB")
    with pytest.raises(DeclarationError, match=r"is a file geodatabase.*ogr2ogr parcels\.gpkg p\.gdb LAYER"):
        read(tmp_path / "p.gdb", ["id"])
    (tmp_path / "service.json").write_text('{"geometryType": "esriGeometryPolygon", "features": []}')
    with pytest.raises(DeclarationError, match="is Esri JSON; export it as GeoJSON"):
        read(tmp_path / "service.json", ["id"])


@pytest.mark.parametrize("start", ["", "\x1e"])
def test_one_feature_a_line_is_no_collection(tmp_path: Path, start: str) -> None:
    line = start + '{"type": "Feature", "properties": {"id": 1}, "geometry": null}\n'
    (tmp_path / "p.geojsonl").write_text(line + line)
    with pytest.raises(DeclarationError, match=r"one feature a line.*ogr2ogr p\.gpkg p\.geojsonl"):
        read(tmp_path / "p.geojsonl", ["id"])


def test_a_truncated_geopackage_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, "gpkg")
    path.write_bytes(path.read_bytes()[:30_000])
    with pytest.raises(DeclarationError, match="cannot be read"):
        read(path, ["id"])


@pytest.mark.parametrize("suffix", WRITTEN)
def test_a_file_cut_short_never_gives_fewer_parcels(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, suffix)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.9)])
    with pytest.raises(DeclarationError, match=r"parcels\.\w+"):
        read(path, ["id"])


def test_height_falls_away(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    raised = PARCELS.set_geometry(shapely.force_3d(PARCELS.geometry.array, 7.0))
    raised.to_file(path, driver="GPKG")
    assert not read(path, ["id"]).geometry.has_z.any()


def test_a_coordinate_system_that_is_none_is_said_with_where_it_stands(tmp_path: Path) -> None:
    path = written(tmp_path, "shp")
    path.with_suffix(".prj").write_text('PROJCS["odd",GEOGCS["g",DATUM["d"')
    with pytest.raises(DeclarationError, match=r"cannot be understood .*remove parcels\.prj and set `crs`"):
        read(path, ["id"])
    path.with_suffix(".prj").unlink()
    assert read(path, ["id"]).crs is None
