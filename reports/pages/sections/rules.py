"""The rule in force and the requirements of schemes, as sentences."""

from collections.abc import Mapping, Sequence
from datetime import date

from features.schema import Row
from reports.embed import clean
from reports.translation import Text

# options of the judge that a sentence states, in the order in which the rule asks them; shares in percent
SHARES = ("max_buffer_loss", "max_filled_share", "alpha", "set_level", "noise_rate")
ORDER = (
    "min_full_pixels", "max_buffer_loss", "min_observations", "max_filled_share", "max_sigma", "max_spread",
    "alpha", "set_level", "max_set_size", "noise_rate",
)  # fmt: skip
LEAP_YEAR = 2000  # of days that are written without a year
NUMBERS = ("at_least", "share", "weeks")


def rule_sentences(rules: Mapping[str, object], text: Text) -> list[str]:
    """Return the decision rule in the order in which it is applied, a sentence a threshold."""
    found = []
    for name in ORDER:
        value = rules.get(name)
        if isinstance(value, int | float):
            written = text.percent(value) if name in SHARES else text.written(f"{value:g}")
            found.append(text(f"rule.{name}", value=written))
    return found


def scheme_sentences(rules: Mapping[str, object], text: Text) -> list[str]:
    """Return the requirements of each intervention, a sentence an intervention."""
    schemes = rules.get("schemes")
    if not isinstance(schemes, Mapping):
        return []
    asked, crops = schemes.get("requirements", {}), schemes.get("interventions", {})
    found = [text("rule.default", what=text.get(f"rule_crop.{schemes.get('default')}", "–"))]
    for name, crop in crops.items():
        parts = [text.get(f"rule_crop.{crop}", clean(crop))]
        parts += [_requirement(one, text) for one in asked.get(name, [])]
        found.append(f"{clean(name)}: {'; '.join(parts)}.")
    return found


def _requirement(one: Row, text: Text) -> str:
    """Return one requirement in words, as `no ploughing, from 04-01 to 08-15`."""
    event = _events([one["require"]] if one.get("require") else one.get("forbid", []), text)
    parts = [text("rule.require" if one.get("require") else "rule.forbid", event=event)]
    for key in ("at_least", "share", "weeks", "after", "before"):
        value = one.get(key)
        if value is not None and (key, value) != ("at_least", 1):
            word = (
                _events([value], text)
                if key == "after"
                else text.written(f"{value:g}" if key in NUMBERS else value)
            )
            parts.append(text(f"rule.{key}", value=word))
    if one.get("start") and one.get("end"):
        parts.append(text("rule.window", first=_day(one["start"], text), last=_day(one["end"], text)))
    if one.get("all_season"):
        parts.append(text("rule.all_season"))
    return " ".join(parts)


def _day(month_and_day: str, text: Text) -> str:
    """Return a day of the year written `04-01` in a language; in words that are none it stays."""
    try:
        return text.day(date.fromisoformat(f"{LEAP_YEAR}-{month_and_day}"))
    except ValueError:
        return clean(month_and_day)


def _events(names: Sequence[str], text: Text) -> str:
    return ", ".join(text.get(f"event.{name}", clean(name).replace("_", " ")) for name in names)
