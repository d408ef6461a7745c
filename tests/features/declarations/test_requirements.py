from datetime import date
from pathlib import Path

import pytest

from features.declarations.requirements import Requirement, day_in
from features.declarations.schemes import Schemes, read_schemes
from features.errors import ConfigError

SPRING, AUTUMN = date(2024, 3, 1), date(2024, 10, 31)


def one(**keys: object) -> Requirement:
    return Requirement.model_validate({"name": "r", **keys})


def read(tmp_path: Path, text: str) -> Schemes:
    path = tmp_path / "schemes.yaml"
    path.write_text(text)
    return read_schemes(path)


def test_the_shipped_windows_read() -> None:
    schemes = read_schemes()
    late = schemes.requirements_of("ECO_late_mowing")[0]
    assert late.forbid == ("mowing",) and late.window(SPRING, AUTUMN) == (SPRING, date(2024, 7, 15))
    assert schemes.rule_of("ECO_late_mowing") == "group"
    assert schemes.requirements_of("BISS") == () and schemes.requirements_of(None) == ()


def test_an_intervention_is_a_rule_a_requirement_or_several(tmp_path: Path) -> None:
    schemes = read(
        tmp_path,
        """
default: group
interventions:
  A: crop
  B: {forbid: mowing, from: 03-01, to: 07-15}
  C:
    crop: agriculture
    requirements:
      - {require: mowing, from: 06-15, to: 09-30}
      - {name: C_plough, forbid: [ploughing, sowing], all_season: true}
  D: [{forbid: grazing, all_season: true}]
""",
    )
    assert [schemes.rule_of(name) for name in "ABCD"] == ["crop", "group", "agriculture", "group"]
    names = {name: [item.name for item in schemes.requirements_of(name)] for name in "ABCD"}
    assert names == {"A": [], "B": ["B"], "C": ["C_1", "C_plough"], "D": ["D"]}


def test_a_parcel_under_two_interventions_keeps_both(tmp_path: Path) -> None:
    schemes = read(
        tmp_path,
        "interventions:\n  A: {crop: group, forbid: mowing, from: 03-01, to: 07-15}\n  B: agriculture\n"
        "  C: {crop: agriculture, forbid: ploughing, all_season: true}\n",
    )
    assert [item.name for item in schemes.requirements_of("A; C")] == ["A", "C"]
    assert schemes.rule_of("A;C") == "group" and schemes.rule_of("B+C") == "agriculture"


def test_a_window_may_cross_new_year() -> None:
    winter = one(require="green_cover", share=0.8, **{"from": "11-15", "to": "02-15"})
    assert winter.window(date(2023, 10, 1), date(2024, 9, 30)) == (date(2023, 11, 15), date(2024, 2, 15))
    assert winter.window(SPRING, AUTUMN) == (date(2024, 11, 15), date(2025, 2, 15))  # the coming winter


def test_a_season_from_october_finds_its_own_spring() -> None:
    late = one(forbid="mowing", **{"from": "03-01", "to": "07-15"})
    assert late.window(date(2023, 10, 1), date(2024, 9, 30)) == (date(2024, 3, 1), date(2024, 7, 15))


def test_the_29th_of_february_is_the_last_day_of_february() -> None:
    assert day_in(2023, "02-29") == date(2023, 2, 28) and day_in(2024, "02-29") == date(2024, 2, 29)
    with pytest.raises(ValueError, match="month 02 has no day 30"):
        day_in(2024, "02-30")


def test_a_window_after_an_event_waits_for_it() -> None:
    catch = one(require="green_cover", weeks=8, after="harvest", before="12-31")
    assert catch.window(SPRING, AUTUMN) is None
    assert catch.window(SPRING, AUTUMN, date(2024, 8, 1)) == (date(2024, 8, 1), date(2024, 12, 31))


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("{forbid: mowin, all_season: true}", r"unknown event 'mowin'.* Did you mean 'mowing'"),
        ("{require: mulching, all_season: true}", "unknown event 'mulching'"),
        ("{forbid: mowing}", "the window is empty"),
        ("{forbid: mowing, from: 03-01}", "`from` and `to` go together"),
        ("{require: mowing, after: harvest}", "`after` and `before` go together"),
        ("{forbid: mowing, from: 03-01, to: 07-15, all_season: true}", "given twice"),
        ("{forbid: mowing, from: 13-01, to: 07-15}", "no day of the year"),
        ("{forbid: mowing, from: 02-30, to: 07-15}", "month 02 has no day 30"),
        ("{from: 03-01, to: 07-15}", "either `forbid` or `require`"),
        ("{forbid: mowing, require: mowing, all_season: true}", "either `forbid` or `require`"),
        ("{require: green_cover, all_season: true}", "one of `share` and `weeks`"),
        ("{forbid: mowing, al_season: true}", "there is no such key; did you mean all_season"),
        ("[{forbid: mowing, all_season: true}, {require: mowing, from: 05-01, to: 06-01}]", "only while"),
        (
            "[{name: x, forbid: mowing, all_season: true}, {name: x, forbid: grazing, all_season: true}]",
            "are called 'x'",
        ),
    ],
)  # fmt: skip
def test_what_an_agency_wrote_wrong_is_named(tmp_path: Path, entry: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(tmp_path, f"interventions:\n  ECO_x: {entry}\n")
