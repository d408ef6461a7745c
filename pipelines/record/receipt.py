"""What a finished stage leaves behind, so that nothing finished is done twice."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from features.accounting import Tally
from features.errors import StageError
from features.files import fingerprint, write_json
from features.storage.listing import laid_out, read_back
from pipelines.record.hashes import files_in, hash_all
from pipelines.workspace import Workspace

VERSION = 2  # of the format
LIST_SUFFIX = ".outputs.sha256"  # of the list of a receipt with very many files
ELSEWHERE = "no_parcel_in_tile"
READ_ALONGSIDE = ("synthesise", "read")  # stages that have no need of a command of their own in a cure


@dataclass(frozen=True)
class Receipt:
    """A stage that ended.

    Attributes
    ----------
    inputs
        What it stood on (see `pipelines.record.inputs.entries`), name to value.
    outputs
        What it wrote: path below the run's folder, to SHA-256.
    tallies, facts
        What it accounts for, and what else later stages and pages are told.
    """

    stage: str
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    tallies: list[Tally] = field(default_factory=list)
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The hash of what the stage stood on."""
        return fingerprint(self.inputs)

    @property
    def partial(self) -> bool:
        """Whether acquisitions that cover the region were set aside: they are tried again by the next run."""
        reasons = [tally.set_aside for tally in self.tallies if tally.unit == "acquisitions"]
        return any(reason != ELSEWHERE for each in reasons for reason in each)

    @property
    def digest(self) -> str:
        """The hash of what the stage wrote."""
        return fingerprint(self.outputs)

    def says_the_same(self, other: "Receipt") -> bool:
        """Whether another receipt differs in nothing but the time that the stage took."""
        mine, theirs = asdict(self), asdict(other)
        return all(mine[name] == theirs[name] for name in mine if name != "seconds")


def read_receipt(workspace: Workspace, stage: str) -> Receipt | None:
    """Return a stage's receipt, or None where it has not ended or its receipt cannot be used."""
    found = _read(_path(workspace, stage))
    return found if isinstance(found, Receipt) else None


def outputs_of(workspace: Workspace) -> list[Path]:
    """Return every file that the stages of a run say they wrote."""
    receipts = (read_receipt(workspace, path.stem) for path in sorted(workspace.receipts.glob("*.json")))
    return [
        workspace.folder / name for receipt in receipts if receipt is not None for name in receipt.outputs
    ]


def receipt_fault(workspace: Workspace, stage: str) -> str | None:
    """Say why a receipt that is there cannot be used: cut off, altered, or of another version."""
    found = _read(_path(workspace, stage))
    return found if isinstance(found, str) else None


def write_receipt(workspace: Workspace, receipt: Receipt) -> Receipt:
    """Write a receipt atomically, with a hash over itself; from then on the stage counts as finished."""
    content = {"version": VERSION, **_document(receipt)}
    content["outputs"] = laid_out(receipt.outputs, _path(workspace, receipt.stage).with_suffix(LIST_SUFFIX))
    write_json(_path(workspace, receipt.stage), {**content, "hash": fingerprint(content)})
    return receipt


def needed(workspace: Workspace, name: str, wanted_by: str) -> Receipt:
    """Return the receipt of a stage; raise a StageError with the cure where it has not ended."""
    found = _read(_path(workspace, name))
    if isinstance(found, Receipt):
        return found
    alone = "" if name in READ_ALONGSIDE else f"`cropcheck {name} CONFIG` or "
    why = f"{found}" if found else f"{name} has not ended there"
    raise StageError(
        f"{wanted_by} reads what {name} leaves in {workspace.folder}, and {why}; "
        f"run {alone}`cropcheck run CONFIG` first."
    )


def hash_outputs(workspace: Workspace, paths: Iterable[Path]) -> dict[str, str]:
    """Return path -> SHA-256 of files, and of every file below folders."""
    files = sorted({file for path in paths for file in files_in(path)})
    return {workspace.relative(file): digest for file, digest in hash_all(files).items()}


def damaged(workspace: Workspace, outputs: dict[str, str]) -> dict[str, str]:
    """Return which of a stage's outputs are not as it wrote them: name to `is missing` or `was altered`."""
    paths = {name: workspace.folder / name for name in outputs}
    there = hash_all(paths.values())
    return {
        name: "was altered" if path in there else "is missing"
        for name, path in paths.items()
        if there.get(path) != outputs[name]
    }


def _path(workspace: Workspace, stage: str) -> Path:
    return workspace.receipts / f"{stage}.json"


def _document(receipt: Receipt) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(asdict(receipt)))
    return content


def _read(path: Path) -> Receipt | str | None:
    """Return a receipt; None where there is none, a few words where it cannot be used."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        return f"its receipt {path.name} cannot be read ({error})"
    try:
        claimed, version = content.pop("hash", None), content.pop("version", None)
        if version != VERSION or claimed != fingerprint({"version": version, **content}):
            what = "was altered" if version == VERSION else "is of another version of cropcheck"
            return f"its receipt {path.name} {what}"
        receipt = _receipt(content, path.parent)
    except (AttributeError, KeyError, TypeError, StageError):
        return f"its receipt {path.name} is not what cropcheck writes"
    if isinstance(receipt, Receipt) and all(map(_inside, receipt.outputs)):
        return receipt
    what = f"cannot be used ({receipt})" if isinstance(receipt, str) else "names files elsewhere"
    return f"its receipt {path.name} {what}"


def _receipt(content: dict[str, Any], folder: Path) -> Receipt | str:
    """Return the receipt that a document says; a few words where its list of files cannot be used."""
    try:
        outputs = read_back(content["outputs"], folder)
    except (OSError, ValueError, RecursionError) as error:
        return str(error)
    return Receipt(
        **{**content, "outputs": outputs, "tallies": [Tally(**tally) for tally in content["tallies"]]}
    )


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts
