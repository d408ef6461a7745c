"""Which runs of one folder are compared: what the last one left, and what this one is."""

import json
from dataclasses import dataclass
from pathlib import Path

from features.files import fingerprint, is_vouched, voucher_of
from pipelines.record.inputs import outputs_read
from pipelines.record.receipt import needed, read_receipt
from pipelines.workspace import Workspace

READ = {
    "read": ("declarations.parquet", "acquisitions.parquet", "assets.parquet"),
    "train": ("models/fitted/fit.json",),
    "judge": ("verdicts.parquet",),
}
RULES = ("option judge.", "file judge.", "option events.")
PARCELS, IMAGES, STATE = "parcels.parquet", "acquisitions.parquet", "state.json"
INDEX = "index.json"


@dataclass(frozen=True)
class Runs:
    """The runs that are compared: names of folders below `earlier/`.

    `before` is None in the first run, and where what the run before left is `lost`: missing, or altered.
    """

    before: str | None
    present: str
    lost: bool = False


def runs_of(workspace: Workspace) -> Runs:
    """Return which runs are to be compared.

    A run that leaves what the last one left is compared with the one before that: doing a part again does not
    make its changes disappear.
    """
    made = {name: outputs_read(needed(workspace, name, "compare"), READ[name]) for name in READ}
    present = fingerprint({**made, "model": model_of(workspace), "rules": rules_of(workspace)})[:16]
    index = workspace.earlier / INDEX
    if not index.is_file():
        return Runs(None, present)
    try:
        said = json.loads(index.read_text(encoding="utf-8"))
        before, last = said["before"], said["present"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return Runs(None, present, lost=True)
    chosen = before if last == present else last
    if not chosen:
        return Runs(None, present)
    whole = all(
        map(_whole, (index, *(workspace.earlier / chosen / name for name in (PARCELS, IMAGES, STATE))))
    )
    return Runs(chosen if whole else None, present, lost=not whole)


def _whole(path: Path) -> bool:
    return path.is_file() and (is_vouched(path) or not voucher_of(path).exists())


def model_of(workspace: Workspace) -> str:
    """Return what identifies the models of a run: the hash of their training data, or of their bundle."""
    outputs = needed(workspace, "train", "compare").outputs
    names = ("models/fitted/fit.json", "models/bundle.json")
    return next((outputs[name] for name in names if name in outputs), "")


def rules_of(workspace: Workspace) -> str:
    """Return the hash of the options and tables of rules that verdicts were made with."""
    receipt = read_receipt(workspace, "judge")
    known = receipt.inputs if receipt else {}
    return fingerprint({name: value for name, value in known.items() if name.startswith(RULES)})
