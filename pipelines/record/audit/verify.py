"""Whether a finished run is as its manifest says: what was altered, lost or added, a sentence each."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.errors import StageError
from features.files import sha256
from features.storage.listing import read_back
from pipelines.record.audit import chain, journals
from pipelines.record.audit.manifest import FORMATS, covered, page_hash
from pipelines.record.hashes import hash_all
from pipelines.record.receipt import read_receipt, receipt_fault
from pipelines.workspace import Workspace

Manifest = dict[str, Any]  # as manifest.json has it
GROUPS = ("inputs", "models", "outputs")
OTHER_GROUPS = ("seals", "journals", "working_folder", "records")
RUN_AGAIN = "run `cropcheck run CONFIG` to make it anew"


@dataclass
class Findings:
    """What does not hold, and which inputs are not here, so that nothing can be said of them."""

    faults: list[str] = field(default_factory=list)
    not_here: list[str] = field(default_factory=list)


def verify(folder: Path, expect: str | None = None) -> list[str]:
    """Return what does not hold in a run's folder, a sentence each (see `examine`)."""
    return examine(folder, expect).faults


def examine(folder: Path, expect: str | None = None) -> Findings:
    """Recompute every hash of a run's manifest and walk its log.

    Files of the run are looked for in its folder alone. Inputs outside it are looked for where they were, and
    beside the folder as they lay when it was made; those in neither place are listed as not here.

    Parameters
    ----------
    expect
        SHA-256 of the manifest, as printed by the run and kept elsewhere: only that tells a rewritten
        manifest, with a log rewritten to match, from the first one.

    Raises
    ------
    StageError
        Where the folder holds no manifest.
    """
    workspace = Workspace(folder)
    if not workspace.manifest.is_file():
        raise StageError(f"{folder} has no manifest.json; is it the output folder of a finished run?")
    found = Findings(chain.faults(workspace.audit))
    seal = sha256(workspace.manifest)
    if expect is not None and seal != expect.lower():
        found.faults.append(f"manifest.json has the hash {seal}, not the expected {expect}: it was rewritten")
    log = chain.entries(workspace.audit)
    if seal != _named_seal(log):
        found.faults.append("manifest.json is not the one that the log names")
    found.faults += _closing_faults(workspace, log)
    manifest = _read(workspace.manifest)
    if isinstance(manifest, str):
        found.faults.append(f"{manifest}; {RUN_AGAIN}")
        return found
    try:
        _compare(workspace, manifest, seal, _since(log), found)
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:  # whoever altered it may write anything
        found.faults.append(
            f"manifest.json is damaged: it is not what cropcheck writes ({error}); {RUN_AGAIN}"
        )
    return found


def read_manifest(workspace: Workspace) -> Manifest:
    """Return the manifest of a finished run, for who tells others what it says.

    Raises
    ------
    StageError
        Where there is none, it is damaged, or it is not the one that the log names.
    """
    if not workspace.manifest.is_file():
        raise StageError(
            f"{workspace.folder} has no manifest.json; is it the output folder of a finished run?"
        )
    manifest = _read(workspace.manifest)
    if isinstance(manifest, str):
        raise StageError(f"{manifest}; {RUN_AGAIN}.")
    if sha256(workspace.manifest) != _named_seal(chain.entries(workspace.audit)):
        raise StageError(
            f"manifest.json in {workspace.folder} is not the one that the log names: one of the two was "
            f"altered. `cropcheck verify {workspace.folder}` names all that does not hold; {RUN_AGAIN}."
        )
    return manifest


def _named_seal(log: list[dict[str, Any]]) -> str | None:
    """Return the hash of the manifest as the log names it last."""
    return next((entry["manifest_hash"] for entry in reversed(log) if "manifest_hash" in entry), None)


