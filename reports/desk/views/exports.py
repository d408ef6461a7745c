"""What leaves the desk: the reviewed list, GeoPackage, a route for inspectors, letters, sheets."""

import csv
import io
from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

import geopandas as gpd
import numpy as np
import polars as pl
from jinja2 import StrictUndefined, Template
from jinja2.sandbox import SandboxedEnvironment
from scipy.spatial import KDTree
from starlette.responses import Response

from features.journal.entries import Draft
from features.storage.geopackage import write_geopackage
from features.storage.scratch import scratch_folder
from reports.desk.records.decisions import Decision
from reports.desk.records.refusal import Refused
from reports.desk.state import Desk
from reports.desk.views.listing import holding_name
from reports.desk.web import HEADERS, Ask, on_day, page
from reports.exports.neutral import neutral
from reports.translation import Text, languages, translation

FIELD_RESULT = {"in_order": "correct", "accept": "wrong"}  # what a decision says of the declaration
OF_PARCEL = (
    "parcel_id", "declared", "crop", "looks_like", "verdict", "reason", "area_ha", "intervention", "region",
    "amount", "inside", "composition",
)  # fmt: skip
DECIDED = (
    "evidence", "decision", "remark", "assigned_to", "due", "decided_by", "decided_at", "field_result",
)  # fmt: skip
MOST_PRINTED = 500


def table_of(desk: Desk, ask: Ask) -> pl.DataFrame:
    """Return the parcels of a selection with what was decided about each, in the list's order."""
    standing = desk.decisions.standing()
    chosen = desk.parcels.filtered(desk.query(ask.query, ask.session), standing, desk.today)
    made = [_decided(standing.get(name)) for name in chosen["parcel_id"]]
    decided = pl.DataFrame(made, schema=dict.fromkeys(DECIDED, pl.String), orient="row")
    shown = {
        "amount": desk.parcels.paid,
        "inside": desk.parcels.composed,
        "composition": desk.parcels.composed,
    }
    kept = [name for name in OF_PARCEL if shown.get(name, True)]
    places = chosen.select("longitude", "latitude", "holding_id")
    return pl.concat([chosen.select(kept), decided, places], how="horizontal")


def as_csv(desk: Desk, ask: Ask) -> Response:
    """Return the selection as CSV: `cropcheck assess` reads its columns parcel_id, field_result, remark and
    evidence (where the photos lie that were there when it was decided)."""
    table = table_of(desk, ask).drop("longitude", "latitude", "holding_id")
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(table.columns)
    writer.writerows(
        [[neutral(cell) if isinstance(cell, str) else cell for cell in row] for row in table.iter_rows()]
    )
    _note(desk, ask, "parcels.csv", table)
    return _file(out.getvalue().encode("utf-8-sig"), "text/csv", "parcels.csv")


def as_geopackage(desk: Desk, ask: Ask) -> Response:
    """Return the selection as a GeoPackage with the parcels' geometry."""
    table = table_of(desk, ask).drop("longitude", "latitude", "holding_id")
    _note(desk, ask, "parcels.gpkg", table)
    shapes = desk.run.shapes_of(table["parcel_id"])
    frame = gpd.GeoDataFrame(table.to_pandas(), geometry=shapes.to_numpy(), crs=shapes.crs)
    with scratch_folder() as folder:
        path = folder / "parcels.gpkg"
        write_geopackage(frame, path, "parcels")
        return _file(path.read_bytes(), "application/geopackage+sqlite3", "parcels.gpkg")


def as_route(desk: Desk, ask: Ask) -> Response:
    """Return the selection as GPX waypoints, each the nearest to the one before: an order to drive in."""
    table = table_of(desk, ask).drop_nulls(["longitude", "latitude"])
    _note(desk, ask, "route.gpx", table)
    points = table.select("longitude", "latitude").to_numpy()
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    lines.append('<gpx version="1.1" creator="cropcheck" xmlns="http://www.topografix.com/GPX/1/1">')
    for place in in_order(points):
        row = table.row(int(place), named=True)
        name, note = str(row["parcel_id"]), f"{row['crop'] or ''} {row['remark'] or ''}".strip()
        latitude, longitude = (quoteattr(f"{row[axis]:.6f}") for axis in ("latitude", "longitude"))
        where = f"lat={latitude} lon={longitude}"
        lines.append(f"<wpt {where}><name>{_xml(name)}</name><desc>{_xml(note)}</desc></wpt>")
    lines.append("</gpx>")
    return _file("\n".join(lines).encode(), "application/gpx+xml", "route.gpx")


