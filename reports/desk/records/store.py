"""What people enter, in SQLite beside the run or in PostgreSQL for a team: its tables, opened safely.

The run's own tables are never written here. SQLite syncs every commit to disk (`synchronous=FULL`): an
acknowledged entry survives a killed process. How far the journal goes is noted in the run's folder, apart
from the database (`features.journal.entries.Head`).
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from features.errors import StageError
from features.files import fingerprint
from features.journal import database as journal
from features.journal.database import METADATA
from features.journal.entries import Draft, Entry, Fault, Head, faults
from features.storage.database import is_database, refuse_password, safe_url

ACCOUNTS = sa.Table(
    "desk_accounts",
    METADATA,
    sa.Column("name", sa.String(120), primary_key=True),
    sa.Column("role", sa.String(20), nullable=False),
    sa.Column("password", sa.String(300), nullable=False),  # argon2id, with its salt and settings
    sa.Column("active", sa.Boolean, nullable=False),
)
SESSIONS = sa.Table(
    "desk_sessions",
    METADATA,
    sa.Column("token", sa.String(64), primary_key=True),  # SHA-256 of the cookie's value
    sa.Column("name", sa.String(120), nullable=False),
    sa.Column("form_token", sa.String(64), nullable=False),
    sa.Column("until", sa.Float, nullable=False),  # seconds since 1970
)
VIEWS = sa.Table(
    "desk_views",
    METADATA,
    sa.Column("owner", sa.String(120), primary_key=True),
    sa.Column("title", sa.String(120), primary_key=True),
    sa.Column("query", sa.Text, nullable=False),
)
log = logging.getLogger(__name__)
FILE, HEAD, LOCAL_HEAD = "desk.sqlite", ".head.json", "desk.head.json"
LOCK = 0x63726F70  # PostgreSQL's advisory lock under which entries are added, one at a time


class StoreError(StageError):
    """A database that cannot be opened, read or written; nothing was lost that had been acknowledged."""


class Store:
    """An open database.

    Parameters
    ----------
    url
        `sqlite:///FILE` or `postgresql://…`; a password comes from PGPASSWORD or ~/.pgpass.
    head
        File that says how far the journal goes; none where it is not to be noted.
    schema
        Schema of PostgreSQL that holds the tables, one a run.

    Raises
    ------
    StoreError
        Where the database cannot be opened, or was made by an earlier version.
    DatabaseError
        Where the address holds a password.
    """

    def __init__(self, url: str, head: Path | None = None, schema: str | None = None) -> None:
        if is_database(url):
            refuse_password(url)
        self.url, self.head, self.schema = url, head, schema
        self.shown = _shown(url)
        self.engine = _engine(url, schema)
        try:
            if schema is not None:
                with self.engine.begin() as connection:
                    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
                    connection.execute(sa.schema.CreateSchema(schema, if_not_exists=True))
                    METADATA.create_all(connection)
            else:
                METADATA.create_all(self.engine)
            if sa.inspect(self.engine).has_table("desk_entries"):
                raise StoreError(
                    f"The desk's database {self.shown} was made by an earlier version. Open it with that "
                    "version and export what was decided, or move it elsewhere and begin anew."
                )
        except SQLAlchemyError as error:
            raise StoreError(f"The desk's database {self.shown} cannot be opened: {_plain(error)}") from error
        self._head_holds = not self._head_faults()

    @property
    def local(self) -> bool:
        """Whether it is a file of SQLite."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Yield a connection to read with; a StoreError says why where there is none."""
        try:
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(f"The desk's database {self.shown} cannot be read: {_plain(error)}") from error

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction that no other writer shares; committed when the block ends."""
        try:
            with self.engine.begin() as connection:
                if not self.local:
                    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
                yield connection
                end = journal.last(connection)
        except SQLAlchemyError as error:
            raise StoreError(
                f"The desk's database {self.shown} cannot be written, so nothing was saved: {_plain(error)}"
            ) from error
        self._note(end)

    def add(self, drafts: list[Draft], by: str, at: datetime | None = None) -> list[Entry]:
        """Add drafts to the journal, all or none."""
        with self.writing() as connection:
            return journal.append(connection, drafts, by, at)

    def entries(self, after: int = 0, subject: str | None = None, newest: int | None = None) -> list[Entry]:
        """Return entries of the journal in order (see `features.journal.database.entries`)."""
        with self.reading() as connection:
            return list(journal.entries(connection, after, subject, newest))

    def faults(self) -> list[Fault]:
        """Return what does not hold in the journal."""
        with self.reading() as connection:
            return list(faults(journal.entries(connection), self.shown, self._read_head()))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _note(self, end: Head | None) -> None:
        """Note how far the journal goes; a head that the journal contradicts stays, for `faults` to name."""
        if self.head is None or end is None or not self._head_holds:
            return
        known = self._read_head()
        if known is None or known.number < end.number:
            schema = {"schema": self.schema} if self.schema else {}
            database = self.head.with_name(FILE).name if self.local else self.url
            try:
                end.write(self.head, database=database, **schema)
            except OSError as error:  # the entry is saved already; the next one notes the head anew
                log.warning("%s cannot be written: %s", self.head, error.strerror)

    def _read_head(self) -> Head | None:
        return Head.read(self.head) if self.head is not None else None

    def _head_faults(self) -> bool:
        head = self._read_head()
        if head is None:
            return False
        with self.reading() as connection:
            there = list(journal.entries(connection, after=head.number - 1))[:1]
        return not there or (there[0].number, there[0].hash) != (head.number, head.hash)


def open_store(folder: Path, database: str | None = None, schema: str | None = None) -> Store:
    """Open the database of the desk of a run's folder: SQLite inside it, or the one that is named."""
    if database is None:
        return Store(local_url(folder), folder / "desk" / LOCAL_HEAD)
    if not is_database(database):
        raise StoreError(f"--database {safe_url(database)} is no address like postgresql://USER@HOST/NAME.")
    name = fingerprint([database, schema])[:8]
    return Store(database, folder / "desk" / f"postgresql-{name}{HEAD}", schema)


