"""A PostgreSQL database with PostGIS: opened by a URL without a password; its faults in plain words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from features.errors import CropcheckError

if TYPE_CHECKING:
    import psycopg

SCHEMES = ("postgresql", "postgres")
SECONDS_TO_CONNECT = 10


class DatabaseError(CropcheckError):
    """A database that cannot be reached, read or written."""

    reason = "database"


def is_database(text: str) -> bool:
    """Whether a text is the URL of a PostgreSQL database.

    Examples
    --------
    >>> is_database("postgresql://host/db"), is_database("parcels.gpkg")
    (True, False)
    """
    return text.split(":", 1)[0].lower() in SCHEMES and "://" in text


def safe_url(url: str) -> str:
    """Return a URL as it may be printed: a password in it is left out.

    Examples
    --------
    >>> safe_url("postgresql://anna:secret@host:5432/db?sslmode=require&password=x")
    'postgresql://anna@host:5432/db'
    """
    parts = urlsplit(url)
    user = f"{parts.username}@" if parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{user}{parts.hostname or ''}{port}", parts.path, "", ""))


def refuse_password(url: str) -> None:
    """Raise a DatabaseError where a URL holds a password: URLs end up in logs, manifests and MLflow."""
    parts = urlsplit(url)
    asked = {name.lower() for name, _ in parse_qsl(parts.query)}
    if parts.password is not None or {"password", "passfile", "sslpassword"} & asked:
        raise DatabaseError(
            f"The address {safe_url(url)} was given with a password. Leave it out, and put it into the "
            "environment (PGPASSWORD) or ~/.pgpass.",
            reason="password_in_url",
        )


@contextmanager
def connect(url: str) -> "Iterator[psycopg.Connection[Any]]":
    """Yield a connection with one transaction: committed at the end, rolled back on any error.

    The password comes from the environment (`PGPASSWORD`) or `~/.pgpass`, as libpq reads them.

    Raises
    ------
    DatabaseError
        Where the driver is missing, the URL holds a password, or the database refuses or dies.
    """
    try:
        import psycopg
    except ImportError as error:
        raise DatabaseError(
            "PostGIS needs the driver psycopg; install cropcheck[postgis].", reason="no_driver"
        ) from error
    refuse_password(url)
    try:
        with psycopg.connect(url, connect_timeout=SECONDS_TO_CONNECT) as connection:
            yield connection
    except psycopg.Error as error:
        raise _plain(error, url) from error


def _plain(error: "psycopg.Error", url: str) -> DatabaseError:
    from psycopg import errors

    said = " ".join(str(error).split())
    cures: list[tuple[type[Exception] | tuple[type[Exception], ...], str, str]] = [
        (errors.ReadOnlySqlTransaction, "read_only", "it is read-only; name a database that can be written"),
        ((errors.DiskFull, errors.OutOfMemory), "full", "it is full; make room and export again"),
        (errors.InsufficientPrivilege, "no_right", "the user lacks a right; ask for it"),
        (errors.DependentObjectsStillExist, "dependent_views", "views rest on the tables; drop them first"),
        (errors.UndefinedTable, "no_table", "the table does not exist; check schema and name"),
        ((errors.UndefinedFunction, errors.UndefinedObject), "no_postgis", "PostGIS is not installed in it"),
    ]
    for kind, reason, cure in cures:
        if isinstance(error, kind):
            return DatabaseError(
                f"{safe_url(url)}: {cure}. Nothing was changed. ({said[:300]})", reason=reason
            )
    return DatabaseError(
        f"{safe_url(url)} cannot be used, and nothing was changed: {said[:300]} Check that the server runs "
        "and that the password is in PGPASSWORD or ~/.pgpass.",
        reason="database_down",
    )
