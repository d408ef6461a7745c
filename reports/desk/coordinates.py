"""A place as people paste it: from a map, a phone or a spreadsheet."""

import re

PLAIN = re.compile(r"(-?\d{1,3}(?:\.\d+)?)\s*[,; ]\s*(-?\d{1,3}(?:\.\d+)?)")
COMMAS = re.compile(r"(-?\d{1,3}(?:,\d+)?)(?:\s*;\s*|,?\s+)(-?\d{1,3}(?:,\d+)?)")
GEO = re.compile(r"geo:(-?[\d.]+),(-?[\d.]+)(?:[,;?].*)?", re.IGNORECASE)  # RFC 5870
NUMBER = r"\d{1,3}(?:[.,]\d+)?"
MARKED = re.compile(
    rf"([NSEW])?\s*(-?{NUMBER})\s*[°º]?\s*(?:({NUMBER})\s*['′’]\s*)?(?:({NUMBER})\s*(?:[\"″”]|'')\s*)?"
    r"(?(1)|([NSEW])?)",  # a letter before, or one behind
    re.IGNORECASE,
)
BETWEEN = " ,;\t\n\u00a0"


def place_of(text: str) -> tuple[float, float] | None:
    """Return longitude and latitude, degrees, where a text is a place, latitude first; else None.

    Decimals by point or comma, degrees with minutes and seconds, letters of the compass (then in either
    order), and `geo:` links are understood.

    Examples
    --------
    >>> place_of("51.05, 3.72"), place_of("51,05; 3,72"), place_of("0017")
    ((3.72, 51.05), (3.72, 51.05), None)
    >>> place_of('51°03\\'00.0"N 3°43\\'12.0"E'), place_of("E 3.72°, N 51.05°"), place_of("33.9 S, 18.4 E")
    ((3.72, 51.05), (3.72, 51.05), (18.4, -33.9))
    """
    text = text.strip(BETWEEN)
    found = PLAIN.fullmatch(text) or COMMAS.fullmatch(text) or GEO.fullmatch(text)
    try:
        latitude, longitude = map(_number, found.groups()) if found else _marked(text)
    except ValueError:
        return None
    return (longitude, latitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None


def _marked(text: str) -> tuple[float, float]:
    """Return latitude and longitude of two angles with marks; raises ValueError where they are none."""
    first = MARKED.match(text)
    second = MARKED.fullmatch(text, _next(text, first.end())) if first else None
    if first is None or second is None or not any(mark in text for mark in "°º'NSEWnsew"):
        raise ValueError(text)
    (one, toward), (other, across) = _angle(first), _angle(second)
    if {toward, across} == {"NS", "EW"}:
        return (one, other) if toward == "NS" else (other, one)
    if toward or across:
        raise ValueError(text)
    return one, other


def _next(text: str, start: int) -> int:
    while start < len(text) and text[start] in BETWEEN:
        start += 1
    return start


def _angle(found: re.Match[str]) -> tuple[float, str]:
    """Return degrees, and the axis that a letter names: `NS`, `EW` or none."""
    before, degrees, minutes, seconds, after = found.groups()
    letter = (before or after or "").upper()
    parts = [_number(part or "0") for part in (degrees, minutes, seconds)]
    if max(parts[1:]) >= 60:
        raise ValueError(found[0])
    size = abs(parts[0]) + parts[1] / 60 + parts[2] / 3600
    sign = -1 if degrees.startswith("-") or letter in ("S", "W") else 1
    return round(sign * size, 9), next((axis for axis in ("NS", "EW") if letter and letter in axis), "")


def _number(text: str) -> float:
    return float(text.replace(",", "."))
