"""The evidence of an event in a page's language: the stored English sentence is translated part by part."""

import re
from collections.abc import Iterable
from datetime import date, datetime

from reports.embed import clean
from reports.translation import Text

NUMBER, DAY = r"(-?\d+\.\d+)", r"\((\d\d \w{3})\)"
SAID = {  # key of a phrase under `event_said`, and the part of a sentence that it stands for
    "ndvi": rf"NDVI (fell|rose|stayed) from {NUMBER} {DAY} to {NUMBER} {DAY}",
    "rose_again": rf"it rose again by {NUMBER} within 40 days",
    "no_look": "no clear look on both sides",
    "coherence": rf"coherence VV (rose|fell) by {NUMBER}",
    "backscatter": rf"backscatter VH (rose|fell) by {NUMBER} dB",
    "part": "the spread between its pixels rose: perhaps only a part of the parcel changed",
    "withdrawn": rf"reported on (\d{{4}}-\d\d-\d\d) with a chance of {NUMBER}",
    "not_borne_out": "what was seen since does not bear it out",
}
LEAP_YEAR = 2000  # of days that are written without a year


def event_words(evidence: str, text: Text) -> str:
    """Return the evidence of an event in a language; a part that is not known stays as it is stored.

    Examples
    --------
    >>> from reports.translation import translation
    >>> event_words("coherence VV rose by 0.21; no clear look on both sides.", translation("de"))
    'Kohärenz VV stieg um 0,21; kein klares Bild auf beiden Seiten.'
    """
    return "; ".join(_part(part, text) for part in evidence.removesuffix(".").split("; ")) + "."


def dated_events(events: Iterable[str], text: Text) -> str:
    """Return events written as `mowing 2026-06-12` in a language, one after the other.

    Examples
    --------
    >>> from reports.translation import translation
    >>> dated_events(["mowing 2026-06-12", "ploughing"], translation("de"))
    'Mahd 12. Juni, Pflügen'
    """
    found = []
    for name, _, day in (event.partition(" ") for event in events):
        words = text.get(f"event.{name}", clean(name))
        found.append(f"{words} {text.day(date.fromisoformat(day))}" if day else words)
    return ", ".join(found)


def _part(part: str, text: Text) -> str:
    for key, pattern in SAID.items():
        found = re.fullmatch(pattern, part)
        if found:
            words = [_word(word, text) for word in found.groups()]
            return text(f"event_said.{key}", **dict(zip("abcde", words, strict=False)))
    return clean(part)


def _word(word: str, text: Text) -> str:
    """Return a verb, number or day in a language."""
    if word in ("fell", "rose", "stayed"):
        return text(f"event_said.{word}")
    if re.fullmatch(NUMBER, word):
        return text.number(float(word), len(word.split(".")[1]))
    if "-" in word:
        return text.day(date.fromisoformat(word), year=True)
    return text.day(datetime.strptime(f"{word} {LEAP_YEAR}", "%d %b %Y").date())
