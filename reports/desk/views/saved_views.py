"""Selections that a person keeps under a name: saved, renamed, deleted; the log holds what they were."""

from urllib.parse import parse_qsl

import sqlalchemy as sa
from starlette.responses import Response

from features.journal import database as journal
from features.journal.entries import Draft
from reports.desk.records.refusal import Refused
from reports.desk.records.store import VIEWS
from reports.desk.state import Desk
from reports.desk.web import Ask, go

LONGEST_TITLE = 100


def of(desk: Desk, owner: str) -> list[tuple[str, str]]:
    """Return a person's views, each its title and the end of the list's address."""
    query = sa.select(VIEWS.c.title, VIEWS.c.query).where(VIEWS.c.owner == owner).order_by(VIEWS.c.title)
    with desk.store.reading() as connection:
        return [(str(row.title), str(row.query)) for row in connection.execute(query)]


def save(desk: Desk, ask: Ask) -> Response:
    """Keep a selection under a name; one of this name is replaced."""
    title = _title(ask, "title")
    query = desk.query(dict(parse_qsl(ask.form.get("selection", ""))), ask.session)
    if len(query.also) > 1:
        raise Refused("refused.view_holdings")
    query = query.pseudonymous
    with desk.store.writing() as connection:
        connection.execute(sa.delete(VIEWS).where(_named(ask, title)))
        row = {"owner": ask.session.name, "title": title, "query": query.address(page=1)}
        connection.execute(sa.insert(VIEWS).values(**row))
        said = {"title": title, "selection": row["query"]}
        journal.append(connection, [Draft("view_saved", "", said)], ask.session.name)
    return go("/", **dict(parse_qsl(query.address())))


def change(desk: Desk, ask: Ask) -> Response:
    """Rename or delete a view of one's own; the log keeps what it selected.

    Raises
    ------
    Refused
        Where the view is gone, or another has the new name already.
    """
    title = ask.form.get("title", "")
    with desk.store.writing() as connection:
        row = connection.execute(sa.select(VIEWS.c.query).where(_named(ask, title))).first()
        if row is None:
            raise Refused("refused.view_gone", 409, title=title[:LONGEST_TITLE])
        act = _rename if ask.form.get("do") == "rename" else _delete
        said = act(connection, ask, {"title": title, "selection": str(row.query)})
        journal.append(connection, said, ask.session.name)
    return go("/", **dict(parse_qsl(ask.form.get("selection", ""))))


def _delete(connection: sa.Connection, ask: Ask, view: dict[str, str]) -> list[Draft]:
    connection.execute(sa.delete(VIEWS).where(_named(ask, view["title"])))
    return [Draft("view_deleted", "", view)]


def _rename(connection: sa.Connection, ask: Ask, view: dict[str, str]) -> list[Draft]:
    title, new = view["title"], _title(ask, "new_title")
    if new == title:
        return []
    if connection.execute(sa.select(VIEWS.c.title).where(_named(ask, new))).first():
        raise Refused("refused.view_exists", 409, title=new)
    connection.execute(sa.update(VIEWS).where(_named(ask, title)).values(title=new))
    return [Draft("view_renamed", "", {**view, "new_title": new})]


def _title(ask: Ask, field: str) -> str:
    title = ask.form.get(field, "").strip()[:LONGEST_TITLE]
    if not title:
        raise Refused("refused.view_name")
    return title


def _named(ask: Ask, title: str) -> sa.ColumnElement[bool]:
    return (VIEWS.c.owner == ask.session.name) & (VIEWS.c.title == title)
