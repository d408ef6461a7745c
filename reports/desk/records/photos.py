"""Photos of parcels: kept untouched with their hash, checked by their metadata, shown without it."""

import hashlib
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import shapely
from PIL import ExifTags, Image, ImageOps

from features.files import atomic_path
from features.journal import database as journal
from features.journal.entries import Draft, Entry
from reports.desk.records.refusal import Refused
from reports.desk.records.store import Store

MOST_BYTES = 40_000_000
MOST_PIXELS = 60_000_000
FORMATS = {"JPEG": "image/jpeg", "HEIF": "image/heic"}
TOLERANCE_M = 25.0  # of a phone's position
AIM_DEGREES = 60.0  # how far from the parcel's middle a photo's direction may point
SHOWN_PX = 1600
ALIKE_BITS = 6  # of 64: photos whose likeness hashes differ by no more show the same
PHOTO, PLACED = "photo", "photo_placed"  # kinds of entries
EARTH_M = 6_371_008.8  # mean radius, metres


@dataclass(frozen=True)
class Facts:
    """What a photo's metadata says of it; None where it is silent."""

    longitude: float | None
    latitude: float | None
    taken: str | None  # ISO 8601, the camera's clock
    direction: float | None  # degrees from north, clockwise
    width: int
    height: int
    likeness: str  # 16 hexadecimal digits


@dataclass(frozen=True)
class Season:
    """When a photo counts: the season's days, and the day of the declaration where it is known."""

    start: date
    end: date
    declared_on: date | None = None


def read_facts(content: bytes) -> Facts:
    """Read a photo's metadata.

    Raises
    ------
    Refused
        Where it is no JPEG or HEIC image, damaged, or larger than is taken.
    """
    if len(content) > MOST_BYTES:
        raise too_large(len(content))
    with _opened(content) as image:
        exif, place, more = _metadata(image)
        longitude = _degrees(place.get(4), place.get(3), "EW", 180)
        latitude = _degrees(place.get(2), place.get(1), "NS", 90)
        # phones that lose the place write 0, 0, in the ocean
        both = longitude is not None and latitude is not None and (longitude, latitude) != (0.0, 0.0)
        return Facts(
            longitude=longitude if both else None,
            latitude=latitude if both else None,
            taken=_moment(more.get(36867) or exif.get(306)),
            direction=_bounded(place.get(17), 0, 360),
            width=image.width,
            height=image.height,
            likeness=_likeness(image),
        )


def too_large(size: int) -> Refused:
    """Return the refusal of a photo of so many bytes."""
    return Refused("refused.photo_bytes", mb=f"{size / 1e6:.0f}", most=f"{MOST_BYTES / 1e6:.0f}")


def findings(facts: Facts, parcel: Any, season: Season, others: dict[str, str], sha256: str) -> list[str]:
    """Return what speaks against a photo, as keys of phrases; none where all is well.

    Parameters
    ----------
    parcel
        The parcel's geometry, degrees (longitude, latitude).
    others
        Likeness of the photos that are there already, by SHA-256.
    """
    found = []
    if facts.longitude is None or facts.latitude is None:
        found.append("no_place")
    else:
        point = shapely.Point(facts.longitude, facts.latitude)
        away = _metres(parcel, point)
        if away > TOLERANCE_M:
            found.append("outside")
        found += _aim(point, away, parcel, facts.direction)
    if facts.taken is None:
        found.append("no_time")
    else:
        day = facts.taken[:10]
        if not season.start.isoformat() <= day <= season.end.isoformat():
            found.append("outside_season")
        if season.declared_on is not None and day < season.declared_on.isoformat():
            found.append("before_declaration")
    if sha256 in others:
        found.append("same_file")
    elif any(_differ(facts.likeness, other) <= ALIKE_BITS for other in others.values()):
        found.append("alike")
    return found


def _aim(point: Any, away: float, parcel: Any, direction: float | None) -> list[str]:
    """Return the doubt about the direction of a photo taken at a point, `away` metres from the parcel."""
    if direction is None:
        return ["no_direction"]
    turned = _turn(_bearing(point, parcel.representative_point()), direction)
    return ["points_away"] if away > 0 and turned > AIM_DEGREES else []


