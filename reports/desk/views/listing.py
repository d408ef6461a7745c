"""The list of parcels: every one, found, filtered, decided many at a time."""

from urllib.parse import parse_qsl

from starlette.responses import Response

from reports.desk.query import SORTS
from reports.desk.records.decisions import DECISIONS, ConflictError, Wish
from reports.desk.records.refusal import Refused
from reports.desk.state import Desk
from reports.desk.views import saved_views
from reports.desk.web import Ask, go, number, page
from reports.embed import clean

WORK = ("open", "done", "late", *DECISIONS)


def show(desk: Desk, ask: Ask) -> Response:
    """Show the page of the list that the address names."""
    query = desk.query(ask.query, ask.session)
    standing = desk.decisions.standing()
    found = desk.parcels.search(query, standing, desk.today)
    return page(
        desk,
        ask,
        "list.html.j2",
        query=query,
        found=found,
        standing=standing,
        facets=desk.parcels.facets,
        sorts=[name for name in SORTS if name != "amount" or desk.parcels.paid],
        works=WORK,
        any_changed=desk.parcels.any_changed or bool(query.changed),
        decisions=DECISIONS,
        assignees=sorted({made.assigned_to for made in standing.values() if made.assigned_to}),
        views=saved_views.of(desk, ask.session.name),
        letters=desk.letters,
        holding=lambda name: holding_name(desk, ask, name),
        word_verdict=lambda name: desk.text(f"verdict.{name}"),
        word_reason=lambda name: desk.text.get(f"reason.{name}", clean(name or "–")),
        word_work=lambda name: desk.text.get(f"work.{name}", desk.text.get(f"decision.{name}", name)),
        word_anomaly=lambda name: desk.text(f"anomaly.{name}"),
        word_inside=lambda name: desk.text(f"inside.{name}"),
        word_marker=lambda name: marker_words(desk, name),
        word_sort=lambda name: desk.text(f"desk.sort_{name}"),
        plain=clean,
        people=[name for name, _, active in desk.accounts.all() if active],
        upto=max((made.number for made in standing.values()), default=0),
        saved=number(ask.query.get("saved", "")),
        first=number(ask.query.get("first", "")),
        undone=number(ask.query.get("undone", "")),
        form=ask.form,
    )


def decide(desk: Desk, ask: Ask) -> Response:
    """Save one decision for all parcels of a selection, if it still holds what it held when it was shown.

    As many parcels must fit, and nobody may have decided about one of them since.
    """
    query = desk.query(dict(parse_qsl(ask.form.get("selection", ""))), ask.session)
    standing = desk.decisions.standing()
    table = desk.parcels.filtered(query, standing, desk.today)
    if str(table.height) != ask.form.get("count"):
        raise Refused("refused.selection", before=ask.form.get("count", "")[:20], now=table.height)
    rows = list(table.select("parcel_id", "model_id").iter_rows())
    upto = number(ask.form.get("upto", "")) or 0
    numbers = {name: standing[name].number for name, _ in rows if name in standing}
    seen = {name: made for name, made in numbers.items() if made <= upto}
    try:
        entries = desk.decisions.save(ask.session.name, wish_of(ask), rows, seen)
    except ConflictError as met:
        raise _meanwhile(desk, met) from met
    address = dict(parse_qsl(query.address()))
    return go("/", **address, saved=len(entries), first=entries[0].number)


def undo(desk: Desk, ask: Ask) -> Response:
    """Take back what a person decided for a selection at once."""
    first, count = number(ask.form.get("first", "")), number(ask.form.get("count", ""))
    if first is None or count is None:
        raise Refused("refused.undo_which")
    entries = desk.decisions.undo_own(ask.session.name, first, count)
    query = desk.query(dict(parse_qsl(ask.form.get("selection", ""))), ask.session)
    return go("/", **dict(parse_qsl(query.address())), undone=len(entries))


def wish_of(ask: Ask) -> Wish:
    """Return the decision that a form holds."""
    form = ask.form
    return Wish(
        decision=form.get("decision", ""),
        remark=form.get("remark", "").strip(),
        assigned_to=form.get("assigned_to", "").strip()[:100],
        due=form.get("due", "").strip(),
    ).check()


def _meanwhile(desk: Desk, met: ConflictError) -> Refused:
    made = met.standing
    return Refused(
        "refused.decided_meanwhile", 409, parcel=met.parcel_id, by=made.by if made else "–",
        decision=desk.text(f"decision.{made.decision}") if made else desk.text("desk.undo"),
    )  # fmt: skip


def marker_words(desk: Desk, name: str) -> str:
    """Return a requirement and its state in words.

    The state stands behind the last colon; a requirement's name may hold some.
    """
    requirement, _, state = name.rpartition(":")
    return f"{clean(requirement)}: {desk.text(f'marker.{state}')}"


def holding_name(desk: Desk, ask: Ask, holding_id: str | None) -> str:
    """Return a holding as this person may see it: the agency's own number, or its pseudonym."""
    if not holding_id:
        return "–"
    own = desk.parcels.holdings.get(holding_id)
    return own if own and ask.session.may("holdings") else holding_id[:12]
