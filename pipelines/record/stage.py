"""A stage as data, and the one way every stage is run: skip what is finished, account for the rest."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.accounting import Tally
from features.errors import StageError
from features.files import voucher_of
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.record.audit import chain
from pipelines.record.disk import writable_or_said
from pipelines.record.inputs import Entries, Inputs, differences, entries, handed, outputs_read
from pipelines.record.receipt import (
    Receipt,
    damaged,
    hash_outputs,
    needed,
    read_receipt,
    receipt_fault,
    write_receipt,
)
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)
TRIED_AGAIN = "what was set aside is tried again"
NAMED = 3  # reasons, and damaged files, that are named in a message


@dataclass(frozen=True)
class Outcome:
    """What a stage wrote and what it accounts for; `looked_at` is what `Stage.look` would now return."""

    outputs: list[Path]
    tallies: list[Tally] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    looked_at: Entries = field(default_factory=dict)


def _delete(workspace: Workspace, names: Iterable[str]) -> None:
    for name in names:
        path = workspace.folder / name
        path.unlink(missing_ok=True)
        voucher_of(path).unlink(missing_ok=True)


@dataclass(frozen=True)
class Stage:
    """One step of the way.

    Attributes
    ----------
    module
        The module that runs it: its code, with all that it imports, is part of what the stage stands on.
    inputs
        All else that it reads.
    look
        Looks at what lies outside and may change without any file or option changing, such as a catalog;
        entries by name. It is called only where everything else is as it was.
    try_again
        Whether a stage that set imagery aside is to run again though nothing changed.
    discard
        Deletes outputs that were found damaged, so that the stage makes them anew.
    """

    name: str
    module: str
    inputs: Inputs
    run: Callable[[RunConfig, Workspace, Progress], Outcome]
    look: Callable[[RunConfig, Workspace], Entries] | None = None
    try_again: Callable[[RunConfig, Workspace], bool] = lambda config, workspace: False
    discard: Callable[[Workspace, Iterable[str]], None] = _delete


@dataclass(frozen=True)
class Plan:
    """What a stage stands on now, and why it has to run; it is fresh where there is no reason."""

    entries: Entries
    receipt: Receipt | None
    reasons: tuple[str, ...]
    damaged: tuple[str, ...] = ()


def plan_stage(stage: Stage, config: RunConfig, workspace: Workspace) -> Plan:
    """Compare what a stage stands on with what it ended on, and what it wrote with what lies there.

    Raises
    ------
    StageError
        Where an earlier stage has not left what this one reads.
    """
    now = stage_entries(stage, config, workspace)
    receipt = read_receipt(workspace, stage.name)
    if receipt is None:
        fault = receipt_fault(workspace, stage.name)
        return Plan(now, None, (fault or f"it has not ended in {workspace.folder}",))
    before = {name: value for name, value in receipt.inputs.items() if not name.startswith("look ")}
    reasons = differences(before, now)
    harm = damaged(workspace, receipt.outputs)
    reasons += [f"{name} {what}" for name, what in list(harm.items())[:NAMED]]
    reasons += [f"and {len(harm) - NAMED} files more"] if len(harm) > NAMED else []
    if not reasons and stage.look is not None:
        now |= {f"look {name}": value for name, value in stage.look(config, workspace).items()}
        reasons = differences(receipt.inputs, now)
    if not reasons and receipt.partial and stage.try_again(config, workspace):
        reasons = [TRIED_AGAIN]
    return Plan(now, receipt, tuple(reasons), tuple(harm))


def stage_entries(stage: Stage, config: RunConfig, workspace: Workspace) -> Entries:
    """Return what a stage stands on, but for what only `look` sees."""
    return entries(stage.name, stage.module, stage.inputs, config, workspace)


def run_stage(
    stage: Stage,
    config: RunConfig,
    workspace: Workspace,
    progress: Progress,
    say: Callable[[str], None] = log.info,
) -> tuple[Receipt, bool]:
    """Run a stage unless it has already ended on the same inputs; return its receipt and whether it ran.

    Parameters
    ----------
    say
        Is given a sentence where a stage that had ended runs again: why.

    Raises
    ------
    StageError
        Where an earlier stage has not left what this one reads, where that has been altered since, or where
        the folder cannot be written.
    """
    plan = plan_stage(stage, config, workspace)
    if plan.receipt is not None and not plan.reasons:
        return plan.receipt, False
    if plan.receipt is not None or receipt_fault(workspace, stage.name):
        more = f"; and {len(plan.reasons) - NAMED} more" if len(plan.reasons) > NAMED else ""
        say(f"{stage.name} runs again: {'; '.join(plan.reasons[:NAMED])}{more}")
    _refuse_damaged(stage, workspace)
    stage.discard(workspace, plan.damaged)
    started = time.perf_counter()
    with writable_or_said(workspace.folder, stage.name):
        outcome = stage.run(handed(config, stage.name, stage.inputs), workspace, progress)
        looked_at = {f"look {name}": value for name, value in outcome.looked_at.items()}
        receipt = Receipt(
            stage=stage.name,
            inputs={**plan.entries, **looked_at},
            outputs=hash_outputs(workspace, outcome.outputs),
            tallies=outcome.tallies,
            seconds=round(time.perf_counter() - started, 2),
            facts=outcome.facts,
        )
        return _keep(workspace, receipt, plan.receipt), True


def _keep(workspace: Workspace, receipt: Receipt, before: Receipt | None) -> Receipt:
    """Write the receipt and a line of the log; where nothing came of running again, leave all as it was."""
    for tally in receipt.tallies:
        log.info("%s", tally)
    if before is not None and before.says_the_same(receipt):
        return before
    if before is not None:
        _drop_left_over(workspace, before, receipt)
    chain.append(
        workspace.audit,
        receipt.stage,
        key=receipt.key,
        digest=receipt.digest,
        tallies=[str(tally) for tally in receipt.tallies],
        **({"said": receipt.facts["said"]} if "said" in receipt.facts else {}),
    )
    return write_receipt(workspace, receipt)


def _drop_left_over(workspace: Workspace, before: Receipt, now: Receipt) -> None:
    """Delete what a stage wrote before and no longer writes: a later stage would take it for a result."""
    others = (read_receipt(workspace, path.stem) for path in workspace.receipts.glob("*.json"))
    claimed = {name for other in others if other and other.stage != now.stage for name in other.outputs}
    _delete(workspace, before.outputs.keys() - now.outputs.keys() - claimed)


def _refuse_damaged(stage: Stage, workspace: Workspace) -> None:
    """Check the hash of what a stage reads against the receipts of the stages that made it."""
    for name, patterns in stage.inputs.after.items():
        harm = damaged(workspace, outputs_read(needed(workspace, name, stage.name), patterns))
        if harm:
            said = [f"{file} {what}" for file, what in list(harm.items())[:NAMED]]
            more = f" and {len(harm) - NAMED} more" if len(harm) > NAMED else ""
            raise StageError(
                f"{', '.join(said)}{more} since {name} wrote {'it' if len(harm) == 1 else 'them'}; "
                f"{stage.name} does not use what was altered: `cropcheck run CONFIG` makes it anew."
            )
