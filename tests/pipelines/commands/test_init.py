"""A first config from a parcel file's own columns."""

from pathlib import Path

import geopandas as gpd
import pytest
import shapely

from features.errors import CropcheckError
from pipelines.commands.checks.check import check_inputs
from pipelines.commands.init import Source, draft, write_config
from pipelines.config import load_config
from pipelines.workspace import Workspace
from pipelines.yamlfile import parse_yaml

HECTARE = [shapely.box(5e5 + 200 * n, 6.2e6, 5e5 + 200 * n + 100, 6.2e6 + 100) for n in range(6)]


def denmark(folder: Path) -> Path:
    """Columns as the Danish agency publishes them: no column alone tells parcels apart."""
    columns = {
        "Marknr": ["1-0", "2-0", "3-0", "1-0", "2-0", "3-0"],
        "IMK_areal": ["1,00", "1,02", "0,99", "1,00", "1,00", "1,00"],
        "Afgkode": [1, 1, 11, 11, 260, 260],
        "Journalnr": ["23-0000001"] * 3 + ["23-0000002"] * 3,
    }
    path = folder / "Marker_2023.shp"
    gpd.GeoDataFrame(columns, geometry=HECTARE, crs="EPSG:25832").to_file(path)
    return path


def codes(folder: Path) -> Path:
    path = folder / "dk.csv"
    rows = ["001;Vårbyg;3301010402", "011;Vinterhvede;3301010101", "260;Græs;3302000000"]
    path.write_text("\n".join(["original_code;original_name;HCAT3_code", *rows]), encoding="utf-8")
    return path


def test_the_next_agency_by_the_recipe(tmp_path: Path) -> None:
    config = tmp_path / "dk.yaml"
    said = write_config(Source(str(denmark(tmp_path)), codes=codes(tmp_path)), config)
    assert said.splitlines() == [
        f"Wrote {config}.",
        "6 parcels, in ETRS89 / UTM zone 32N.",
        "Guessed claimed_area: IMK_areal (its numbers are the areas of the geometries).",
        "Guessed code: Afgkode (the code table knows 33% of its values).",
        "Guessed parcel_id: [Marknr, Journalnr] (together they have a value of their own for every parcel).",
        "Not guessed holding: none found: folds go by spatial block.",
        "Season 2023, from the file's name.",
        f"Then: cropcheck check {config} --only declarations",
    ]
    checked = check_inputs(load_config(config), Workspace(tmp_path / "out"), only="declarations")
    assert checked.problems == []
    assert "with `declarations.crops.pad: 3` 4 of these parcels are mapped" in str(checked)
    padded = load_config(config, ["declarations.crops.pad=3"])
    checked = check_inputs(padded, Workspace(tmp_path / "out"), only="declarations")
    assert "6 parcels in, 6 out, 0 set aside" in str(checked)
    with pytest.raises(CropcheckError, match=r"dk\.yaml exists already; name another file with --out"):
        write_config(Source(str(denmark(tmp_path))), config)


def test_names_and_values_in_other_languages(tmp_path: Path) -> None:
    columns = {
        "SIFRA_KMRS": ["204", "204", "801", "801", "204", "801"],
        "ID": ["a", "b", "c", "d", "e", "f"],
        "betrieb": ["x", "x", "x", "y", "y", "y"],
        "povrsina": [10_000.0] * 6,
    }
    path = tmp_path / "parcele.parquet"
    gpd.GeoDataFrame(columns, geometry=HECTARE, crs="EPSG:3794").to_parquet(path)
    drafted = draft(Source(str(path)), "parcele")
    assert parse_yaml(drafted.text)["declarations"]["fields"] == {
        "parcel_id": "ID", "holding": "betrieb", "code": "SIFRA_KMRS",
        "claimed_area": "povrsina", "claimed_area_unit": "m2",
    }  # fmt: skip
    assert "Season 2024: please check." in drafted.said


def test_a_bare_file_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a b: 'c'.parquet"
    frame = gpd.GeoDataFrame({"x y": ["Å½"] * 6}, geometry=HECTARE, crs=None)
    frame.to_parquet(path)
    drafted = draft(Source(str(path)), "x")
    assert parse_yaml(drafted.text)["declarations"]["path"] == str(path)
    assert "crs: null  # the file names none" in drafted.text
    assert any("no column tells parcels apart" in line for line in drafted.said)
    assert any("Letters look wrong" in line for line in drafted.said)
