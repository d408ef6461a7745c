import csv
import json
from pathlib import Path

import geopandas as gpd
import polars as pl
import pytest
import shapely
from geopandas.testing import assert_geodataframe_equal
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.parquet import ParquetFile

from features.exchange.cells import ExchangeError
from features.exchange.interventions import interventions_of
from features.exchange.options import InterventionOptions
from features.files import sha256
from features.schema import VERDICTS, SchemaError
from pipelines.commands.quality.validate import validate_tables
from reports.exports.neutral import neutral
from reports.exports.tables import write_exports
from tests.mock_run import make_run

RUN = make_run(60)
HOSTILE = ["=HYPERLINK('x')", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "<script>", r"$\frac{$", "-5"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    paths = write_exports(RUN.verdicts, RUN.declarations, folder, crop_names=RUN.crop_names, agency="BE")
    assert all(path.is_file() for path in paths)
    assert [path.name for path in folder.rglob("*.partial*")] == []
    return folder


def test_the_geopackage_holds_every_verdict_with_its_parcel(written: Path) -> None:
    frame = gpd.read_file(written / "verdicts.gpkg", layer="verdicts")
    assert list(frame["parcel_id"]) == RUN.verdicts["parcel_id"].to_list()
    assert list(frame["verdict"]) == RUN.verdicts["verdict"].to_list()
    assert frame.crs == RUN.declarations.crs
    assert (frame.area / 1e4).to_numpy() == pytest.approx(RUN.declarations["area_ha"].to_numpy())
    assert "holding_id" not in frame


def test_the_csv_keeps_zeros_and_numbers(written: Path) -> None:
    with (written / "verdicts.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["parcel_id"] for row in rows] == RUN.verdicts["parcel_id"].to_list()
    assert rows[0]["declared"] == RUN.verdicts["declared"][0]
    assert float(rows[0]["area_ha"]) == pytest.approx(RUN.verdicts["area_ha"][0], abs=1e-5)
    assert rows[0]["top3"].startswith(RUN.verdicts["top3"][0][0]["crop_class"])


def test_geoparquet_and_fiboa_names(written: Path) -> None:
    assert len(gpd.read_parquet(written / "exports" / "verdicts.geoparquet")) == 60
    fields = gpd.read_parquet(written / "exports" / "fields_fiboa.parquet")
    declared = RUN.declarations.set_index("parcel_id")["declared"]
    assert list(fields["crop:code"]) == [declared[number] for number in fields["id"]]
    assert list(fields["crop:name"]) == [RUN.crop_names[code] for code in fields["crop:code"]]
    assert fields["hcat:code"].dtype == "UInt32"
    assert (fields["area"] > 0).all()


def test_the_european_tables(written: Path) -> None:
    population = gpd.read_file(written / "exports" / "gsa_population.gpkg")
    names = [
        "gsa_code",
        "gsa_par_id",
        "gsa_hol_id",
        "gsa_col_id",
        "main_crop",
        "catch_crop",
        "organic",
        "geometry",
    ]
    assert list(population.columns) == names
    assert (len(population), population.crs.to_epsg(), set(population["gsa_code"])) == (60, 4326, {"BE"})
    claimed = pl.read_csv(written / "exports" / "gsa_ua_claimed.csv", infer_schema=False, separator=";")
    assert claimed.columns == ["gsa_code", "gsa_par_id", "ua", "claim_area"]
    assert claimed.height == RUN.declarations["claimed_area_ha"].notna().sum()
    listed = pl.read_csv(written / "exports" / "interventions.csv", infer_schema=False, separator=";")
    assert set(listed["ua"]) == set(RUN.declarations["intervention"].dropna())
    assert listed.drop("ua").null_count().sum_horizontal().item() == 5 * listed.height  # nobody stated them


def test_interventions_come_from_the_agencys_list_and_organic_from_its_column(tmp_path: Path) -> None:
    declarations = RUN.declarations.head(3).copy()
    declarations["intervention"], declarations["organic"] = ["HAY;BISS", "BISS", None], ["ja", "0", "biol."]
    declarations["claimed_area_ha"] = [1.0, 2.0, 3.0]
    (tmp_path / "list.csv").write_text(
        "CODE;GRP;interv;interv_lev;interv_typ\nBISS;G1;BISS-1;parcel;area\nX;G2;;;\n"
    )
    options = InterventionOptions(path=tmp_path / "list.csv", columns={"ua": "CODE", "ua_grp": "GRP"})
    write_exports(RUN.verdicts.head(3), declarations, tmp_path, interventions=options)
    exports = tmp_path / "exports"
    listed = pl.read_csv(exports / "interventions.csv", infer_schema=False, separator=";")
    assert listed.rows() == [
        ("BISS", "G1", "BISS-1", "parcel", "area", None), ("X", "G2", None, None, None, None),
        ("HAY", None, None, None, None, None),
    ]  # fmt: skip
    claimed = pl.read_csv(exports / "gsa_ua_claimed.csv", infer_schema=False, separator=";")
    first, second = declarations["parcel_id"].iloc[:2]
    assert claimed.select("gsa_par_id", "ua", "claim_area").rows() == [
        (first, "HAY", "1.0000"), (first, "BISS", "1.0000"), (second, "BISS", "2.0000"),
    ]  # fmt: skip
    assert list(gpd.read_file(exports / "gsa_population.gpkg")["organic"]) == ["1", "0", "biol."]
    said, _ = validate_tables([exports])
    for hint in ("interventions.ua_grp: empty cell, 1 (HAY)", "unit amount not claimed, 1 (X)",
                 "gsa_population.organic: not boolean, 1"):  # fmt: skip
        assert hint in said
    assert "not in interventions" not in said


def test_a_list_of_interventions_that_lacks_a_column_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("ua;group\nBISS;G1\n")
    for columns, word in (({"ua_grp": "GRP"}, "lacks the columns"), ({"grp": "group"}, "no columns of the")):
        options = InterventionOptions(path=tmp_path / "list.csv", columns=columns)
        with pytest.raises(ExchangeError, match=word):
            interventions_of(["BISS"], options)


def test_equal_runs_give_equal_bytes_and_others_do_not(written: Path, tmp_path: Path) -> None:
    again = write_exports(RUN.verdicts, RUN.declarations, tmp_path, crop_names=RUN.crop_names, agency="BE")
    assert [sha256(path) for path in again] == [
        sha256(written / path.relative_to(tmp_path)) for path in again
    ]
    other = make_run(60, seed=2)
    changed = write_exports(other.verdicts, other.declarations, tmp_path)
    alike = [path.name for path in changed if sha256(path) == sha256(written / path.relative_to(tmp_path))]
    assert alike == ["interventions.csv"]  # both claim under the same


def test_hostile_text_runs_nowhere(tmp_path: Path) -> None:
    declarations = RUN.declarations.head(len(HOSTILE)).copy()
    ids = [f"{text} {number}" for number, text in enumerate(HOSTILE[:-1])] + ["-5"]
    declarations["parcel_id"], declarations["region"], declarations["intervention"] = ids, HOSTILE, HOSTILE
    verdicts = RUN.verdicts.head(len(HOSTILE)).with_columns(
        parcel_id=pl.Series(ids), declared=pl.Series(HOSTILE)
    )
    write_exports(verdicts, declarations, tmp_path)
    for name, delimiter in (("verdicts.csv", ","), ("exports/gsa_ua_claimed.csv", ";")):
        with (tmp_path / name).open(encoding="utf-8") as handle:
            cells = [cell for row in csv.reader(handle, delimiter=delimiter) for cell in row]
        assert [cell for cell in cells if cell[:1] in ("=", "+", "@", "\t") or cell.startswith("-2+")] == []
        assert "-5" in cells
    assert list(gpd.read_file(tmp_path / "verdicts.gpkg")["region"]) == HOSTILE


def test_no_verdict_no_geometry_and_no_code_still_export(tmp_path: Path) -> None:
    declarations = RUN.declarations.head(2).copy()
    declarations["declared"], declarations["hcat_code"] = [None, "1"], None
    declarations["geometry"] = [declarations.geometry.iloc[0], shapely.Polygon()]
    verdicts = RUN.verdicts.head(2).with_columns(declared=pl.Series([None, "1"]), q_value=None, top3=None)
    write_exports(verdicts, declarations, tmp_path)
    assert len(gpd.read_file(tmp_path / "verdicts.gpkg")) == 2
    assert len(gpd.read_parquet(tmp_path / "exports" / "fields_fiboa.parquet")) == 0
    write_exports(RUN.verdicts.head(0), RUN.declarations.head(0), tmp_path)
    assert len(gpd.read_file(tmp_path / "verdicts.gpkg")) == 0


def test_a_table_that_is_no_verdict_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="The verdicts lacks the columns"):
        write_exports(RUN.verdicts.drop("verdict"), RUN.declarations, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert RUN.verdicts.schema == VERDICTS


@given(st.text(max_size=12))
def test_no_cell_begins_like_a_formula_and_nothing_else_changes(text: str) -> None:
    safe = neutral(text)
    assert safe in (text, f"'{text}")
    if safe == text and text.lstrip(" ")[:1] in ("=", "+", "-", "@"):
        float(text.replace(",", "."))


@given(st.one_of(st.integers().map(str), st.floats(allow_nan=False, allow_infinity=False).map(str)))
def test_numbers_are_untouched(number: str) -> None:
    assert neutral(number) == number


def test_parts_of_a_few_rows_give_the_same_tables(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.exports.parts.ROWS", 7)
    write_exports(RUN.verdicts, RUN.declarations, tmp_path, crop_names=RUN.crop_names, agency="BE")
    for name in ("verdicts.csv", "exports/gsa_ua_claimed.csv"):
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()
    for name in ("verdicts.gpkg", "exports/gsa_population.gpkg"):
        parts, whole = gpd.read_file(tmp_path / name), gpd.read_file(written / name)
        assert parts.crs == whole.crs
        assert_geodataframe_equal(parts, whole)
    for name in ("verdicts.geoparquet", "fields_fiboa.parquet"):
        parts, whole = (gpd.read_parquet(folder / "exports" / name) for folder in (tmp_path, written))
        assert_geodataframe_equal(parts, whole)


def test_a_reader_of_a_place_opens_only_the_row_groups_that_lie_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.exports.parts.ROWS", 10)
    write_exports(RUN.verdicts, RUN.declarations, tmp_path)
    path = tmp_path / "exports" / "verdicts.geoparquet"
    groups = ParquetFile(path)
    columns = [
        groups.metadata.row_group(0).column(k).path_in_schema for k in range(groups.metadata.num_columns)
    ]
    boxes = [
        [
            groups.metadata.row_group(g).column(columns.index(f"bbox.{edge}")).statistics
            for edge in ("xmin", "xmax")
        ]
        for g in range(groups.num_row_groups)
    ]
    assert groups.num_row_groups == 6
    widths = [high.max - low.min for low, high in boxes]
    west, _, east, _ = RUN.declarations.total_bounds
    assert max(widths) < 0.75 * (east - west)
    geo = json.loads(groups.metadata.metadata[b"geo"])["columns"]["geometry"]
    assert geo["bbox"] == pytest.approx(RUN.declarations.total_bounds.tolist())
