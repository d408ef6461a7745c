"""Features and dates in words a reader knows."""

import re
from datetime import date

from features.schema import OPTICAL_BANDS, Row
from reports.embed import clean
from reports.translation import Text

_RADAR = re.compile(r"^(?P<base>s0\w*?|coh\w*?|rvi|ratio\w*?)(?:_r(?P<orbit>\d+))?$")

_SOIL = re.compile(r"^soil_(?P<number>\d+)$")


def feature_words(feature: str, text: Text) -> str:
    """Return a feature's name in plain words, with its orbit where it has one.

    Examples
    --------
    >>> from reports.translation import translation
    >>> feature_words("s0vh_db_r037", translation("en")), feature_words("B11", translation("en"))
    ('Radar VH, orbit 37', 'Band B11')
    >>> feature_words("soil_3", translation("en"))
    'Soil class 3'
    """
    if soil := _SOIL.match(feature):
        return text("feature.soil_class", number=soil["number"])
    found = _RADAR.match(feature)
    base, orbit = (found["base"], found["orbit"]) if found else (feature, None)
    words = text("feature.band", band=base) if base in OPTICAL_BANDS else text.get(f"feature.{base}", base)
    return text("feature.orbit", feature=words, orbit=int(orbit)) if orbit else words


def step_words(day: date, following: date | None, text: Text) -> str:
    """Return a calendar step as `11–20 May`, or its first day where the next step is unknown or far."""
    if following is None or not 1 < (following - day).days <= 31:
        return text.day(day)
    last = date.fromordinal(following.toordinal() - 1)
    if last.month == day.month:
        return text("date.span", first=day.day, last=last.day, month=text(f"month.{day.month}"))
    return f"{text.day(day)} – {text.day(last)}"


def marker_reason(row: Row, text: Text) -> str:
    """Return why a requirement has its state; of an open window, when it begins or ends.

    Parameters
    ----------
    row
        Of `features.schema.MARKERS`.
    """
    reason = row["reason"]
    bound = {"window_not_over": "to", "window_not_begun": "from"}.get(reason)
    if bound is not None and row[bound] is not None:
        return text(f"marker_open.{reason}", day=text.day(row[bound], True))
    return text.get(f"marker_reason.{reason}", clean(reason))
