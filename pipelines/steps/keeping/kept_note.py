"""Models of events and forecasts that are kept while images come in, as long as the crop models are."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from features.files import write_json
from pipelines.record.hashes import files_in, hash_all
from pipelines.record.inputs import Entries, Inputs
from pipelines.record.receipt import read_receipt
from pipelines.steps.keeping.stands_on import made_with, stands_on_of
from pipelines.workspace import Workspace

NOTE = "fitted.json"
CROP_MODELS = "models/fitted/fit.json"  # what the crop models, whose folds are shared, were fitted on


@dataclass(frozen=True)
class Note:
    """What models were fitted with, and the SHA-256 of their files.

    They are kept where both are as they were; models that are fitted anew are noted anew.
    """

    stands_on: dict[str, Any]
    files: dict[str, str]

    @classmethod
    def now(cls, folder: Path, stands_on: Mapping[str, Any]) -> "Note":
        """Return what a note on the models in a folder would say now."""
        hashes = hash_all(path for path in files_in(folder) if path.name != NOTE)
        files = {path.relative_to(folder).as_posix(): digest for path, digest in hashes.items()}
        return cls(dict(stands_on), files)

    def write(self, folder: Path) -> Path:
        """Write the note beside the models."""
        return write_json(folder / NOTE, asdict(self))


def may_keep(folder: Path, stands_on: Mapping[str, Any] | None) -> bool:
    """Say whether the models in a folder may be kept: they stand on the same, and are as they were written.

    Parameters
    ----------
    stands_on
        As `fitting_stands_on` returns it; None where models are not kept.
    """
    if stands_on is None:
        return False
    try:
        said = Note(**json.loads((folder / NOTE).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, TypeError):
        return False
    return bool(said.files) and said == Note.now(folder, stands_on)


def fitting_stands_on(
    name: str,
    own: Entries,
    inputs: Inputs,
    workspace: Workspace,
    until: object,
    beside: Collection[str] = (),
) -> dict[str, Any] | None:
    """Return what a stage's models are fitted with, beside images and parcels; None where the crop models
    say nothing of theirs.

    Parameters
    ----------
    own
        What the stage stands on.
    until
        Day up to which labels, or looks, count.
    beside
        Stages whose results the stage reads for other ends than fitting.
    """
    trained = read_receipt(workspace, "train")
    crop_models = trained.outputs.get(CROP_MODELS) if trained else None
    if crop_models is None:
        return None
    made = {before: of for before, of in made_with(inputs, workspace).items() if before not in beside}
    made[name] = own
    return {**stands_on_of(made), "crop models": crop_models, "until": str(until)}
