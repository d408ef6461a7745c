"""Codes that no table knows: listed with what they may be and the setting that maps them."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely

from features.declarations.options import DeclarationOptions
from features.declarations.reader import read_declarations, refuse_if_none_usable
from features.declarations.unmapped import report_unmapped
from features.errors import DeclarationError

TABLE = """code,name,hcat_code
011,Winter wheat,3301010101
088,Spring barley,3301010402
VV,Clover  grass,3302000000
ŽI,Rye,3301010300
"""


def written(folder: Path, codes: list[Any], **columns: list[Any]) -> Path:
    shapes = [shapely.box(4e6 + 200 * n, 3e6, 4e6 + 200 * n + 100, 3e6 + 100) for n in range(len(codes))]
    frame = gpd.GeoDataFrame({"crop": codes, **columns}, geometry=shapes, crs="EPSG:3035")
    frame.to_parquet(folder / "p.parquet")
    return folder / "p.parquet"


def options(
    folder: Path, codes: list[Any], fields: dict[str, Any] | None = None, **crops: Any
) -> DeclarationOptions:
    table = folder / "t.csv"
    table.write_text(TABLE, encoding="utf-8")
    return DeclarationOptions(
        path=str(written(folder, codes)),
        fields={"code": "crop", **(fields or {})},
        crops={"tables": (table,), **crops},
    )


def report(folder: Path, codes: list[Any], **crops: Any) -> list[str]:
    chosen = options(folder, codes, **crops)
    return report_unmapped(read_declarations(chosen, 2024)[0], chosen.crops, chosen.fields)


def declared(chosen: DeclarationOptions) -> list[tuple[Any, ...]]:
    frame = read_declarations(chosen, 2024)[0]
    return list(frame[["declared", "crop_class", "declared_second"]].itertuples(index=False, name=None))


def test_mapped_codes_are_no_news(tmp_path: Path) -> None:
    assert report(tmp_path, ["011", "088"]) == []


def test_codes_are_listed_by_parcels_with_the_nearest_row(tmp_path: Path) -> None:
    lines = report(tmp_path, ["089", "089", "Winter whaet", "011"])
    assert lines[0] == "3 parcels have 2 codes of `crop` that the code tables do not know."
    assert lines[-2:] == [
        "  '089' on 2 parcels; nearest row '088' Spring barley",
        "  'Winter whaet' on 1 parcels; nearest row '011' Winter wheat",
    ]


@pytest.mark.parametrize(
    ("codes", "setting", "mapped"),
    [
        ([11, 88], "declarations.crops.pad: 3", 2),  # numbers that lost their zeros
        (["0011", "00088"], "declarations.crops.pad: 3", 2),  # more zeros than the table has
        (["11.0", "011"], "declarations.crops.pad: 3", 1),  # text that was a decimal number
        (["vv"], "declarations.crops.ignore_case: true", 1),
        (["0-11", "08.8", "089"], "declarations.crops.ignore_signs: true", 2),
        (["Winter wheat", "Rye"], "declarations.crops.code_column: name", 2),
        (["3301010402"], "declarations.crops.code_column: hcat_code", 1),
        (["011+088", "VV+011"], "declarations.fields.code_separator: '+'", 2),
        (["ŽI".encode().decode("latin-1")], "declarations.encoding: utf-8", 1),
        (["ŽI".encode("cp1250").decode("latin-1")], "declarations.encoding: cp1250", 1),
    ],
)
def test_a_setting_that_would_map_them_is_offered(
    tmp_path: Path, codes: list[Any], setting: str, mapped: int
) -> None:
    offers = [line for line in report(tmp_path, codes) if f"`{setting}`" in line]
    assert len(offers) == 1
    assert f"{mapped} of these parcels are mapped" in offers[0]


def test_what_is_offered_maps(tmp_path: Path) -> None:
    assert declared(options(tmp_path, [11, 88], pad=3)) == [
        ("011", "winter_wheat", None), ("088", "spring_barley", None),
    ]  # fmt: skip
    assert declared(options(tmp_path, ["vv"], ignore_case=True))[0][:2] == ("VV", "permanent_grassland")
    assert declared(options(tmp_path, ["0-11"], ignore_signs=True))[0][:2] == ("011", "winter_wheat")
    assert declared(options(tmp_path, ["Clover grass"], code_column="name"))[0][1] == "permanent_grassland"
    assert declared(options(tmp_path, ["011 + 088"], fields={"code_separator": "+"})) == [
        ("011", "winter_wheat", "088")
    ]


def test_a_name_is_one_name_however_its_letters_and_spaces_are_stored(tmp_path: Path) -> None:
    assert declared(options(tmp_path, ["Z\u030cI", "Clover\u00a0 grass"]))[0][1] == "winter_rye"
    assert declared(options(tmp_path, ["\ufeff011\u200b", "0\u00ad88"])) == declared(
        options(tmp_path, ["011", "088"])
    )
    assert (
        declared(options(tmp_path, ["Clover\u00a0grass"], code_column="name"))[0][1] == "permanent_grassland"
    )


def test_padding_that_makes_two_codes_one_is_refused_and_not_offered(tmp_path: Path) -> None:
    table = tmp_path / "zeros.csv"
    table.write_text("code,hcat_code\n1,3301010101\n01,3302000000\n")
    chosen = options(tmp_path, ["001"]).model_copy()
    crops = chosen.crops.model_copy(update={"tables": (table,)})
    frame = read_declarations(chosen, 2024)[0]
    assert not any("pad" in line for line in report_unmapped(frame, crops, chosen.fields))
    with pytest.raises(
        DeclarationError, match="two meanings as `pad`, `ignore_case` or `ignore_signs` write"
    ):
        read_declarations(chosen.model_copy(update={"crops": crops.model_copy(update={"pad": 2})}), 2024)


def test_a_list_in_a_cell_is_a_main_and_a_second_crop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert declared(options(tmp_path, [["011", "088"], ["VV"], [], None, ["011", "088", "VV"]])) == [
        ("011", "winter_wheat", "088"), ("VV", "permanent_grassland", None),
        (None, None, None), (None, None, None), ("011", "winter_wheat", "088"),
    ]  # fmt: skip
    assert "1 cells of crop name a third crop, which is left out" in caplog.text


def test_a_nought_is_no_second_crop_unless_a_table_knows_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = options(tmp_path, ["011"] * 4, fields={"code_second": "second"})
    written(tmp_path, ["011"] * 4, second=["0", "-", "088", "777"])
    assert [row[2] for row in declared(chosen)] == [None, None, "088", "777"]
    assert "1 second crops have codes that the code tables do not know, such as ['777']" in caplog.text
    crops = chosen.crops.model_copy(update={"second_none": ("777",)})
    assert [row[2] for row in declared(chosen.model_copy(update={"crops": crops}))] == ["0", "-", "088", None]
    (tmp_path / "t.csv").write_text(TABLE + "0,Fallow,3301110000\n")
    assert [row[2] for row in declared(chosen)] == ["0", None, "088", "777"]


def test_when_nothing_is_mapped_the_run_stops_with_the_list(tmp_path: Path) -> None:
    chosen = options(tmp_path, [11, 88, 5])
    frame = read_declarations(chosen, 2024)[0]
    with pytest.raises(
        DeclarationError,
        match=r"(?s)None of the 3 parcels of .* can be checked \(unmapped_code 3\).*pad: 3` 2 of .*'5' on 1",
    ):
        refuse_if_none_usable(frame, chosen)
    refuse_if_none_usable(read_declarations(options(tmp_path, ["11", "011"]), 2024)[0], chosen)


def test_without_a_table_or_a_code_it_says_which_key(tmp_path: Path) -> None:
    bare = DeclarationOptions(path=str(written(tmp_path, ["1"])), fields={"code": "crop"})
    with pytest.raises(DeclarationError, match=r"No code table is named; set `declarations\.crops\.tables`"):
        refuse_if_none_usable(read_declarations(bare, 2024)[0], bare)
    empty = options(tmp_path, [None, " "])
    with pytest.raises(
        DeclarationError, match=r"\(no_code 2\).*\n.*`crop` is empty; name another in `fields\.code`"
    ):
        refuse_if_none_usable(read_declarations(empty, 2024)[0], empty)


def test_a_code_whose_row_has_no_class_is_told_apart_from_an_unknown_one(tmp_path: Path) -> None:
    chosen = options(tmp_path, ["810", "810", "VX"])
    (tmp_path / "t.csv").write_text(TABLE + "810,Tree nursery,\n")
    frame = read_declarations(chosen, 2024)[0]
    assert report_unmapped(frame, chosen.crops, chosen.fields)[:2] == [
        "2 parcels have codes whose row in the code tables gives neither a class nor an HCAT3 code of one: "
        "'810' Tree nursery.",
        "1 parcels have 1 codes of `crop` that the code tables do not know.",
    ]
