from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.declarations.crop_codes import read_crop_groups, read_crop_table
from features.declarations.formats.text_table import read_text_table
from features.declarations.options import CropTableOptions
from features.errors import DeclarationError

GROUPS = read_crop_groups()


def table(folder: Path, text: str, name: str = "codes.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_codes_stay_text(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "code,name,hcat_code,crop_class\n001,wheat,3301010101,\nNO,none,,fallow\n1.0,x,3302000000,\n",
    )
    crops = read_crop_table(CropTableOptions(tables=(path,)))
    assert crops["code"].to_list() == ["001", "NO", "1.0"]
    assert crops["crop_class"].to_list() == ["winter_wheat", "fallow", "permanent_grassland"]
    assert crops["crop_group"].to_list() == ["winter_cereals", "fallow", "grassland"]


def test_semicolons_byte_order_mark_and_named_columns(tmp_path: Path) -> None:
    path = table(tmp_path, "\ufeffkode;navn;klasse\n7;Vårbyg, malt;3301010402\n")
    options = CropTableOptions(tables=(path,), code_column="kode", name_column="navn", hcat_column="klasse")
    row = read_crop_table(options).row(0)
    assert row == ("7", "Vårbyg, malt", "3301010402", "spring_barley", "spring_cereals")


def test_the_first_table_wins(tmp_path: Path) -> None:
    new = table(tmp_path, "code,hcat_code\n5,3301160000\n", "new.csv")
    old = table(tmp_path, "code,hcat_code\n5,3301030000\n6,3301030000\n", "old.csv")
    crops = read_crop_table(CropTableOptions(tables=(new, old)))
    assert dict(crops.select("code", "crop_class").iter_rows()) == {"5": "soybean", "6": "potatoes"}


def test_classes_can_be_merged(tmp_path: Path) -> None:
    path = table(tmp_path, "code,hcat_code\n1,3301011001\n")
    crops = read_crop_table(CropTableOptions(tables=(path,), merge_classes={"spelt": "winter_wheat"}))
    assert crops["crop_class"].to_list() == ["winter_wheat"]


def test_a_merge_that_does_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = table(tmp_path, "code,hcat_code\n1,3301030000\n")
    read_crop_table(CropTableOptions(tables=(path,), merge_classes={"potato": "root_crops"}))
    assert "names potato, a class of no code. Did you mean 'potatoes'?" in caplog.text


@pytest.mark.parametrize("name", ["fold", "model", "parcel_id", "all", "crop_class", "own", "value"])
def test_a_class_called_as_a_column_of_our_tables_is_kept_apart(tmp_path: Path, name: str) -> None:
    path = table(tmp_path, f"code,crop_class\n1,{name}\n2,a // b\n3,{'x' * 300}\n")
    crops = read_crop_table(CropTableOptions(tables=(path,)))
    assert crops["crop_class"].to_list() == [f"{name} (crop)", "a // b", "x" * 300]


def test_no_table_is_an_empty_table() -> None:
    assert read_crop_table(CropTableOptions()).height == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("code,hcat_code\n1,3301030000\n1,3302000000\n", r"1 codes of .* have two meanings, first 1"),
        ("kode,hcat_code\n1,3301030000\n", "needs a column of codes"),
        ("code,name\n1,wheat\n", "hcat_column or class_column"),
        ("code,hcat_code\n1,33,44\n", "1 rows of .* heading's 2 cells, first row 1"),
        ("", "is empty"),
        (
            "code,hcat_code\n1,3.30103E+09\n2,\n",
            r"1 HCAT3 codes of .* are not ten digits, first 3.30103E\+09",
        ),
    ],
)
def test_a_table_that_cannot_serve_says_why(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        read_crop_table(CropTableOptions(tables=(table(tmp_path, text),)))


def test_an_unknown_column_offers_the_nearest(tmp_path: Path) -> None:
    path = table(tmp_path, "gewascode,hcat_code\n1,3301030000\n")
    with pytest.raises(DeclarationError, match=r"no column 'gewascod'\. Did you mean 'gewascode'"):
        read_crop_table(CropTableOptions(tables=(path,), code_column="gewascod"))


def test_a_missing_table_says_which(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"nowhere\.csv cannot be read"):
        read_text_table(tmp_path / "nowhere.csv")


def test_groups_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    heading = "hcat_prefix,crop_class,crop_group,agricultural\n"
    path = table(tmp_path, heading + "3301,a,x,yes\n3301,b,x,yes\n3302,b,y,yes\n")
    with pytest.raises(DeclarationError, match=r"repeat 3301, classes in two groups b"):
        read_crop_groups(path)


def test_agriculture_is_what_the_table_says() -> None:
    said = {
        name: GROUPS.is_agricultural(name)
        for name in ("fallow", "forest", "unmaintained", "a_class_of_ones_own")
    }
    assert said == {"fallow": True, "forest": False, "unmaintained": False, "a_class_of_ones_own": True}


@given(st.sampled_from(sorted(GROUPS.class_by_prefix)), st.text("0123456789", max_size=10))
def test_a_longer_code_never_leaves_its_longest_prefix(prefix: str, tail: str) -> None:
    code = (prefix + tail).ljust(10, "0")[:10]
    longest = max((known for known in GROUPS.class_by_prefix if code.startswith(known)), key=len)
    assert GROUPS.class_of(code) == GROUPS.class_by_prefix[longest]


@pytest.mark.realdata
def test_every_crop_code_of_the_taxonomy_has_a_class(real_data: Path) -> None:
    codes = read_text_table(real_data / "hcat" / "hcat_core" / "HCAT3.csv")["HCAT3_code"].to_list()
    assert [code for code in codes if code.startswith("33") and GROUPS.class_of(code) is None] == []


@pytest.mark.realdata
def test_every_national_table_reads(real_data: Path) -> None:
    folder = real_data / "hcat" / "csvs" / "country_mappings"
    by_name = {"ee_2021", "ie_2023", "lt_2021", "sk_2021"}  # lists without codes: the name is the code
    for path in sorted(folder.glob("*.csv")):
        column = "original_name" if path.stem in by_name else None
        crops = read_crop_table(CropTableOptions(tables=(path,), code_column=column))
        assert crops.height > 10
        assert crops["crop_class"].null_count() == 0
