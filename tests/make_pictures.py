"""Pictures of the pages for the README: `uv run python -m tests.make_pictures [DIR]`.

DIR is the folder of a finished run; a made-up run is drawn where it is not given. Needs Debian's `chromium`.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from pipelines.commands.desk import finished_run
from pipelines.steps.gather import gather
from pipelines.workspace import Workspace
from reports.desk.records.store import Store, local_url
from reports.desk.state import Desk
from reports.options import PublishOptions
from reports.pages.write import write_reports
from tests.mock_run import make_run, write_scenes
from tests.reports.desk.served import served
from tests.reports.test_browser import ARGUMENTS, CHROMIUM

PICTURES = Path(__file__).parents[1] / "reports" / "screenshots"
LARGE = {"width": 1366, "height": 900}
PASSWORD = "a long password"


def main() -> None:
    """Draw the three pages, one sheet, and of a finished run the desk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, help="folder of a finished run")
    parser.add_argument("--out", type=Path, default=PICTURES, help="folder of the pictures")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        reports = options.run / "reports" if options.run else _made_up(Path(folder))
        for path in draw(reports, options.out):
            print(path)
        if options.run:
            print(draw_desk(options.run, Path(folder), options.out / "desk.png"))


def _made_up(folder: Path) -> Path:
    run = make_run(900, 1, acquisitions=write_scenes(folder / "scenes"))
    write_reports(run, folder / "reports", PublishOptions())
    return folder / "reports"


def draw(reports: Path, out: Path) -> list[Path]:
    """Draw the pages of a folder of reports; return the pictures."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport=LARGE)
        drawn = [
            _shot(page, reports / f"{name}.html", out / f"{name}.png")
            for name in ("agency", "analyst", "auditor")
        ]
        sheets = sorted((reports / "parcels").glob("*.html"), key=lambda path: -path.stat().st_size)
        drawn += [_shot(page, sheets[0], out / "sheet.png", whole=True)] if sheets else []
        browser.close()
    return drawn


def draw_desk(run: Path, folder: Path, target: Path) -> Path:
    """Draw the desk at the surest doubt of a run; what is entered there lies in `folder`."""
    from playwright.sync_api import sync_playwright

    config = finished_run(run)
    season = (config.season.start, config.season.end)
    tables = gather(config, Workspace(run), [], {}).held()
    desk = Desk(tables, Store(local_url(folder)), folder / "desk", config.publish, season)
    desk.accounts.create("anna", "officer", PASSWORD, by="pictures")
    with served(desk) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport=LARGE)
        page.goto(address)
        page.fill("input[name=name]", "anna")
        page.fill("input[name=password]", PASSWORD)
        page.click("main button")
        page.wait_for_selector("#parcels")
        page.goto(f"{address}/parcel?id={desk.parcels.table['parcel_id'][0]}")
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(500)
        page.screenshot(path=target)
        browser.close()
    desk.store.close()
    return target


def _shot(page: Any, source: Path, target: Path, whole: bool = False) -> Path:
    page.goto(source.absolute().as_uri())
    page.wait_for_timeout(300)
    if source.name == "analyst.html":
        page.locator("#matrix button").nth(1).click()
        page.locator("#confusion").scroll_into_view_if_needed()
        page.evaluate("document.querySelector('#confusion').scrollIntoView()")
    page.screenshot(path=target, full_page=whole)
    return target


if __name__ == "__main__":
    main()
