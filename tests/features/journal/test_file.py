"""A journal keeps what was entered, whole and in order, whatever happens to the process."""

import json
import multiprocessing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.journal.entries import Draft, JournalError, Source, chained, check_chain
from features.journal.file import FileJournal

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_an_entry_says_who_when_what_and_from_where(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "field" / "journal.jsonl")
    source = Source("reviewed.csv", "ab" * 32)
    journal.append([Draft("result", "007", {"field_result": "wrong"}, source)], "anna", NOON)
    (entry,) = journal.append([Draft("undo", "1", {})], "ben", NOON)
    first = journal.entries()[0]
    assert (first.number, first.by, first.at, first.subject) == (
        1,
        "anna",
        "2026-06-01T12:00:00.000+00:00",
        "007",
    )
    assert first.source == source
    assert (entry.number, entry.previous) == (2, first.hash)


def test_what_was_there_is_never_rewritten(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "journal.jsonl")
    journal.append([Draft("result", "1", {"x": 1})], "anna")
    before = journal.path.read_bytes()
    journal.append([Draft("result", "2", {"x": 2}), Draft("result", "3", {})], "ben")
    assert journal.path.read_bytes().startswith(before)
    journal.append([], "nobody")
    assert len(journal.entries()) == 3


@pytest.mark.parametrize("harm", ["alter", "remove", "swap", "garble"])
def test_an_altered_journal_is_refused(tmp_path: Path, harm: str) -> None:
    journal = FileJournal(tmp_path / "journal.jsonl")
    journal.append([Draft("result", str(k), {"field_result": "correct"}) for k in range(3)], "anna")
    lines = journal.path.read_text().splitlines()
    harmed = {
        "alter": [lines[0].replace("correct", "wrong"), *lines[1:]],
        "remove": [lines[0], lines[2]],
        "swap": [lines[1], lines[0], lines[2]],
        "garble": [lines[0][:-5], *lines[1:]],
    }
    journal.path.write_text("\n".join(harmed[harm]) + "\n")
    with pytest.raises(JournalError, match="backup"):
        journal.entries()


def test_a_failing_write_leaves_the_old_journal(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "journal.jsonl")
    journal.append([Draft("result", "1", {})], "anna")
    before = journal.path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        journal.append([Draft("result", "2", {}), Draft("result", "3", {"x": float("nan")})], "anna")
    assert journal.path.read_bytes() == before


def _enter(path: Path, who: str) -> None:
    for number in range(10):
        FileJournal(path).append([Draft("result", f"{who}{number}", {})], who)


def test_two_people_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    people = [multiprocessing.get_context("spawn").Process(target=_enter, args=(path, who)) for who in "ab"]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert len({entry.subject for entry in FileJournal(path).entries()}) == 20


def test_the_chain_serves_any_store() -> None:
    first = chained([Draft("decision", "7", {"decision": "visit"})], None, "anna", NOON)
    more = chained([Draft("decision", "8", {})], first[-1], "ben", NOON)
    check_chain([*first, *more], "a table")
    with pytest.raises(JournalError, match=r"a table: entry 2 \(decision, 8, by ben\) does not follow"):
        check_chain(more, "a table")
    assert json.loads(json.dumps(first[0].hash)) == first[0].digest()


def test_a_journal_cut_at_its_end_is_refused_and_not_added_to(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "journal.jsonl")
    journal.append([Draft("result", str(number), {}) for number in range(3)], "anna")
    lines = journal.path.read_text().splitlines(keepends=True)
    journal.path.write_text("".join(lines[:2]))
    with pytest.raises(JournalError, match="cut at its end: entries 3 to 3 are missing"):
        journal.append([Draft("result", "4", {})], "ben")
    assert journal.faults("field/journal.jsonl") == [
        "field/journal.jsonl was cut at its end: entries 3 to 3 are missing"
    ]


def test_a_journal_rewritten_as_a_whole_is_named_by_its_head(tmp_path: Path) -> None:
    journal, other = FileJournal(tmp_path / "journal.jsonl"), FileJournal(tmp_path / "other.jsonl")
    journal.append([Draft("result", "7", {"field_result": "wrong"})], "anna", NOON)
    other.append([Draft("result", "7", {"field_result": "correct"})], "anna", NOON)
    journal.path.write_bytes(other.path.read_bytes())
    assert journal.faults("journal") == [
        "journal: entry 1 (result, 7, by anna) is not the one that was entered"
    ]


def test_a_lost_journal_or_head_is_named(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "journal.jsonl")
    assert journal.faults("journal") == []
    journal.append([Draft("result", "7", {})], "anna")
    journal.head.rename(tmp_path / "kept")
    assert "is missing or damaged" in journal.faults("journal")[0]
    assert len(journal.entries()) == 1, "a journal of an earlier version may still be read"
    (tmp_path / "kept").rename(journal.head)
    journal.path.unlink()
    assert journal.faults("journal") == ["journal is missing"]
