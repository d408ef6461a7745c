"""Who may use the desk: accounts with a role, passwords hashed by argon2id, sessions, a limit on guessing."""

import hashlib
import secrets
import threading
import time
from collections import defaultdict
from dataclasses import dataclass

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from features.journal import database as journal
from features.journal.entries import Draft
from reports.desk.records.refusal import Refused
from reports.desk.records.store import ACCOUNTS, SESSIONS, Store

ROLES = ("officer", "analyst", "auditor", "administrator")
MAY = {  # what a role may do besides reading
    "officer": frozenset({"decide", "photos", "letters", "holdings"}),
    "analyst": frozenset(),
    "auditor": frozenset({"holdings"}),
    "administrator": frozenset({"decide", "photos", "letters", "holdings", "accounts"}),
}
SESSION_S = 12 * 3600.0
SHORTEST_PASSWORD = 12
GUESSES, GUESS_WINDOW_S = 5, 300.0  # failed log-ins of one name before it must wait, seconds
ADDRESS_GUESSES = 50  # of one address: behind a proxy a whole office has the same
MOST_WATCHED = 10_000  # names and addresses whose failures are kept
LONGEST_NAME = 100


@dataclass(frozen=True)
class Session:
    """A logged-in person; `form_token` must come back with every form, against forged requests."""

    name: str
    role: str
    form_token: str

    def may(self, act: str) -> bool:
        """Whether the person's role allows an act: decide, photos, letters, holdings, accounts."""
        return act in MAY.get(self.role, frozenset())


