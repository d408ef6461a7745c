"""The map: parcels of a selection over the run's own image, whose tiles the desk serves itself."""

import json

import polars as pl
from starlette.responses import Response

from features.schema import VERDICTS_OF
from reports.desk.records.refusal import Refused
from reports.desk.state import Desk
from reports.desk.web import Ask, number, page
from reports.embed import clean
from reports.maps import encode_outlines

MOST_DRAWN = 20_000
MOST_TILES = 100_000  # along a side, and far more than there are levels
AROUND = 150  # nearest parcels that are drawn about one


def show(desk: Desk, ask: Ask) -> Response:
    """Show the map of a selection."""
    query, parcel = desk.query(ask.query, ask.session), ask.query.get("parcel", "")
    found = desk.parcels.count(query, desk.decisions.standing(), desk.today)
    if found > MOST_DRAWN and parcel not in desk.parcels:
        raise Refused("refused.too_many_drawn", n=desk.text.number(found), most=desk.text.number(MOST_DRAWN))
    return page(
        desk, ask, "map.html.j2", map_query=query.address(page=1), map_parcel=parcel, found=found,
        verdicts=VERDICTS_OF,
    )  # fmt: skip


def data(desk: Desk, ask: Ask) -> Response:
    """Return the outlines of a selection, or of a parcel and those about it, in the image's coordinates."""
    near = ask.query.get("near", "")
    table = _selection(desk, ask, near)
    if table.height > MOST_DRAWN:
        raise Refused("refused.too_many_drawn", n=table.height, most=MOST_DRAWN)
    shapes = desk.run.shapes_of(table["parcel_id"])
    drawn = desk.background.image
    if drawn is not None:
        shapes = shapes.to_crs(drawn.crs)
    outlines = encode_outlines(shapes, 1.0)
    codes = {name: number for number, name in enumerate(VERDICTS_OF)}
    image = desk.background.facts()
    if image is not None and drawn is not None:
        month = desk.text(f"month.{drawn.day.month}")
        image["said"] = (
            desk.text("desk.composite_of", month=month, year=drawn.day.year)
            if drawn.is_composite
            else desk.text("desk.image_of", day=desk.text.day(drawn.day, year=True))
        )
    content = {
        "grid": [outlines.x, outlines.y, outlines.step],
        "outlines": outlines.code,
        "names": {"v": [*VERDICTS_OF], "verdict": [desk.text(f"verdict.{name}") for name in VERDICTS_OF]},
        "parcels": {
            "id": table["parcel_id"].to_list(),
            "v": [codes[name] for name in table["verdict"]],
            "crop": [clean(name or "–") for name in table["crop"]],
        },
        "image": image,
    }
    return Response(json.dumps(content), media_type="application/json")


def tile(desk: Desk, ask: Ask) -> Response:
    """Return one tile of the image, PNG."""
    asked = [number(ask.query.get(name, "")) for name in ("level", "column", "row")]
    known = [value for value in asked if value is not None and value < MOST_TILES]
    found = desk.background.tile(*known) if len(known) == len(asked) else None
    if found is None:
        raise Refused("desk.not_found", 404)
    return Response(found, media_type="image/png", headers={"Cache-Control": "private, max-age=86400"})


def _selection(desk: Desk, ask: Ask, near: str) -> pl.DataFrame:
    if near in desk.parcels and desk.parcels.row(near)["longitude"] is not None:
        return desk.parcels.around(near, AROUND)
    return desk.parcels.filtered(desk.query(ask.query, ask.session), desk.decisions.standing(), desk.today)
