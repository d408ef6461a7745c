"""Field results are read back: what they say of the verdicts, and what they settle."""

from pathlib import Path

import polars as pl

from features.errors import StageError
from models.evaluation.field_results import MEASURES, assess
from pipelines.record import audit
from pipelines.tables import write_table
from pipelines.workspace import Workspace


def assess_run(folder: Path, reviewed: Path) -> str:
    """Assess a run's verdicts by field results and keep both for the next `cropcheck run`.

    The verdicts assessed are those that the imagery gave, before any field result settled them.

    Raises
    ------
    StageError
        Where the folder holds no judged run.
    """
    workspace = Workspace(folder)
    if not workspace.imagery_verdicts.is_file():
        raise StageError(f"{folder} holds no verdicts; name the output folder of a finished run.")
    found = assess(reviewed, pl.read_parquet(workspace.imagery_verdicts), pl.read_parquet(workspace.sample))
    write_table(found.results, workspace.field_results)
    write_table(found.table, workspace.assessment)
    write_table(found.by_intervention, workspace.assessment.with_name("by_intervention.parquet"))
    audit.append(workspace.audit, "assess", tally=str(found.counted))
    lines = [_line(row) for row in found.table.iter_rows(named=True)]
    closing = "Run `cropcheck run` again: what the field settled is kept."
    return "\n".join([str(found.counted), *lines, closing])


def _line(row: dict[str, float | str | None]) -> str:
    known = row["value"] is not None and row["value"] == row["value"]
    figures = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" if known else "not known"
    return f"{row['measure']} ({row['unit']}): {figures}, n = {row['n']}: {MEASURES[str(row['measure'])]}"
