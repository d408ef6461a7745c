"""The desk's journal: append-only, each entry chained to the one before by its hash."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from features.files import fingerprint
from reports.desk.records.store import ENTRIES, Store

GENESIS = "0" * 64


@dataclass(frozen=True)
class Entry:
    """Something that a person did: who, when, what."""

    number: int
    at: str
    by: str
    kind: str
    parcel_id: str | None
    content: dict[str, Any]
    previous: str
    hash: str


def add(
    connection: sa.Connection,
    by: str,
    kind: str,
    content: dict[str, Any],
    parcel_id: str | None = None,
    now: datetime | None = None,
) -> Entry:
    """Add one entry inside a writing transaction (`Store.writing`), chained to the last."""
    last = connection.execute(
        sa.select(ENTRIES.c.number, ENTRIES.c.hash).order_by(ENTRIES.c.number.desc()).limit(1)
    ).first()
    number, previous = (last.number + 1, last.hash) if last else (1, GENESIS)
    facts: dict[str, Any] = {
        "number": number,
        "at": (now or datetime.now(UTC)).isoformat(timespec="milliseconds"),
        "by": by,
        "kind": kind,
        "parcel_id": parcel_id,
        "content": content,
        "previous": previous,
    }
    entry = Entry(**facts, hash=fingerprint(facts))
    text = json.dumps(content, ensure_ascii=False, sort_keys=True)
    connection.execute(sa.insert(ENTRIES).values(**{**facts, "content": text}, hash=entry.hash))
    return entry


def entries(
    source: Store | sa.Connection, after: int = 0, parcel_id: str | None = None, newest: int | None = None
) -> Iterator[Entry]:
    """Yield entries in order, those after a number, of one parcel where given, the newest of them only.

    Inside a writing transaction its connection is the source: what was read then still holds when it ends.
    """
    query = sa.select(ENTRIES).where(ENTRIES.c.number > after)
    if parcel_id is not None:
        query = query.where(ENTRIES.c.parcel_id == parcel_id)
    if newest is not None:
        inner = query.order_by(ENTRIES.c.number.desc()).limit(newest).subquery()
        query = sa.select(inner).order_by(inner.c.number)
    else:
        query = query.order_by(ENTRIES.c.number)
    if isinstance(source, Store):
        with source.reading() as connection:
            rows = connection.execute(query).all()
    else:
        rows = source.execute(query).all()
    for row in rows:
        yield Entry(**{**row._mapping, "content": json.loads(row.content)})


def faults(store: Store) -> list[str]:
    """Return what does not hold in the journal, a sentence each: altered, removed or added entries."""
    found, previous, expected = [], GENESIS, 1
    for entry in entries(store):
        facts = {name: value for name, value in vars(entry).items() if name != "hash"}
        if fingerprint(facts) != entry.hash:
            found.append(f"desk entry {entry.number} was altered")
        if entry.previous != previous or entry.number != expected:
            found.append(
                f"desk entry {entry.number} does not follow the one before; entries were removed or added"
            )
        previous, expected = entry.hash, entry.number + 1
    return found
