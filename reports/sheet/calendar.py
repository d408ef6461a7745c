"""A parcel's calendar: what was seen when, between which looks, and the windows of its requirements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from features.schema import Row
from reports.embed import clean
from reports.sheet.event_words import dated_events, event_words
from reports.svg import Plot
from reports.translation import Text
from reports.words import marker_reason

SEEN = "seen"
WIDTH, ROW, FOOT = 860.0, 17.0, 20.0


@dataclass(frozen=True)
class Calendar:
    """The figure, events and requirements as rows of words; `by_rules`: its chances are not calibrated."""

    figure: Markup | None
    events: list[dict[str, str]]
    requirements: list[dict[str, str]]
    by_rules: bool = False


def calendar_of(
    events: list[Row], markers: list[Row], days: Sequence[date], text: Text, by_rules: bool = False
) -> Calendar:
    """Return the calendar of one parcel.

    Parameters
    ----------
    events, markers
        Its rows of the schemas EVENTS and MARKERS.
    days
        The steps of its series: the season.
    by_rules
        Whether rules found the events, with nothing learned from labels.
    """
    listed = sorted(events, key=lambda row: (row["date"], row["event"]))
    figure = _figure(listed, markers, days, text) if days and (listed or markers) else None
    rows = [_event(row, text) for row in listed], [_marker(row, text) for row in markers]
    return Calendar(figure, *rows, by_rules)


def looks_around(events: list[Row], most: int) -> list[date]:
    """Return the looks before and after the likeliest reported events, for thumbnails."""
    reported = sorted(
        (row for row in events if row["reason"] == SEEN), key=lambda row: (-row["probability"], row["date"])
    )
    days: list[date] = []
    for row in reported:
        pair = [day for day in (row["earliest"], row["latest"]) if day not in days]
        if len(days) + len(pair) <= most:
            days += pair
    return sorted(days)


def _figure(events: list[Row], markers: list[Row], days: Sequence[date], text: Text) -> Markup:
    kinds = list(dict.fromkeys(row["event"] for row in events))
    windows = [row for row in markers if row["from"] is not None]
    rows = len(windows) + len(kinds)
    first, last = days[0].toordinal(), days[-1].toordinal() + 10
    plot = Plot(
        WIDTH, ROW * rows + FOOT + 6, (first, last), (0, max(rows, 1)), text("sheet.calendar"),
        left=150, right=8, top=6, bottom=FOOT,
    )  # fmt: skip
    place = {("window", row["requirement"]): rows - 0.5 - k for k, row in enumerate(windows)}
    place |= {("event", kind): rows - 0.5 - len(windows) - k for k, kind in enumerate(kinds)}
    named = [(place["window", row["requirement"]], clean(row["requirement"])) for row in windows]
    named += [(place["event", kind], text.get(f"event.{kind}", clean(kind))) for kind in kinds]
    plot.axis_y(named)
    plot.axis_x([(day, text(f"month.{month}")) for day, month in _months(first, last)], grid=True)
    for row in windows:
        y = place["window", row["requirement"]]
        a, b = max(row["from"].toordinal(), first), min(row["to"].toordinal() + 1, last)
        if a < b:
            plot.box(a, b, y - 0.3, y + 0.3, "band-declared")
    for row in events:
        y = place["event", row["event"]]
        low, high = (min(max(row[name].toordinal(), first), last) for name in ("earliest", "latest"))
        plot.across(y, low, high)
        style = "dot" if row["reason"] == SEEN else "ring"
        plot.dots([min(max(row["date"].toordinal(), first), last)], [y], style, 4)
    return plot.markup()


def _months(first: int, last: int) -> list[tuple[int, int]]:
    days = [date.fromordinal(day) for day in range(first, last + 1)]
    return [(day.toordinal(), day.month) for day in days if day.day == 1]


def _event(row: Row, text: Text) -> dict[str, str]:
    reason = row["reason"]
    return {
        "name": text.get(f"event.{row['event']}", clean(row["event"])),
        "day": text.day(row["date"]),
        "between": f"{text.day(row['earliest'])} – {text.day(row['latest'])}",
        "chance": text.percent(row["probability"], 0),
        "state": text("event_state.reported") if reason == SEEN else text("event_state.doubt"),
        "reason": "" if reason == SEEN else text.get(f"event_reason.{reason}", clean(reason)),
        "evidence": event_words(row["evidence"], text),
        "earliest": row["earliest"].isoformat(),
        "latest": row["latest"].isoformat(),
        "sensors": ", ".join(text.get(f"sensor.{name}", name) for name in row["sensors"]),
    }


def _marker(row: Row, text: Text) -> dict[str, str]:
    window = "–" if row["from"] is None else f"{text.day(row['from'])} – {text.day(row['to'], True)}"
    return {
        "name": clean(row["requirement"]),
        "window": window,
        "state": text.get(f"marker.{row['state']}", clean(row["state"])),
        "reason": marker_reason(row, text),
        "events": dated_events(row["events"], text),
    }
