"""What a finished stage leaves behind, so that nothing finished is done twice."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from features.accounting import Tally
from features.files import fingerprint, sha256, write_json
from pipelines.workspace import Workspace

ELSEWHERE = "no_parcel_in_tile"


@dataclass(frozen=True)
class Receipt:
    """A stage that ended: what it ran on (`key`), what it wrote, and what it accounts for."""

    stage: str
    key: str
    outputs: dict[str, str] = field(default_factory=dict)
    tallies: list[Tally] = field(default_factory=list)
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def partial(self) -> bool:
        """Whether acquisitions that cover the region were set aside."""
        aside = [tally.set_aside for tally in self.tallies if tally.unit == "acquisitions"]
        return any(reason != ELSEWHERE for reasons in aside for reason in reasons)

    @property
    def digest(self) -> str:
        """The hash of what the stage wrote: what the next stage's key depends on."""
        return fingerprint(self.outputs)


def read_receipt(workspace: Workspace, stage: str) -> Receipt | None:
    """Return a stage's receipt, or None where it has not ended."""
    path = workspace.receipts / f"{stage}.json"
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    return Receipt(**{**content, "tallies": [Tally(**tally) for tally in content["tallies"]]})


def write_receipt(workspace: Workspace, receipt: Receipt) -> Receipt:
    """Write a receipt atomically; from then on the stage counts as finished."""
    write_json(workspace.receipts / f"{receipt.stage}.json", asdict(receipt))
    return receipt


def still_holds(workspace: Workspace, receipt: Receipt | None, key: str) -> bool:
    """Whether a stage ended on this very key and its outputs are still there."""
    return (
        receipt is not None
        and receipt.key == key
        and all((workspace.folder / name).is_file() for name in receipt.outputs)
    )


def hash_outputs(workspace: Workspace, paths: Iterable[Path]) -> dict[str, str]:
    """Return path -> SHA-256 of files, and of every file below folders."""
    files = sorted(file for path in paths for file in _files_of(path))
    return {workspace.relative(file): sha256(file) for file in files}


def _files_of(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")]
    return [path] if path.is_file() else []
