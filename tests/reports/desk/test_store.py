"""What people enter is chained, kept, and only for those who may."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from features.errors import ConfigError
from reports.desk.records import journal
from reports.desk.records.accounts import Accounts, TooManyGuessesError
from reports.desk.records.store import ENTRIES, SESSIONS, Store, StoreError, local_url


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(local_url(tmp_path))


def say(store: Store, *kinds: str) -> None:
    for kind in kinds:
        with store.writing() as connection:
            journal.add(connection, "anna", kind, {"remark": "Grünland <b>"}, "7")


def test_entries_are_numbered_chained_and_whole(store: Store) -> None:
    say(store, "first", "second")
    one, two = journal.entries(store)
    assert (one.number, two.number, two.previous) == (1, 2, one.hash)
    assert two.content == {"remark": "Grünland <b>"}
    assert journal.faults(store) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE desk_entries SET content='{}' WHERE number=2", "desk entry 2 was altered"),
        ("DELETE FROM desk_entries WHERE number=2", "desk entry 3 does not follow the one before"),
    ],
)
def test_an_entry_that_was_altered_or_removed_is_named(store: Store, damage: str, said: str) -> None:
    say(store, "first", "second", "third")
    with store.engine.begin() as connection:
        connection.execute(sa.text(damage))
    assert any(fault.startswith(said) for fault in journal.faults(store))


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError), store.writing() as connection:
        journal.add(connection, "anna", "first", {})
        raise RuntimeError
    assert list(journal.entries(store)) == []


def test_the_first_start_makes_an_administrator_and_only_the_first(store: Store) -> None:
    accounts = Accounts(store)
    password = accounts.first()
    assert password is not None
    assert accounts.first() is None
    token = accounts.log_in("administrator", password, "here")
    session = accounts.session(token)
    assert session is not None
    assert session.role == "administrator"
    assert session.may("accounts")


def test_neither_passwords_nor_cookies_lie_in_the_database(store: Store, tmp_path: Path) -> None:
    accounts = Accounts(store)
    accounts.create("anna", "officer", "a long password", by="test")
    token = accounts.log_in("anna", "a long password", "here")
    assert token is not None
    store.close()
    content = b"".join(path.read_bytes() for path in (tmp_path / "desk").iterdir())
    assert b"a long password" not in content
    assert token.encode() not in content


def test_guessing_ends_after_five_tries(store: Store) -> None:
    accounts = Accounts(store)
    accounts.create("anna", "officer", "a long password", by="test")
    for _ in range(5):
        assert accounts.log_in("anna", "wrong", "here") is None
    with pytest.raises(TooManyGuessesError):
        accounts.log_in("anna", "a long password", "elsewhere")


def test_a_closed_account_is_out_at_once(store: Store) -> None:
    accounts = Accounts(store)
    accounts.create("anna", "officer", "a long password", by="test")
    token = accounts.log_in("anna", "a long password", "here")
    accounts.set_active("anna", False, by="test")
    assert accounts.session(token) is None
    assert accounts.log_in("anna", "a long password", "there") is None


def test_a_session_ends(store: Store) -> None:
    accounts = Accounts(store)
    accounts.create("anna", "officer", "a long password", by="test")
    token = accounts.log_in("anna", "a long password", "here")
    with store.engine.begin() as connection:
        connection.execute(sa.update(SESSIONS).values(until=0.0))
    assert accounts.session(token) is None


@pytest.mark.parametrize(
    ("name", "role", "password", "said"),
    [("anna", "boss", "a long password", "no role 'boss'"), (" ", "officer", "a long password", "user name"),
     ("bert", "officer", "short", "at least 12")],
)  # fmt: skip
def test_accounts_that_cannot_be(store: Store, name: str, role: str, password: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Accounts(store).create(name, role, password, by="test")


def test_roles(store: Store) -> None:
    accounts = Accounts(store)
    for role in ("officer", "analyst", "auditor"):
        accounts.create(role, role, "a long password", by="test")
    may = {name: accounts.session(accounts.open_session(name)) for name, _, _ in accounts.all()}
    assert [name for name, session in may.items() if session and session.may("decide")] == ["officer"]
    assert [name for name, session in may.items() if session and session.may("holdings")] == [
        "auditor",
        "officer",
    ]


def test_a_database_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "desk.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"desk\.sqlite cannot be opened: file is not a database"):
        Store(local_url(tmp_path))


def test_the_file_is_for_its_owner_alone(store: Store, tmp_path: Path) -> None:
    assert (tmp_path / "desk" / "desk.sqlite").stat().st_mode & 0o077 == 0


def test_commits_are_synced(store: Store) -> None:
    with store.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    assert sqlite3.sqlite_version
    assert ENTRIES.c.number.primary_key
