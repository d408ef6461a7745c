"""Declarations and catalog become two tables, before any pixel is read."""

import logging
from dataclasses import dataclass

import geopandas as gpd
import polars as pl

from features.accounting import Tally
from features.catalog.access.hrefs import is_remote
from features.catalog.access.stamps import stamps_of
from features.catalog.reader import read_acquisitions
from features.declarations.pseudonym import holding_key, key_check
from features.declarations.reader import read_declarations, refuse_if_none_usable
from features.declarations.unmapped import report_unmapped
from features.errors import CatalogError
from features.files import atomic_path, fingerprint, write_json
from features.schema import ACQUISITIONS
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.inputs.bounded_tables import refuse_large_series
from pipelines.inputs.points import write_points
from pipelines.inputs.region import bounds_of, declaration_options, imagery_options
from pipelines.inputs.source_runs import check_holding_keys, source_runs
from pipelines.record.inputs import Entries
from pipelines.record.receipt import read_receipt
from pipelines.record.stage import Outcome
from pipelines.tables import (
    hrefs_of,
    read_declared,
    read_stamps,
    relative_acquired,
    write_acquired,
    write_stamps,
    write_table,
)
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)
HOLDING_KEY = ".holding_key"


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write `declarations.parquet`, the geometry checks, `acquisitions.parquet` and their assets' stamps."""
    if config.series.labels is not None:
        refuse_large_series(config)
    write_points(config, workspace)
    options, key = declaration_options(config, workspace), _key(config, workspace)
    declarations, parcels, checks = read_declarations(options, config.season.year, key)
    refuse_if_none_usable(declarations, options, checks)
    for line in report_unmapped(declarations, options.crops, options.fields):
        log.warning("%s", line)
    progress(1, 2)
    found = _acquired(config, workspace, declarations)
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
    return Outcome(outputs, [parcels, found.items], looked_at=_looked_at(found, config, workspace))


def look(config: RunConfig, workspace: Workspace) -> Entries:
    """Return what the catalog, its assets and the key of holdings are now.

    A catalog behind a link that does not answer counts as unchanged, with a warning: what has been read from
    it can be worked on without it.
    """
    try:
        found = _acquired(config, workspace, read_declared(workspace))
    except CatalogError as error:
        before = read_receipt(workspace, "read")
        if before is None or not is_remote(config.imagery.address):
            raise
        log.warning("The catalog is taken as it was when it was last read: %s", error)
        return {
            name.removeprefix("look "): value
            for name, value in before.inputs.items()
            if name.startswith("look ")
        }
    return _looked_at(found, config, workspace)


@dataclass(frozen=True)
class _Found:
    """What a catalog holds now: acquisitions, stamps of their assets, and the account of its items."""

    acquisitions: pl.DataFrame
    stamps: dict[str, str]
    items: Tally


def _acquired(config: RunConfig, workspace: Workspace, declarations: gpd.GeoDataFrame) -> _Found:
    if config.series.tables:  # series that others extracted: no imagery is asked for
        return _Found(ACQUISITIONS.to_frame(), {}, Tally("read", "items", 0, 0))
    season = config.season
    last = min(season.end, season.until or season.end)
    acquisitions, items = read_acquisitions(
        imagery_options(config, workspace), bounds_of(declarations), season.start, last, config.limits
    )
    return _Found(acquisitions, _stamps(config, workspace, acquisitions), items)


def _stamps(config: RunConfig, workspace: Workspace, acquisitions: pl.DataFrame) -> dict[str, str]:
    """Return the stamps of all assets; of a simulated region's, which `synthesise` vouches for, the hash."""
    made = read_receipt(workspace, "synthesise") if config.simulate is not None else None
    here = workspace.folder.resolve()
    hashes = {str(here / name): digest for name, digest in made.outputs.items()} if made else {}
    hrefs = hrefs_of(acquisitions)
    others = stamps_of([href for href in hrefs if href not in hashes], read_stamps(workspace))
    return {href: hashes.get(href) or others[href] for href in hrefs}


def _looked_at(found: _Found, config: RunConfig, workspace: Workspace) -> Entries:
    """Return what is compared from run to run; figures lead, so that a message can say what changed."""
    names = found.acquisitions["item_id"].to_list()
    rows = relative_acquired(found.acquisitions, workspace).to_dicts()
    aside = dict(found.items.set_aside)
    return {
        "items": f"{len(names)} items ({_short(names)})",
        "what the items say": _short(rows),
        "assets": f"{len(found.stamps)} assets ({_short(sorted(found.stamps.values()))})",
        "items set aside": f"{sum(aside.values())} ({_short(aside)})",
        "key of holdings": key_check(_key(config, workspace)),
    }


def _short(value: object) -> str:
    return fingerprint(value)[:12]


def _key(config: RunConfig, workspace: Workspace) -> bytes:
    return holding_key(workspace.folder / HOLDING_KEY, config.declarations.holding_key)
