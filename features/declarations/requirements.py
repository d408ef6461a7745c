"""What an intervention asks to be done or left undone, and when: as an agency writes it."""

import calendar
from datetime import date, timedelta

from pydantic import Field, model_validator

from features.messages.suggestions import did_you_mean
from features.options import Options
from features.schema import EVENTS_OF

GREEN_COVER = "green_cover"
MONTHS = dict(enumerate((31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), start=1))


class Requirement(Options):
    """One requirement of an intervention: something forbidden or required within a window.

    A window is `from` and `to` (both days included; it may cross New Year), or `all_season`, or begins
    `after` an event of the parcel and ends `before` a day. 02-29 is the last day of February in any year.

    Examples
    --------
    >>> written = {"name": "late", "forbid": "mowing", "from": "03-01", "to": "07-15"}
    >>> late = Requirement.model_validate(written)
    >>> late.window(date(2024, 3, 1), date(2024, 10, 31))
    (datetime.date(2024, 3, 1), datetime.date(2024, 7, 15))
    """

    name: str = Field(description="what the requirement is called in tables and on pages")
    forbid: tuple[str, ...] = Field((), description="events that must not happen in the window")
    require: str | None = Field(None, description="event that must happen in the window, or green_cover")
    at_least: int = Field(1, ge=1, le=20, description="how often the required event must happen")
    share: float | None = Field(None, gt=0, le=1, description="green_cover: share of the window's days")
    weeks: float | None = Field(None, gt=0, le=52, description="green_cover: weeks without a break")
    start: str | None = Field(None, alias="from", description="first day of the window, MM-DD")
    end: str | None = Field(None, alias="to", description="last day of the window, MM-DD")
    after: str | None = Field(None, description="the window begins with this event of the parcel")
    before: str | None = Field(None, description="last day of a window that begins with an event, MM-DD")
    all_season: bool = Field(False, description="the window is the season")

    @model_validator(mode="before")
    @classmethod
    def _one_or_several(cls, given: object) -> object:
        if isinstance(given, dict) and isinstance(given.get("forbid"), str):
            return {**given, "forbid": (given["forbid"],)}
        return given

    @model_validator(mode="after")
    def _makes_sense(self) -> "Requirement":
        if bool(self.forbid) == (self.require is not None):
            raise ValueError("write either `forbid` or `require`")
        for event in (*self.forbid, *([self.after] if self.after else [])):
            _known(event, EVENTS_OF)
        if self.require is not None:
            _known(self.require, (*EVENTS_OF, GREEN_COVER))
        cover = self.require == GREEN_COVER
        if cover and (self.share is None) == (self.weeks is None):
            raise ValueError("green_cover needs one of `share` and `weeks`")
        if not cover and (self.share is not None or self.weeks is not None):
            raise ValueError("`share` and `weeks` belong to `require: green_cover`")
        self._check_window()
        return self

    def _check_window(self) -> None:
        ways = [self.start is not None or self.end is not None, self.after is not None, self.all_season]
        if sum(ways) != 1:
            raise ValueError("the window is empty or given twice: write `from` and `to`, `after` and "
                             "`before`, or `all_season: true`")  # fmt: skip
        if (self.start is None) != (self.end is None):
            raise ValueError("the window is empty: `from` and `to` go together")
        if (self.after is None) != (self.before is None):
            raise ValueError("the window is empty: `after` and `before` go together")
        for text in (self.start, self.end, self.before):
            if text is not None:
                month_day(text)

    def window(
        self, season_start: date, season_end: date, begins: date | None = None
    ) -> tuple[date, date] | None:
        """Return first and last day of the window of a season.

        A window that crosses New Year, or lies beyond the season, is the first one that ends within or after
        the season. `begins` is the day of the event of `after`; without it there is no window yet, and None.
        """
        if self.all_season:
            return season_start, season_end
        if self.before is not None:
            if begins is None:
                return None
            last = day_in(begins.year, self.before)
            return begins, last if last >= begins else day_in(begins.year + 1, self.before)
        assert self.start is not None and self.end is not None
        for year in range(season_start.year - 1, season_end.year + 2):
            first, last = day_in(year, self.start), day_in(year, self.end)
            if last < first:
                last = day_in(year + 1, self.end)
            if last >= season_start and (first >= season_start or last <= season_end):
                return first, last
        return None


def month_day(text: str) -> tuple[int, int]:
    """Return month and day of `MM-DD`; a ValueError says what is wrong with another text."""
    month, dash, day = text.partition("-")
    if not (dash and month.isdigit() and day.isdigit() and len(month) <= 2 and len(day) <= 2):
        raise ValueError(f"{text!r} is no day of the year; write MM-DD, for example 07-15")
    if int(month) not in MONTHS or not 1 <= int(day) <= MONTHS[int(month)]:
        raise ValueError(f"{text!r} is no day of the year: month {month} has no day {day}")
    return int(month), int(day)


def day_in(year: int, text: str) -> date:
    """Return the date of `MM-DD` in a year; 02-29 is the last day of February.

    Examples
    --------
    >>> day_in(2023, "02-29"), day_in(2024, "02-29")
    (datetime.date(2023, 2, 28), datetime.date(2024, 2, 29))
    """
    month, day = month_day(text)
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))


def contradictions(requirements: tuple[Requirement, ...]) -> list[str]:
    """Return what cannot be kept together, a sentence each: an event required only while it is forbidden."""
    return [
        f"{asked.name} requires {asked.require} only while {banned.name} forbids it"
        for asked in requirements
        for banned in requirements
        if asked.require in banned.forbid and _inside(asked, banned)
    ]


def _inside(asked: Requirement, banned: Requirement) -> bool:
    """Whether every day of one window lies in another; windows that follow an event are not compared."""
    if banned.all_season:
        return True
    if asked.start is None or banned.start is None:
        return False
    start, end = date(2023, 1, 1), date(2024, 12, 31)
    (a, b), (c, d) = (item.window(start, end) or (start, end) for item in (asked, banned))
    return any(c + timedelta(days=k) <= a and b <= d + timedelta(days=k) for k in (-365, 0, 365))


def _known(event: str, valid: tuple[str, ...]) -> None:
    if event not in valid:
        raise ValueError(
            f"unknown event {event!r}.{did_you_mean(event, valid)} Events are {', '.join(valid)}"
        )
