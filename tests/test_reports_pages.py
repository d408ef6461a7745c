"""The pages as files: written, bounded, reproducible, silent about holdings."""

from pathlib import Path

import pytest

from reports.options import PublishOptions
from reports.pages import write_reports
from tests.mock_run import make_run

OPTIONS = PublishOptions()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reports")
    write_reports(make_run(300, 1), out, OPTIONS)
    return out


def test_three_pages_stand(pages: Path) -> None:
    assert {"agency.html", "analyst.html", "auditor.html"} <= {path.name for path in pages.iterdir()}
