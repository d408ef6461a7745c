"""Attributes of Shapefiles: every digit and letter as it stands in the table."""

from pathlib import Path

import geopandas as gpd
import pytest
import shapely

from features.declarations.formats.dbf import AttributeTable
from features.declarations.vector_file import FEATURE_ID, Request, read_vector
from features.errors import DeclarationError

PARCELS = gpd.GeoDataFrame(
    {"crop": ["Žito", "ječmen"], "n": [1, 2]},
    geometry=[shapely.box(0, 0, 100, 100), shapely.box(200, 0, 300, 100)],
    crs="EPSG:3035",
)


def shapefile(folder: Path, encoding: str, code_page: str | None, language_driver: int = 0) -> Path:
    path = folder / "p.shp"
    PARCELS.to_file(path, encoding=encoding)
    beside, table = path.with_suffix(".cpg"), path.with_suffix(".dbf")
    beside.unlink(missing_ok=True)
    if code_page is not None:
        beside.write_text(code_page)
    content = bytearray(table.read_bytes())
    content[29] = language_driver
    table.write_bytes(content)
    return path


def numbers(path: Path, digits: list[str]) -> Path:
    """Write a Shapefile whose first column is N(24, 0) and holds these digits."""
    PARCELS.assign(id=0.0)[["id", "crop", "geometry"]].to_file(path)
    table = path.with_suffix(".dbf")
    content = bytearray(table.read_bytes())
    head, record, width = (
        int.from_bytes(content[8:10], "little"), int.from_bytes(content[10:12], "little"), content[32 + 16],
    )  # fmt: skip
    content[32 + 17] = 0
    for row, text in enumerate(digits):
        at = head + row * record + 1
        content[at : at + width] = text.rjust(width).encode()
    table.write_bytes(content)
    return path


def crops(path: Path, encoding: str | None = None) -> list[str]:
    return list(read_vector(str(path), Request(["crop"], encoding=encoding))["crop"])


@pytest.mark.parametrize(
    ("encoding", "code_page"),
    [("CP1250", "CP1250"), ("CP1250", "1250"), ("CP1250", "ANSI 1250"), ("ISO-8859-2", "8859-2"),
     ("ISO-8859-2", "ISO 88592"), ("UTF-8", "UTF8"), ("UTF-8", "65001"), ("UTF-8", None)],
)  # fmt: skip
def test_letters_are_read_in_the_code_page_that_the_file_means(
    tmp_path: Path, encoding: str, code_page: str | None
) -> None:
    assert crops(shapefile(tmp_path, encoding, code_page)) == ["Žito", "ječmen"]


def test_a_lost_code_page_is_told_by_the_table_or_the_config(tmp_path: Path) -> None:
    path = shapefile(tmp_path, "CP1250", None)
    assert crops(path) != ["Žito", "ječmen"]
    assert crops(path, "CP1250") == crops(path, "windows-1250") == ["Žito", "ječmen"]
    assert crops(shapefile(tmp_path, "CP1250", None, language_driver=0xC8)) == ["Žito", "ječmen"]


def test_an_encoding_that_is_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"declarations\.encoding 'klingon' names no encoding"):
        crops(shapefile(tmp_path, "UTF-8", None), "klingon")


def test_seventeen_digits_stay_seventeen_digits(tmp_path: Path) -> None:
    path = numbers(tmp_path / "p.shp", ["12345678900000001", "12345678900000003"])
    assert list(read_vector(str(path), Request(["id"]))["id"]) == ["12345678900000001", "12345678900000003"]


def test_numbers_lose_an_empty_fraction_only_and_stars_are_blank(tmp_path: Path) -> None:
    path = numbers(tmp_path / "p.shp", ["17.00", "0.50"])
    assert list(AttributeTable(path.with_suffix(".dbf")).column("id")) == ["17", "0.50"]
    path = numbers(tmp_path / "p.shp", ["****", ""])
    assert list(AttributeTable(path.with_suffix(".dbf")).column("id")) == [None, None]


def test_a_deleted_record_takes_no_others_attributes(tmp_path: Path) -> None:
    path = numbers(tmp_path / "p.shp", ["1", "2"])
    table = path.with_suffix(".dbf")
    content = bytearray(table.read_bytes())
    content[int.from_bytes(content[8:10], "little")] = ord("*")
    table.write_bytes(content)
    frame = read_vector(str(path), Request(["id"]))
    assert (list(frame["id"]), list(frame[FEATURE_ID])) == (["2"], ["1"])


def test_a_table_cut_short_says_so(tmp_path: Path) -> None:
    path = numbers(tmp_path / "p.shp", ["1", "2"])
    table = path.with_suffix(".dbf")
    table.write_bytes(table.read_bytes()[:-20])
    with pytest.raises(DeclarationError, match=r"p\.dbf is cut short of the 2 rows"):
        read_vector(str(path), Request(["id"]))
