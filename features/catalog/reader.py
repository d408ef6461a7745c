"""STAC items to the acquisitions table: everything known of the imagery before any pixel is read."""

import logging
from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from features.accounting import Tally, tally
from features.catalog.acquisition import row_of
from features.catalog.options import CATALOGS, ImageryOptions, RadarOptions
from features.catalog.radiometry import baseline_rank
from features.catalog.signing import mark
from features.catalog.stac import Bounds, Query, describe, fetch_items
from features.errors import CatalogError
from features.schema import ACQUISITIONS

__all__ = ["CATALOGS", "ImageryOptions", "RadarOptions", "deduplicate", "read_acquisitions"]

log = logging.getLogger(__name__)

# What to do about each reason for setting an item aside, where something can be done.
CURES = {
    "no_known_band": "name the asset keys of the bands in imagery.bands",
    "unknown_offset": "say in imagery.offsets or imagery.default_offset whether 0 or -1000 is to be added",
    "unknown_radar_unit": "say in imagery.radar.unit whether vv and vh are linear or db",
    "refused_href": "allow its links with imagery.allow_remote or imagery.allow_object_storage",
    "other_radar_product": "set imagery.radar to the product that the catalog has",
    "too_cloudy": "raise imagery.max_cloud_cover",
    "no_id": "mend the items that have no id",
    "no_href": "mend the items whose assets have no href",
    "no_datetime": "mend the items whose properties have no datetime",
}


def read_acquisitions(
    options: ImageryOptions, bounds_wgs84: Bounds, start: date, end: date
) -> tuple[pl.DataFrame, Tally]:
    """Read a catalog into the acquisitions table.

    Parameters
    ----------
    bounds_wgs84
        West, south, east, north of the region, degrees.
    start, end
        First and last day of the season, both included.

    Returns
    -------
    tuple
        The table (`features.schema.ACQUISITIONS`, ordered by time, one row an acquisition), scale and offset
        of every asset resolved; and what became of every item of the catalog.

    Raises
    ------
    CatalogError
        Where the catalog cannot be read, mixes radar products, or holds nothing for this region and season.
    """
    query = Query(bounds_wgs84, start, end, options.collections_wanted, options.page_size)
    outcomes = [row_of(item, where, options, query) for item, where in fetch_items(options.address, query)]
    rows = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    found = tally("catalog", "items", (outcome if isinstance(outcome, str) else None for outcome in outcomes))
    if not rows:
        raise CatalogError(_nothing_found(options, query, found))
    _refuse_mixtures(rows)
    for row in rows:
        row["assets"] = [
            {**asset, "href": mark(asset["href"], options.signing_wanted)} for asset in row["assets"]
        ]
    table = pl.DataFrame([{name: row[name] for name in ACQUISITIONS} for row in rows], schema=ACQUISITIONS)
    kept, duplicates = deduplicate(table, {row["item_id"]: row["bbox"] for row in rows})
    total = Tally("catalog", "items", found.came_in, kept.height, {**found.set_aside, **duplicates.set_aside})
    log.info("%s", total)
    return kept, total


def deduplicate(
    acquisitions: pl.DataFrame, footprints: Mapping[str, Bounds | None] | None = None
) -> tuple[pl.DataFrame, Tally]:
    """Keep one of each acquisition that a catalog lists more than once.

    Two rows are the same acquisition where sensor, platform, tile and second of sensing agree and, as far as
    footprints are given, so do these: the two halves of a tile that a datastrip border cuts are both kept. Of
    the same acquisition the highest processing baseline wins (99.99, which names no baseline of ESA's, ranks
    below all), then the last item id: both ESA's product names and Earth Search's counters grow with the time
    of processing.

    Returns
    -------
    tuple
        The rows kept, in order of time and item id, and the count of duplicates set aside.
    """
    rows = list(enumerate(acquisitions.iter_rows(named=True)))
    rows.sort(key=lambda row: (baseline_rank(row[1]["processing_baseline"]), row[1]["item_id"]), reverse=True)
    seen: set[tuple[Any, ...]] = set()
    reasons: dict[int, str | None] = {}
    for position, row in rows:
        key = _identity(row, (footprints or {}).get(row["item_id"]))
        reasons[position] = "duplicate" if key in seen else None
        seen.add(key)
    kept = sorted(position for position, reason in reasons.items() if reason is None)
    ordered = acquisitions[kept].sort("datetime", "item_id")
    return ordered, tally("deduplicate", "acquisitions", reasons.values())


def _identity(row: Mapping[str, Any], footprint: Bounds | None) -> tuple[Any, ...]:
    """What two listings of one acquisition share; footprints to about 2 km."""
    corners = tuple(round(value * 50) for value in footprint) if footprint else None
    return (row["sensor"], row["platform"], row["tile"], row["datetime"].replace(microsecond=0), corners)


def _refuse_mixtures(rows: list[dict[str, Any]]) -> None:
    """One season's radar features are of one kind: sigma0 beside gamma0 would look like change."""
    for name in ("quantity", "coherence_days"):
        kinds = sorted({row[name] for row in rows if row[name] is not None})
        if len(kinds) > 1:
            raise CatalogError(
                f"The catalog mixes radar products: {name} {kinds}; choose one in imagery.radar.{name}."
            )


def _nothing_found(options: ImageryOptions, query: Query, found: Tally) -> str:
    asked = (
        f"collections {list(query.collections) or 'any'}, {query.start} to {query.end}, bounds {query.bounds}"
    )
    cures = [CURES[reason] for reason in found.set_aside if reason in CURES]
    cure = "; ".join(cures) or "change the season's dates, the region or imagery.collections"
    return (
        f"No usable imagery in {options.address} for {asked}: {describe(options.address, query)}. "
        f"Set aside: {dict(found.set_aside) or 'nothing'}. To mend it: {cure}."
    )
