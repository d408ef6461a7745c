"""What a sheet shows of the crops inside a parcel."""

from datetime import date
from pathlib import Path

import geopandas as gpd
import polars as pl
import pytest

from features.schema import COMPOSITION
from models.patches.composition.tables import FINDINGS, PAIRS, PICTURES
from reports.composition import COLUMNS, composition_columns, inside
from reports.desk.parcels import Parcels
from reports.desk.query import Query
from reports.exports.tables import write_exports
from reports.options import PublishOptions
from reports.pages.auditor import write_auditor
from reports.pages.follow_up import candidates
from reports.run import RunTables
from reports.sheet.composition import composition_of
from reports.sheet.sheets import write_sheets
from reports.translation import translation
from tests.mock_run import make_run

TEXT = translation("en")
ROWS = [
    {"crop_class": "maize", "area_ha": 1.2, "share": 0.6, "clusters": 1},
    {"crop_class": "wheat", "area_ha": 0.8, "share": 0.4, "clusters": 2},
]
FINDING = {"reason": None, "not_declared_ha": 0.8, "low_ha": 0.6, "high_ha": 1.1}
PIXELS = [
    {"x": 5.0 + 10 * k, "y": 5.0, "pixel_m": 10.0, "crop_class": ("wheat", "maize", None)[k]}
    for k in range(3)
]


def name(crop: str | None) -> str:
    return (crop or "").title()


def test_each_crop_has_its_hectares_and_the_declared_one_its_own_colour() -> None:
    shown = composition_of(ROWS, [FINDING], PIXELS, "maize", name, TEXT)
    assert shown is not None and shown.figure is not None
    assert shown.rows == [
        ("Maize", "bar-declared", "1.20", "60%", "1"),
        ("Wheat", "bar-predicted", "0.80", "40%", "2"),
    ]
    assert "0.80 ha" in shown.note and "between 0.60 and 1.10 ha" in shown.note
    assert 'class="bar-predicted" d="M0 0h1v1h-1z"' in shown.figure
    assert 'class="bar-declared" d="M1 0h1v1h-1z"' in shown.figure


def test_without_an_interval_none_is_claimed() -> None:
    shown = composition_of(ROWS, [{**FINDING, "low_ha": None}], [], "maize", name, TEXT)
    assert shown is not None and shown.figure is None and "between" not in shown.note


def test_a_parcel_whose_pixels_were_not_looked_at_shows_nothing() -> None:
    assert composition_of([], [], [], "maize", name, TEXT) is None
    assert composition_of(ROWS, [{**FINDING, "reason": "too_few_pixels"}], [], "maize", name, TEXT) is None


def test_a_parcel_with_more_than_one_crop_has_a_sheet_with_its_picture(tmp_path: Path) -> None:
    plain = make_run(60, light=True)
    sure = plain.verdicts.filter(pl.col("verdict") == "confirmed")["parcel_id"][0]
    mine = pl.col("parcel_id") == sure
    verdicts = plain.verdicts.with_columns(
        verdict=pl.when(mine).then(pl.lit("inconclusive")).otherwise("verdict"),
        reason=pl.when(mine).then(pl.lit("more_than_one_crop")).otherwise("reason"),
    )
    own = {"parcel_id": sure}
    run = make_run(
        60,
        light=True,
        verdicts=verdicts,
        composition=pl.DataFrame([own | row for row in ROWS], schema=COMPOSITION),
        composition_findings=pl.DataFrame([own | FINDING], schema=FINDINGS),
        composition_pixels=pl.DataFrame([own | pixel for pixel in PIXELS], schema=PICTURES),
    )
    listed = candidates(run, PublishOptions())
    assert (
        sure in listed["parcel_id"].to_list() and sure not in candidates(plain, PublishOptions())["parcel_id"]
    )
    sheet = listed.filter(pl.col("parcel_id") == sure)
    (path,) = write_sheets(run, tmp_path, PublishOptions(pictures=False), sheet)
    page = path.read_text(encoding="utf-8")
    assert "What grows where, by pixels" in page and "M0 0h1v1h-1z" in page
    assert "More than one crop grows in the parcel" in page


