"""The log is a chain: altering, removing or adding a line breaks it."""

from pathlib import Path

from pipelines.record.audit import append, faults


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
    assert faults(path) == ["audit.jsonl line 2 does not follow the line before; lines were removed or added"]


def test_a_line_cut_short_by_a_kill_is_dropped_and_the_chain_goes_on(tmp_path: Path) -> None:
    path = log_of(tmp_path, "extract")
    with path.open("a") as log:
        log.write('{"event": "tra')
    append(path, "train")
    assert faults(path) == []


def test_a_missing_log_is_a_fault(tmp_path: Path) -> None:
    assert faults(tmp_path / "audit.jsonl") == ["audit.jsonl is missing"]
