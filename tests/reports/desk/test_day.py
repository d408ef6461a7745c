"""A whole working day at the desk, in a real browser."""

import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from features.journal.file import FileJournal
from models.assessment.options import SampleOptions
from models.assessment.quality_sample import draw_sample
from pipelines.inputs.field import source_of
from pipelines.record.audit.journals import walk
from pipelines.tables import write_table
from pipelines.workspace import Workspace
from reports.desk.records.decisions import Wish
from reports.desk.state import Desk
from reports.desk.views.exports import FIELD_RESULT
from reports.options import PublishOptions
from reports.run import RunTables
from tests.mock_run import make_run, write_scenes
from tests.reports.desk.databases import DATABASES, store_on
from tests.reports.desk.records.test_photos import photo
from tests.reports.desk.served import served
from tests.reports.test_browser import ARGUMENTS, CHROMIUM, pytestmark  # noqa: F401  (skips without Chromium)

PASSWORD = "a long password"
SEASON = (date(2025, 3, 1), date(2025, 10, 31))
CHOICES = ("Visit", "In order", "Accept the correction")
SIZES = ((1366, 768), (1920, 1080), (390, 844))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunTables:
    return make_run(90, 1, acquisitions=write_scenes(tmp_path_factory.mktemp("scenes")))


@contextmanager
def opened(database: str, run: RunTables, folder: Path) -> Iterator[Desk]:
    with store_on(database, folder) as store:
        made = Desk(run, store, folder / "desk", PublishOptions(list_rate=0.4), SEASON)
        for name in ("anna", "bert"):
            made.accounts.create(name, "officer", PASSWORD, by="test")
        yield made


