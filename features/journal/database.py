"""A journal in a database, one entry a row: what SQLite and PostgreSQL share."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime

import sqlalchemy as sa

from features.journal.entries import Draft, Entry, Head, chained, entry_of

METADATA = sa.MetaData()
ENTRIES = sa.Table(
    "journal_entries",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(40), nullable=False),  # ISO 8601, UTC
    sa.Column("by", sa.String(120), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("subject", sa.String(400), nullable=False, index=True),
    sa.Column("content", sa.Text, nullable=False),  # JSON
    sa.Column("source", sa.Text, nullable=False),  # JSON
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)


def append(
    connection: sa.Connection, drafts: list[Draft], by: str, at: datetime | None = None
) -> list[Entry]:
    """Add drafts, chained to the last entry, inside a transaction that no other writer shares."""
    added = chained(drafts, last(connection), by, at)
    if added:
        connection.execute(sa.insert(ENTRIES), [_row(entry) for entry in added])
    return added


def last(connection: sa.Connection) -> Head | None:
    """Return number and hash of the last entry, or None where there is none."""
    newest = sa.select(ENTRIES.c.number, ENTRIES.c.hash).order_by(ENTRIES.c.number.desc()).limit(1)
    row = connection.execute(newest).first()
    return Head(row.number, row.hash) if row else None


def entries(
    connection: sa.Connection, after: int = 0, subject: str | None = None, newest: int | None = None
) -> Iterator[Entry]:
    """Yield entries in order, those after a number, about one subject where given, the newest of them only.

    A row whose JSON cannot be read is yielded with the text as it is, so that its hash does not hold.
    """
    query = sa.select(ENTRIES).where(ENTRIES.c.number > after)
    if subject is not None:
        query = query.where(ENTRIES.c.subject == subject)
    if newest is not None:
        inner = query.order_by(ENTRIES.c.number.desc()).limit(newest).subquery()
        query = sa.select(inner).order_by(inner.c.number)
    else:
        query = query.order_by(ENTRIES.c.number)
    for row in connection.execute(query):
        yield _entry(row._mapping)


def _row(entry: Entry) -> dict[str, object]:
    facts = asdict(entry)
    return {**facts, "content": _json(facts["content"]), "source": _json(facts["source"])}


def _entry(row: Mapping) -> Entry:
    try:
        content, source = json.loads(row["content"]), json.loads(row["source"])
        return entry_of({**row, "content": {**content}, "source": source})
    except (ValueError, TypeError):  # altered by hand into what is no JSON, or no object
        facts = {"content": {"text": str(row["content"])}, "source": None}
        return entry_of({**row, **facts})


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
