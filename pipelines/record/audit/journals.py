"""Whether what people entered after a run, field results and the desk's decisions, is as it was entered."""

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.errors import CropcheckError
from features.files import sha256
from features.journal.entries import Entry, Head, faults
from features.journal.file import FileJournal
from pipelines.record.hashes import files_in
from pipelines.workspace import Workspace

DATABASE = ("-wal", "-shm", "-journal")  # files that SQLite keeps beside its own


@dataclass
class Walked:
    """What does not hold in a run's journals, which of them cannot be reached, and their files."""

    faults: list[str] = field(default_factory=list)
    not_here: list[str] = field(default_factory=list)
    files: set[str] = field(default_factory=set)


def walk(workspace: Workspace) -> Walked:
    """Walk the journal of field results and every journal of the desk; nothing is written.

    Photos, and what the desk kept of the runs that it showed, are compared with the hashes that the desk's
    journal gives; accounts with the entries that made them.
    """
    kept = FileJournal(workspace.field_journal)
    found = Walked(kept.faults(workspace.relative(kept.path)))
    found.files = {
        workspace.relative(path) for path in (kept.path, kept.head, kept.path.with_suffix(".lock"))
    }
    if workspace.desk.is_dir():
        _walk_desk(workspace, found)
    return found


def _walk_desk(workspace: Workspace, found: Walked) -> None:
    from reports.desk.records.store import FILE, HEAD, LOCAL_HEAD

    entries: list[Entry] = []
    reached = True
    heads = [path for path in files_in(workspace.desk) if path.name.endswith(HEAD)]
    local = workspace.desk / FILE
    if local.is_file() and workspace.desk / LOCAL_HEAD not in heads:
        found.faults.append(f"{workspace.relative(workspace.desk / LOCAL_HEAD)} is missing")
        heads.append(workspace.desk / LOCAL_HEAD)
    for head in heads:
        read = _walk_database(workspace, head, found)
        reached &= read is not None
        entries += read or []
    own = {local, *heads, *(local.with_name(FILE + ending) for ending in DATABASE)}
    files = [path for path in files_in(workspace.desk) if path not in own]
    if reached:
        found.faults += _file_faults(workspace, files, entries)


def _walk_database(workspace: Workspace, head: Path, found: Walked) -> list[Entry] | None:
    """Walk one journal of the desk; return its entries, or None where they cannot be read."""
    from reports.desk.records.snapshot import Snapshot
    from reports.desk.records.store import FILE, LOCAL_HEAD

    said = _read(head)
    if Head.read(head) is None and head.exists():
        found.faults.append(
            f"{workspace.relative(head)} is damaged: how far the desk's journal goes is not known"
        )
    if head.name == LOCAL_HEAD:
        local = workspace.desk / FILE
        url, schema, name = str(local), None, workspace.relative(local)
        if not local.is_file():
            found.faults.append(f"{name} is missing")
            return None
    elif isinstance(said.get("database"), str):
        url, schema = said["database"], said.get("schema")
        name = f"the desk's database {url}"
    else:
        return None
    try:
        with closing(Snapshot(url, schema)) as store:
            entries = store.entries()
            found.faults += [
                *map(str, faults(entries, name, Head.read(head))),
                *_account_faults(entries, store.accounts(), name),
            ]
    except CropcheckError as error:
        (found.faults if schema is None else found.not_here).append(f"{name} cannot be read: {error}")
        return None
    return entries


def _account_faults(entries: list[Entry], accounts: dict[str, tuple[str, bool]], name: str) -> Iterator[str]:
    """Compare accounts (role and whether active, by name) with the entries that made them."""
    entered: dict[str, tuple[str, bool]] = {}
    for entry in entries:
        who = str(entry.content.get("name"))
        if entry.kind == "account_created":
            entered[who] = (str(entry.content["role"]), True)
        elif entry.kind in ("account_opened", "account_closed") and who in entered:
            entered[who] = (entered[who][0], entry.kind == "account_opened")
    for who in sorted(entered.keys() | accounts.keys()):
        if entered.get(who) != accounts.get(who):
            now, then = _words(accounts.get(who)), _words(entered.get(who))
            yield f"{name}: the account {who} is {now}, and was entered as {then}"


def _file_faults(workspace: Workspace, files: Iterable[Path], entries: list[Entry]) -> Iterator[str]:
    """Compare photos and kept verdicts with the hashes that the desk's journals name."""
    named: dict[str, set[str]] = {}
    for entry in entries:
        content: dict[str, Any] = dict(entry.content)
        if entry.kind == "photo":
            named.setdefault(f"desk/photos/{content.get('sha256')}", set()).add(str(content.get("sha256")))
        elif entry.kind == "run_opened":
            named.setdefault(f"desk/runs/{content.get('model_id')}.parquet", set()).add(
                str(content.get("verdicts"))
            )
    here = {workspace.relative(path): path for path in files}
    for name in sorted(named):
        if name not in here:
            yield f"{name} is missing"
        elif sha256(here[name]) not in named[name]:
            yield f"{name} differs from what the desk's journal says"
    for name in sorted(here.keys() - named.keys()):
        yield f"{name} was added: the desk's journal does not name it"


def _words(account: tuple[str, bool] | None) -> str:
    return "not there" if account is None else f"{account[0]}, {'open' if account[1] else 'closed'}"


def _read(head: Path) -> dict[str, Any]:
    try:
        said = json.loads(head.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
