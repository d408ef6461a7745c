"""The list of parcels: every one, found, filtered, decided many at a time."""

from urllib.parse import parse_qsl

import sqlalchemy as sa
from starlette.responses import Response

from features.errors import ConfigError
from reports.desk.query import SORTS, Query
from reports.desk.records.decisions import DECISIONS, Wish
from reports.desk.records.store import VIEWS
from reports.desk.state import Desk
from reports.desk.web import Ask, go, page
from reports.embed import clean

WORK = ("open", "done", "late", *DECISIONS)


def show(desk: Desk, ask: Ask) -> Response:
    """Show the page of the list that the address asks for."""
    query = Query.of(ask.query)
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
        views=_views(desk, ask.session.name),
        holding=lambda name: holding_name(desk, ask, name),
        word_verdict=lambda name: desk.text(f"verdict.{name}"),
        word_reason=lambda name: desk.text.get(f"reason.{name}", clean(name or "–")),
        word_work=lambda name: desk.text.get(f"work.{name}", desk.text.get(f"decision.{name}", name)),
        word_anomaly=lambda name: desk.text(f"anomaly.{name}"),
        word_inside=lambda name: desk.text(f"inside.{name}"),
        word_marker=lambda name: marker_words(desk, name),
        word_sort=lambda name: desk.text(f"desk.sort_{name}"),
        plain=clean,
        saved=ask.query.get("saved", ""),
    )


def decide(desk: Desk, ask: Ask) -> Response:
    """Save one decision for all parcels of a selection; the number that was shown must still hold."""
    query = Query.of(dict(parse_qsl(ask.form.get("selection", ""))))
    standing = desk.decisions.standing()
    table = desk.parcels.filtered(query, standing, desk.today)
    if str(table.height) != ask.form.get("count"):
        raise ConfigError(
            f"The selection held {ask.form.get('count')} parcels when it was shown and holds {table.height} "
            "now; look at it again before deciding."
        )
    rows = list(table.select("parcel_id", "model_id").iter_rows())
    seen = {name: standing[name].number for name, _ in rows if name in standing}
    desk.decisions.save(ask.session.name, wish_of(ask), rows, seen)
    return go("/", **dict(parse_qsl(query.address())), saved=len(rows))


def save_view(desk: Desk, ask: Ask) -> Response:
    """Keep a selection under a name."""
    title = ask.form.get("title", "").strip()[:100]
    query = Query.of(dict(parse_qsl(ask.form.get("selection", ""))))
    if not title:
        raise ConfigError("Give the view a name.")
    with desk.store.writing() as connection:
        mine = (VIEWS.c.owner == ask.session.name) & (VIEWS.c.title == title)
        connection.execute(sa.delete(VIEWS).where(mine))
        row = {"owner": ask.session.name, "title": title, "query": query.address(page=1)}
        connection.execute(sa.insert(VIEWS).values(**row))
    return go("/", **dict(parse_qsl(query.address())))


def wish_of(ask: Ask) -> Wish:
    """Return the decision that a form holds."""
    form = ask.form
    return Wish(
        decision=form.get("decision", ""),
        remark=form.get("remark", "").strip(),
        assigned_to=form.get("assigned_to", "").strip()[:100],
        due=form.get("due", "").strip(),
    ).check()


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


def _views(desk: Desk, owner: str) -> list[tuple[str, str]]:
    query = sa.select(VIEWS.c.title, VIEWS.c.query).where(VIEWS.c.owner == owner).order_by(VIEWS.c.title)
    with desk.store.reading() as connection:
        return [(str(row.title), str(row.query)) for row in connection.execute(query)]
