"""What is expected of a parcel next: its forecast with intervals, and whether it left an earlier one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from features.schema import Row
from reports.sheet.event_words import dated_events
from reports.svg import Plot, nice_ticks, short
from reports.translation import Text

WIDTH, HEIGHT = 420.0, 118.0
LOOKS = 60  # days before the forecast whose looks are shown


@dataclass(frozen=True)
class Ahead:
    """The figure, a sentence under it, and the sentence of an anomaly; None where there is nothing."""

    figure: Markup | None
    note: str
    anomaly: str | None


def ahead_of(
    rows: Sequence[Row],
    anomalies: Sequence[Row],
    seen: Sequence[tuple[date, float]],
    text: Text,
) -> Ahead:
    """Return what a parcel's sheet shows of the days ahead.

    Parameters
    ----------
    rows
        The parcel's rows of `features.schema.FORECAST`, in order of date.
    anomalies
        Its rows of `models.forecast.anomaly.ANOMALIES`, at most one.
    seen
        Its NDVI of clear steps.
    """
    anomaly = _anomaly(anomalies[0], text) if anomalies else None
    known = [row for row in rows if row["ndvi"] is not None]
    if not known:
        return Ahead(None, "", anomaly)
    made_on = known[0]["made_on"]
    before = [(day, value) for day, value in seen if 0 <= (made_on - day).days <= LOOKS]
    days = [row["date"].toordinal() for row in known]
    first = min([made_on.toordinal(), *(day.toordinal() for day, _ in before)])
    values = [row[name] for row in known for name in ("low_90", "high_90")] + [value for _, value in before]
    plot = Plot(
        WIDTH, HEIGHT, (first, days[-1]), (min(values), max(values)), text("sheet.ahead"), left=34, right=4,
        top=6, bottom=17,
    )  # fmt: skip
    plot.axis_y([(tick, text.written(short(tick))) for tick in nice_ticks(min(values), max(values), 4)])
    plot.axis_x([(day, text.day(date.fromordinal(day))) for day in _ticks(first, days[-1])])
    for low, high, style in (("low_90", "high_90", "band-predicted"), ("low_50", "high_50", "band-declared")):
        plot.band(days, [row[low] for row in known], [row[high] for row in known], style)
    plot.line(days, [row["ndvi"] for row in known], "own")
    plot.dots([day.toordinal() for day, _ in before], [value for _, value in before], "dot", 2.7)
    note = text("sheet.ahead_note", day=text.day(made_on))
    return Ahead(plot.markup(), note, anomaly)


def _ticks(first: int, last: int) -> list[int]:
    """Return the days that the axis names: about four, a whole number of weeks apart, none at the very end.

    Examples
    --------
    >>> _ticks(0, 90)
    [0, 21, 42, 63, 84]
    >>> _ticks(0, 6)
    [0]
    """
    step = 7 * max(round((last - first) / 4 / 7), 1)
    return [day for day in range(first, last, step) if day == first or last - day >= step / 4]


def _anomaly(row: Row, text: Text) -> str:
    key = "sheet.anomaly_below" if row["direction"] == "below" else "sheet.anomaly_above"
    said = text(key, since=text.day(row["since"]), until=text.day(row["until"]), n=text.number(row["looks"]))
    events = dated_events(row["events"], text)
    return f"{said} {text('sheet.anomaly_events', events=events)}" if events else said
