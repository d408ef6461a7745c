"""The hash-chained log: each line carries the hash of the line before."""

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.files import fingerprint, write_json

GENESIS = "0" * 64


@dataclass(frozen=True)
class Head:
    """How far a log goes: its number of lines, and the hash of the last."""

    lines: int
    hash: str


def append(path: Path, event: str, **facts: Any) -> Head:
    """Add one line to the log, chained to the last, and note beside it how far the log now goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = _mended(path)
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "event": event,
        **facts,
        "previous": before.hash,
    }
    digest = fingerprint(entry)
    line = json.dumps({**entry, "hash": digest}, sort_keys=True, ensure_ascii=False)
    with path.open("a", encoding="utf-8") as log:
        log.write(line + "\n")
        log.flush()
        os.fsync(log.fileno())
    head = Head(before.lines + 1, digest)
    write_json(head_of(path), asdict(head))
    return head


def head_of(path: Path) -> Path:
    """Return the file that says how far a log goes: without it, a log cut at its end would look whole."""
    return path.with_suffix(".head.json")


def faults(path: Path) -> list[str]:
    """Walk the chain and return what does not hold, a sentence each; an empty list where it holds."""
    if not path.is_file():
        return [f"{path.name} is missing"]
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return [f"{path.name} cannot be read as text ({error})"]
    found, hashes = [], [GENESIS]
    for number, line in enumerate(lines, start=1):
        entry = _entry(line)
        if entry is None:
            found.append(f"{path.name} line {number} is not an entry")
            hashes.append("")
            continue
        claimed = entry.pop("hash")
        if fingerprint(entry) != claimed:
            found.append(f"{path.name} line {number} was altered")
        if entry.get("previous") != hashes[-1]:
            found.append(
                f"{path.name} line {number} does not follow the line before; lines were removed or added"
            )
        hashes.append(claimed)
    return found + _end_faults(path, hashes)


def entries(path: Path) -> list[dict[str, Any]]:
    """Return the log's entries; lines that are none are left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [entry for entry in map(_entry, lines) if entry is not None]


def _entry(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("hash"), str) else None


def _end_faults(path: Path, hashes: list[str]) -> list[str]:
    """Compare the log's end with what was noted when its last line was written.

    A run killed between the two leaves a log that goes one line further: that is no fault.
    """
    head = _read_head(path)
    if head is None:
        return [
            f"{head_of(path).name} is missing or damaged; whether {path.name} ends where it did is not known"
        ]
    if len(hashes) - 1 < head.lines:
        lost = head.lines - len(hashes) + 1
        return [f"{path.name} was cut at its end: {lost} of {head.lines} lines are missing"]
    if hashes[head.lines] != head.hash:
        return [f"{path.name} line {head.lines} is not the one that {head_of(path).name} names"]
    return []


def _read_head(path: Path) -> Head | None:
    try:
        said = json.loads(head_of(path).read_text(encoding="utf-8"))
        return Head(int(said["lines"]), str(said["hash"]))
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None


def _mended(path: Path) -> Head:
    """Return how far the log goes, first dropping a line that a killed run left unfinished.

    A last line that cannot be read is left as it is, for `faults` to name; the chain goes on from its text.
    """
    if not path.is_file():
        return Head(0, GENESIS)
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        path.write_bytes(whole)
    lines = whole.splitlines()
    if not lines:
        return Head(0, GENESIS)
    last = _entry(lines[-1].decode(errors="replace"))
    return Head(len(lines), str(last["hash"]) if last else fingerprint(lines[-1].hex()))
