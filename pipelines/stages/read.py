"""Declarations and catalog become two tables, before any pixel is read."""

import logging

from features.declarations.pseudonym import key_check
from features.declarations.reader import read_declarations, refuse_if_none_usable
from features.declarations.unmapped import report_unmapped
from features.files import atomic_path, write_json
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.inputs.bounded_tables import refuse_large_series
from pipelines.inputs.points import write_points
from pipelines.inputs.region import bounds_of, declaration_options
from pipelines.inputs.source_runs import check_holding_keys, source_runs
from pipelines.record.stage import Outcome
from pipelines.steps.catalog_state import BOUNDS, catalog_state, key_of_holdings, looked_at
from pipelines.tables import write_acquired, write_stamps, write_table
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write `declarations.parquet`, the geometry checks, `acquisitions.parquet` and their assets' stamps."""
    if config.series.labels is not None:
        refuse_large_series(config)
    write_points(config, workspace)
    options, key = declaration_options(config, workspace), key_of_holdings(config, workspace)
    declarations, parcels, checks = read_declarations(options, config.season.year, key)
    refuse_if_none_usable(declarations, options, checks)
    for line in report_unmapped(declarations, options.crops, options.fields):
        log.warning("%s", line)
    progress(1, 2)
    bounds = None if config.series.tables else bounds_of(declarations)
    found = catalog_state(config, workspace, bounds)
    with atomic_path(workspace.declarations) as partial:
        declarations.to_parquet(partial, write_page_checksum=True)
    write_json(workspace.holdings, {"key_check": key_check(key)})
    if config.train.transfer.use == "pool":  # refused now, not after hours of extraction
        check_holding_keys(workspace, source_runs(config.train.transfer))
    write_table(checks, workspace.table("geometry_checks"))
    write_acquired(found.acquisitions, workspace)
    write_stamps(found.stamps, workspace)
    progress(2, 2)
    outputs = [workspace.declarations, workspace.holdings, workspace.table("geometry_checks")]
    outputs += [workspace.acquisitions, workspace.assets]
    facts = {BOUNDS: list(bounds)} if bounds else {}
    seen = looked_at(found, config, workspace)
    return Outcome(outputs, [parcels, found.items], facts, looked_at=seen)