def in_order(points: np.ndarray) -> list[int]:
    """Return an order of places `(n, 2)`, longitude and latitude: each the nearest that is left to the one
    before.

    Examples
    --------
    >>> in_order(np.array([[0.0, 50.0], [2.0, 50.0], [1.0, 50.0]]))
    [0, 2, 1]
    """
    if not len(points):
        return []
    scaled = points * [np.cos(np.radians(points[:, 1].mean())), 1.0]
    route, left = [0], np.arange(len(points)) > 0
    while left.any():
        among = np.flatnonzero(left)  # a tree of those left, built anew once half of them are visited
        tree = KDTree(scaled[among])
        for _ in range((len(among) + 1) // 2):
            route.append(int(among[_nearest(tree, scaled[route[-1]], left[among])]))
            left[route[-1]] = False
    return route


def _nearest(tree: KDTree, place: np.ndarray, left: np.ndarray) -> int:
    """Return the place in `tree` nearest to `place` of those `left` (place,)."""
    asked = 8
    while True:
        near = tree.query(place, k=range(1, min(asked, len(left)) + 1))[1]
        free = near[left[near]]
        if len(free):
            return int(free[0])
        asked *= 4


def letters(desk: Desk, ask: Ask) -> Response:
    """Return letters to the farmers of a selection, one page each, in one of the languages there are."""
    table = _few(table_of(desk, ask))
    language = ask.query.get("language", "")
    if language not in desk.letters:
        language = next(iter(desk.letters))
    text = translation(language) if language in languages() else desk.text
    try:
        template = _letter(desk, language)
        bodies = [template.render(**_fields(desk, ask, row, text)) for row in table.iter_rows(named=True)]
    except Exception as error:  # a template may do whatever its author wrote
        raise Refused("refused.letter", file=desk.letters[language], why=error) from error
    _note(desk, ask, "letters", table)
    answer = page(desk, ask, "letters.html.j2", bodies=bodies)
    # an agency's letterhead brings styles of its own; scripts stay forbidden
    policy = HEADERS["Content-Security-Policy"].replace(
        "style-src 'self'", "style-src 'self' 'unsafe-inline'"
    )
    answer.headers["Content-Security-Policy"] = policy
    return answer


def sheets(desk: Desk, ask: Ask) -> Response:
    """Return the sheets of a selection as one page to print."""
    table = _few(table_of(desk, ask))
    _note(desk, ask, "sheets", table)
    rows = [desk.parcels.row(name) for name in table["parcel_id"]]
    parts = [(row, desk.sheets.context(row), desk.album.frames(row["parcel_id"])) for row in rows]
    return page(desk, ask, "sheets.html.j2", parts=parts)


def _letter(desk: Desk, language: str) -> Template:
    environment = SandboxedEnvironment(autoescape=True, undefined=StrictUndefined)
    own = desk.letters[language]
    if own is not None:
        return environment.from_string(own.read_text(encoding="utf-8"))
    return desk.template(f"desk/letter_{language}.html.j2")


def _fields(desk: Desk, ask: Ask, row: Mapping, text: Text) -> dict[str, str]:
    """Return what a letter may print; all of it is text."""
    run, looks_like = desk.run_in(text), desk.parcels.row(row["parcel_id"])["predicted"]
    return {
        "parcel": str(row["parcel_id"]),
        "crop": run.crop(row["declared"]),
        "looks_like": run.class_name(looks_like) if looks_like else "",
        "hectares": text.number(row["area_ha"], 2),
        "intervention": str(row["intervention"] or ""),
        "holding": holding_name(desk, ask, row["holding_id"]),
        "due": on_day(text, row["due"]) if row["due"] else "",
        "today": text.day(desk.today, year=True),
        "season": str(desk.run.season),
        "officer": ask.session.name,
        "region": desk.title,
    }


def _note(desk: Desk, ask: Ask, what: str, table: pl.DataFrame) -> None:
    """Note in the journal what left the desk, and for which selection."""
    selection = desk.query(ask.query, ask.session).pseudonymous.address()
    said = {"what": what, "selection": selection, "parcels": table.height}
    desk.store.add([Draft("exported", "", said)], ask.session.name)


def _few(table: pl.DataFrame) -> pl.DataFrame:
    if table.height > MOST_PRINTED:
        raise Refused("refused.too_many_printed", n=table.height, most=MOST_PRINTED)
    return table


def _decided(made: Decision | None) -> tuple[str | None, ...]:
    if made is None:
        return (None,) * len(DECIDED)
    result = FIELD_RESULT.get(made.decision)
    photos = "; ".join(f"desk/photos/{sha256}" for sha256 in made.evidence) or None
    return (photos, made.decision, made.remark, made.assigned_to, made.due, made.by, made.at, result)


def _file(content: bytes, kind: str, name: str) -> Response:
    return Response(
        content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def _xml(text: str) -> str:
    return escape("".join(char for char in text if char.isprintable()))