def local_url(folder: Path) -> str:
    """Return the address of the database file of a run's folder."""
    return f"sqlite:///{(folder / 'desk' / FILE).absolute().as_posix()}"


def _engine(url: str, schema: str | None) -> sa.Engine:
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        except OSError as error:
            raise StoreError(f"The desk's database {path} cannot be made: {error.strerror}.") from error
        engine = sa.create_engine(url, connect_args={"timeout": 30})
        event.listen(engine, "connect", _durable)
        event.listen(engine, "begin", _alone)
        return engine
    return postgresql(url, schema)


def postgresql(url: str, schema: str | None = None) -> sa.Engine:
    """Return the engine of a PostgreSQL database whose tables are in a schema; nothing is opened yet."""
    driver = "postgresql+psycopg://" + url.split("://", 1)[1]
    try:
        engine = sa.create_engine(driver, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    except (ImportError, sa.exc.ArgumentError) as error:
        raise StoreError(
            f"--database takes postgresql://USER@HOST/NAME and needs psycopg (pip install "
            f"'cropcheck[postgis]'): {error}"
        ) from error
    return engine.execution_options(schema_translate_map={None: schema}) if schema else engine


def _shown(url: str) -> str:
    return safe_url(url) if is_database(url) else Path(url.removeprefix("sqlite:///")).name


def _durable(connection: Any, _: Any) -> None:
    """Sync every commit, wait for other writers, and leave the start of transactions to `_alone`."""
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _alone(connection: sa.Connection) -> None:
    """Take the write lock at once, so that what was read inside a transaction still holds when it ends."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _plain(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().splitlines()[0]
