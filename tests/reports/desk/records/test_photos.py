"""Photos: originals untouched, checked by their metadata, shown without it; what is no photo is refused."""

import io
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import shapely
from PIL import Image

from features.errors import ConfigError
from reports.desk.records.photos import Facts, Photos, Season, findings, read_facts
from reports.desk.records.store import Store, local_url

PARCEL = shapely.box(3.7200, 51.0500, 3.7220, 51.0515)  # some 140 m x 167 m
SEASON = Season(date(2026, 3, 1), date(2026, 10, 31), declared_on=date(2026, 5, 15))


def photo(
    place: tuple[float, float] | None = (3.721, 51.0505),
    taken: str | None = "2026:06:10 12:00:00",
    direction: float | None = 0.0,
    colour: int = 90,
    kind: str = "JPEG",
    size: tuple[int, int] = (64, 48),
) -> bytes:
    image = Image.linear_gradient("L").resize(size).point(lambda value: (value + colour) % 256).convert("RGB")
    exif = image.getexif()
    gps: dict[int, Any] = {}
    if place is not None:
        gps |= {1: "N", 2: _dms(place[1]), 3: "E", 4: _dms(place[0])}
    if direction is not None:
        gps[17] = direction
    exif.get_ifd(0x8825).update(gps)
    if taken is not None:
        exif.get_ifd(0x8769)[36867] = taken
    out = io.BytesIO()
    image.save(out, kind, exif=exif)
    return out.getvalue()


def _dms(value: float) -> tuple[float, float, float]:
    degrees = int(value)
    minutes = int((value - degrees) * 60)
    return float(degrees), float(minutes), round(((value - degrees) * 60 - minutes) * 60, 4)


def said(content: bytes, others: dict[str, str] | None = None) -> list[str]:
    return findings(read_facts(content), PARCEL, SEASON, others or {}, "0" * 64)


def test_a_good_photo_has_nothing_against_it() -> None:
    facts = read_facts(photo())
    assert (round(facts.longitude or 0, 4), round(facts.latitude or 0, 4)) == (3.721, 51.0505)
    assert facts.taken == "2026-06-10T12:00:00"
    assert said(photo()) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"place": None, "direction": None}, ["no_place"]),
        (
            {"place": (3.7210, 51.04985)},
            [],
        ),  # 17 m south of the border, looking north: within a phone's error
        ({"place": (3.7210, 51.0490)}, ["outside"]),  # 111 m south
        ({"place": (3.7210, 51.0490), "direction": 180.0}, ["outside", "points_away"]),
        ({"direction": None}, ["no_direction"]),
        ({"taken": None}, ["no_time"]),
        ({"taken": "2025:06:10 12:00:00"}, ["outside_season", "before_declaration"]),
        ({"taken": "2026:05:01 12:00:00"}, ["before_declaration"]),
        ({"taken": "0000:00:00 00:00:00"}, ["no_time"]),
    ],
)
def test_what_speaks_against_a_photo(changes: dict[str, Any], expected: list[str]) -> None:
    assert said(photo(**changes)) == expected


def test_the_same_picture_saved_again_is_alike() -> None:
    first = read_facts(photo()).likeness
    assert said(photo(size=(80, 60)), {"1" * 64: first}) == ["alike"]


def test_absurd_places_are_no_places() -> None:
    assert read_facts(photo(place=(300.0, 51.0))).longitude is None


def test_heic_is_read() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    assert read_facts(photo(kind="HEIF")).taken == "2026-06-10T12:00:00"


@pytest.mark.parametrize(
    "content",
    [b"", b"<svg onload=alert(1)>", b"GIF89a" + b"\x00" * 50, b"\xff\xd8\xff\xe0<script>alert(1)</script>",
     photo()[:400], b"%PDF-1.4" + photo()],
)  # fmt: skip
def test_what_is_no_photo_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigError, match="no JPEG or HEIC photo"):
        read_facts(content)


def test_bombs_are_refused_before_they_are_decoded() -> None:
    out = io.BytesIO()
    Image.new("L", (9000, 8000)).save(out, "JPEG", quality=1)
    with pytest.raises(ConfigError, match="9000 x 8000 pixels; at most 60 million"):
        read_facts(out.getvalue())
    with pytest.raises(ConfigError, match="400 MB; at most 40"):
        read_facts(bytes(400_000_000))