class Photos:
    """The photos of one desk: originals under `folder`, named by their hash."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self._last = 0
        self._likeness: dict[str, str] = {}

    def add(
        self, by: str, parcel_id: str, name: str, content: bytes, parcel: Any, season: Season
    ) -> list[str]:
        """Keep a photo of a parcel and return what speaks against it; the same file twice is kept once.

        Raises
        ------
        Refused
            As `read_facts`.
        """
        facts = read_facts(content)
        sha256 = hashlib.sha256(content).hexdigest()
        found = findings(facts, parcel, season, self._likenesses(), sha256)
        path = self.folder / sha256
        if not path.exists():
            with atomic_path(path) as partial:
                partial.write_bytes(content)
        kept = {"sha256": sha256, "name": name[:300], **vars(facts), "findings": found}
        with self.store.writing() as connection:
            there = journal.entries(connection, subject=parcel_id)
            if not any(_is(PHOTO, entry) and entry.content["sha256"] == sha256 for entry in there):
                journal.append(connection, [Draft(PHOTO, parcel_id, kept)], by)
        return found

    def place(
        self, by: str, parcel_id: str, sha256: str, longitude: float, latitude: float, parcel: Any
    ) -> None:
        """Record the place that a person gives to a photo without one; the original stays as it is.

        Raises
        ------
        Refused
            Where the parcel has no such photo, the photo has a place of its own, or this is no place.
        """
        if not (abs(longitude) <= 180 and abs(latitude) <= 90):
            raise Refused("refused.place")
        known = [photo["facts"] for photo in self.of(parcel_id) if photo["sha256"] == sha256]
        if not known:
            raise Refused("refused.photo_unknown", 404)
        if known[0]["longitude"] is not None:
            raise Refused("refused.photo_has_place")
        point = shapely.Point(longitude, latitude)
        away = round(_metres(parcel, point), 1)
        content = {
            "sha256": sha256, "longitude": longitude, "latitude": latitude, "away_m": away,
            "findings": _aim(point, away, parcel, known[0]["direction"]),
        }  # fmt: skip
        self.store.add([Draft(PLACED, parcel_id, content)], by)

    def of(self, parcel_id: str) -> list[dict[str, Any]]:
        """Return the photos of a parcel, the oldest first: `sha256, file_name, facts, findings, placed`.

        `placed` is None, or where and by whom a photo without a place was placed: `longitude, latitude, by,
        away_m` (metres from the parcel), the latest of several. What speaks against it follows that place.
        """
        entries = self.store.entries(subject=parcel_id)
        placed = {str(entry.content["sha256"]): entry for entry in entries if _is(PLACED, entry)}
        return [
            _photo(entry, placed.get(str(entry.content["sha256"]))) for entry in entries if _is(PHOTO, entry)
        ]

    def shown(self, sha256: str) -> bytes | None:
        """Return a photo to show: turned upright, at most 1,600 pixels, JPEG, without any metadata."""
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            return None
        path = self.folder / sha256
        if not path.is_file():
            return None
        with _opened(path.read_bytes()) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
            upright.thumbnail((SHOWN_PX, SHOWN_PX))
            plain = Image.new("RGB", upright.size)
            plain.paste(upright)
            out = io.BytesIO()
            plain.save(out, "JPEG", quality=85)
            return out.getvalue()

    def _likenesses(self) -> dict[str, str]:
        """Return the likeness of every photo that is there, by SHA-256."""
        for entry in self.store.entries(after=self._last):
            if _is(PHOTO, entry):
                self._likeness[str(entry.content["sha256"])] = str(entry.content["likeness"])
            self._last = max(self._last, entry.number)
        return dict(self._likeness)


def _is(kind: str, entry: Entry) -> bool:
    """Say whether an entry is of a kind and holds what that kind does; one altered by hand may not."""
    needed = ("sha256", "name", "findings", "likeness") if kind == PHOTO else ("sha256",)
    return entry.kind == kind and set(needed) <= entry.content.keys()


def _photo(entry: Entry, placed: Entry | None) -> dict[str, Any]:
    found = list(entry.content["findings"])
    where = None
    if placed is not None:
        where = {name: placed.content.get(name) for name in ("longitude", "latitude", "away_m")}
        where["by"] = placed.by
        outside = ["outside"] if (where["away_m"] or 0) > TOLERANCE_M else []
        aim = list(placed.content.get("findings", ()))
        found = [*outside, *aim, *(finding for finding in found if finding != "no_place")]
    return {
        "sha256": entry.content["sha256"],
        "file_name": entry.content["name"],
        "facts": entry.content,
        "findings": found,
        "placed": where,
    }


def _opened(content: bytes) -> Image.Image:
    """Open a JPEG or HEIC image whose size is declared within limits."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    Image.MAX_IMAGE_PIXELS = None  # our own limit is asked before any pixel is decoded
    try:
        image = Image.open(io.BytesIO(content), formats=list(FORMATS))
        if image.width * image.height > MOST_PIXELS:
            raise Refused(
                "refused.photo_pixels",
                width=image.width,
                height=image.height,
                most=f"{MOST_PIXELS / 1e6:.0f}",
            )
        image.load()
    except Refused:
        raise
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        raise Refused("refused.photo_kind") from error
    return image