class Accounts:
    """The accounts of one desk."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._hasher = PasswordHasher()
        self._decoy = self._hasher.hash(secrets.token_urlsafe())  # so that an unknown name takes as long
        self._failed: dict[str, list[float]] = defaultdict(list)
        self._lock = threading.Lock()

    def create(self, name: str, role: str, password: str, by: str) -> None:
        """Add an account; it is an entry of the journal.

        Raises
        ------
        Refused
            Where the name is taken or empty, the role unknown, or the password too short.
        """
        if role not in ROLES:
            raise Refused("refused.role", role=repr(role), roles=", ".join(ROLES))
        if not 1 <= len(name) <= LONGEST_NAME or name != name.strip() or not name.isprintable():
            raise Refused("refused.user_name")
        hashed = self._hashed(password)
        with self.store.writing() as connection:
            taken = connection.execute(sa.select(ACCOUNTS.c.name).where(ACCOUNTS.c.name == name)).first()
            if taken is not None:
                raise Refused("refused.name_taken", name=repr(name))
            connection.execute(sa.insert(ACCOUNTS).values(name=name, role=role, password=hashed, active=True))
            journal.append(connection, [Draft("account_created", "", {"name": name, "role": role})], by)

    def first(self) -> str | None:
        """Create the administrator of a desk without accounts; return the password, which is shown once."""
        with self.store.reading() as connection:
            if connection.execute(sa.select(ACCOUNTS.c.name).limit(1)).first() is not None:
                return None
        password = secrets.token_urlsafe(15)
        self.create("administrator", "administrator", password, by="cropcheck")
        return password

    def all(self) -> list[tuple[str, str, bool]]:
        """Return name, role and whether it is active, of every account."""
        columns = (ACCOUNTS.c.name, ACCOUNTS.c.role, ACCOUNTS.c.active)
        with self.store.reading() as connection:
            return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(ACCOUNTS.c.name))]

    def set_active(self, name: str, active: bool, by: str) -> None:
        """Close or open an account; a closed one's sessions end at once."""
        with self.store.writing() as connection:
            changed = sa.update(ACCOUNTS).where(ACCOUNTS.c.name == name).values(active=active)
            if not connection.execute(changed).rowcount:
                raise Refused("refused.no_account", name=repr(name))
            if not active:
                connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.name == name))
            kind = "account_opened" if active else "account_closed"
            journal.append(connection, [Draft(kind, "", {"name": name})], by)

    def set_password(self, name: str, password: str, by: str) -> None:
        """Give an account another password; all of its sessions end.

        Raises
        ------
        Refused
            Where there is no such account, or the password is too short.
        """
        hashed = self._hashed(password)
        with self.store.writing() as connection:
            changed = sa.update(ACCOUNTS).where(ACCOUNTS.c.name == name).values(password=hashed)
            if not connection.execute(changed).rowcount:
                raise Refused("refused.no_account", name=repr(name))
            connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.name == name))
            journal.append(connection, [Draft("password_changed", "", {"name": name})], by)

    def log_in(self, name: str, password: str, address: str) -> str | None:
        """Return the value of the session's cookie, or None where name and password do not match.

        Raises
        ------
        TooManyGuessesError
            Where the name or the address failed too often in the last minutes.
        """
        if not self.proves(name, password, address):
            return None
        return self.open_session(name)

    def proves(self, name: str, password: str, address: str) -> bool:
        """Whether a name and its password match; too many that do not close the log-in for some minutes.

        Raises
        ------
        TooManyGuessesError
            As `log_in`.
        """
        keys = (f"name {name[:LONGEST_NAME]}", f"address {address}")
        self._wait(keys)
        with self.store.reading() as connection:
            row = connection.execute(
                sa.select(ACCOUNTS.c.password, ACCOUNTS.c.active).where(ACCOUNTS.c.name == name)
            ).first()
        if not self._matches(row.password if row else self._decoy, password) or row is None or not row.active:
            with self._lock:
                for key in keys:
                    self._failed[key].append(time.monotonic())
            return False
        with self._lock:
            self._failed.pop(keys[0], None)
        return True

    def open_session(self, name: str) -> str:
        """Open a session for a person who has proved who they are; return the cookie's value."""
        token = secrets.token_urlsafe(32)
        now = time.time()
        with self.store.writing() as connection:
            connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.until < now))
            connection.execute(
                sa.insert(SESSIONS).values(
                    token=_digest(token),
                    name=name,
                    form_token=secrets.token_urlsafe(24),
                    until=now + SESSION_S,
                )
            )
            journal.append(connection, [Draft("logged_in", "", {})], name)
        return token

    def session(self, token: str | None) -> Session | None:
        """Return the session of a cookie's value, or None where there is none or it has ended."""
        if not token:
            return None
        query = (
            sa.select(SESSIONS.c.name, SESSIONS.c.form_token, ACCOUNTS.c.role)
            .join(ACCOUNTS, ACCOUNTS.c.name == SESSIONS.c.name)
            .where(SESSIONS.c.token == _digest(token), SESSIONS.c.until > time.time(), ACCOUNTS.c.active)
        )
        with self.store.reading() as connection:
            row = connection.execute(query).first()
        return Session(row.name, row.role, row.form_token) if row else None

    def log_out(self, token: str, by: str) -> None:
        """End a session."""
        with self.store.writing() as connection:
            connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.token == _digest(token)))
            journal.append(connection, [Draft("logged_out", "", {})], by)

    def trusted(self, name: str) -> Session | None:
        """Return a session for a name that a reverse proxy has checked; None without an active account."""
        with self.store.reading() as connection:
            row = connection.execute(
                sa.select(ACCOUNTS.c.role, ACCOUNTS.c.active).where(ACCOUNTS.c.name == name)
            ).first()
        return Session(name, row.role, self._proxied(name)) if row and row.active else None

    def _proxied(self, name: str) -> str:
        """Return the form token of a person whom a proxy authenticated, as random as a session's."""
        key = f"proxy {_digest(name)[:50]}"  # no cookie's digest looks like this, so none opens it
        query = sa.select(SESSIONS.c.form_token).where(
            SESSIONS.c.token == key, SESSIONS.c.until > time.time()
        )
        with self.store.reading() as connection:
            known = connection.execute(query).scalar()
        if known is not None:
            return str(known)
        with self.store.writing() as connection:
            known = connection.execute(query).scalar()
            if known is None:
                known = secrets.token_urlsafe(24)
                connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.token == key))
                row = {"token": key, "name": name, "form_token": known, "until": time.time() + SESSION_S}
                connection.execute(sa.insert(SESSIONS).values(**row))
                journal.append(connection, [Draft("logged_in", "", {})], name)
        return str(known)

    def _hashed(self, password: str) -> str:
        if len(password) < SHORTEST_PASSWORD:
            raise Refused("refused.password", n=SHORTEST_PASSWORD)
        return self._hasher.hash(password)

    def _matches(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    def _wait(self, keys: tuple[str, ...]) -> None:
        now = time.monotonic()
        with self._lock:
            if len(self._failed) > MOST_WATCHED:
                fresh = {key: ats for key, ats in self._failed.items() if now - ats[-1] < GUESS_WINDOW_S}
                self._failed = defaultdict(list, fresh)
            for key, most in zip(keys, (GUESSES, ADDRESS_GUESSES), strict=True):
                recent = [at for at in self._failed.pop(key, []) if now - at < GUESS_WINDOW_S]
                if recent:
                    self._failed[key] = recent
                if len(recent) >= most:
                    raise TooManyGuessesError(round(GUESS_WINDOW_S - (now - recent[0])))


class TooManyGuessesError(Exception):
    """Log-in is closed for a name or address for some seconds."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
