"""The pages in a real browser: nothing is fetched, everything answers, everyone can read it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from reports.options import PublishOptions
from reports.pages.agency import write_agency
from reports.pages.follow_up import candidates
from reports.pages.write import write_reports
from tests.mock_run import make_run, write_scenes
from tests.reports.test_hostile import hostile_run

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PAGES = ("agency.html", "analyst.html", "auditor.html")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium here (apt-get install chromium)"),
]


class Watched:
    """A page, and what it asked for and complained of."""

    def __init__(self, page: Any) -> None:
        self.page, self.requests, self.errors = page, [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)

    def open(self, path: Path) -> Any:
        self.page.goto(path.as_uri())
        self.page.wait_for_timeout(150)
        return self.page

    def assert_quiet(self) -> None:
        outside = [url for url in self.requests if not url.startswith(("file://", "data:", "blob:"))]
        assert not outside
        assert not self.errors


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    write_reports(make_run(300, 1), out, PublishOptions(list_rate_limit=0.9, max_sheets=12))
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def watched(browser: Any) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1366, "height": 768}, accept_downloads=True)
    watched = Watched(context.new_page())
    yield watched
    context.close()


def rows(page: Any) -> list[str]:
    return page.locator("#list tbody tr td.id").all_inner_texts()


def a_sheet(site: Path) -> Path:
    return sorted((site / "parcels").glob("*.html"))[0]


@pytest.mark.parametrize("name", PAGES)
def test_no_request_leaves_a_page(watched: Watched, site: Path, name: str) -> None:
    watched.open(site / name)
    watched.assert_quiet()
    assert [url for url in watched.requests if url.startswith("file:")] == [(site / name).as_uri()]


def test_the_policy_stops_what_a_page_would_fetch_or_run(watched: Watched, site: Path) -> None:
    page = watched.open(site / "agency.html")
    answer = page.evaluate("fetch('https://example.org/').then(() => 'sent', () => 'stopped')")
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"x\" onerror=\"window.ran = 1\">')"
    )
    page.evaluate(
        """{ const s = document.createElement('script'); s.textContent = 'window.ran = 1';
        document.body.append(s); }"""
    )
    page.wait_for_timeout(100)
    assert answer == "stopped"
    assert page.evaluate("window.ran") is None


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_and_fits_a_screen_and_a_phone(watched: Watched, site: Path, name: str) -> None:
    page = watched.open(site / name)
    for width in (390, 1366):
        page.set_viewport_size({"width": width, "height": 768})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not _violations(page)


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_sheet_is_accessible_and_prints_on_one_page(
    watched: Watched, tmp_path: Path, language: str
) -> None:
    run = make_run(40, 4, acquisitions=write_scenes(tmp_path / "scenes"))
    write_reports(run, tmp_path, PublishOptions(list_rate_limit=1.0, max_sheets=3, language=language))
    sheets = sorted((tmp_path / "parcels").glob("*.html"))
    page = watched.open(sheets[0])
    assert not _violations(page)
    for sheet in sheets:
        pdf = watched.open(sheet).pdf(prefer_css_page_size=True, print_background=True)
        assert pdf.count(b"/Type /Page\n") == 1
    assert page.locator(".strip image").count() == 8
    watched.assert_quiet()


def _violations(page: Any) -> list[tuple[str, list[str]]]:
    from axe_playwright_python.sync_playwright import Axe

    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]}
    violations = Axe().run(page, options=rules).response["violations"]
    return [(rule["id"], [node["html"][:120] for node in rule["nodes"][:3]]) for rule in violations]


def test_a_click_on_the_map_shows_a_parcel_and_marks_its_row(watched: Watched, site: Path) -> None:
    page = watched.open(site / "agency.html")
    x, y, wanted = page.evaluate(
        """() => { const k = order[0], box = map.parcels[k].box;
        map.canvas.scrollIntoView(); const seen = map.canvas.getBoundingClientRect();
        const [px, py] = map.screen((box[0] + box[2]) / 2, (box[1] + box[3]) / 2);
        return [seen.left + px, seen.top + py, run.parcels.id[k]]; }"""
    )
    page.mouse.click(x, y)
    assert wanted in page.locator(".detail").inner_text()
    assert page.locator("#list tr.on .id").inner_text() == wanted
    assert page.locator(".detail a").get_attribute("href") == f"parcels/{wanted}.html"


def test_the_map_answers_to_drag_wheel_and_keys(watched: Watched, site: Path) -> None:
    page = watched.open(site / "agency.html")
    page.locator("#map canvas").scroll_into_view_if_needed()
    box = page.locator("#map canvas").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    before = page.evaluate("[map.x, map.scale]")
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 80, middle[1])
    page.mouse.up()
    moved = page.evaluate("[map.x, map.scale]")
    assert moved[0] < before[0]
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(50)
    assert page.evaluate("map.scale") > moved[1]
    page.locator("#map canvas").focus()
    for key in ("+", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    assert page.locator(".detail").is_visible()
    page.keyboard.press("Escape")
    assert page.locator(".detail").is_hidden()


def test_the_list_follows_the_rate_filters_and_search(watched: Watched, site: Path) -> None:
    run = make_run(300, 1)
    page = watched.open(site / "agency.html")
    rates = run.verdicts["q_value"].drop_nulls().to_list()
    for percent in (2, 10, 40):
        page.locator("#qn").fill(str(percent))
        assert page.locator("#list tbody tr").count() == sum(rate <= percent / 100 + 1e-6 for rate in rates)
    everyone = rows(page)
    page.select_option("#by-v", label="Looks different")
    flagged = set(run.verdicts.filter(run.verdicts["verdict"] == "contradicted")["parcel_id"])
    assert rows(page) == [name for name in everyone if name in flagged]
    page.locator("#reset").click()
    page.locator("#search").fill(everyone[3])
    assert rows(page) == [everyone[3]]
    page.locator("#search").fill("nothing is called so")
    assert page.locator("#nothing").is_visible()


def test_search_finds_a_parcel_that_is_on_no_list(watched: Watched, site: Path) -> None:
    confirmed = make_run(300, 1).verdicts.filter(pl.col("verdict") == "confirmed")["parcel_id"][0]
    page = watched.open(site / "agency.html")
    page.locator("#search").fill(confirmed)
    assert rows(page) == [confirmed]
    assert "Confirmed" in page.locator("#list tbody td[title]").get_attribute("title")


def test_a_typed_rate_is_used_exactly_and_an_empty_box_changes_nothing(watched: Watched, site: Path) -> None:
    rates = make_run(300, 1).verdicts["q_value"].cast(pl.Float64).drop_nulls()
    page = watched.open(site / "agency.html")
    box = page.locator("#qn")
    for typed in ("80", "12.5", "95"):
        box.fill(typed)
        expected = int((rates.round(5) <= float(typed) / 100 + 1e-9).sum())
        assert page.locator("#promise").inner_text().startswith(f"{expected} parcels")
    box.fill("")
    assert page.locator("#promise").inner_text().startswith(f"{expected} parcels")
    box.blur()
    assert box.input_value() == "95"


def test_the_controls_and_the_list_agree_after_back(watched: Watched, site: Path) -> None:
    page = watched.open(site / "agency.html")
    page.locator("#qn").fill("40")
    page.select_option("#by-v", label="Looks different")
    before = rows(page)
    assert before
    page.locator("#list tbody td.id a").first.click()
    page.wait_for_url("**/parcels/**")
    page.go_back()
    page.wait_for_timeout(200)
    assert rows(page) == before
    assert page.locator("#qn").input_value() == "40"
    assert page.locator("#by-v").input_value() == "contradicted"


def test_tiles_groups_and_headings_filter_and_sort_the_list(watched: Watched, site: Path) -> None:
    verdicts = make_run(300, 1).verdicts
    page = watched.open(site / "agency.html")
    page.locator("button.tile[data-verdict=inconclusive]").click()
    wanted = set(verdicts.filter(pl.col("verdict") == "inconclusive")["parcel_id"])
    assert set(rows(page)) == wanted
    page.locator("#list thead th[data-sort=a] button").click()
    areas = dict(verdicts.select("parcel_id", pl.col("area_ha").round(2)).iter_rows())
    listed = [areas[name] for name in rows(page)]
    assert listed == sorted(listed)
    page.locator("#by-crop tbody th button").first.click()
    crop = page.locator("#by-crop tbody th bdi").first.inner_text()
    assert set(page.locator("#list tbody td:nth-child(4)").all_inner_texts()) == {crop}


def test_the_pop_up_opens_inside_the_window(watched: Watched, site: Path) -> None:
    page = watched.open(site / "agency.html")
    page.locator("#list tbody td:nth-child(5)").first.click()
    box = page.locator(".detail").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= 768
    page.locator(".detail summary").click()
    assert "Chance that this declaration is right" in page.locator(".detail dl").inner_text()


def test_print_says_what_was_filtered_and_prints_all_of_it(watched: Watched, site: Path) -> None:
    page = watched.open(site / "agency.html")
    page.locator("#search").fill("maize")
    page.emulate_media(media="print")
    assert "Search: maize" in page.locator("#filtered").inner_text()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    total = page.evaluate("fitting.length")
    assert page.locator("#list tbody tr").count() == total


def test_the_list_saves_as_csv(watched: Watched, site: Path) -> None:
    page = watched.open(site / "agency.html")
    listed = rows(page)
    with page.expect_download() as download:
        page.locator("#save").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert [line.split(",")[0].strip('"') for line in lines[1:]] == listed


def test_the_list_opens_a_sheet_and_the_sheet_leads_back(watched: Watched, site: Path) -> None:
    page = watched.open(site / "agency.html")
    name = rows(page)[0]
    page.locator("#list tbody tr td.id a").first.click()
    page.wait_for_url(f"**/parcels/{name}.html")
    assert name in page.locator("h1").inner_text()
    page.locator(".back a").click()
    page.wait_for_url("**/agency.html")
    watched.assert_quiet()


def test_a_confusion_cell_lists_its_parcels(watched: Watched, site: Path) -> None:
    page = watched.open(site / "analyst.html")
    button = page.locator("#matrix button").nth(1)
    count = int(button.inner_text())
    button.focus()
    page.keyboard.press("Enter")
    assert page.locator("#cell-list tbody tr").count() == min(count, 300)
    page.locator("#as input[value=recall]").check()
    assert "%" in button.inner_text()
    page.locator("#weight input[value=hectares]").check()
    page.locator("#as input[value=amount]").check()
    assert "." in button.inner_text()


def test_confused_pairs_regions_and_downloads(watched: Watched, site: Path) -> None:
    page = watched.open(site / "analyst.html")
    whole = page.locator("#matrix button").count()
    page.select_option("#region", index=1)
    assert page.locator("#matrix button").count() < whole
    page.locator("#pairs tbody button").first.click()
    count = int(page.locator("#pairs tbody td").nth(1).inner_text())
    assert page.locator("#cell-list tbody tr").count() == count
    assert page.locator("#cell-list tbody a").count() == count
    with page.expect_download() as download:
        page.locator("section[aria-labelledby=area] .save").first.click()
    assert "Maize" in Path(download.value.path()).read_text(encoding="utf-8-sig")


def test_tables_sort_by_their_headings(watched: Watched, site: Path) -> None:
    page = watched.open(site / "agency.html")
    heading = page.locator("#by-crop thead th").nth(1)
    for order, direction in (("descending", True), ("ascending", False)):
        heading.locator("button").click()
        totals = [
            int(cell) for cell in page.locator("#by-crop tbody tr td:nth-child(2) .u-count").all_inner_texts()
        ]
        assert totals == sorted(totals, reverse=direction)
        assert heading.get_attribute("aria-sort") == order


def test_the_heat_map_follows_the_choice_of_class(watched: Watched, site: Path) -> None:
    page = watched.open(site / "auditor.html")
    page.select_option("#view", label="Maize")
    assert page.locator("[data-in=shap]:visible figcaption").inner_text().startswith("Maize")


def test_keyboard_reaches_the_content_first(watched: Watched, site: Path) -> None:
    page = watched.open(site / "agency.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_hostile_text_runs_nowhere(watched: Watched, tmp_path: Path) -> None:
    written = write_reports(hostile_run(), tmp_path, PublishOptions(list_rate_limit=1.0, max_sheets=18))
    for path in written:
        page = watched.open(path)
        assert page.evaluate("window.ran") is None
        assert page.evaluate("document.documentElement.scrollWidth") <= 1366
        if path.name == "agency.html":
            page.locator("#list tbody tr td:nth-child(4)").first.click()
            page.locator("#qn").fill("100")
    watched.assert_quiet()
    assert watched.page.evaluate("window.ran") is None


@pytest.mark.slow
def test_a_map_of_fifty_thousand_parcels_stays_usable(watched: Watched, tmp_path: Path) -> None:
    run, options = make_run(50_000, 2, light=True, contributions=None), PublishOptions(max_sheets=0)
    write_agency(run, tmp_path, options, candidates(run, options))
    page = watched.open(tmp_path / "agency.html")
    page.wait_for_function("map.frame")
    moves = page.evaluate(
        """() => { const start = performance.now();
        for (let k = 0; k < 20; k++) { map.zoom(1.05); map.shift(); }
        return (performance.now() - start) / 20; }"""
    )
    assert moves < 100
    assert page.locator("#list tbody tr").count() == 100
    watched.assert_quiet()
