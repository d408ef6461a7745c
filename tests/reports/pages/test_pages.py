"""The pages as files: their figures are the tables', their bytes repeat, what is missing is said."""

import html
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl
import pytest
import shapely
from pydantic import ValidationError

from features.files import sha256
from features.schema import MARKERS
from models.verdicts.rule import REASONS
from reports import translation as translations
from reports.embed import TEMPLATES
from reports.options import PublishOptions
from reports.pages.agency import write_agency
from reports.pages.analyst import write_analyst
from reports.pages.auditor import write_auditor
from reports.pages.follow_up import candidates
from reports.pages.sections.quality import per_class, quality_of
from reports.pages.write import write_reports
from reports.run import RunTables
from reports.translation import languages, translation
from tests.mock_run import make_run, write_scenes

OPTIONS = PublishOptions()


@pytest.fixture(scope="module")
def run() -> RunTables:
    return make_run(300, 1)


@pytest.fixture(scope="module")
def pages(run: RunTables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reports")
    write_reports(run, out, OPTIONS)
    return out


def data(page: str, name: str) -> Any:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def tiles(page: str) -> dict[str, str]:
    return dict(re.findall(r'data-verdict="(\w+)".*?<b>([\d,]+)</b>', page))


def test_counts_are_those_of_the_verdict_table(run: RunTables, pages: Path) -> None:
    page = (pages / "agency.html").read_text()
    counts = dict(run.verdicts["verdict"].value_counts().iter_rows())
    assert {name: int(value) for name, value in tiles(page).items()} == counts
    hectares = run.verdicts.filter(pl.col("verdict") == "contradicted")["area_ha"].cast(pl.Float64).sum()
    assert f"{hectares:,.1f} ha" in page


def test_the_list_is_ordered_by_the_stored_rate(run: RunTables, pages: Path) -> None:
    found = data((pages / "agency.html").read_text(), "run")
    rates = dict(zip(found["parcels"]["id"], found["parcels"]["q"], strict=True))
    stored = dict(run.verdicts.select("parcel_id", pl.col("q_value").cast(pl.Float64)).iter_rows())
    assert rates == {name: -1 if q is None else round(q * 100_000) for name, q in stored.items()}
    sheets = candidates(run, OPTIONS).filter("listed")["q_value"].drop_nulls().to_list()
    assert sheets == sorted(sheets)


def test_the_confusion_matrix_is_that_of_the_verdict_table(run: RunTables, pages: Path) -> None:
    found = data((pages / "analyst.html").read_text(), "confusion-data")
    judged = run.verdicts.filter(pl.col("predicted").is_not_null())
    right = judged.filter(pl.col("predicted") == pl.col("crop_class"))
    assert sum(sum(row) for row in found["count"]) == len(judged)
    assert sum(found["count"][k][k] for k in range(len(found["classes"]))) == len(right)
    assert sum(map(sum, found["hectares"])) == pytest.approx(judged["area_ha"].cast(pl.Float64).sum(), abs=1)


def test_metrics_by_class_are_recomputed(run: RunTables) -> None:
    rows = {row["f1"].name: row for row in per_class(quality_of(run))}
    judged = run.verdicts.filter(pl.col("predicted").is_not_null())
    maize = judged.filter(pl.col("crop_class") == "maize")
    hits = maize.filter(pl.col("predicted") == "maize")
    assert rows["maize"]["recall"].value == pytest.approx(len(hits) / len(maize))
    assert rows["maize"]["recall"].n == len(maize)
    assert rows["maize"]["recall"].low <= rows["maize"]["recall"].value <= rows["maize"]["recall"].high


def test_another_run_gives_other_figures(run: RunTables, pages: Path, tmp_path: Path) -> None:
    other = make_run(300, 2)
    write_reports(other, tmp_path, PublishOptions(max_sheets=0))
    here, there = ((folder / "agency.html").read_text() for folder in (pages, tmp_path))
    assert tiles(here) != tiles(there)
    for name, key in (("analyst.html", "confusion-data"),):
        assert (
            data((pages / name).read_text(), key)["count"]
            != data((tmp_path / name).read_text(), key)["count"]
        )
    for name in ("analyst.html", "auditor.html"):
        figures = [
            set(re.findall(r'class="num[^>]*>([\d.,]+)<', (folder / name).read_text()))
            for folder in (pages, tmp_path)
        ]
        assert len(figures[0] - figures[1]) > 10


def test_the_same_run_gives_the_same_bytes(run: RunTables, pages: Path, tmp_path: Path) -> None:
    again = write_reports(make_run(300, 1), tmp_path, OPTIONS)
    assert len(again) > 3
    for path in again:
        assert path.read_bytes() == (pages / path.relative_to(tmp_path)).read_bytes(), path.name


def test_every_file_keeps_its_size(tmp_path: Path) -> None:
    run = make_run(5_000, 3)
    written = write_reports(run, tmp_path, PublishOptions(max_sheets=20))
    for path in written:
        assert path.stat().st_size < (400_000 if path.parent.name == "parcels" else 5_000_000), path


def test_every_page_forbids_what_it_does_not_bring(pages: Path) -> None:
    for path in pages.rglob("*.html"):
        text = path.read_text()
        assert "default-src 'none'" in html.unescape(text)
        assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
        assert not re.search(
            r"<[^>]+\sstyle=|\son\w+=", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
        )


def test_a_large_map_splits_by_area(tmp_path: Path) -> None:
    run = make_run(3_000, 3, light=True, contributions=None)
    options = PublishOptions(page_limit_mb=0.12)
    written = write_agency(run, tmp_path, options, candidates(run, options))
    parts = [path for path in written if "map" in path.name]
    ids = [name for path in parts for name in data(path.read_text(), "run")["parcels"]["id"]]
    assert len(parts) > 1
    assert sorted(ids) == sorted(run.verdicts["parcel_id"])
    assert all(path.name in written[0].read_text() for path in parts)


def test_a_region_larger_than_a_page_is_listed_part_by_part_and_found_by_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.pages.agency.MOST_ELSEWHERE", 100)
    run = make_run(3_000, 3, light=True, contributions=None)
    rates = pl.Series("q_value", np.linspace(0, 1, 3_000), pl.Float32)
    run = replace(run, verdicts=run.verdicts.with_columns(rates))
    options = PublishOptions(page_limit_mb=0.101, list_rate_limit=1.0)
    listed = candidates(run, options)
    written = write_agency(run, tmp_path, options, listed)
    pages = {path.name: data(path.read_text(), "run") for path in written}
    parts = {name: page for name, page in pages.items() if name.startswith("agency-map-")}
    finders = [page for name, page in pages.items() if name.startswith("agency-find-")]
    main = pages["agency.html"]
    assert all(len(json.dumps(page, separators=(",", ":"))) < 101_000 for page in pages.values())
    assert all('id="filters"' in (tmp_path / name).read_text() for name in ["agency.html", *parts])
    # the first of the list stand on the page itself, in the list's order
    first = listed.filter("listed")["parcel_id"].head(len(main["parcels"]["id"])).to_list()
    assert sorted(main["parcels"]["id"]) == sorted(first)
    assert 'id="cut"' in written[0].read_text()
    # every other one is found by its number, on the part that draws it
    names = [name for page in finders for name in page["id"]]
    assert names == sorted(set(run.verdicts["parcel_id"]) - set(first))
    for page in finders:
        for name, part in zip(page["id"], page["part"], strict=True):
            assert name in parts[page["files"][part]]["parcels"]["id"]
    assert [finder["first"] for finder in main["finders"]] == [page["id"][0] for page in finders]
    assert sum(part["parcels"] for part in main["parts"]) == 3_000


def test_sheets_and_the_auditor_say_how_to_trace_a_verdict(pages: Path) -> None:
    for sheet in (pages / "parcels").glob("*.html"):
        assert f"cropcheck trace DIR <bdi>{sheet.stem}</bdi>" in sheet.read_text()
    assert "cropcheck trace DIR PARCEL" in (pages / "auditor.html").read_text()


def test_a_second_run_leaves_no_sheet_of_the_first(tmp_path: Path) -> None:
    write_reports(make_run(200, 1), tmp_path, OPTIONS)
    second = write_reports(make_run(200, 2), tmp_path, PublishOptions(max_sheets=2))
    assert set(tmp_path.rglob("*.html")) == set(second)


def test_progress_ends_where_it_said(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_reports(make_run(80, 1), tmp_path, OPTIONS, lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_run_without_doubts_says_so(tmp_path: Path) -> None:
    verdicts = make_run(60, 1).verdicts.with_columns(
        verdict=pl.lit("confirmed"), q_value=pl.lit(None, pl.Float32), predicted=pl.col("crop_class")
    )
    written = write_reports(make_run(60, 1, verdicts=verdicts), tmp_path, OPTIONS)
    assert len(written) == 3
    assert set(data(written[0].read_text(), "run")["parcels"]["q"]) == {-1}


def test_one_class_alone_and_no_groups_are_said(tmp_path: Path) -> None:
    base = make_run(30, 1)
    same = {"crop_class": pl.lit("maize"), "predicted": pl.lit("maize")}
    declarations = base.declarations.assign(holding_id=None, geometry=[shapely.box(0, 0, 100, 100)] * 30)
    run = make_run(
        30,
        1,
        verdicts=base.verdicts.with_columns(**same),
        declarations=gpd.GeoDataFrame(declarations, crs=32631),
    )
    page = write_analyst(run, tmp_path, OPTIONS, candidates(run, OPTIONS)).read_text()
    assert "Only one class stands in this run" in page
    assert "No intervals on this page" in page


def test_missing_tables_are_said(tmp_path: Path) -> None:
    run = make_run(
        60,
        1,
        light=True,
        importance=None,
        contributions=None,
        probabilities=None,
        evaluation={},
        metrics={},
        rules={},
        lineage={},
        dates=None,
    )
    write_reports(run, tmp_path, PublishOptions(list_rate_limit=1.0))
    text = {path.name: path.read_text() for path in tmp_path.rglob("*.html")}
    assert "No SHAP table was stored" in text["auditor.html"]
    assert "No earlier run was given" in text["auditor.html"]
    assert "No in-season curve" in text["analyst.html"]
    sheet = next(page for name, page in text.items() if name[0].isdigit())
    assert "No pictures" in sheet
    assert "Not explained" in sheet
    assert "Radar coherence: not in this run" in sheet


def test_nothing_judged_at_all_still_gives_pages(tmp_path: Path) -> None:
    empty = {
        name: pl.lit(None) for name in ("predicted", "probability", "p_value", "q_value", "prediction_set")
    }
    base = make_run(20, 1).verdicts
    none = base.with_columns(verdict=pl.lit("no_data"), **empty).cast(dict(base.schema))
    run = make_run(20, 1, verdicts=none.with_columns(top3=pl.lit([], base.schema["top3"])))
    assert len(write_reports(run, tmp_path, OPTIONS)) == 3


def test_the_auditor_reads_what_was_taken_over(tmp_path: Path) -> None:
    facts = {"transfer": "load", "runs": ["region_2023"]}
    run = make_run(60, 1, lineage={"folds": facts})
    page = write_auditor(run, tmp_path, OPTIONS).read_text()
    assert "models of region_2023 as they are; none trained here" in page
    assert "Taken over" not in write_auditor(make_run(60, 1), tmp_path, OPTIONS).read_text()


def test_drift_is_shown_when_an_earlier_run_is_given(tmp_path: Path) -> None:
    run = make_run(120, 2, previous=make_run(120, 1))
    page = write_auditor(run, tmp_path, OPTIONS).read_text()
    assert "Stability index of class shares" in page
    assert "No earlier run was given" not in page


def test_pictures_are_cut_from_the_scenes(tmp_path: Path) -> None:
    run = make_run(40, 4, acquisitions=write_scenes(tmp_path / "scenes"))
    written = write_reports(
        run, tmp_path / "out", PublishOptions(list_rate_limit=1.0, max_sheets=2, picture_dates=3)
    )
    sheets = [path.read_text() for path in written if path.parent.name == "parcels"]
    assert [sheet.count("data:image/png;base64,") for sheet in sheets] == [6, 6]
    assert "seen, 100% clear" in sheets[0]


def test_a_corrupt_scene_costs_its_pictures_only(tmp_path: Path) -> None:
    acquisitions = write_scenes(tmp_path / "scenes")
    (tmp_path / "scenes" / "B03.tif").write_bytes(b"not a raster")
    run = make_run(40, 4, acquisitions=acquisitions)
    written = write_reports(run, tmp_path / "out", PublishOptions(list_rate_limit=1.0, max_sheets=1))
    assert "No pictures" in written[-1].read_text()


@pytest.mark.parametrize("language", languages())
def test_a_catalog_says_all_that_the_english_one_says(language: str) -> None:
    english, other = translation("en").phrases, translation(language).phrases
    assert english.keys() == other.keys()
    for key, phrase in english.items():
        assert set(re.findall(r"{(\w+)}", phrase)) == set(re.findall(r"{(\w+)}", other[key])), key


def test_a_third_language_is_one_file(
    run: RunTables, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in languages():
        shutil.copy(translations.FOLDER / f"{name}.yaml", tmp_path)
    upper = re.sub(r'": "(.*)"$', r'": "¡\1!"', (tmp_path / "en.yaml").read_text(), flags=re.MULTILINE)
    (tmp_path / "xx.yaml").write_text(
        upper.replace('contradicted: "Looks different"', 'contradicted: "Xxxx"')
    )
    with pytest.raises(ValidationError, match="there is no catalog of 'xx'"):
        PublishOptions(language="xx")
    monkeypatch.setattr(translations, "FOLDER", tmp_path)
    options = PublishOptions(language="xx", max_sheets=0)
    page = write_agency(run, tmp_path / "out", options, candidates(run, options))[0].read_text()
    assert '<html lang="xx"' in page
    assert "Xxxx" in page
    assert "</svg>Looks different" not in page


def test_templates_hold_no_sentence_of_their_own() -> None:
    """All words come from the catalogs: between tags and in labels stand only phrases and marks."""
    own = []
    for path in sorted(TEMPLATES.rglob("*.j2")):
        if path.name.startswith("letter_"):
            continue
        text = re.sub(
            r"{#.*?#}|{%.*?%}|{{.*?}}|<(script|style|code).*?</\1>", " ", path.read_text(), flags=re.DOTALL
        )
        text = re.sub(r'<span class="mono">.*?</span>|<dd class="mono">.*?</dd>', " ", text, flags=re.DOTALL)
        words = re.findall(r">([^<>]+)<", text) + re.findall(
            r'(?:aria-label|title|placeholder|alt)="([^"]+)"', text
        )
        own += [(path.name, part.strip()) for part in words if re.search(r"[a-z]{3,} [a-z]{2,}", part)]
    assert not own


def test_every_reason_has_words() -> None:
    assert {f"reason.{name}" for name in REASONS} <= translation("en").phrases.keys()


def test_the_german_pages_speak_german(tmp_path: Path) -> None:
    written = write_reports(make_run(80, 1), tmp_path, PublishOptions(language="de", max_sheets=2))
    german = set(translation("de").phrases.values())
    english = [
        phrase
        for key, phrase in translation("en").phrases.items()
        if phrase not in german and not key.startswith(("desk.", "number.")) and len(phrase) > 3
    ]
    for path in written:
        assert '<html lang="de"' in path.read_text()
        page = re.sub(r"<script>.*?</script>|<style>.*?</style>", "", path.read_text(), flags=re.DOTALL)
        page = html.unescape(page)
        said = set(re.findall(r">\s*([^<>{}]+?)\s*<", page)) | set(re.findall(r'"([^"]+)"', page))
        leaks = {phrase for phrase in english if "{" not in phrase and not re.fullmatch("[a-z]+", phrase)}
        leaks &= said
        assert not leaks, path.name
        for phrase in (phrase for phrase in english if "{" in phrase and phrase.count(" ") > 3):
            pattern = ".{1,40}".join(map(re.escape, re.split(r"{\w+}", phrase)))
            assert not re.search(pattern, page), (path.name, phrase)
    officer = (tmp_path / "agency.html").read_text()
    assert "Abweichend" in officer
    assert "Widerspr" not in officer
    assert "Mais" in officer and "Maize" not in officer
    assert re.search(r"\d,\d ha", officer)


@pytest.mark.parametrize(
    "change",
    [
        {"language": "de"},
        {"title": "Elsewhere"},
        {"list_rate": 0.2},
        {"list_rate_limit": 0.05},
        {"max_sheets": 1},
        {"pictures": False},
        {"picture_dates": 2},
        {"picture_margin_m": 60},
        {"map_tolerance_m": 90},
        {"cell_parcels": 10},
        {"show_holdings": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_option_changes_the_files(
    change: dict[str, Any], scenic: tuple[RunTables, dict[str, str]], tmp_path: Path
) -> None:
    run, plain = scenic
    assert digests(run, tmp_path, {**FEW, **change}) != plain


FEW = {"max_sheets": 2}


def digests(run: RunTables, folder: Path, options: dict[str, Any]) -> dict[str, str]:
    written = write_reports(run, folder, PublishOptions(**options))
    return {path.relative_to(folder).as_posix(): sha256(path) for path in written}


@pytest.fixture(scope="module")
def scenic(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunTables, dict[str, str]]:
    folder = tmp_path_factory.mktemp("scenic")
    run = make_run(400, 4, light=True, acquisitions=write_scenes(folder / "scenes"))
    return run, digests(run, folder / "out", FEW)


def test_markers_of_a_region_whose_truth_nobody_knows_are_shown_without_rates(tmp_path: Path) -> None:
    run = make_run(60, 1)
    ids = run.verdicts["parcel_id"].to_list()
    rows = [(name, "cut_twice", "met", "event_found", 3) for name in ids]
    table = pl.DataFrame(
        rows, schema=["parcel_id", "requirement", "state", "reason", "n_observations"], orient="row"
    )
    empty = MARKERS.to_frame().select(pl.exclude(table.columns)).clear(len(table))
    markers = pl.concat([table, empty], how="horizontal").select(MARKERS.names()).cast(dict(MARKERS))
    tables = {name: table for name, table in run.evaluation.items() if name != "marker_rates"}
    page = write_auditor(replace(run, markers=markers, evaluation=tables), tmp_path, OPTIONS).read_text()
    (row,) = re.findall(r'<tr><th scope="row"><bdi>cut_twice</bdi></th>(.*?)</tr>', page)
    assert [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?>(.*?)</td>", row)] == [
        "60", "0", "3", *["–"] * 4,
    ]  # fmt: skip


def test_parcels_that_left_their_forecast_can_be_filtered(tmp_path: Path) -> None:
    plain = make_run(60)
    row = {"parcel_id": "000005", "direction": "above"}
    anomalies = pl.DataFrame([row], schema_overrides={"parcel_id": pl.String})
    for run, there in ((plain, False), (replace(plain, anomalies=anomalies), True)):
        listed = candidates(run, OPTIONS)
        page = write_agency(run, tmp_path, OPTIONS, listed)[0].read_text(encoding="utf-8")
        assert ('data-key="n"' in page) is there
        found = re.search(r'"n": ?\[([-0-9, ]+)\]', page)
        assert found is not None
        codes = [int(code) for code in found[1].split(",")]
        assert [place for place, code in enumerate(codes) if code >= 0] == ([4] if there else [])
