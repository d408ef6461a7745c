"""The calendar of a parcel's sheet."""

from datetime import date

from models.events.table import SEEN
from reports.embed import template
from reports.sheet.calendar import calendar_of
from reports.translation import translation

TEXT = translation("en")
MOWN = {
    "event": "mowing", "date": date(2024, 6, 10), "earliest": date(2024, 6, 8), "latest": date(2024, 6, 13),
    "probability": 0.8, "reason": SEEN, "evidence": "no clear look on both sides.", "sensors": ["s2"],
}  # fmt: skip


def test_a_chance_by_rules_is_said_to_be_no_calibrated_one() -> None:
    said = TEXT("sheet.by_rules")
    for by_rules in (True, False):
        calendar = calendar_of([MOWN], [], [], TEXT, by_rules)
        page = template("calendar.html.j2").render(calendar=calendar, t=TEXT, at_desk=False)
        assert "80%" in page and (said in page) == by_rules