def composed_run() -> RunTables:
    """Two parcels with two crops each, one of them as declared; one with one crop; the rest not assessed."""
    ids = make_run(20, light=True).verdicts["parcel_id"].to_list()
    several = [{"parcel_id": name, **row} for name in ids[:2] for row in ROWS]
    one = {"parcel_id": ids[2], "crop_class": "maize", "area_ha": 1.0, "share": 1.0, "clusters": 1}
    told = {"heterogeneous": False, "more_than_one_crop": False, "reason": None}
    found = [
        {"parcel_id": ids[0], **told, **FINDING, "heterogeneous": True, "more_than_one_crop": True},
        {"parcel_id": ids[1], **told, "heterogeneous": True, "not_declared_ha": 0.0},
        {"parcel_id": ids[2], **told, "not_declared_ha": 0.0},
        *({"parcel_id": name, **told, "reason": "too_few_pixels"} for name in ids[3:]),
    ]
    return make_run(
        20,
        light=True,
        composition=pl.DataFrame([*several, one], schema=COMPOSITION),
        composition_findings=pl.DataFrame(found, schema=FINDINGS),
        evaluation={"mixed_pairs": pl.DataFrame(
            [("a", "b", 0, 0.4, 0.5, True), ("c", "d", 1, 0.5, 0.5, False)], schema=PAIRS, orient="row"
        )},
    )  # fmt: skip


def test_a_parcel_has_one_row_with_shares_hectares_and_why_it_was_not_assessed() -> None:
    run = composed_run()
    table = composition_columns(run)
    assert table is not None and table.schema == COLUMNS and table.height == 20
    mixed, alike, one, small = table.to_dicts()[:4]
    assert mixed["composition"] == alike["composition"] == "maize 0.60; wheat 0.40"
    assert [mixed["more_than_one_crop"], alike["more_than_one_crop"]] == [True, False]
    assert [mixed[f"not_declared_{k}"] for k in ("ha", "low_ha", "high_ha")] == pytest.approx([0.8, 0.6, 1.1])
    assert one["composition"] == "maize 1.00"
    assert small["composition"] is None and small["more_than_one_crop"] is None
    assert small["composition_reason"] == "too_few_pixels"
    assert composition_columns(make_run(5, light=True)) is None


def test_exports_hold_what_grows_inside_a_parcel(tmp_path: Path) -> None:
    run = composed_run()
    write_exports(run.verdicts, run.declarations, tmp_path, composition=composition_columns(run))
    for frame in (
        gpd.read_file(tmp_path / "verdicts.gpkg"),
        gpd.read_parquet(tmp_path / "exports" / "verdicts.geoparquet").sort_values(
            "parcel_id", ignore_index=True
        ),
        pl.read_csv(tmp_path / "verdicts.csv").to_pandas(),
    ):
        assert list(frame["parcel_id"].astype(int)) == list(run.verdicts["parcel_id"].cast(pl.Int64))
        assert frame["composition"][0] == "maize 0.60; wheat 0.40"
        assert bool(frame["more_than_one_crop"][0]) and not bool(frame["more_than_one_crop"][1])
        assert frame["not_declared_ha"][0] == pytest.approx(0.8)
        assert frame["composition_reason"][3] == "too_few_pixels"


def test_the_list_filters_by_what_grows_inside_and_says_it() -> None:
    run = composed_run()
    parcels = Parcels(run, list_rate=None)
    assert parcels.facets["inside"] == ["mixed", "parts", "one", "not_assessed"]
    found = parcels.filtered(Query.of({"inside": "mixed"}), {}, date(2026, 5, 1))
    assert found["parcel_id"].to_list() == run.verdicts["parcel_id"].to_list()[:1]
    assert found["composition"].to_list() == ["Maize 60%; wheat 40%"]
    whole = parcels.filtered(Query.of({"inside": "one"}), {}, date(2026, 5, 1))
    assert whole["composition"].to_list() == [None]
    assert Parcels(make_run(5, light=True), list_rate=None).facets["inside"] == []


def test_the_auditor_sees_counts_and_what_made_up_mixed_parcels_showed(tmp_path: Path) -> None:
    page = write_auditor(composed_run(), tmp_path, PublishOptions()).read_text(encoding="utf-8")
    assert "<dt>more than one crop</dt><dd>1</dd>" in page
    assert "<dt>not assessed by pixels</dt><dd>17</dd>" in page
    assert "2 pairs of neighbours" in page and "50% were found" in page and "off by 5%" in page
    other = write_auditor(make_run(20, light=True), tmp_path, PublishOptions()).read_text(encoding="utf-8")
    assert "What grows where, by pixels" not in other


def test_kinds_are_told_apart() -> None:
    run = composed_run()
    assert run.composition_findings is not None
    kinds = inside(run.composition_findings)["inside"].to_list()
    assert kinds[:4] == ["mixed", "parts", "one", "not_assessed"]
