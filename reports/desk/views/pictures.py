"""Pictures of a parcel by date, and the photos that people add."""

from starlette.responses import Response

from reports.desk.coordinates import place_of
from reports.desk.records.photos import MOST_BYTES, too_large
from reports.desk.records.refusal import Refused
from reports.desk.state import Desk
from reports.desk.views.parcel import show
from reports.desk.web import Ask, go
from reports.sheet.pictures.pictures import Picture


def picture(desk: Desk, ask: Ask) -> Response:
    """Return one picture of a parcel on one acquisition with its outline, SVG."""
    parcel_id = ask.query.get("id", "")
    found = desk.album.picture(parcel_id, ask.query.get("item", "")) if parcel_id in desk.parcels else None
    if found is None:
        raise Refused("desk.not_found", 404)
    uri = found.false_colour if ask.query.get("colour") == "false" else found.true_colour
    headers = {"Cache-Control": "private, max-age=86400"}
    return Response(outlined(found, uri), media_type="image/svg+xml", headers=headers)


def outlined(found: Picture, uri: str) -> str:
    """Return a picture as SVG: its pixels, and the parcel's outline light on dark so that it shows on any."""
    size = f'width="{found.width}" height="{found.height}"'
    image = f'<image {size} style="image-rendering:pixelated" href="{uri}"/>'
    rims = "".join(
        f'<path d="{found.outline}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
        for colour, width in (("#000", 1.1), ("#fff", 0.5))
    )
    box = f'viewBox="0 0 {found.width} {found.height}" preserveAspectRatio="xMidYMid slice"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{image}{rims}</svg>'


def add_photos(desk: Desk, ask: Ask) -> Response:
    """Keep the photos of a form, each with doubts about it; those that cannot be kept are named."""
    parcel_id = ask.form.get("id", "")
    if parcel_id not in desk.parcels:
        raise Refused("desk.not_found", 404)
    if not ask.files:
        raise Refused("refused.no_photo")
    refused = []
    for name, content, size in ask.files:
        try:
            if size > MOST_BYTES:
                raise too_large(size)
            desk.photos.add(ask.session.name, parcel_id, name, content, desk.shape(parcel_id), desk.season)
        except Refused as error:
            refused.append((name[:100], desk.text(error.key, **error.values)))
    return show(desk, ask, 400, refused=refused) if refused else go("/parcel", id=parcel_id)


def place_photo(desk: Desk, ask: Ask) -> Response:
    """Record the place that a person gives to a photo without one."""
    place = place_of(ask.form.get("place", ""))
    if place is None:
        raise Refused("refused.place")
    parcel_id = ask.form.get("id", "")
    sha256 = ask.form.get("sha256", "")
    shape = desk.shape(parcel_id)
    desk.photos.place(ask.session.name, parcel_id, sha256, *place, shape)
    return go("/parcel", id=parcel_id)


def photo(desk: Desk, ask: Ask) -> Response:
    """Return a photo to look at, without its metadata."""
    content = desk.photos.shown(ask.query.get("sha256", ""))
    if content is None:
        raise Refused("desk.not_found", 404)
    headers = {"Cache-Control": "private, max-age=86400"}
    return Response(content, media_type="image/jpeg", headers=headers)