def test_originals_are_kept_and_copies_say_nothing(tmp_path: Path) -> None:
    photos = Photos(Store(local_url(tmp_path)), tmp_path / "photos")
    content = photo()
    assert photos.add("anna", "7", "../../IMG 1.jpg", content, PARCEL, SEASON) == []
    [kept] = photos.of("7")
    assert (tmp_path / "photos" / kept["sha256"]).read_bytes() == content
    assert [path.name for path in (tmp_path / "photos").iterdir()] == [kept["sha256"]], "names are not paths"
    copy = photos.shown(kept["sha256"])
    assert copy is not None
    shown = Image.open(io.BytesIO(copy))
    assert dict(shown.getexif()) == {}
    assert photos.shown("../desk.sqlite") is None
    assert photos.add("anna", "7", "again.jpg", content, PARCEL, SEASON) == ["same_file"]
    assert len(photos.of("7")) == 1


def test_facts_without_a_place_do_not_point_anywhere() -> None:
    facts = Facts(None, None, "2026-06-10T12:00:00", 90.0, 1, 1, "0" * 16)
    assert findings(facts, PARCEL, SEASON, {}, "0" * 64) == ["no_place"]


def test_a_photo_with_a_script_behind_it_is_shown_without_it(tmp_path: Path) -> None:
    photos = Photos(Store(local_url(tmp_path)), tmp_path / "photos")
    content = photo() + b"<script>alert(1)</script>PK\x03\x04"
    photos.add("anna", "7", "x.jpg", content, PARCEL, SEASON)
    [kept] = photos.of("7")
    copy = photos.shown(kept["sha256"])
    assert copy is not None
    assert b"script" not in copy and b"PK\x03\x04" not in copy
    assert (tmp_path / "photos" / kept["sha256"]).read_bytes() == content


@pytest.mark.parametrize(
    ("gps", "expected"),
    [
        ({1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}, (None, None)),  # a phone that lost it
        ({1: "S", 2: (10.0, 30.0, 0.0), 3: "W", 4: (20.0, 0.0, 0.0)}, (-20.0, -10.5)),
        ({2: (10.0, 30.0, 0.0), 4: (20.0, 0.0, 0.0)}, (None, None)),  # of which half of the globe?
        ({1: "N", 2: (91.0, 0.0, 0.0), 3: "E", 4: (20.0, 0.0, 0.0)}, (None, None)),
        ({1: "N", 2: (10.0, 75.0, 0.0), 3: "E", 4: (20.0, 0.0, 0.0)}, (None, None)),
    ],
)
def test_places_are_read_or_are_none(
    gps: dict[int, Any], expected: tuple[float | None, float | None]
) -> None:
    image = Image.new("RGB", (16, 16))
    exif = image.getexif()
    exif.get_ifd(0x8825).update(gps)
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif)
    facts = read_facts(out.getvalue())
    assert (facts.longitude, facts.latitude) == expected


def test_damaged_metadata_is_no_metadata() -> None:
    whole = photo()
    for place in range(20, 200):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        try:
            read_facts(bytes(damaged))
        except ConfigError:
            continue


def test_a_place_given_by_hand_is_for_a_photo_that_has_none(tmp_path: Path) -> None:
    photos = Photos(Store(local_url(tmp_path)), tmp_path / "photos")
    photos.add("anna", "7", "a.jpg", photo(place=None, direction=180.0), PARCEL, SEASON)
    photos.add("anna", "7", "b.jpg", photo(colour=160), PARCEL, SEASON)
    without, with_one = (kept["sha256"] for kept in photos.of("7"))
    with pytest.raises(ConfigError, match="says where it was taken"):
        photos.place("anna", "7", with_one, 3.721, 51.049, PARCEL)
    with pytest.raises(ConfigError, match="no such photo"):
        photos.place("anna", "8", without, 3.721, 51.049, PARCEL)
    photos.place("anna", "7", without, 3.721, 51.04985, PARCEL)  # 17 m south of the parcel, looking south
    assert photos.of("7")[0]["findings"] == ["points_away"]
