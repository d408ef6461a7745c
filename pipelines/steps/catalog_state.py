"""What the catalog holds of a run's region now: read once, and looked at again by every later run."""

import logging
from dataclasses import dataclass

import polars as pl

from features.accounting import Tally
from features.catalog.access.hrefs import is_remote
from features.catalog.access.stamps import stamps_of
from features.catalog.place import Bounds
from features.catalog.reader import read_acquisitions
from features.declarations.pseudonym import has_key, holding_key, key_check
from features.errors import CatalogError
from features.files import fingerprint
from features.schema import ACQUISITIONS
from pipelines.config import RunConfig
from pipelines.inputs.region import imagery_options
from pipelines.record.inputs import Entries
from pipelines.record.receipt import read_receipt
from pipelines.tables import hrefs_of, read_stamps, relative_acquired
from pipelines.workspace import HOLDING_KEY, Workspace

log = logging.getLogger(__name__)
BOUNDS = "bounds"  # among the facts of the receipt of `read`: the box of all usable parcels, degrees


@dataclass(frozen=True)
class CatalogState:
    """What a catalog holds now: acquisitions, stamps of their assets, and the account of its items."""

    acquisitions: pl.DataFrame
    stamps: dict[str, str]
    items: Tally


def look(config: RunConfig, workspace: Workspace) -> Entries:
    """Return what the catalog, its assets and the key of holdings are now, after `read` has ended.

    A catalog behind a link that does not answer counts as unchanged, with a warning: what has been read from
    it can be worked on without it.
    """
    before = read_receipt(workspace, "read")
    known = before.facts.get(BOUNDS) if before else None
    try:
        found = catalog_state(config, workspace, known)
    except CatalogError as error:
        if before is None or not is_remote(config.imagery.address):
            raise
        log.warning("The catalog is taken as it was when it was last read: %s", error)
        return {
            name.removeprefix("look "): value
            for name, value in before.inputs.items()
            if name.startswith("look ")
        }
    return looked_at(found, config, workspace)


def catalog_state(config: RunConfig, workspace: Workspace, bounds: Bounds | None) -> CatalogState:
    """Return what the catalog holds of the season in a box of degrees (west, south, east, north).

    Without a box, as for series that others extracted, no imagery is asked for.
    """
    if bounds is None:
        return CatalogState(ACQUISITIONS.to_frame(), {}, Tally("read", "items", 0, 0))
    west, south, east, north = bounds
    season = config.season
    last = min(season.end, season.until or season.end)
    acquisitions, items = read_acquisitions(
        imagery_options(config, workspace), (west, south, east, north), season.start, last, config.limits
    )
    return CatalogState(acquisitions, _stamps(config, workspace, acquisitions), items)


def _stamps(config: RunConfig, workspace: Workspace, acquisitions: pl.DataFrame) -> dict[str, str]:
    """Return the stamps of all assets; of a simulated region's, which `synthesise` vouches for, the hash."""
    made = read_receipt(workspace, "synthesise") if config.simulate is not None else None
    here = workspace.folder.resolve()
    hashes = {str(here / name): digest for name, digest in made.outputs.items()} if made else {}
    hrefs = hrefs_of(acquisitions)
    others = stamps_of([href for href in hrefs if href not in hashes], read_stamps(workspace))
    return {href: hashes.get(href) or others[href] for href in hrefs}


def looked_at(found: CatalogState, config: RunConfig, workspace: Workspace) -> Entries:
    """Return what is compared from run to run; figures lead, so that a message can say what changed."""
    names = found.acquisitions["item_id"].to_list()
    rows = relative_acquired(found.acquisitions, workspace).to_dicts()
    aside = dict(found.items.set_aside)
    return {
        "items": f"{len(names)} items ({_short(names)})",
        "what the items say": _short(rows),
        "assets": f"{len(found.stamps)} assets ({_short(sorted(found.stamps.values()))})",
        "items set aside": f"{sum(aside.values())} ({_short(aside)})",
        "key of holdings": _key_said(config, workspace),
    }


def _short(value: object) -> str:
    return fingerprint(value)[:12]


def _key_said(config: RunConfig, workspace: Workspace) -> str:
    """Return the check value of the key of holdings; where it is lost, say so, and make none: who only looks
    at a folder writes nothing.
    """
    if not has_key(workspace.folder / HOLDING_KEY, config.declarations.holding_key):
        return f"gone; bring {HOLDING_KEY} back from where the run was"
    return key_check(key_of_holdings(config, workspace))


def key_of_holdings(config: RunConfig, workspace: Workspace) -> bytes:
    """Return the key of the run's pseudonyms: its own, or the agency's."""
    return holding_key(workspace.folder / HOLDING_KEY, config.declarations.holding_key)
