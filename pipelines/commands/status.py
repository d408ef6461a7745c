"""Which stages of a run are fresh, which will run, and why."""

from features.errors import CropcheckError, StageError
from pipelines.config import RunConfig
from pipelines.main_job import stages
from pipelines.record.fit_words import fit_sentence
from pipelines.record.receipt import read_receipt, receipt_fault
from pipelines.record.stage import Stage, plan_stage
from pipelines.workspace import Workspace

FRESH, RUNS = "fresh", "will run"
MOST = 6  # reasons that are printed for a stage


def status_of(config: RunConfig, workspace: Workspace) -> str:
    """Return a line a stage, and below it a line for each reason why it will run.

    A stage after one that will run is compared with what that one left last time: what the new run will leave
    is not known yet.
    """
    lines, before = [], ""
    for stage in stages(config):
        reasons = _reasons(stage, config, workspace)
        if reasons:
            lines.append(f"{stage.name:<11} {RUNS}")
        else:
            lines.append(
                f"{stage.name:<11} {FRESH}{f', unless {before} leaves something else' if before else ''}"
            )
        lines += [f"{'':<13}{reason}" for reason in reasons[:MOST]]
        lines += [f"{'':<13}and {len(reasons) - MOST} more"] if len(reasons) > MOST else []
        before = stage.name if reasons else before
        receipt = read_receipt(workspace, stage.name)
        said = fit_sentence(receipt.facts.get("fit", {})) if receipt else ""
        lines += [f"{'':<13}{said}"] if said else []
    return "\n".join(lines)


def _reasons(stage: Stage, config: RunConfig, workspace: Workspace) -> tuple[str, ...]:
    try:
        return plan_stage(stage, config, workspace).reasons
    except StageError as error:
        absent = [name for name in stage.inputs.after if read_receipt(workspace, name) is None]
        waits = f"it waits for {', '.join(absent)}" if absent else str(error)
        fault = receipt_fault(workspace, stage.name)
        return (fault, waits) if fault else (waits,)
    except CropcheckError as error:
        return (str(error),)
