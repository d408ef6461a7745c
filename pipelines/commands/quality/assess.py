"""Field results are read into the journal: what they say of the verdicts, and what they settle."""

import getpass
from pathlib import Path

import polars as pl

from features.errors import StageError
from features.exchange.cells import need_columns, read_cells
from features.files import read_parquet
from models.assessment.errors import MEASURES, field_visits_saved
from models.assessment.field_results import Present, drafts_of, listing, present, undo
from models.assessment.quality_sample import DESIGN
from models.assessment.reviewed import AssessmentError, read_reviewed
from pipelines.inputs.field import derive, design_of, field_journal, source_of
from pipelines.record.audit import chain
from pipelines.record.audit.manifest import JOURNAL
from pipelines.record.receipt import hash_outputs
from pipelines.record.whole import refuse_altered
from pipelines.tables import write_vouched
from pipelines.workspace import Workspace

CLOSING = "Run `cropcheck run` again: verdicts take over what the field settled."


def assess_run(
    folder: Path,
    reviewed: Path,
    *,
    by: str | None = None,
    correct: bool = False,
    sample_design: Path | None = None,
) -> str:
    """Add a file of field results to the run's journal and assess the verdicts by all of them.

    Parameters
    ----------
    by
        Who enters them; by default the name of the user's account.
    correct
        Whether a row replaces what the journal says of its parcel; else a difference is a conflict.
    sample_design
        `..._design.csv` that `cropcheck sample` wrote beside the sample that was visited, where it is not
        the run's own.

    Raises
    ------
    StageError
        Where the folder holds no judged run.
    AssessmentError
        Where rows cannot be used; nothing is then taken.
    """
    workspace = _judged(folder)
    verdicts = read_parquet(workspace.imagery_verdicts)
    rows, counted = read_reviewed(reviewed, verdicts)
    journal, who = field_journal(workspace), by or getpass.getuser()
    entries = journal.entries()
    if rows.is_empty() and not entries:
        raise AssessmentError(
            f"{reviewed} has no field result yet; fill `field_result` with correct or wrong."
        )
    if sample_design is not None:
        write_vouched(read_design(sample_design), workspace.field_design)
    elif not workspace.field_design.is_file():  # results rest on the sample visited, not on a later one
        write_vouched(read_parquet(workspace.design), workspace.field_design)
    drafts, taken = drafts_of(rows, source_of(reviewed), entries, who, correct=correct)
    journal.append(drafts, who)
    found = derive(workspace, journal.entries())
    chain.append(
        workspace.audit,
        "assess",
        tally=str(counted),
        entries=len(drafts),
        by=who,
        outputs=_written(workspace),
    )
    return "\n".join([str(counted), str(taken), *report(workspace, found), CLOSING])


def list_entries(folder: Path) -> str:
    """Return every entry of a run's journal, and the conflicts that a person has to resolve."""
    workspace = Workspace(folder)
    entries = field_journal(workspace).entries()
    if not entries:
        return f"{folder} has no field results yet."
    return "\n".join([*listing(entries), *_conflict_lines(present(entries))])


def undo_entry(folder: Path, number: int, by: str | None = None) -> str:
    """Take an entry back, by an entry of its own, and derive everything anew."""
    workspace = _judged(folder)
    journal, who = field_journal(workspace), by or getpass.getuser()
    journal.append([undo(journal.entries(), number)], who)
    found = derive(workspace, journal.entries())
    chain.append(workspace.audit, "assess", undone=number, by=who, outputs=_written(workspace))
    return "\n".join([f"Entry {number} is undone.", *report(workspace, found), CLOSING])


def read_design(path: Path) -> pl.DataFrame:
    """Read the design that `cropcheck sample` wrote beside a sample; schema DESIGN.

    Raises
    ------
    ExchangeError
        Where columns are missing.
    """
    cells = read_cells(path)
    need_columns(cells, tuple(DESIGN.names()), path)
    return cells.select(pl.col(name).cast(kind) for name, kind in DESIGN.items())


def report(workspace: Workspace, found: Present) -> list[str]:
    """Return what the journal says now: counts, errors with intervals, conflicts."""
    results = read_parquet(workspace.field_results)
    outside = results.filter(~pl.col("in_sample")).height
    lines = [f"{results.height} parcels have a field result."]
    if outside:
        lines.append(
            f"{outside} of them are not in the sample: they settle their parcel, and are not counted below."
        )
    waiting = design_of(workspace)["parcel_id"].n_unique() - (results.height - outside)
    if waiting:
        lines.append(
            f"{waiting} sampled parcels are not visited yet; those visited count as drawn at random from the "
            "sample."
        )
    table, helped = read_parquet(workspace.assessment), read_parquet(workspace.assisted)
    lines += [_line(row) for row in table.iter_rows(named=True)]
    saved = field_visits_saved(table, helped)
    if saved is not None and saved > 0:
        row = helped.filter((pl.col("measure") == "error") & (pl.col("unit") == "hectares")).to_dicts()[0]
        lines.append(
            f"With the verdicts of all parcels as help: error (hectares) {_figures(row)}; an interval of "
            f"the first width would need {saved:.0%} fewer visits."
        )
    return [*lines, *_conflict_lines(found)]


def _written(workspace: Workspace) -> dict[str, str]:
    """Return the hashes of the field tables: the log vouches for what the manifest does not know yet."""
    tables = hash_outputs(workspace, [workspace.field_results.parent])
    return {name: digest for name, digest in tables.items() if not name.endswith(JOURNAL)}


def _judged(folder: Path) -> Workspace:
    workspace = Workspace(folder)
    if not workspace.imagery_verdicts.is_file() or not workspace.design.is_file():
        raise StageError(f"{folder} holds no verdicts; name the output folder of a finished run.")
    refuse_altered(workspace, (workspace.imagery_verdicts, workspace.design), "assess")
    return workspace


def _conflict_lines(found: Present) -> list[str]:
    if found.conflicts.is_empty():
        return []
    rows = [f"  parcel {row[0]}: {row[3]}" for row in found.conflicts.iter_rows()]
    return [
        f"{len(rows)} parcels have results that disagree; they settle nothing until one is undone "
        "(`cropcheck assess DIR --undo ENTRY`):",
        *rows,
    ]


def _line(row: dict[str, float | str | None]) -> str:
    return (
        f"{row['measure']} ({row['unit']}): {_figures(row)}, n = {row['n']}: {MEASURES[str(row['measure'])]}"
    )


def _figures(row: dict[str, float | str | None]) -> str:
    known = row["value"] is not None and row["value"] == row["value"]
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" if known else "not known"
