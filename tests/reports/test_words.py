"""Words of pages that depend on a row."""

from datetime import date

import pytest

from reports.translation import translation
from reports.words import marker_reason


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("window_not_over", "the window is not over; it ends on 31 Dec 2024: not yet decidable"),
        ("window_not_begun", "the window has not begun; it begins on 1 Aug 2024: not yet decidable"),
        ("event_not_yet_seen", "the event that begins the window has not been seen"),
    ],
)
def test_an_open_requirement_says_until_when_it_is_undecided(reason: str, said: str) -> None:
    row = {"reason": reason, "from": date(2024, 8, 1), "to": date(2024, 12, 31)}
    assert marker_reason(row, translation("en")) == said
    assert marker_reason({**row, "from": None, "to": None}, translation("en")).startswith("the ")
