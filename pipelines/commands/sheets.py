"""Sheets of single parcels of a finished run, written when they are asked for."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from features.errors import StageError
from features.files import sha256
from pipelines.config import RunConfig
from pipelines.record.audit import chain
from pipelines.record.audit.manifest import seal_page
from pipelines.record.lock import locked
from pipelines.record.receipt import needed
from pipelines.record.whole import refuse_altered
from pipelines.steps.gather import gather, tables_read
from pipelines.workspace import Workspace
from reports.embed import file_name
from reports.run import RunTables
from reports.sheet.sheets import write_sheets
from reports.translation import translation

NAMED = 3


def write_asked(config: RunConfig, workspace: Workspace, parcel_ids: Sequence[str]) -> list[Path]:
    """Write `reports/parcels/<id>.html` of parcels, whether they are on the list or not; the run's log notes
    their hashes, so that `verify` knows them.

    Raises
    ------
    StageError
        Where the run has not been published, or an id is none of its parcels.
    """
    with locked(workspace.folder, "publish --sheets"):
        seal = str(needed(workspace, "publish", "a sheet").facts["manifest_hash"])
        refuse_altered(workspace, tables_read(workspace), "publish --sheets")
        tables = gather(config, workspace, [], {}).in_language(translation(config.publish.language))
        rows = _rows(tables, parcel_ids)
        written = write_sheets(tables, workspace.reports, config.publish, rows)
        for page in written:
            seal_page(page, seal)
        outputs = {workspace.relative(page): sha256(page) for page in written}
        chain.append(workspace.audit, "sheets", outputs=outputs)
    return written


def _rows(tables: RunTables, parcel_ids: Sequence[str]) -> pl.DataFrame:
    """Return the rows of the parcels, with the name of each one's sheet."""
    unknown = sorted(set(parcel_ids) - set(tables.verdicts["parcel_id"]))
    if unknown:
        raise StageError(
            f"{len(unknown)} of the parcels asked for are not of this run ({', '.join(unknown[:NAMED])}); "
            "write their ids as the declarations have them, leading zeros included."
        )
    rows = tables.table.filter(pl.col("parcel_id").is_in(list(parcel_ids)))
    names = [file_name(name) for name in rows["parcel_id"]]
    return rows.with_columns(sheet=pl.Series(names, dtype=pl.String))
