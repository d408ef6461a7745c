"""What people enter, in SQLite beside the run or in PostgreSQL for a team: its tables, opened safely.

The run's own tables are never written here. SQLite syncs every commit to disk (`synchronous=FULL`): an
acknowledged entry survives a killed process.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from features.errors import StageError

METADATA = sa.MetaData()
ENTRIES = sa.Table(
    "desk_entries",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(32), nullable=False),  # ISO 8601, UTC
    sa.Column("by", sa.String(120), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("parcel_id", sa.String(400), index=True),
    sa.Column("content", sa.Text, nullable=False),  # JSON
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
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
PHOTOS = sa.Table(
    "desk_photos",
    METADATA,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("parcel_id", sa.String(400), primary_key=True),
    sa.Column("file_name", sa.String(300), nullable=False),
    sa.Column("facts", sa.Text, nullable=False),  # JSON
    sa.Column("entry", sa.BigInteger, nullable=False),
)
LOCK = 0x63726F70  # PostgreSQL's advisory lock under which entries are added, one at a time


class StoreError(StageError):
    """A database that cannot be opened, read or written; nothing was lost that had been acknowledged."""


class Store:
    """An open database.

    Parameters
    ----------
    url
        `sqlite:///FILE` or `postgresql://…`; a password comes from PGPASSWORD or ~/.pgpass.
    """

    def __init__(self, url: str) -> None:
        self.shown = sa.engine.make_url(url).render_as_string(hide_password=True)
        self.engine = _engine(url)
        try:
            METADATA.create_all(self.engine)
        except (OperationalError, sa.exc.DBAPIError) as error:
            raise StoreError(f"The desk's database {self.shown} cannot be opened: {_plain(error)}") from error

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
        except sa.exc.DBAPIError as error:
            raise StoreError(f"The desk's database {self.shown} cannot be read: {_plain(error)}") from error

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction that no other writer shares; committed when the block ends."""
        try:
            with self.engine.begin() as connection:
                if not self.local:
                    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
                yield connection
        except sa.exc.DBAPIError as error:
            raise StoreError(
                f"The desk's database {self.shown} cannot be written, so nothing was saved: {_plain(error)}"
            ) from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def local_url(folder: Path) -> str:
    """Return the address of the database file of a run's folder."""
    return f"sqlite:///{(folder / 'desk' / 'desk.sqlite').absolute().as_posix()}"


def _engine(url: str) -> sa.Engine:
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        engine = sa.create_engine(url, connect_args={"timeout": 30})
        event.listen(engine, "connect", _durable)
        event.listen(engine, "begin", _alone)
        return engine
    driver = url.replace("postgresql://", "postgresql+psycopg://", 1)
    try:
        return sa.create_engine(driver, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    except (ImportError, sa.exc.ArgumentError) as error:
        raise StoreError(
            f"--database takes postgresql://USER@HOST/NAME and needs psycopg (pip install "
            f"'cropcheck[postgis]'): "
            f"{error}"
        ) from error


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
