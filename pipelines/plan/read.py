"""The stage that reads declarations and catalog."""

from pathlib import Path

from features.code.imports import uncollected
from features.storage.database import is_database
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.inputs.crop_tables import crop_files
from pipelines.inputs.pixels.context_files import region_files
from pipelines.inputs.region import declaration_options
from pipelines.inputs.source_runs import holding_checks
from pipelines.record.inputs import Entries, Inputs
from pipelines.record.stage import Outcome, Stage
from pipelines.workspace import Workspace


def stage(config: RunConfig) -> Stage:
    """Return the stage; where the region is simulated it follows `synthesise`."""
    inputs = Inputs(
        options=(
            "season",
            "simulate",
            "declarations",
            "imagery",
            "limits.series_gib",
            "limits.document_mib",
            "limits.catalog_depth",
            "limits.catalog_requests",
            "series.tables",
            "series.labels",
            "train.transfer",
        ),
        after=region_files(config, "declarations.gpkg", "crops.csv", "catalog/*.json"),
        files=_files,
        other=_table,
    )
    return Stage("read", __name__, inputs, _run, look=_look)


def _run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    with uncollected():
        from pipelines.stages import read
    return read.run(config, workspace, progress)


def _look(config: RunConfig, workspace: Workspace) -> Entries:
    with uncollected():
        from pipelines.steps.catalog_state import look
    return look(config, workspace)


def _table(config: RunConfig, workspace: Workspace) -> dict[str, str]:
    """Return the hash of the table in a database that declarations are read from."""
    options = config.declarations
    if config.simulate is not None or not is_database(options.path):
        return {}
    from features.declarations.formats.postgis import table_digest

    return {"declarations table": table_digest(options.path, options.layer)}


def _files(config: RunConfig, workspace: Workspace) -> dict[str, Path]:
    path = declaration_options(config, workspace).path
    if config.series.labels is not None:  # made of the tables, which count
        from pipelines.inputs.points import table_files

        parcels = table_files(config)
    else:
        parcels = {"declarations.path": Path(path)} if path and not is_database(path) else {}
    return parcels | crop_files(config, workspace) | holding_checks(config.train.transfer)