@pytest.fixture(scope="module")
def desk(run: RunTables, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with opened("sqlite", run, tmp_path_factory.mktemp("desk")) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


def log_in(browser: Any, address: str, name: str) -> Any:
    page = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
    page.goto(address)
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_selector("#parcels")
    return page


def _attach_photos(page: Any, parcel: str, folder: Path) -> None:
    (folder / "a.jpg").write_bytes(photo(place=None, direction=None))
    (folder / "b.jpg").write_bytes(photo(colour=160))
    page.goto(parcel)
    page.set_input_files("input[type=file]", [str(folder / "a.jpg"), str(folder / "b.jpg")])
    page.click("form[action='/photos'] .btn")
    page.wait_for_selector("img[src^='/photo']")
    assert page.locator("img[src^='/photo']").count() == 2
    assert "no position in the photo" in page.inner_text("main")


def _assess(desk: Desk, folder: Path, reviewed: Path) -> None:
    """Let the command read the desk's export into the run's journal; the sample takes every parcel."""
    run, workspace = desk.run, Workspace(folder)
    declared = pl.from_pandas(run.declarations.drop(columns="geometry"))
    drawn = draw_sample(
        declared.with_columns(pl.col(pl.Null).cast(pl.String)), SampleOptions(share=1.0, per_holding=90), 1
    )
    write_table(run.verdicts, workspace.imagery_verdicts)
    write_table(drawn.design, workspace.design)
    command = [sys.executable, "-m", "pipelines.cli", "assess", str(folder), str(reviewed), "--by", "anna"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    standing = {name: made.decision for name, made in desk.decisions.standing().items()}
    results = {name: FIELD_RESULT[made] for name, made in standing.items() if made in FIELD_RESULT}
    assert set(results.values()) == {"correct", "wrong"}
    assert f"{len(results)} parcels have a field result" in done.stdout
    assert "error (hectares): " in done.stdout
    entries = FileJournal(workspace.field_journal).entries()
    assert {entry.subject: entry.content["field_result"] for entry in entries} == results
    assert {(entry.by, entry.source) for entry in entries} == {("anna", source_of(reviewed))}


@pytest.mark.parametrize("database", DATABASES)
def test_a_whole_day(database: str, run: RunTables, browser: Any, tmp_path: Path) -> None:
    with opened(database, run, tmp_path) as desk, served(desk) as address:
        errors: list[str] = []
        anna, bert = log_in(browser, address, "anna"), log_in(browser, address, "bert")
        for page in (anna, bert):
            page.on("pageerror", lambda error: errors.append(str(error)))

        anna.select_option("select[name=verdict]", "inconclusive")
        anna.click("form[role=search] .btn.main")
        anna.wait_for_load_state()
        assert "verdict=inconclusive" in anna.url, "the address holds the state"
        anna.go_back()
        anna.wait_for_selector("#parcels")

        anna.keyboard.press("j")
        anna.keyboard.press("Enter")
        anna.wait_for_selector("form[data-draft]")
        first_parcel = anna.url
        done = []
        for number in range(10):  # ten parcels, by keyboard from one to the next
            done.append(anna.input_value("form[data-draft] input[name=id]"))
            anna.click(f".choices label:has-text('{CHOICES[number % len(CHOICES)]}')")
            anna.fill("textarea[name=remark]", f"remark {number}")
            anna.click("form[data-draft] .btn.main")
            anna.wait_for_selector("[role=status]")
            anna.locator("body").click(position={"x": 5, "y": 300})
            with anna.expect_navigation():
                anna.keyboard.press("n")
        assert len(set(done)) == 10
        assert set(desk.decisions.standing()) == set(done)

        _attach_photos(anna, first_parcel, tmp_path)
        free = next(name for name in desk.parcels.table["parcel_id"] if name not in done)
        for page in (anna, bert):
            page.goto(f"{address}/parcel?id={free}")
        bert.click(".choices label:has-text('In order')")
        bert.click("form[data-draft] .btn.main")
        bert.wait_for_selector("[role=status]")
        anna.click(".choices label:has-text('Visit')")
        anna.fill("textarea[name=remark]", "mine")
        anna.click("form[data-draft] .btn.main")
        anna.wait_for_selector(".warn")
        assert "bert decided “In order”" in anna.inner_text(".warn")
        assert anna.input_value("textarea[name=remark]") == "mine"

        anna.goto(f"{address}/letters?text={free}")
        assert free in anna.inner_text("article.paper")
        with anna.expect_download() as download:
            anna.evaluate("where => { location = where }", f"{address}/export/parcels.csv")
        reviewed = tmp_path / "reviewed.csv"
        download.value.save_as(reviewed)
        _assess(desk, tmp_path, reviewed)
        assert not errors
        assert walk(Workspace(tmp_path)).faults == []


def test_pages_are_readable_by_everyone_at_every_width(desk: Desk, browser: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with served(desk) as address:
        desk.accounts.create("boss", "administrator", PASSWORD, by="test")
        page = log_in(browser, address, "boss")
        parcel, holding = (desk.parcels.table[name][0] for name in ("parcel_id", "holding_id"))
        page.fill("form[action='/views'] input[name=title]", "Mine")
        page.click("form[action='/views'] .btn")
        page.wait_for_selector("form[action='/views/change']", state="attached")
        wish = Wish("visit", "wet", "boss", "2025-09-01")
        desk.decisions.save("boss", wish, [(parcel, desk.model_id)], {})
        for path in (
            "/", f"/parcel?id={parcel}", f"/holding?id={holding}", "/map", "/progress", "/log", "/accounts",
            "/password", f"/sheets?parcel={parcel}", f"/letters?parcel={parcel}",
        ):  # fmt: skip
            for width, height in SIZES:
                page.set_viewport_size({"width": width, "height": height})
                page.goto(address + path)
                page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
                wide = page.evaluate(
                    "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                )
                assert wide <= 0, (path, width)
            found = Axe().run(page).response["violations"]
            assert not found, (
                path,
                [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found],
            )


def test_pictures_of_every_date_show_the_parcel(desk: Desk, browser: Any) -> None:
    with served(desk) as address:
        page = log_in(browser, address, "anna")
        page.goto(f"{address}/parcel?id={desk.parcels.table['parcel_id'][0]}")
        page.wait_for_load_state("networkidle")
        assert page.locator(".calendar button").count() == len(
            desk.album.frames(desk.parcels.table["parcel_id"][0])
        )
        loaded = page.evaluate(
            "[...document.querySelectorAll('.compare img')].map(image => image.naturalWidth > 0)"
        )
        assert loaded == [True, True]
        small = page.locator(".compare .pair").bounding_box()
        page.click("#enlarge")
        large = page.locator(".compare .pair").bounding_box()
        assert large["width"] > 1.5 * small["width"]
        assert page.locator("#enlarge").get_attribute("aria-pressed") == "true"
        assert Image.open(io.BytesIO(page.screenshot())).width == 1366
