"""The extracts that five agencies publish, each read with its template of a few lines."""

import zipfile
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyarrow.parquet as pq
import pyogrio
import pytest

from features.declarations.options import DeclarationOptions
from features.declarations.reader import read_declarations
from features.errors import DeclarationError
from pipelines.yamlfile import read_yaml

pytestmark = pytest.mark.realdata

TEMPLATES = Path(__file__).parents[3] / "conf" / "agencies"
FILES = {
    "austria": "gsaa/at/inspire_schlaege_2025-1_polygon.gpkg.zip",
    "netherlands": "gsaa/nl/brpgewaspercelen_definitief_2023.gpkg",
    "flanders": "gsaa/be_vlg/Landbouwgebruikspercelen_2023_-_Definitief_(extractie_28-03-2024)_GPKG.zip",
    "fiboa": "gsaa/be_vlg/be_vlg_2024_fiboa_0_2.parquet",
    "latvia": "gsaa/lv/1_100.xml",
    "latvia_eurocrops": "gsaa/ec_lv/LV_2021.zip",
    "slovenia": "gsaa/ec_si/SI_2021.zip",
}
EXPECTED = {  # parcels with a mapped code of 100, EPSG code
    "austria": (80, 31287),
    "netherlands": (90, 28992),
    "flanders": (100, 31370),
    "fiboa": (100, 31370),
    "latvia": (100, 3059),
    "latvia_eurocrops": (100, 3059),
    "slovenia": (100, 3794),
}


def configured(real_data: Path, country: str) -> DeclarationOptions:
    """The template as it stands, with the paths that a user gives."""
    template = read_yaml(TEMPLATES / f"{country}.yaml")["declarations"]
    folder = real_data / "hcat" / "csvs" / "country_mappings"
    tables = [folder / name for name in template["crops"]["tables"]]
    return DeclarationOptions.model_validate(
        template | {"path": str(real_data / FILES[country]), "crops": template["crops"] | {"tables": tables}}
    )


def rows_on_disk(path: Path) -> int:
    """Count the parcels of a file without our reader."""
    if path.suffix == ".parquet":
        return int(pq.ParquetFile(path).metadata.num_rows)
    if path.suffix != ".zip":
        return int(pyogrio.read_info(path, force_feature_count=True)["features"])
    with zipfile.ZipFile(path) as archive:
        names = [
            name for name in archive.namelist() if name.endswith((".gpkg", ".shp")) and "__MACOSX" not in name
        ]
    counts = [
        pyogrio.read_info(f"/vsizip/{path}/{name}", force_feature_count=True)["features"] for name in names
    ]
    return int(sum(counts))


def test_every_template_has_a_file_and_every_file_a_template(real_data: Path) -> None:
    assert {path.stem for path in TEMPLATES.glob("*.yaml")} == set(FILES) == set(EXPECTED)
    known = {real_data / name for name in FILES.values()} | {real_data / "gsaa" / "si" / "KMRS_2023.rar"}
    beside = (".csv", ".gfs", ".txt")
    files = {path for path in (real_data / "gsaa").rglob("*") if path.is_file() and path.suffix not in beside}
    assert {path for path in files if path.name != "LICENSE"} == known


@pytest.mark.parametrize("country", FILES)
def test_what_is_on_disk_comes_out_or_is_set_aside(real_data: Path, country: str) -> None:
    frame, counted, _ = read_declarations(configured(real_data, country), 2023)
    assert rows_on_disk(real_data / FILES[country]) == counted.came_in == len(frame)
    by_reason = frame["reason"].value_counts().to_dict()
    assert counted.set_aside == by_reason
    assert counted.went_out + sum(by_reason.values()) == counted.came_in


def test_every_field_polygon_of_a_table_comes_out_or_is_set_aside(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "farmpin-parcels"
    table = pd.read_csv(folder / "parcels.csv")
    labels = pd.read_csv(folder / "labels.csv").set_index("field_id")["crop_id"]
    shapes = gpd.GeoSeries.from_wkt(table["geometry"], crs="EPSG:32734")
    frame = gpd.GeoDataFrame({"id": table["Field_Id"], "area": table["Area"]}, geometry=shapes)
    frame["crop"] = frame["id"].map(labels).astype("Int64")
    frame.to_file(tmp_path / "fields.gpkg")
    crops = pd.read_csv(folder / "crops.csv", dtype=str)
    crops.assign(hcat_code=None, crop_class=crops["crop"]).to_csv(tmp_path / "crops.csv", index=False)
    chosen = DeclarationOptions(
        path=str(tmp_path / "fields.gpkg"),
        fields={"parcel_id": "id", "code": "crop", "claimed_area": "area"},
        crops={"tables": (tmp_path / "crops.csv",), "code_column": "crop_id"},
    )
    read, counted, checks = read_declarations(chosen, 2017)
    assert len(table) == counted.came_in == len(read) == 3568
    assert counted.went_out + counted.lost == 3568
    labelled = int(frame["crop"].notna().sum())
    assert (counted.went_out, dict(counted.set_aside)) == (labelled, {"no_code": 3568 - labelled})
    assert sorted(read["parcel_id"], key=int) == [str(number) for number in sorted(table["Field_Id"])]
    assert "misplaced" not in set(checks["check"])


@pytest.mark.parametrize("country", EXPECTED)
def test_every_parcel_is_accounted_for_and_enough_are_mapped(real_data: Path, country: str) -> None:
    frame, counted, _ = read_declarations(configured(real_data, country), 2023)
    at_least, epsg = EXPECTED[country]
    mapped = frame["crop_class"].notna().sum()
    assert (len(frame), counted.came_in, frame["parcel_id"].is_unique) == (100, 100, True)
    assert mapped >= at_least
    assert frame["reason"].isin([None, "unmapped_code"]).all()
    assert (frame["reason"] == "unmapped_code").sum() == 100 - mapped == counted.lost
    assert frame.crs.to_epsg() == epsg
    assert (frame["area_ha"] > 0).all()


def test_slovenian_codes_keep_their_zeros_and_areas_agree(real_data: Path) -> None:
    frame, _, checks = read_declarations(configured(real_data, "slovenia"), 2021)
    assert frame["declared"].str.fullmatch(r"\d{3}").all()
    assert frame["claimed_area_ha"].to_numpy() == pytest.approx(frame["area_ha"].to_numpy(), rel=0.02)
    assert set(checks["check"]) <= {"sliver", "claimed_above_geometry"}


def test_flanders_has_second_crops_and_latvia_claims_above_its_geometry(real_data: Path) -> None:
    assert read_declarations(configured(real_data, "flanders"), 2023)[0]["declared_second"].notna().any()
    checks = read_declarations(configured(real_data, "latvia"), 2024)[2]
    assert (checks["check"] == "claimed_above_geometry").sum() == 9


def test_the_agencies_xml_keeps_its_text(real_data: Path) -> None:
    frame = read_declarations(configured(real_data, "latvia"), 2024)[0]
    assert frame["parcel_id"].iloc[0] == "17420299"
    assert frame["intervention"].iloc[0] == "MLS23"


def test_a_rar_says_what_to_do(real_data: Path) -> None:
    options = DeclarationOptions(path=str(real_data / "gsaa" / "si" / "KMRS_2023.rar"))
    with pytest.raises(DeclarationError, match="is a RAR archive, which is not opened here; unpack it"):
        read_declarations(options, 2023)
