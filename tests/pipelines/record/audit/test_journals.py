"""Verify walks what people entered: field results, and the desk's decisions, photos and accounts."""

import shutil
import sqlite3
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from features.journal.database import ENTRIES
from features.journal.entries import Draft
from features.journal.file import FileJournal
from pipelines.record.audit.journals import Walked, walk
from pipelines.workspace import Workspace
from reports.desk.records.decisions import Wish
from reports.desk.records.store import Store, open_store
from reports.desk.state import Desk
from reports.options import PublishOptions
from tests.mock_run import make_run
from tests.reports.desk.databases import store_on
from tests.reports.desk.records.test_photos import photo

RUN = make_run(20, light=True)
DIFFERS = "differs from what the desk's journal says"
SEASON = (date(2025, 3, 1), date(2025, 10, 31))
FIRST, SECOND = (str(name) for name in RUN.verdicts["parcel_id"][:2])


def work(folder: Path, store: Store) -> Desk:
    """Two decisions, a photo and an account."""
    desk = Desk(RUN, store, folder / "desk", PublishOptions(), SEASON)
    desk.accounts.create("anna", "officer", "a long password", by="test")
    for name in (FIRST, SECOND):
        desk.decisions.save("anna", Wish("visit"), [(name, desk.model_id)], {})
    desk.photos.add("anna", FIRST, "a.jpg", photo(), desk.shape(FIRST), desk.season)
    return desk


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("run")
    store = open_store(made)
    work(made, store)
    store.close()
    return made


@pytest.fixture
def folder(worked: Path, tmp_path: Path) -> Path:
    return shutil.copytree(worked, tmp_path / "run")


def walked(folder: Path) -> Walked:
    return walk(Workspace(folder))


def alter(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / "desk" / "desk.sqlite") as connection:
        connection.execute(statement)
    connection.close()


def test_a_desk_after_work_holds_and_walking_writes_nothing(folder: Path) -> None:
    before = {path: path.read_bytes() for path in (folder / "desk").rglob("*") if path.is_file()}
    found = walked(folder)
    assert (found.faults, found.not_here) == ([], [])
    assert before == {path: path.read_bytes() for path in (folder / "desk").rglob("*") if path.is_file()}


def test_a_desk_that_is_open_holds(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    work(tmp_path, store)
    assert (tmp_path / "desk" / "desk.sqlite-wal").stat().st_size > 0
    assert walked(tmp_path).faults == []
    store.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE journal_entries SET content = replace(content, 'visit', 'in_order') WHERE number = 4",
         f"desk/desk.sqlite: entry 4 (decision, {SECOND}, by anna) was altered"),
        ("UPDATE journal_entries SET by = 'bert' WHERE number = 4",
         f"desk/desk.sqlite: entry 4 (decision, {SECOND}, by bert) was altered"),
        (f"DELETE FROM journal_entries WHERE subject = '{SECOND}'",
         f"desk/desk.sqlite: entry 5 (photo, {FIRST}, by anna) does not follow the one before; entries were "
         "removed or put in"),
        ("DELETE FROM journal_entries WHERE number = 5",
         "desk/desk.sqlite was cut at its end: entries 5 to 5 are missing"),
        ("UPDATE desk_accounts SET role = 'administrator'",
         "desk/desk.sqlite: the account anna is administrator, open, and was entered as officer, open"),
        ("INSERT INTO desk_accounts VALUES ('eve', 'officer', '', 1)",
         "desk/desk.sqlite: the account eve is officer, open, and was entered as not there"),
        ("DROP TABLE journal_entries", "desk/desk.sqlite cannot be read: no such table: journal_entries"),
    ],
)  # fmt: skip
def test_a_row_changed_by_hand_is_named(folder: Path, statement: str, said: str) -> None:
    alter(folder, statement)
    assert said in walked(folder).faults


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda desk: next((desk / "photos").iterdir()).write_bytes(b"other"), DIFFERS),
        (lambda desk: next((desk / "photos").iterdir()).unlink(), "is missing"),
        (lambda desk: (desk / "photos" / "mine.jpg").write_bytes(b""), "desk/photos/mine.jpg was added"),
        (lambda desk: next((desk / "runs").iterdir()).write_bytes(b""), DIFFERS),
        (lambda desk: (desk / "desk.sqlite").unlink(), "desk/desk.sqlite is missing"),
        (lambda desk: (desk / "desk.head.json").unlink(), "desk/desk.head.json is missing"),
        (lambda desk: (desk / "desk.head.json").write_text("{"), "desk/desk.head.json is damaged"),
        (lambda desk: (desk / "desk.sqlite").write_bytes(b"x" * 5000), "desk/desk.sqlite cannot be read"),
    ],
)  # fmt: skip
def test_files_of_the_desk_are_named(folder: Path, harm: Callable[[Path], object], said: str) -> None:
    harm(folder / "desk")
    assert any(said in fault for fault in walked(folder).faults)


def test_a_read_only_copy_is_walked(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    copy = tmp_path_factory.mktemp("archive") / "run"
    shutil.copytree(folder, copy)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert walked(copy).faults == []


def test_field_results_are_walked(tmp_path: Path) -> None:
    journal = FileJournal(Workspace(tmp_path).field_journal)
    journal.append([Draft("result", "7", {"field_result": "wrong"}), Draft("undo", "1", {})], "anna")
    assert walked(tmp_path).faults == []
    assert walked(tmp_path).files >= {"field/journal.jsonl", "field/journal.head.json"}
    journal.path.write_text(journal.path.read_text().replace('"wrong"', '"correct"'))
    assert walked(tmp_path).faults == ["field/journal.jsonl: entry 1 (result, 7, by anna) was altered"]


def test_a_desk_on_a_server_is_walked_and_a_changed_row_named(tmp_path: Path) -> None:
    with store_on("postgresql", tmp_path) as store:
        work(tmp_path, store)
        assert walked(tmp_path).faults == []
        with store.writing() as connection:
            connection.execute(sa.update(ENTRIES).where(ENTRIES.c.number == 3).values(by="bert"))
        assert walked(tmp_path).faults == [
            f"the desk's database {store.url}: entry 3 (decision, {FIRST}, by bert) was altered"
        ]


def test_a_server_that_is_down_is_not_here(tmp_path: Path) -> None:
    with store_on("postgresql", tmp_path) as store:
        work(tmp_path, store)
        head = next((tmp_path / "desk").glob("*.head.json"))
        head.write_text(head.read_text().replace(store.url, "postgresql://cropcheck@127.0.0.1:1/postgres"))
        found = walked(tmp_path)
    assert found.faults == []
    assert "127.0.0.1:1" in found.not_here[0]
