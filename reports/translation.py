"""The phrases of the pages, from one catalog file per language."""

import math
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent / "translations"


class Text:
    """The phrases of one language; calling it fills a phrase in.

    Examples
    --------
    >>> text = translation("en")
    >>> text("verdict.confirmed"), text.number(12345.678, 1), text.percent(0.1234)
    ('Confirmed', '12,345.7', '12.3%')
    >>> translation("de").number(12345.678, 1)
    '12.345,7'
    """

    def __init__(self, language: str, phrases: Mapping[str, str]) -> None:
        self.language = language
        self.phrases = phrases

    def __call__(self, key: str, **values: object) -> str:
        """Return the phrase of `key`, its `{names}` replaced.

        Raises
        ------
        KeyError
            Where the catalog lacks the phrase.
        """
        return self.phrases[key].format(**values) if values else self.phrases[key]

    def get(self, key: str, default: str) -> str:
        """Return the phrase of `key`, or `default` where the catalog cannot know the name."""
        return self.phrases.get(key, default)

    def crop(self, name: str) -> str:
        """Return a crop's name in this language where the catalog knows it, else the name itself.

        Examples
        --------
        >>> translation("de").crop("Winter wheat"), translation("de").crop("Winterweichweizen")
        ('Winterweizen', 'Winterweichweizen')
        """
        return self.phrases.get(f"crop.{name.lower()}", name)

    def number(self, value: float | None, digits: int = 0) -> str:
        """Return a number with the language's separators; the dash of an unknown value for None."""
        if value is None or math.isnan(value):
            return "–"
        thousands, point = self.phrases["number.thousands"], self.phrases["number.point"]
        written = f"{round(value, digits) + 0.0:,.{digits}f}"
        return written.translate({ord(","): thousands, ord("."): point, ord("-"): "−"})

    def written(self, value: str) -> str:
        """Return a number written in English (`0.5`, `1,200`, `12%`) as this language writes it.

        Examples
        --------
        >>> german = translation("de")
        >>> german.written("0.5"), german.written("12%"), german.written("1,200")
        ('0,5', '12 %', '1.200')
        """
        thousands, point = self.phrases["number.thousands"], self.phrases["number.point"]
        plain = value.removesuffix("%").translate({ord(","): thousands, ord("."): point, ord("-"): "−"})
        return self("number.percent", value=plain) if value.endswith("%") else plain

    def percent(self, value: float | None, digits: int = 1) -> str:
        """Return a share as a percentage."""
        if value is None or math.isnan(value):
            return "–"
        if 0 < value < 0.5 * 10 ** -(2 + digits):
            return "<" + self("number.percent", value=self.number(10.0**-digits, digits))
        return self("number.percent", value=self.number(100 * value, digits))

    def day(self, day: date, year: bool = False) -> str:
        """Return a day as `12 May` or, with the year, `12 May 2025`."""
        name = self(f"month.{day.month}")
        return self("date.with_year" if year else "date.short", day=day.day, month=name, year=day.year)


def languages() -> list[str]:
    """Return the languages that have a catalog: one file each, with the keys of `en.yaml`.

    Examples
    --------
    >>> languages()
    ['de', 'en']
    """
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def translation(language: str) -> Text:
    """Return the catalog of a language (`en`, `de`)."""
    nested = yaml.safe_load((FOLDER / f"{language}.yaml").read_text(encoding="utf-8"))
    return Text(language, dict(_flatten(nested)))


def _flatten(nested: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    pairs = []
    for key, value in nested.items():
        name = f"{prefix}{key}"
        pairs += _flatten(value, f"{name}.") if isinstance(value, dict) else [(name, str(value))]
    return pairs
