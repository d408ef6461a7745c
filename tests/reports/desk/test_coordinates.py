"""Places as people paste them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.desk.coordinates import place_of

GHENT = (3.72, 51.05)


@pytest.mark.parametrize(
    "text",
    [
        "51.05, 3.72", " 51.05 3.72 ", "51.05;3.72", "51,05 3,72", "51,05; 3,72", "51,05, 3,72",
        "51.05° N, 3.72° E", "51.05°N 3.72°E", "N 51.05 E 3.72", "3.72 E, 51.05 N", "51,05° N 3,72° E",
        "51°03'00.0\"N 3°43'12.0\"E", "51°03′00″ N, 3°43′12″ E", "51° 3' N 3° 43.2' E", "51°3'0'' 3°43'12''",
        "geo:51.05,3.72", "geo:51.05,3.72?z=17", "51.05,\u00a03.72",
    ],
)  # fmt: skip
def test_a_pasted_place_is_understood(text: str) -> None:
    assert place_of(text) == pytest.approx(GHENT)


@pytest.mark.parametrize(
    "text",
    [
        "", "0017", "51.05", "wheat", "NL 12 34 x", "91, 3", "51, 181", "51.05 N 3.72 N", "51°61'N 3°E",
        "51 N 3", "N 51 N 3 E", "12-345", "51.05.2, 3", "geo:x,y", "geo:1.2.3,4", "1234 5678", "W", "51° N",
    ],
)  # fmt: skip
def test_what_is_no_place_is_none(text: str) -> None:
    assert place_of(text) is None


@given(st.text(alphabet="0123456789.,;°'\"NSEW -geo:", max_size=30))
def test_whatever_is_typed_gives_a_place_on_earth_or_none(text: str) -> None:
    place = place_of(text)
    assert place is None or (abs(place[0]) <= 180 and abs(place[1]) <= 90)


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_degrees_minutes_and_seconds_say_the_same(latitude: float, longitude: float) -> None:
    def written(value: float, letters: str) -> str:
        seconds = round(abs(value) * 3600, 3)
        degrees, rest = divmod(seconds, 3600)
        letter = letters[value < 0]
        return f"{degrees:.0f}°{int(rest // 60):02d}'{rest % 60:06.3f}\"{letter}"

    found = place_of(f"{written(latitude, 'NS')} {written(longitude, 'EW')}")
    assert found == pytest.approx((longitude, latitude), abs=1e-6)
