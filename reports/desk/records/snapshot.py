"""A desk's database as it stands, opened to be checked: nothing is created or written."""

from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from features.journal import database as journal
from features.journal.entries import Entry
from features.storage.database import is_database
from reports.desk.records.store import ACCOUNTS, StoreError, postgresql


class Snapshot:
    """A database that is only read.

    Parameters
    ----------
    place
        A file of SQLite, or `postgresql://…` as `Store` takes it.
    schema
        Schema of PostgreSQL that holds the tables.
    """

    def __init__(self, place: str, schema: str | None = None) -> None:
        self.place = place
        self.engine = postgresql(place, schema) if is_database(place) else _sqlite(Path(place))

    def entries(self) -> list[Entry]:
        """Return all entries of the journal.

        Raises
        ------
        StoreError
            Where the database cannot be reached or read.
        """
        try:
            with self.engine.connect() as connection:
                return list(journal.entries(connection))
        except SQLAlchemyError as error:
            raise StoreError(str(getattr(error, "orig", error)).strip().splitlines()[0]) from error

    def accounts(self) -> dict[str, tuple[str, bool]]:
        """Return role, and whether it is active, of every account by name."""
        query = sa.select(ACCOUNTS.c.name, ACCOUNTS.c.role, ACCOUNTS.c.active)
        try:
            with self.engine.connect() as connection:
                return {row.name: (row.role, bool(row.active)) for row in connection.execute(query)}
        except SQLAlchemyError as error:
            raise StoreError(str(getattr(error, "orig", error)).strip().splitlines()[0]) from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _sqlite(path: Path) -> sa.Engine:
    """Open a file of SQLite read-only; without a write-ahead log it cannot change and needs no lock."""
    log = path.with_name(path.name + "-wal")
    still = "" if log.is_file() and log.stat().st_size else "&immutable=1"
    return sa.create_engine(f"sqlite:///file:{quote(path.absolute().as_posix())}?mode=ro{still}&uri=true")
