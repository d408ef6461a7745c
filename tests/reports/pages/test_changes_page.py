"""The page of what changed since the last run, in both languages; without an earlier run there is none."""

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.steps.changes import ACQUISITION_CHANGES, VERDICT_CHANGES
from reports.options import PublishOptions
from reports.pages.changes import write_changes
from reports.pages.sections.card import fit_words
from reports.run import RunTables
from reports.translation import translation
from tests.mock_run import make_run

SINCE = {"made": "2024-06-12", "model_changed": False, "rules_changed": False}
FIT = {"kept": True, "until": "2024-06-12", "parcels": 70, "newer": {"s1": 4, "s2": 2}}
NOON = datetime(2024, 6, 20, 10)
IMAGES = [
    ("next", "s2", "31UFS", NOON, "new", None, None, "05.10"),
    ("again", "s2", "31UFS", NOON, "reprocessed", "first", "05.09", "05.10"),
]


def changed_run(rows: list[tuple[Any, ...]]) -> RunTables:
    """A run whose table of changed verdicts holds these rows."""
    run = make_run(40, 1)
    tables = {
        "changes_verdicts": pl.DataFrame(rows, schema=VERDICT_CHANGES, orient="row"),
        "changes_acquisitions": pl.DataFrame(IMAGES, schema=ACQUISITION_CHANGES, orient="row"),
    }
    lineage = {**run.lineage, "since": SINCE, "folds": {"fit": FIT}}
    return replace(run, evaluation={**run.evaluation, **tables}, lineage=lineage)


def row(parcel: str, before: str | None, now: str | None, *why: str) -> tuple[Any, ...]:
    kind = "new" if before is None else "gone" if now is None else "changed"
    code = make_run(40, 1).verdicts["declared"][0]
    return (parcel, kind, before, now, None, "fits", code, code, None, None, list(why), 1.5)


def page_of(run: RunTables, folder: Path, language: str = "en") -> str:
    listed = pl.DataFrame({"parcel_id": ["p1"], "sheet": ["p1.html"]})
    (path,) = write_changes(run, folder, PublishOptions(language=language), listed)
    return path.read_text()


def test_counts_ways_and_reasons_are_those_of_the_table(tmp_path: Path) -> None:
    rows = [
        row("p1", "inconclusive", "confirmed", "new_dates"),
        row("p2", "inconclusive", "confirmed", "declaration", "new_dates"),
        row("p3", None, "no_data"),
        row("p4", "confirmed", None),
    ]
    page = page_of(changed_run(rows), tmp_path)
    tiles = re.findall(r'<div class="tile"><span>([^<]+)</span><b>(\d+)</b>', page)
    assert tiles == [
        ("Verdict changed", "2"), ("New parcels", "1"), ("Parcels gone", "1"),
        ("Acquisitions that changed", "2"),
    ]  # fmt: skip
    assert re.findall(r'<th scope="row">([^<]+)</th><td class="num">(\d)</td>', page) == [
        ("new or other images of it", "2"), ("changed declaration", "1")
    ]  # fmt: skip
    assert '<td class="num" data-v="2">2</td><td class="num" data-v="3.0">3.0</td>' in page
    assert 'href="parcels/p1.html"' in page and 'href="parcels/p2.html"' not in page
    assert "first · 05.09" in page


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "The models of 12 Jun 2024 were kept: 2 optical and 4 radar images that came later"),
        ("de", "Die Modelle vom 12. Juni 2024 wurden beibehalten: 2 optische und 4 Radarbilder"),
    ],
)
def test_kept_models_are_said(language: str, sentence: str, tmp_path: Path) -> None:
    run = changed_run([])
    assert fit_words(run, translation(language)).startswith(sentence)
    assert sentence in page_of(run, tmp_path, language)


def test_a_first_run_has_no_such_page(tmp_path: Path) -> None:
    (tmp_path / "changes.html").write_text("of another run")
    run = make_run(40, 1)
    assert write_changes(run, tmp_path, PublishOptions(), pl.DataFrame()) == []
    assert not (tmp_path / "changes.html").exists()
