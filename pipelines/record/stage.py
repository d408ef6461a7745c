"""A stage as data, and the one way every stage is run: skip what is finished, account for the rest."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from features.accounting import Tally
from features.errors import StageError
from features.files import code_version, fingerprint, sha256
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.record import audit
from pipelines.record.receipt import Receipt, hash_outputs, read_receipt, still_holds, write_receipt
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a stage wrote and what it accounts for."""

    outputs: list[Path]
    tallies: list[Tally] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One step of the way: the code, config sections and earlier stages it depends on, and what it does."""

    name: str
    rooms: tuple[str, ...]
    sections: tuple[str, ...]
    after: tuple[str, ...]
    run: Callable[[RunConfig, Workspace, Progress], Outcome]
    external: Callable[[RunConfig, Workspace], list[Path]] = lambda config, workspace: []
    named: Callable[[RunConfig], Any] = lambda config: None  # how those files are called, where it matters


def run_stage(
    stage: Stage, config: RunConfig, workspace: Workspace, progress: Progress
) -> tuple[Receipt, bool]:
    """Run a stage unless it has already ended on the same inputs; return its receipt and whether it ran.

    Raises
    ------
    StageError
        Where an earlier stage has not left what this one reads.
    """
    key = stage_key(stage, config, workspace)
    receipt = read_receipt(workspace, stage.name)
    if receipt is not None and still_holds(workspace, receipt, key):
        return receipt, False
    started = time.perf_counter()
    outcome = stage.run(config, workspace, progress)
    receipt = Receipt(
        stage=stage.name,
        key=key,
        outputs=hash_outputs(workspace, outcome.outputs),
        tallies=outcome.tallies,
        seconds=round(time.perf_counter() - started, 2),
        facts=outcome.facts,
    )
    for tally in receipt.tallies:
        log.info("%s", tally)
    audit.append(
        workspace.audit,
        stage.name,
        key=key,
        digest=receipt.digest,
        tallies=[str(tally) for tally in receipt.tallies],
    )
    return write_receipt(workspace, receipt), True


def stage_key(stage: Stage, config: RunConfig, workspace: Workspace) -> str:
    """Return the hash of all that a stage's result depends on."""
    return fingerprint(
        {
            "code": code_version(stage.rooms),
            "seed": config.seed,
            "season": config.season.model_dump(mode="json", exclude={"until"}),
            "config": {name: _dump(getattr(config, name)) for name in stage.sections},
            "external": {
                str(path): sha256(path) for path in stage.external(config, workspace) if path.is_file()
            },
            "named": stage.named(config),
            "before": {name: needed(workspace, name, stage.name).digest for name in stage.after},
        }
    )


def _dump(section: Any) -> Any:
    return section.model_dump(mode="json") if isinstance(section, BaseModel) else section


def needed(workspace: Workspace, name: str, wanted_by: str) -> Receipt:
    """Return the receipt of a stage; raise a StageError with the cure where it has not ended."""
    receipt = read_receipt(workspace, name)
    if receipt is None:
        alone = "" if name == "read" else f"`cropcheck {name} CONFIG` or "  # inputs are read with `clear`
        raise StageError(
            f"{wanted_by} reads what {name} leaves in {workspace.folder}, and {name} has not ended there; "
            f"run {alone}`cropcheck run CONFIG` first."
        )
    return receipt
