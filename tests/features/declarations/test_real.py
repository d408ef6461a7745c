"""The extracts that five agencies publish, each read with a config of a few lines."""

from pathlib import Path

import pytest
import yaml

from features.declarations.reader import DeclarationOptions, read_declarations
from features.errors import DeclarationError

pytestmark = pytest.mark.realdata

CONFIGS = """
austria:
  path: gsaa/at/inspire_schlaege_2025-1_polygon.gpkg.zip
  fields: {parcel_id: INSPIRE_ID, code: SNAR_CODE, claimed_area: SL_FLAECHE_BRUTTO_HA}
  crops: {tables: [at_2021.csv]}
netherlands:
  path: gsaa/nl/brpgewaspercelen_definitief_2023.gpkg
  fields: {code: gewascode}
  crops: {tables: [nl_2020.csv, nl_other_years.csv]}
flanders:
  path: gsaa/be_vlg/Landbouwgebruikspercelen_2023_-_Definitief_(extractie_28-03-2024)_GPKG.zip
  fields: {parcel_id: REF_ID, code: GWSCOD_H, code_second: GWSCOD_N, region: PRC_GEM, claimed_area: GRAF_OPP}
  crops: {tables: [be_vlg_2021.csv]}
flanders_fiboa:
  path: gsaa/be_vlg/be_vlg_2024_fiboa_0_2.parquet
  fields: {parcel_id: id, code: "crop:code", claimed_area: area}
  crops: {tables: [be_vlg_2021.csv]}
latvia:
  path: gsaa/lv/1_100.xml
  fields: {parcel_id: PARCEL_ID, code: PRODUCT_CODE, intervention: AID_FORMS, claimed_area: AREA_DECLARED}
  crops: {tables: [lv_2021.csv]}
latvia_eurocrops:
  path: gsaa/ec_lv/LV_2021.zip
  fields: {parcel_id: PARCEL_ID, code: PRODUCT_CO, claimed_area: AREA_DECLA}
  crops: {tables: [lv_2021.csv]}
slovenia:
  path: gsaa/ec_si/SI_2021.zip
  fields: {parcel_id: ID, code: SIFRA_KMRS, claimed_area: AREA, claimed_area_unit: m2}
  crops: {tables: [si_2021.csv]}
"""
EXPECTED = {  # parcels with a mapped code of 100, EPSG code
    "austria": (80, 31287),
    "netherlands": (90, 28992),
    "flanders": (100, 31370),
    "flanders_fiboa": (100, 31370),
    "latvia": (100, 3059),
    "latvia_eurocrops": (100, 3059),
    "slovenia": (100, 3794),
}


def configured(real_data: Path, country: str) -> DeclarationOptions:
    config = yaml.safe_load(CONFIGS)[country]
    tables = [real_data / "hcat" / "csvs" / "country_mappings" / name for name in config["crops"]["tables"]]
    return DeclarationOptions.model_validate(
        config | {"path": str(real_data / config["path"]), "crops": {"tables": tables}}
    )


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
