"""What people enter is chained, kept, and only for those who may."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from features.errors import ConfigError, CropcheckError
from features.journal import database as journal
from features.journal.entries import Draft, Head
from reports.desk.records.accounts import Accounts, TooManyGuessesError
from reports.desk.records.decisions import ConflictError, Decisions, Wish
from reports.desk.records.store import SESSIONS, Store, StoreError, local_url, open_store
from tests.reports.desk.databases import DATABASES, server_url, store_on


@pytest.fixture(params=DATABASES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with store_on(request.param, tmp_path) as made:
        yield made


def say(store: Store, *kinds: str) -> None:
    for kind in kinds:
        store.add([Draft(kind, "7", {"remark": "Grünland <b>"})], "anna")


def test_entries_are_numbered_chained_and_whole(store: Store) -> None:
    say(store, "first", "second")
    one, two = store.entries()
    assert (one.number, two.number, two.previous) == (1, 2, one.hash)
    assert two.content == {"remark": "Grünland <b>"}
    assert store.faults() == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            "UPDATE journal_entries SET content='{}' WHERE number=2",
            "entry 2 (second, 7, by anna) was altered",
        ),
        ("UPDATE journal_entries SET content='{' WHERE number=2", "entry 2 (second, 7, by anna) was altered"),
        ("UPDATE journal_entries SET source='7' WHERE number=2", "entry 2 (second, 7, by anna) was altered"),
        ("DELETE FROM journal_entries WHERE number=2", "entry 3 (third, 7, by anna) does not follow"),
        ("DELETE FROM journal_entries WHERE number=3", "was cut at its end: entries 3 to 3 are missing"),
        ("DELETE FROM journal_entries", "was cut at its end: entries 1 to 3 are missing"),
    ],
)
def test_an_entry_that_was_altered_or_removed_is_named(tmp_path: Path, damage: str, said: str) -> None:
    store = open_store(tmp_path)
    say(store, "first", "second", "third")
    with store.engine.begin() as connection:
        connection.execute(sa.text(damage))
    assert said in str(store.faults()[0])
    store.close()
    again = open_store(tmp_path)  # and later entries do not hide it
    say(again, "fourth", "fifth", "sixth", "seventh")
    found = [str(fault) for fault in again.faults()]
    assert any(said in fault or "is not the one that was entered" in fault for fault in found)
    again.close()


def test_the_head_follows_the_journal(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    say(store, "first", "second")
    head = Head.read(tmp_path / "desk" / "desk.head.json")
    assert head == Head(2, store.entries()[1].hash)
    store.close()


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError), store.writing() as connection:
        journal.append(connection, [Draft("first", "", {})], "anna")
        raise RuntimeError
    assert store.entries() == []


def test_decisions_read_by_many_threads_are_in_order(store: Store) -> None:
    decisions, wish = Decisions(store), Wish("visit")
    with ThreadPoolExecutor(8) as pool:
        reads = [pool.submit(decisions.standing) for _ in range(40)]
        saved = [pool.submit(decisions.save, "anna", wish, [(str(number), "m")], {}) for number in range(20)]
        numbers = {future.result()[0].subject: future.result()[0].number for future in saved}
        assert all(read.result() is not None for read in reads)
    assert {name: made.number for name, made in decisions.standing().items()} == numbers
    decisions.undo("anna", numbers["7"])
    assert decisions.of("7") is None


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


def test_neither_passwords_nor_cookies_lie_in_the_database(tmp_path: Path) -> None:
    store = open_store(tmp_path)
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


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    assert (tmp_path / "desk" / "desk.sqlite").stat().st_mode & 0o077 == 0


def test_commits_are_synced(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with store.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    store.close()


def test_a_server_that_dies_in_the_middle_of_a_save_is_said_and_nothing_is_half_saved(tmp_path: Path) -> None:
    import psycopg

    def end_all(url: str) -> None:
        with psycopg.connect(url) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND application_name = 'cropcheck_desk_test'"
            )

    url = server_url()
    with store_on("postgresql", tmp_path, "?application_name=cropcheck_desk_test") as store:
        say(store, "first")
        with pytest.raises(StoreError, match="nothing was saved"), store.writing() as connection:
            journal.append(connection, [Draft("second", "7", {})], "anna")
            end_all(url)
            journal.append(connection, [Draft("third", "7", {})], "anna")
        end_all(url)  # between two requests too: the next one opens a connection of its own
        say(store, "fourth")
        assert [entry.kind for entry in store.entries()] == ["first", "fourth"]
        assert store.faults() == []


def test_a_password_in_the_address_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(CropcheckError, match="given with a password") as caught:
        open_store(tmp_path, "postgresql://anna:secret@localhost/x", "s")
    assert "secret" not in str(caught.value)
    with pytest.raises(StoreError, match="no address like postgresql"):
        open_store(tmp_path, "mysql://localhost/x", "s")
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(tmp_path, "postgresql://anna@127.0.0.1:1/x", "s")


def test_two_desks_on_one_database_see_each_other(store: Store, tmp_path: Path) -> None:
    other = Store(store.url, store.head, store.schema)
    one, two = Decisions(store), Decisions(other)
    one.save("anna", Wish("visit"), [("7", "m")], {})
    assert two.of("7") is not None
    with pytest.raises(ConflictError):
        two.save("bert", Wish("refer"), [("7", "m")], {"7": 0})
    number = two.of("7")
    assert number is not None
    two.save("bert", Wish("refer"), [("7", "m")], {"7": number.number})
    standing = one.of("7")
    assert standing is not None
    assert standing.decision == "refer"
    assert store.faults() == other.faults() == []
    other.close()
