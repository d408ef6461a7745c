"""A finished run is written into a PostGIS database."""

import json
from pathlib import Path

import geopandas as gpd
import polars as pl

from features.errors import StageError
from features.files import read_parquet
from features.journal.entries import Entry
from features.storage.database import DatabaseError, is_database, refuse_password, safe_url
from pipelines.inputs.field import field_journal, renew
from pipelines.record.whole import refuse_altered
from pipelines.tables import read_declared
from pipelines.workspace import Workspace
from reports.exports.postgis import Exported, export_postgis

MORE = ("markers", "events", "composition", "composition_findings")  # tables of a parcel that a run may have


def export_run(folder: Path, to: str, schema: str | None = None) -> str:
    """Write declarations, verdicts, markers, sample and field results of a run into a database.

    Raises
    ------
    DatabaseError
        Where `to` is no address of a database, holds a password, or the database cannot be written.
    StageError
        Where the folder holds no finished run.
    """
    if not is_database(to):
        raise DatabaseError(f"--to {safe_url(to)} is no address like postgresql://user@host/database.")
    refuse_password(to)
    workspace = Workspace(folder)
    if not workspace.verdicts.is_file():
        raise StageError(f"{folder} holds no verdicts; name the output folder of a finished run.")
    name = schema or f"cropcheck_{folder.resolve().name}".lower().replace("-", "_")
    counts = export_postgis(tables_of(workspace), to, name)
    rows = "\n".join(f"  {name}.{table}: {count} rows" for table, count in counts.items())
    return f"Written to {safe_url(to)}:\n{rows}"


def tables_of(workspace: Workspace) -> list[Exported]:
    """Return the tables of a run as they are exported."""
    renew(workspace)
    own = (workspace.declarations, workspace.verdicts, workspace.sample, workspace.design)
    more = [workspace.folder / f"{name}.parquet" for name in MORE]
    refuse_altered(workspace, (*own, *more), "export")
    declared = read_declared(workspace)
    attributes = pl.from_pandas(declared.drop(columns="geometry"))
    shapes = gpd.GeoSeries(declared.geometry, crs=declared.crs)
    tables = [
        Exported("declarations", _typed(attributes), ("parcel_id",), ("holding_id", "declared"), shapes),
        _of_parcels("verdicts", workspace.verdicts, ("parcel_id", "season"), ("verdict", "reason")),
    ]
    for name in MORE:
        path = workspace.folder / f"{name}.parquet"
        if path.is_file() and _is_of_run(workspace, path.name):
            tables.append(_of_parcels(name, path, (), ("parcel_id",)))
    if workspace.sample.is_file():
        tables.append(_of_parcels("quality_sample", workspace.sample, ("parcel_id", "stratum"), ()))
        tables.append(_of_parcels("quality_design", workspace.design, ("parcel_id", "stratum"), ()))
    if workspace.field_results.is_file():
        tables.append(_of_parcels("field_results", workspace.field_results, (), ("parcel_id",)))
        tables.append(Exported("assessment", read_parquet(workspace.assessment), ("measure", "unit")))
        strata = read_parquet(workspace.by_stratum)
        tables.append(Exported("assessment_by_stratum", strata, ("stratum", "measure", "unit")))
        tables.append(_journal(field_journal(workspace).entries()))
    return tables


def _is_of_run(workspace: Workspace, name: str) -> bool:
    """Say whether a table belongs to the run as it ended; one of other settings may have left it before.

    Before `publish` has written the manifest, whatever lies there counts.
    """
    if not workspace.manifest.is_file():
        return True
    try:
        return name in json.loads(workspace.manifest.read_text(encoding="utf-8"))["outputs"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise StageError(
            f"{workspace.manifest} is no manifest; run `cropcheck publish CONFIG` again."
        ) from error


def _of_parcels(name: str, path: Path, key: tuple[str, ...], indexes: tuple[str, ...]) -> Exported:
    return Exported(name, read_parquet(path), key, indexes, parent="declarations")


def _typed(table: pl.DataFrame) -> pl.DataFrame:
    """Give columns without any value the type of text."""
    empty = [name for name, kind in table.schema.items() if kind == pl.Null]
    return table.with_columns(pl.col(empty).cast(pl.String))


def _journal(entries: list[Entry]) -> Exported:
    rows = [
        {**{name: value for name, value in vars(entry).items() if name not in ("content", "source")},
         "content": json.dumps(dict(entry.content), sort_keys=True, ensure_ascii=False),
         "source_file": entry.source.file if entry.source else None,
         "source_sha256": entry.source.sha256 if entry.source else None}
        for entry in entries
    ]  # fmt: skip
    schema = {
        "number": pl.Int64, "at": pl.String, "by": pl.String, "kind": pl.String, "subject": pl.String,
        "content": pl.String, "source_file": pl.String, "source_sha256": pl.String, "previous": pl.String,
        "hash": pl.String,
    }  # fmt: skip
    return Exported("field_journal", pl.DataFrame(rows, schema=schema), ("number",))
