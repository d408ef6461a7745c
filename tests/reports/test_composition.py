"""What a sheet shows of the crops inside a parcel."""

from pathlib import Path

import polars as pl

from features.schema import COMPOSITION
from models.patches.composition.tables import FINDINGS, PICTURES
from reports.options import PublishOptions
from reports.pages.follow_up import candidates
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
