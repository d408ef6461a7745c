"""The hash-chained log: each line carries the hash of the line before."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.files import fingerprint

GENESIS = "0" * 64


def append(path: Path, event: str, **facts: Any) -> None:
    """Add one line to the log, chained to the last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    previous = _last_hash(path)
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "event": event,
        **facts,
        "previous": previous,
    }
    line = json.dumps({**entry, "hash": fingerprint(entry)}, sort_keys=True, ensure_ascii=False)
    with path.open("a", encoding="utf-8") as log:
        log.write(line + "\n")
        log.flush()
        os.fsync(log.fileno())


def faults(path: Path) -> list[str]:
    """Walk the chain and return what does not hold, a sentence each; an empty list where it holds."""
    if not path.is_file():
        return [f"{path.name} is missing"]
    found, previous = [], GENESIS
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = json.loads(line)
            claimed = entry.pop("hash")
        except (json.JSONDecodeError, KeyError, AttributeError):
            found.append(f"{path.name} line {number} is not an entry")
            continue
        if fingerprint(entry) != claimed:
            found.append(f"{path.name} line {number} was altered")
        if entry.get("previous") != previous:
            found.append(
                f"{path.name} line {number} does not follow the line before; lines were removed or added"
            )
        previous = claimed
    return found


def _last_hash(path: Path) -> str:
    """Return the last whole line's hash, first dropping a line that a killed run left unfinished."""
    if not path.is_file():
        return GENESIS
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        path.write_bytes(whole)
    lines = whole.splitlines()
    return str(json.loads(lines[-1])["hash"]) if lines else GENESIS
