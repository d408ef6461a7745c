"""The log is a chain: altering, removing or adding a line breaks it."""

from pathlib import Path

import pytest

from pipelines.record.audit.chain import append, entries, faults, head_of


def log_of(folder: Path, *events: str) -> Path:
    path = folder / "audit.jsonl"
    for event in events:
        append(path, event)
    return path


def test_an_untouched_log_holds(tmp_path: Path) -> None:
    assert faults(log_of(tmp_path, "extract", "train", "judge")) == []


def test_an_altered_line_is_named(tmp_path: Path) -> None:
    path = log_of(tmp_path, "extract", "train")
    path.write_text(path.read_text().replace('"extract"', '"exploit"'))
    assert faults(path) == ["audit.jsonl line 1 was altered"]


def test_a_removed_line_is_noticed(tmp_path: Path) -> None:
    path = log_of(tmp_path, "extract", "train", "judge")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[2])
    assert faults(path) == [
        "audit.jsonl line 2 does not follow the line before; lines were removed or added",
        "audit.jsonl was cut at its end: 1 of 3 lines are missing",
    ]


def test_a_line_cut_short_by_a_kill_is_dropped_and_the_chain_goes_on(tmp_path: Path) -> None:
    path = log_of(tmp_path, "extract")
    with path.open("a") as log:
        log.write('{"event": "tra')
    append(path, "train")
    assert faults(path) == []


def test_a_missing_log_is_a_fault(tmp_path: Path) -> None:
    assert faults(tmp_path / "audit.jsonl") == ["audit.jsonl is missing"]


def test_a_log_cut_at_its_end_is_told_from_a_finished_one(tmp_path: Path) -> None:
    path = log_of(tmp_path, "extract", "train", "judge")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    assert faults(path) == ["audit.jsonl was cut at its end: 1 of 3 lines are missing"]


def test_a_kill_between_a_line_and_the_note_of_it_is_no_fault(tmp_path: Path) -> None:
    path = log_of(tmp_path, "extract")
    note = head_of(path).read_bytes()
    append(path, "train")
    head_of(path).write_bytes(note)
    assert faults(path) == []
    append(path, "judge")
    assert faults(path) == []


def test_another_last_line_is_noticed(tmp_path: Path) -> None:
    log_of(tmp_path / "other", "extract", "stolen")
    path = log_of(tmp_path, "extract", "train")
    path.write_bytes((tmp_path / "other" / "audit.jsonl").read_bytes())
    assert faults(path) == ["audit.jsonl line 2 is not the one that audit.head.json names"]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[]\n", b"null\n7\n", b"", b"{}\n"])
def test_a_damaged_log_or_note_gives_sentences_and_the_log_goes_on(tmp_path: Path, content: bytes) -> None:
    path = log_of(tmp_path, "extract", "train")
    path.write_bytes(content)
    assert faults(path)
    append(path, "judge")
    assert [entry["event"] for entry in entries(path)] == ["judge"]
    head_of(path).write_bytes(content)
    assert "is missing or damaged" in faults(path)[-1]
