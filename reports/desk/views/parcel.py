"""One parcel: what was seen, what it rests on, what was decided; and the place to decide."""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from starlette.responses import Response

from features.schema import VERDICTS_OF
from reports.desk.records.decisions import DECISIONS, ConflictError, Decision
from reports.desk.records.photos import MOST_BYTES
from reports.desk.records.refusal import Refused
from reports.desk.state import Desk
from reports.desk.views.listing import holding_name, wish_of
from reports.desk.web import Ask, go, number, page


def show(
    desk: Desk,
    ask: Ask,
    status: int = 200,
    conflict: Decision | None = None,
    refused: Sequence[tuple[str, str]] = (),
) -> Response:
    """Show a parcel; after a conflict, what was typed stays in the form.

    Parameters
    ----------
    refused
        Names of photos that were not kept, and why.
    """
    parcel_id = ask.form.get("id") or ask.query.get("id", "")
    if parcel_id not in desk.parcels:
        raise Refused("desk.not_found", 404)
    row = desk.parcels.row(parcel_id)
    standing = desk.decisions.of(parcel_id)
    sheet = desk.sheets.context(row)
    return page(
        desk,
        ask,
        "parcel.html.j2",
        status,
        row=row,
        sheet=sheet,
        why=desk.text(desk.parcels.why_listed(row), rate=desk.text.percent(row["q_value"]))
        if row["listed"]
        else desk.text(desk.parcels.why_listed(row)),
        frames=desk.album.frames(parcel_id),
        neighbours=desk.parcels.neighbours(parcel_id),
        standing=standing,
        conflict=conflict,
        refused=refused,
        letters=desk.letters,
        largest=MOST_BYTES,
        declared=desk.season.declared_on,
        people=[name for name, _, active in desk.accounts.all() if active],
        form=ask.form,
        decisions=DECISIONS,
        history=desk.store.entries(subject=parcel_id),
        photos=desk.photos.of(parcel_id),
        holding=holding_name(desk, ask, row["holding_id"]),
        last_year=desk.last_year(parcel_id),
        map_query="",
        map_parcel=parcel_id,
        verdicts=VERDICTS_OF,
        beside=beside(desk, ask, parcel_id),
        back=ask.query.get("from", ""),
        saved=ask.query.get("saved", ""),
    )


def decide(desk: Desk, ask: Ask) -> Response:
    """Save a decision; where another stands above what the person saw, show both and keep the text."""
    parcel_id = ask.form.get("id", "")
    if parcel_id not in desk.parcels:
        raise Refused("desk.not_found", 404)
    model_id = str(desk.parcels.row(parcel_id)["model_id"])
    seen = {parcel_id: number(ask.form.get("seen", "")) or 0}
    try:
        desk.decisions.save(ask.session.name, wish_of(ask), [(parcel_id, model_id)], seen)
    except ConflictError as met:
        return show(desk, ask, 409, met.standing)
    return go("/parcel", id=parcel_id, saved=1, **_from(ask))


def undo(desk: Desk, ask: Ask) -> Response:
    """Take a decision back."""
    taken = number(ask.form.get("number", ""))
    if taken is None:
        raise Refused("refused.undo_which")
    entry = desk.decisions.undo(ask.session.name, taken)
    return go("/parcel", id=entry.subject, **_from(ask))


def holding(desk: Desk, ask: Ask) -> Response:
    """Show all parcels of a holding, those to follow up first."""
    name = ask.query.get("id", "")
    rows = desk.parcels.of_holding(name)
    if not rows:
        raise Refused("desk.not_found", 404)
    return page(
        desk, ask, "holding.html.j2", rows=rows, standing=desk.decisions.standing(),
        name=holding_name(desk, ask, name), letters=desk.letters,
    )  # fmt: skip


def beside(desk: Desk, ask: Ask, parcel_id: str) -> dict[str, str]:
    """Return the parcels before and after this one in the selection it was opened from."""
    if "from" not in ask.query:
        return {}
    query = desk.query(dict(parse_qsl(ask.query["from"])), ask.session)
    found = desk.parcels.beside(parcel_id, query, desk.decisions.standing(), desk.today)
    return {name: value for name, value in zip(("previous", "next"), found or (), strict=False) if value}


def _from(ask: Ask) -> dict[str, str]:
    return {"from": ask.form["from"]} if "from" in ask.form else {}
