from pathlib import Path

import pytest

from features.declarations.crop_codes import read_crop_groups
from features.declarations.schemes import Schemes, accepted_classes, read_schemes
from features.errors import ConfigError


def test_the_shipped_rules_read() -> None:
    schemes = read_schemes()
    assert schemes.rule_of("ECO_grassland") == "group"
    assert schemes.rule_of("BISS") == "crop"


def test_an_intervention_called_no_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "schemes.yaml"
    path.write_text("default: group\ninterventions:\n  NO: agriculture\n  007: crop\n")
    schemes = read_schemes(path)
    assert [schemes.rule_of(name) for name in ("NO", "007", "7", None)] == [
        "agriculture",
        "crop",
        "group",
        "group",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "interventions: {BISS: crops}",
            r"interventions\.BISS: write 'crop', 'group' or 'agriculture'",
        ),
        ("rules: {}", "rules: there is no such key"),
        ("interventions: {ECO_late: {}}", "ECO_late asks for nothing"),
        ("default: [", "cannot be read"),
    ],
)
def test_a_wrong_rule_says_where(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "schemes.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_schemes(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_schemes(tmp_path / "nowhere.yaml")


def test_what_satisfies_a_rule() -> None:
    groups, classes = read_crop_groups(), ("grassland_mown", "grassland_grazed", "maize", "forest")
    accepted = {
        rule: accepted_classes(rule, "grassland_mown", classes, groups)
        for rule in ("crop", "group", "agriculture")
    }
    assert accepted["crop"] == {"grassland_mown"}
    assert accepted["group"] == {"grassland_mown", "grassland_grazed"}
    assert accepted["agriculture"] == set(classes) - {"forest"}
    assert accepted_classes("agriculture", "forest", classes, groups) >= {"forest"}
    assert Schemes().rule_of("anything") == "crop"
