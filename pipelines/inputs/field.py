"""The journal of field results in a run's folder, and the tables derived from it."""

import logging
from datetime import date
from pathlib import Path

import polars as pl

from features.files import is_vouched, read_parquet, refuse_unvouched, sha256, voucher_of
from features.journal.entries import Draft, Entry, Source
from features.journal.file import FileJournal
from models.assessment.errors import ASSESSMENT, BY_STRATUM, by_stratum, estimate
from models.assessment.field_results import RESULT, SAID, Present, known_by, present
from pipelines.tables import write_vouched
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)
DESIGN_CURE = (
    "take it from a backup, or give the design of the sample again (`cropcheck assess --sample-design`)"
)


def field_journal(workspace: Workspace) -> FileJournal:
    """Return the run's journal; results that an earlier version kept as a table become its first entries."""
    journal = FileJournal(workspace.field_journal)
    if not workspace.field_journal.is_file() and workspace.field_results.is_file():
        table = read_parquet(workspace.field_results)
        source = Source(workspace.field_results.name, sha256(workspace.field_results))
        rows = table.to_dicts()
        drafts = [
            Draft(RESULT, row["parcel_id"], {name: row.get(name) for name in SAID}, source) for row in rows
        ]
        journal.append(drafts, "an earlier version")
    return journal


def derive(workspace: Workspace, entries: list[Entry]) -> Present:
    """Write the tables that follow from the journal: results, and the errors that they show.

    The verdicts assessed are those that the imagery gave, before any field result settled them.
    """
    found = present(entries)
    verdicts = read_parquet(workspace.imagery_verdicts)
    design = design_of(workspace)
    results = found.results.with_columns(in_sample=pl.col("parcel_id").is_in(design["parcel_id"].to_list()))
    results = results.filter(pl.col("parcel_id").is_in(verdicts["parcel_id"].to_list()))
    write_vouched(results, workspace.field_results)
    counted = results.filter("in_sample")
    table = estimate(counted, verdicts, design) if counted.height else pl.DataFrame(schema=ASSESSMENT)
    helped = (
        estimate(counted, verdicts, design, assisted=True)
        if counted.height
        else pl.DataFrame(schema=ASSESSMENT)
    )
    strata = by_stratum(counted, verdicts, design) if counted.height else pl.DataFrame(schema=BY_STRATUM)
    write_vouched(table, workspace.assessment)
    write_vouched(helped, workspace.assisted)
    write_vouched(strata, workspace.by_stratum)
    return found


def renew(workspace: Workspace, until: date | None = None) -> None:
    """Derive the tables anew where one is not as it was written: what people entered is in the journal.

    Parameters
    ----------
    until
        Results of later days are left out.
    """
    tables = (workspace.field_results, workspace.assessment, workspace.assisted, workspace.by_stratum)
    altered = [path for path in tables if voucher_of(path).exists() and not is_vouched(path)]
    if altered and workspace.field_journal.is_file():
        log.warning("%s was altered; it is derived anew from the journal.", ", ".join(map(str, altered)))
        derive(workspace, entries_until(workspace, until))


def entries_until(workspace: Workspace, until: date | None) -> list[Entry]:
    """Return the journal's entries that may be looked at where the season is judged as of a day."""
    return known_by(field_journal(workspace).entries(), until)


def wrong_rates(workspace: Workspace, areas: pl.DataFrame, until: date | None = None) -> pl.DataFrame:
    """Return what field results say of the declarations before any verdict: schema ASSESSMENT.

    Only `wrong_rate` is told then.

    Parameters
    ----------
    areas
        `parcel_id, area_ha` of all parcels.
    until
        Results of later days are left out.
    """
    found = present(entries_until(workspace, until))
    if found.results.is_empty() or not (workspace.field_design.is_file() or workspace.design.is_file()):
        return pl.DataFrame(schema=ASSESSMENT)
    unjudged = areas.select("parcel_id", "area_ha", verdict=pl.lit("no_data"))
    return estimate(found.results, unjudged, design_of(workspace)).filter(pl.col("measure") == "wrong_rate")


def settled(workspace: Workspace, until: date | None = None) -> pl.DataFrame:
    """Return the results that hold, without the numbers of their entries; RESULTS less `entries`.

    Those of days after `until` are left out.
    """
    return present(entries_until(workspace, until)).results.drop("entries")


def design_of(workspace: Workspace) -> pl.DataFrame:
    """Return the design that results are weighed by: of the sample visited, else of the run's own."""
    own = workspace.field_design if workspace.field_design.is_file() else workspace.design
    return read_parquet(refuse_unvouched(own, DESIGN_CURE))


def source_of(path: Path) -> Source:
    """Return the name and hash of a file that results come from."""
    return Source(path.name, sha256(path))
