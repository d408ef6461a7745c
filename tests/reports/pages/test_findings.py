"""What officers, analysts and auditors stumbled over in the pages stays mended."""

import html
import re
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from reports.options import PublishOptions
from reports.pages.auditor import write_auditor
from reports.pages.write import write_reports
from reports.run import RunTables
from reports.translation import languages, translation
from tests.mock_run import make_run

ROOT = Path(__file__).parents[3]
ENGLISH = translation("en")


@pytest.fixture(scope="module")
def run() -> RunTables:
    return make_run(300, 1, rules={"min_full_pixels": 8, "max_buffer_loss": 0.6, "alpha": 0.05})


@pytest.fixture(scope="module")
def pages(run: RunTables, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The text of each page by its name, and of one contradicted parcel's sheet, as a reader sees them."""
    written = write_reports(run, tmp_path_factory.mktemp("findings"), PublishOptions(max_sheets=2))
    return {
        path.stem if path.parent.name != "parcels" else "sheet": read(path.read_text()) for path in written
    }


def read(page: str) -> str:
    plain = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", plain)))


def test_the_share_that_turns_out_right_stands_with_the_count_of_doubts(
    run: RunTables, pages: dict[str, str]
) -> None:
    doubts = run.verdicts.filter(pl.col("verdict") == "contradicted")
    beside = re.search(
        r"Looks different (\d+) [\d.]+ ha · [\d.]+% (About \d+% of them .*?\))", pages["agency"]
    )
    assert beside is not None
    assert int(beside[1]) == len(doubts)
    assert re.search(r"\(\d+% to \d+%", beside[2]), "with its interval"
    assert "Recommended list: as asked" in pages["agency"], "and the list has a reason"


def test_a_doubt_has_one_word_and_its_numbers_are_explained(pages: dict[str, str]) -> None:
    sheet = pages["sheet"]
    assert re.search(r"(Strong|Medium|Weak) evidence", sheet)
    for said in (
        "Of 1,000 parcels that really grow what was declared",
        "Chance that this declaration is right",
        "of the list down to this parcel",
    ):
        assert said in sheet, said
    assert not re.search(r"[Rr]ate \d", sheet), "a cumulative rate is not shown as the parcel's own"


def test_names_of_crops_are_the_same_on_every_page_and_the_day_of_the_run_is_said(
    run: RunTables, tmp_path: Path
) -> None:
    made = {**run.lineage, "made": date(2026, 11, 27)}
    written = write_reports(make_run(60, 1, lineage=made), tmp_path, PublishOptions(max_sheets=0))
    texts = {path.name: read(path.read_text()) for path in written}
    assert all("27 Nov 2026" in text for text in texts.values())
    for crop in ("Grassland, mown", "Grassland, grazed"):
        assert all(crop in texts[name] for name in ("agency.html", "analyst.html")), crop
    other = re.compile(r"[Mm]eadow|[Gg]rassland mown")
    assert not any(other.search(text) for text in texts.values())


def test_agreement_with_declarations_and_accuracy_stand_apart(pages: dict[str, str]) -> None:
    analyst = pages["analyst"]
    agreement, scores = (
        analyst.index("Agreement with the declarations"),
        analyst.index("Scores of the combined model"),
    )
    assert agreement < scores
    assert "It is no accuracy" in analyst[agreement:scores]
    assert "Accuracy 0." not in analyst[agreement:scores]


def test_the_analyst_has_both_accuracies_areas_regions_and_every_confused_parcel(
    run: RunTables, tmp_path: Path
) -> None:
    (tmp_path / "x").mkdir()
    written = write_reports(run, tmp_path / "x", PublishOptions(max_sheets=2))
    raw = next(path for path in written if path.name == "analyst.html").read_text()
    text = read(raw)
    for said in (
        "User’s accuracy",
        "Producer’s accuracy",
        "Olofsson et al. 2014",
        "Most confused pairs",
        "Where predictions",
    ):
        assert said in text, said
    assert 'id="region"' in raw and "data-downloads" in raw
    assert not re.search(r">\s*None\s*<", raw), "no group is called None"


def test_the_curve_of_the_season_says_why_it_ends_below_the_headline(pages: dict[str, str]) -> None:
    said = re.search(
        r"stand-in .*? it reaches (\d\.\d+); the combined model above reaches (\d\.\d+)", pages["analyst"]
    )
    assert said is not None
    headline = re.search(r"Macro-F1, combined model (\d\.\d+)", pages["analyst"])
    assert headline is not None
    assert (said[2], float(said[1]) <= float(said[2])) == (headline[1], True)


def test_what_was_seen_and_what_was_estimated_stand_apart(run: RunTables, tmp_path: Path) -> None:
    orbit = pl.lit(None, run.acquisitions.schema["relative_orbit"])
    dates = pl.DataFrame({"sensor": ["s2", "s2"], "valid_share": [1.0, 1.0], "filled_share": [0.0, 0.6]})
    page = write_auditor(
        make_run(60, 1, dates=dates.with_columns(relative_orbit=orbit)), tmp_path, PublishOptions()
    )
    row = re.search(r"Sentinel-2 24 \S+ \S+ (\d+%) (\d+%)", read(page.read_text()))
    assert row is not None
    assert (row[1], row[2]) == ("70%", "30%"), "filled pixels are not seen"


def test_promises_stand_beside_what_was_measured_and_counts_add_up(pages: dict[str, str]) -> None:
    auditor = pages["auditor"]
    assert re.search(
        r"False alarms looks different, of the right declarations 5.0% [\d.]+% [\d.]+% – [\d.]+%, n \d+",
        auditor,
    )
    stages = re.findall(r"(?:parcels|acquisitions) (\d+) (\d+) [^0-9]+? (\d+) ", auditor)
    assert stages
    assert all(int(before) == int(after) + int(aside) for before, after, aside in stages)
    assert "300 parcels were declared, and 300 have a verdict or a reason for none" in auditor


def test_rules_are_sentences_and_no_path_of_a_machine_is_shown(pages: dict[str, str]) -> None:
    rules = pages["auditor"][pages["auditor"].index("Rule and thresholds in force") :]
    assert "A parcel with fewer than 8 full pixels inside its border is not monitorable." in rules
    for name, text in pages.items():
        assert not re.search(r"(?<![\w.])/(home|tmp|work|root|Users)/", text), name


def test_words_are_those_that_readers_asked_for() -> None:
    said = {
        "verdict.contradicted": ("Looks different", "Abweichend"),
        "fact.observations": ("Usable images", "Brauchbare Bilder"),
        "fact.filled_share": ("Estimated under cloud", "Unter Wolken geschätzt"),
    }
    for key, words in said.items():
        assert tuple(translation(name).phrases[key] for name in ("en", "de")) == words
    phrases = " ".join(phrase for name in languages() for phrase in translation(name).phrases.values())
    assert not re.search(r"Widerspruch|dates seen|filled in\b", phrases)
    for words in ("Main evidence", "No action needed", "What the farmer can send"):
        assert any(words in phrase for phrase in ENGLISH.phrases.values()), words


def test_the_command_that_opens_mlflow_sends_nothing() -> None:
    commands = re.findall(
        r"^.*mlflow ui.*$", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert commands
    assert all(line.startswith("MLFLOW_DISABLE_TELEMETRY=true ") for line in commands)
