"""What must hold for an intervention: the crop, its group or any agriculture, and what is done when."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from features.declarations.crop_codes import CropGroups
from features.declarations.options import SCHEMES_FILE
from features.declarations.requirements import Requirement, contradictions
from features.errors import ConfigError
from features.messages.option_faults import option_faults
from features.options import Options

Rule = Literal["crop", "group", "agriculture"]
STRICTEST_FIRST: tuple[Rule, ...] = ("crop", "group", "agriculture")
SEVERAL = re.compile(r"[;,+|]")  # between the interventions of one parcel


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
    requirements: dict[str, tuple[Requirement, ...]] = Field(
        default_factory=dict, description="What is to be done or left undone, by intervention."
    )

    @model_validator(mode="before")
    @classmethod
    def _split(cls, given: object) -> object:
        """Part each intervention into its rule and its requirements.

        An intervention is its rule; or a mapping of `crop` (the rule, the default where it is left out) and a
        requirement or a list of `requirements`; or such a list.
        """
        if not isinstance(given, dict) or not isinstance(given.get("interventions"), dict):
            return given
        rules, asked = {}, dict(given.get("requirements") or {})
        for name, entry in given["interventions"].items():
            rule, wanted = _parted(str(name), entry)
            if rule is not None:
                rules[name] = rule
            if wanted:
                asked[name] = wanted
        return {**given, "interventions": rules, "requirements": asked}

    @model_validator(mode="after")
    def _can_be_kept(self) -> "Schemes":
        for name, wanted in self.requirements.items():
            found = contradictions(wanted)
            if found:
                raise ValueError(f"{name} cannot be kept: {'; '.join(found)}")
        names = [item.name for wanted in self.requirements.values() for item in wanted]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two requirements are called {twice[0]!r}; give each a `name` of its own")
        return self

    def rule_of(self, intervention: str | None) -> Rule:
        """Return the rule of an intervention; None is a parcel claimed under none.

        A parcel under several (`ECO_hay;BISS`) has the strictest of their rules.
        """
        if intervention is None:
            return self.default
        rules = [self.interventions.get(name, self.default) for name in self.named(intervention)]
        return next(rule for rule in STRICTEST_FIRST if rule in rules)

    def requirements_of(self, intervention: str | None) -> tuple[Requirement, ...]:
        """Return what is asked of a parcel under an intervention, or under several."""
        names = [] if intervention is None else self.named(intervention)
        return tuple(item for name in dict.fromkeys(names) for item in self.requirements.get(name, ()))

    def named(self, intervention: str) -> list[str]:
        """Return the interventions in one cell: a listed name as it stands, else what separators part."""
        if intervention in self.interventions or intervention in self.requirements:
            return [intervention]
        return [name.strip() for name in SEVERAL.split(intervention) if name.strip()] or [intervention]


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
        wrong = " ".join(option_faults(error, Schemes))
        raise ConfigError(f"The scheme rules {path} cannot be used: {wrong}") from error


def _parted(name: str, entry: object) -> tuple[object, list[object]]:
    """Return an intervention's rule (None: the default) and its requirements, each with a name."""
    if isinstance(entry, str):
        return entry, []
    if not entry:
        raise ValueError(
            f"{name} asks for nothing; give it a rule for the crop, a requirement, or leave it out"
        )
    rule = None
    if isinstance(entry, dict):
        rule = entry.get("crop")
        rest = {key: value for key, value in entry.items() if key != "crop"}
        entry = rest.pop("requirements", None) or ([rest] if rest else [])
    if not isinstance(entry, list) or not all(isinstance(item, dict) for item in entry):
        return entry, []
    names = [name] if len(entry) == 1 else [f"{name}_{number}" for number in range(1, len(entry) + 1)]
    return rule, [{"name": own, **item} for own, item in zip(names, entry, strict=True)]


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