def _metadata(image: Image.Image) -> tuple[Mapping, Mapping, Mapping]:
    """Return a photo's tags, those of its place, and those of its taking; none where they cannot be read."""
    try:
        exif = image.getexif()
        return exif, exif.get_ifd(ExifTags.IFD.GPSInfo), exif.get_ifd(ExifTags.IFD.Exif)
    except Exception:  # readers raise whatever damaged metadata lead them to; the picture is one all the same
        return {}, {}, {}


def _degrees(parts: Any, letter: Any, letters: str, most: float) -> float | None:
    """Return degrees from their parts and the letter of the half; the second of `letters` is negative."""
    try:
        degrees, minutes, seconds = (float(part) for part in parts)
        half = (letter.decode("ascii") if isinstance(letter, bytes) else str(letter)).strip("\x00 ").upper()
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    value = degrees + minutes / 60 + seconds / 3600
    if not (degrees >= 0 and 0 <= minutes <= 60 and 0 <= seconds <= 60 and value <= most):
        return None
    if len(half) != 1 or half not in letters:
        return None
    return -value if half == letters[1] else value


def _bounded(value: Any, low: float, high: float) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and low <= number <= high else None


def _moment(text: Any) -> str | None:
    try:
        return datetime.strptime(str(text).strip("\x00 "), "%Y:%m:%d %H:%M:%S").isoformat()
    except ValueError:
        return None


def _likeness(image: Image.Image) -> str:
    """Difference hash: whether each of 8 x 8 cells is darker than its right neighbour (Krawetz 2013)."""
    small = list(image.convert("L").resize((9, 8), Image.Resampling.BILINEAR).tobytes())
    bits = "".join(
        "1" if small[9 * y + x] < small[9 * y + x + 1] else "0" for y in range(8) for x in range(8)
    )
    return f"{int(bits, 2):016x}"


def _differ(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def _metres(parcel: Any, point: Any) -> float:
    """Distance from a parcel to a point, metres, on a plane that is local to the point."""
    east = math.cos(math.radians(point.y))

    def local(coordinates: Any) -> Any:
        shifted = coordinates - [point.x, point.y]
        return shifted * [east * math.radians(1) * EARTH_M, math.radians(1) * EARTH_M]

    return float(shapely.distance(shapely.transform(parcel, local), shapely.Point(0, 0)))


def _bearing(start: Any, end: Any) -> float:
    east = (end.x - start.x) * math.cos(math.radians(start.y))
    return math.degrees(math.atan2(east, end.y - start.y)) % 360


def _turn(one: float, other: float) -> float:
    return abs((one - other + 180) % 360 - 180)
