"""The evidence of events on German pages: every sentence that the detectors write has its words there."""

from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest

from models.events.intervals import NAMES
from models.events.table import _evidence
from reports.sheet.event_words import SAID, event_words
from reports.translation import translation

GERMAN = translation("de")
ENGLISH = (
    "NDVI fell from 0.71 (02 May) to 0.32 (14 May); it rose again by 0.25 within 40 days; "
    "coherence VV rose by 0.21; backscatter VH fell by 1.4 dB; "
    "the spread between its pixels rose: perhaps only a part of the parcel changed."
)


def test_a_sentence_keeps_its_figures_and_changes_its_language() -> None:
    assert event_words(ENGLISH, GERMAN) == (
        "NDVI sank von 0,71 (2. Mai) auf 0,32 (14. Mai); er stieg binnen 40 Tagen wieder um 0,25; "
        "Kohärenz VV stieg um 0,21; Rückstreuung VH sank um 1,4 dB; "
        "die Streuung zwischen den Pixeln stieg: vielleicht änderte sich nur ein Teil des Schlags."
    )
    withdrawn = "reported on 2026-05-04 with a chance of 0.8; what was seen since does not bear it out."
    assert event_words(withdrawn, GERMAN) == (
        "gemeldet am 4. Mai 2026 mit einer Wahrscheinlichkeit von 0,8; "
        "was seither gesehen wurde, bestätigt es nicht."
    )


def test_a_part_that_is_not_known_stays_and_is_no_markup() -> None:
    assert event_words("a kestrel sat there.", GERMAN) == "a kestrel sat there."
    assert "\u202e" not in event_words("x \u202e y.", GERMAN)


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_part_has_words_in_every_language(language: str) -> None:
    assert {f"event_said.{key}" for key in SAID} <= translation(language).phrases.keys()


def test_what_the_detectors_write_is_known_word_for_word() -> None:
    """Each form that `models.events.table` writes matches a pattern: English in, the same English out."""
    forms = (
        {"ndvi_after": 0.3, "ndvi_change": -0.4, "ndvi_highest_40_after": 0.2, "cohvv_change": 0.3},
        {"ndvi_after": 0.7, "ndvi_change": 0.4, "s0vh_db_change": -3.0},
        {"ndvi_after": 0.7, "ndvi_change": 0.0, "cohvv_change": -0.3, "s0vh_db_change": 3.0},
        {},
    )
    changed = {"ndvi_std_after": 0.2, "ndvi_std_change": 0.2}  # in a part of the parcel only
    series = SimpleNamespace(when=lambda day: date(2026, 5, day))
    intervals = SimpleNamespace(
        features=np.array([[{**of, **changed}.get(name, np.nan) for name in NAMES] for of in forms]),
        start=np.full(len(forms), 10),
        gap=np.full(len(forms), 12),
    )
    english = translation("en")
    for said, _ in _evidence(intervals, np.arange(len(forms)), series):  # type: ignore[arg-type]
        assert "only a part of the parcel" in said
        german = event_words(said, GERMAN)
        for word in ("fell", "rose", "stayed", "from", "coherence", "backscatter", "clear", "spread"):
            assert word not in german, (said, german)
        assert event_words(said, english).replace(" 0", " ") == said.replace(" 0", " ").replace("(0", "(")
