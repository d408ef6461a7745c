"""What must hold for an intervention: the exact crop, its group, or any agricultural activity."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError

from features.declarations.crop_codes import CropGroups
from features.errors import ConfigError
from features.options import Options

SCHEMES_FILE = Path(__file__).parents[2] / "conf" / "schemes.yaml"
Rule = Literal["crop", "group", "agriculture"]


class Schemes(Options):
    """The rule of each intervention.

    Examples
    --------
    >>> schemes = Schemes(interventions={"ECO_grassland": "group"})
    >>> schemes.rule_of("ECO_grassland"), schemes.rule_of("BISS"), schemes.rule_of(None)
    ('group', 'crop', 'crop')
    """

    default: Rule = Field("crop", description="Rule of an intervention that is not listed.")
    interventions: dict[str, Rule] = Field(default_factory=dict, description="Rule by intervention.")

    def rule_of(self, intervention: str | None) -> Rule:
        """Return the rule of an intervention; None is a parcel claimed under none."""
        return self.default if intervention is None else self.interventions.get(intervention, self.default)


def read_schemes(path: Path = SCHEMES_FILE) -> Schemes:
    """Read the scheme rules; every key is text, so that an intervention called NO stays one.

    Raises
    ------
    ConfigError
        Where the file is missing, is no YAML mapping, or names an unknown rule.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
        return Schemes.model_validate(document or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"The scheme rules {path} cannot be read: {error}. Write them as YAML in UTF-8."
        ) from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()
        )
        raise ConfigError(f"The scheme rules {path} cannot be used: {wrong}.") from error


def accepted_classes(rule: Rule, declared: str, classes: Iterable[str], groups: CropGroups) -> frozenset[str]:
    """Return those of `classes` that satisfy the rule for a parcel of class `declared`, always with it.

    Examples
    --------
    >>> from features.declarations.crop_codes import read_crop_groups
    >>> seen = ("winter_wheat", "winter_rye", "maize", "forest")
    >>> sorted(accepted_classes("group", "winter_wheat", seen, read_crop_groups()))
    ['winter_rye', 'winter_wheat']
    """
    if rule == "crop":
        return frozenset({declared})
    if rule == "group":
        same = {name for name in classes if groups.group_of(name) == groups.group_of(declared)}
    else:
        same = {name for name in classes if groups.is_agricultural(name)}
    return frozenset(same | {declared})
