"""Names and codes from declarations are hostile until escaped; holdings reach no page."""

import re
from pathlib import Path

import polars as pl
import pytest

from reports.options import PublishOptions
from reports.pages.write import write_reports
from reports.run import RunTables
from tests.mock_run import make_run

HOSTILE = [
    "<script>window.ran = 1</script>",
    "</script><script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    "\" onmouseover=\"window.ran = 1\" x=\"",
    "=HYPERLINK(\"https://example.org\")",
    "+1+1", "-1-1", "@SUM(A1)",
    r"$\frac{$",
    "{{ 7 * 7 }}{% for x in y %}",
    "\u202egnirts\u202c \u2067abc",
    "حقل القمح",
    "a\u2028b\u2029c\x00d\x1b[31m",
    "x" * 5_000,
    "javascript:window.ran=1",
    "../../../etc/passwd",
    "]]>&lt;!--",
]  # fmt: skip


def hostile_run() -> RunTables:
    """Return a run whose ids, names, codes and classes are hostile throughout."""
    run = make_run(60, 5)
    rename = {name: f"{HOSTILE[k % len(HOSTILE)]}{k}" for k, name in enumerate(run.verdicts["parcel_id"])}
    nasty = dict(zip(sorted(run.crop_names), HOSTILE, strict=False))
    declarations = run.declarations.copy()
    declarations["parcel_id"] = declarations["parcel_id"].map(rename)
    declarations["region"] = [HOSTILE[k % len(HOSTILE)] for k in range(len(declarations))]
    declarations["intervention"] = [HOSTILE[-1 - k % len(HOSTILE)] for k in range(len(declarations))]
    ids = pl.col("parcel_id").replace_strict(rename)
    verdicts = run.verdicts.with_columns(
        ids, reason=pl.lit(HOSTILE[1]), verdict=pl.lit("contradicted"), q_value=pl.lit(0.01)
    )
    return make_run(
        60,
        5,
        name=HOSTILE[0],
        declarations=declarations,
        verdicts=verdicts,
        parcels=run.parcels.with_columns(ids),
        contributions=run.contributions.with_columns(ids, feature=pl.lit(HOSTILE[2])),
        importance=run.importance.with_columns(feature=pl.concat_str(pl.lit(HOSTILE[0]), "feature")),
        crop_names={**run.crop_names, **nasty},
        class_names={name: HOSTILE[k] for k, name in enumerate(run.class_names)},
        rules={HOSTILE[0]: HOSTILE[1]},
        lineage={**run.lineage, "config": HOSTILE[1], "inputs": [{"path": HOSTILE[2], "sha256": HOSTILE[0]}]},
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("hostile")
    return write_reports(hostile_run(), out, PublishOptions())


def test_every_hostile_text_is_escaped(pages: list[Path]) -> None:
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<img src=x|<script>window|\x00|\x1b|\u202e|\u2028", text), path
        assert not re.search(r"\" onmouseover", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)), (
            path
        )
        assert "x" * 1000 not in text


def test_every_sheet_stays_in_its_folder(pages: list[Path]) -> None:
    folders = {
        path.parent.name for path in pages if path.name not in ("agency.html", "analyst.html", "auditor.html")
    }
    assert folders == {"parcels"}
    assert len({path.name.lower() for path in pages}) == len(pages)
    assert all(re.fullmatch(r"[0-9A-Za-z_-]+\.html", path.name) for path in pages)


def test_no_holding_reaches_a_page_unless_the_config_says_so(tmp_path: Path) -> None:
    run = make_run(120, 3)
    quiet = write_reports(run, tmp_path / "quiet", PublishOptions())
    assert not any("holding-canary" in path.read_text() for path in quiet)
    loud = write_reports(run, tmp_path / "loud", PublishOptions(show_holdings=True))
    shown = {path.name for path in loud if "holding-canary" in path.read_text()}
    assert "agency.html" in shown
    assert len(shown) > 1