def _read(path: Path) -> dict[str, Any] | str:
    """Return the manifest, or a sentence where it is none."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return f"manifest.json is damaged and cannot be read ({error})"
    if not isinstance(manifest, dict):
        return "manifest.json is damaged: it is no JSON object"
    if manifest.get("format") not in FORMATS:
        return f"manifest.json is of another version of cropcheck (format {manifest.get('format')!r})"
    groups = {name: manifest.get(name) for name in (*GROUPS, *OTHER_GROUPS)}
    wrong = [name for name, group in groups.items() if not isinstance(group, dict)]
    if wrong:
        return f"manifest.json is damaged: {', '.join(wrong)} cannot be read"
    try:
        return {**manifest, **{name: read_back(manifest[name], path.parent) for name in GROUPS}}
    except (OSError, ValueError, RecursionError) as error:
        return f"manifest.json cannot be used: {error}"


def _closing_faults(workspace: Workspace, log: list[dict[str, Any]]) -> list[str]:
    """Check the one receipt that is written after the manifest, by the log."""
    receipt = read_receipt(workspace, "publish")
    if receipt is None:
        fault = receipt_fault(workspace, "publish")
        return [f"receipts/publish.json: {fault}" if fault else "receipts/publish.json is missing"]
    named = [entry for entry in log if entry.get("event") == "publish"]
    if not named or (named[-1].get("key"), named[-1].get("digest")) != (receipt.key, receipt.digest):
        return ["receipts/publish.json is not the one that the log names"]
    return []


def _since(log: list[dict[str, Any]]) -> dict[str, str]:
    """Return the files that commands have written since the manifest, as the log names them."""
    last = max((number for number, entry in enumerate(log) if "manifest_hash" in entry), default=-1)
    written: dict[str, str] = {}
    for entry in log[last + 1 :]:
        outputs = entry.get("outputs")
        written |= outputs if isinstance(outputs, dict) else {}
    return written


def _compare(
    workspace: Workspace, manifest: Manifest, seal: str, since: dict[str, str], found: Findings
) -> None:
    inside = _inside(workspace, manifest) | since
    hashes = hash_all(workspace.folder / name for name in inside)
    for name, claimed in sorted(inside.items()):
        path = workspace.folder / name
        if path not in hashes:
            found.faults.append(f"{name} is missing")
        elif name in manifest["seals"] and name not in since:
            found.faults += _page_faults(path, name, claimed, manifest["seals"][name], seal)
        elif hashes[path] != claimed:
            found.faults.append(f"{name} differs from the manifest")
    found.faults += _journal_faults(workspace, manifest["journals"])
    walked = journals.walk(workspace)
    found.faults += walked.faults
    found.not_here += walked.not_here
    known = {*inside, *manifest["journals"], *walked.files}
    here = [workspace.relative(path) for path in covered(workspace.folder)]
    found.faults += [f"{name} was added: the manifest does not name it" for name in here if name not in known]
    for name, claimed in sorted(manifest["inputs"].items()):
        if name not in inside:
            _compare_outside(workspace, manifest["working_folder"], name, claimed, found)


def _inside(workspace: Workspace, manifest: Manifest) -> dict[str, str]:
    """Return the files of the run's own folder: name to SHA-256."""
    region = workspace.relative(workspace.region) + "/"
    made = {name: digest for name, digest in manifest["inputs"].items() if name.startswith(region)}
    return {**made, **manifest["models"], **manifest["outputs"]}


def _page_faults(path: Path, name: str, claimed: str, places: int, seal: str) -> list[str]:
    if path.read_bytes().count(seal.encode()) != places:
        return [f"{name} does not carry the hash of this manifest"]
    return [] if page_hash(path, seal) == claimed else [f"{name} differs from the manifest"]


def _journal_faults(workspace: Workspace, named: dict[str, Any]) -> list[str]:
    found = []
    for name, said in named.items():
        path = workspace.folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif hashlib.sha256(path.read_bytes()[: said["bytes"]]).hexdigest() != said["sha256"]:
            found.append(f"{name} does not begin as it did: lines were altered or removed")
    return found


def _compare_outside(
    workspace: Workspace, working: dict[str, Any], name: str, claimed: str, found: Findings
) -> None:
    """Compare an input outside the folder with the manifest, wherever it is found."""
    beside = working.get("from_here")
    places = [Path(str(working.get("path"))) / name]
    places += [workspace.folder / str(beside) / name] if beside is not None else []
    here = [path for path in places if path.is_file()]
    if not here:
        found.not_here.append(name)
    elif all(sha256(path) != claimed for path in here):
        found.faults.append(f"{name} differs from the manifest")
