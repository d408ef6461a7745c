"""STAC items to the acquisitions table: everything known of the imagery before any pixel is read."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from features.accounting import Tally, tally
from features.catalog.access.signing import mark
from features.catalog.access.stac import Query, describe, fetch_items
from features.catalog.acquisition import row_of
from features.catalog.duplicates import distinct_ids, find_duplicates, has_measurements, join_parts
from features.catalog.options import CATALOGS, ImageryOptions, RadarOptions
from features.catalog.orbits import settle_radar_orbits
from features.catalog.place import UNTILED, Bounds, name_places
from features.errors import CatalogError
from features.limits import DEFAULT_LIMITS, LimitOptions
from features.messages.listed import listed
from features.schema import ACQUISITIONS, Row

__all__ = ["CATALOGS", "ImageryOptions", "RadarOptions", "read_acquisitions"]

log = logging.getLogger(__name__)

# What to do about each reason for setting an item aside, where something can be done.
CURES = {
    "no_known_band": "name the asset keys of the bands in imagery.bands",
    "signed_href": "sign links when they are opened (imagery.signing), or ask the catalog for plain ones",
    "refused_href": "allow its links with imagery.hosts, allow_remote or allow_object_storage",
    "other_radar_product": "set imagery.radar to the product that the catalog has",
    "too_cloudy": "raise imagery.max_cloud_cover",
    "not_geocoded": "use backscatter that was projected to the ground, such as Planetary Computer's "
    "sentinel-1-rtc: GRD products are in the radar's own geometry",
    "other_satellite": "name a collection of Sentinel-1 or Sentinel-2 in imagery.collections",
    "other_level": "name a collection of surface reflectance (L2A) or terrain-corrected radar; "
    "imagery.level says which optical level is read",
    "unreadable_text": "mend the items whose names hold a NUL or half a letter (a lone surrogate)",
    "broken_link": "copy or fetch the documents that the catalog's links lead to, or mend the links",
    "several_bands": "write one file a band: `cropcheck catalog` does that",
    "no_id": "mend the items that have no id",
    "no_href": "mend the items whose assets have no href",
    "no_datetime": "mend the items whose properties have no datetime, or one that is not written as RFC 3339 "
    "asks (2024-05-01T10:50:31Z)",
}


def read_acquisitions(
    options: ImageryOptions,
    bounds_wgs84: Bounds,
    start: date,
    end: date,
    limits: LimitOptions = DEFAULT_LIMITS,
) -> tuple[pl.DataFrame, Tally]:
    """Read a catalog into the acquisitions table.

    Parameters
    ----------
    bounds_wgs84
        West, south, east, north of the region, degrees; west beyond east where it crosses the antimeridian.
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
    outcomes = [
        item if isinstance(item, str) else row_of(item, where, options, query)
        for item, where in fetch_items(options.address, query, options.hosts, limits)
    ]
    rows = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    reasons = [outcome for outcome in outcomes if isinstance(outcome, str)]
    if not rows:
        raise CatalogError(_nothing_found(options, query, tally("catalog", "items", reasons), limits))
    _refuse_mixtures(rows)
    kept = _settle(rows, options)
    found = tally("catalog", "items", [*reasons, *(row["reason"] for row in rows)])
    if not kept:
        raise CatalogError(_nothing_found(options, query, found, limits))
    log.info("%s", found)
    _tell_of_lost_bands(kept)
    table = pl.DataFrame([{name: row[name] for name in ACQUISITIONS} for row in kept], schema=ACQUISITIONS)
    return table.sort("datetime", "item_id"), found


def _tell_of_lost_bands(kept: Sequence[Mapping[str, Any]]) -> None:
    """Count the bands that items list and that cannot be used, by reason, with the cure."""
    counts = Counter((band, reason) for row in kept for band, reason in row["lost"].items())
    for (band, reason), count in sorted(counts.items()):
        log.warning(
            "%s of %d acquisitions is left out (%s)%s", band, count, reason,
            f": {CURES[reason]}." if reason in CURES else ".",
        )  # fmt: skip


def _settle(rows: list[Row], options: ImageryOptions) -> list[Row]:
    """Name places, tell duplicates, join parts, number orbits that no item states and make ids unique; return
    what is kept. Each row's `reason` says why it is not.
    """
    _place(rows)
    for row, reason in zip(rows, find_duplicates(rows), strict=True):
        row["reason"] = reason
        if reason:
            log.info("%s (%s) is set aside: %s.", row["item_id"], row["processing_baseline"], reason)
    kept = join_parts([row for row in rows if row["reason"] is None])
    for row in kept:
        if not has_measurements(row):  # scene classes of a scene that is not there
            row["reason"] = "no_known_band"
    kept = [row for row in kept if row["reason"] is None]
    for row, (state, orbit), item_id in zip(kept, settle_radar_orbits(kept), distinct_ids(kept), strict=True):
        row |= {"orbit_state": state, "relative_orbit": orbit, "item_id": item_id}
        row["assets"] = [
            {**asset, "href": mark(asset["href"], options.signing_wanted)} for asset in row["assets"]
        ]
    return kept


def _place(rows: list[Row]) -> None:
    """Give rows without a tile's name one, and chips of several places in one tile a name each.

    The borders of radar slices differ from pass to pass: these are told apart by their grids when they are
    read.
    """
    tiles: dict[str, list[Row]] = {}
    for row in rows:
        if row["tile"] is not None:
            tiles.setdefault(row["tile"], []).append(row)
        elif row["sensor"] == "s2":
            tiles.setdefault(UNTILED, []).append(row)
        else:
            row["tile"] = UNTILED
    for tile, members in tiles.items():
        untiled = tile == UNTILED
        boxes = [row["extent"] or (row["bbox"] if untiled else None) for row in members]
        names = name_places(boxes, tile)
        several = untiled or len(set(names) - {tile}) > 1
        for row, name in zip(members, names, strict=True):
            row["tile"] = name if several else tile


def _refuse_mixtures(rows: list[Row]) -> None:
    """One season's radar features are of one kind: sigma0 beside gamma0 would look like change."""
    for name in ("quantity", "coherence_days"):
        kinds = sorted({row[name] for row in rows if row[name] is not None})
        if len(kinds) > 1:
            raise CatalogError(
                f"The catalog mixes radar products: {name} {listed(kinds)}; choose one in "
                f"imagery.radar.{name}."
            )


def _nothing_found(options: ImageryOptions, query: Query, found: Tally, limits: LimitOptions) -> str:
    collections = ", ".join(query.collections) or "any"
    asked = f"collections {collections}, {query.start} to {query.end}, bounds {query.bounds}"
    cures = [CURES[reason] for reason in found.set_aside if reason in CURES]
    cure = "; ".join(cures) or "change the season's dates, the region or imagery.collections"
    aside = ", ".join(f"{count} {reason}" for reason, count in found.set_aside.items())
    there = describe(options.address, query, options.hosts, limits)
    return (
        f"No usable imagery in {options.address} for {asked}: {there}. "
        f"Set aside: {aside or 'nothing'}. To mend it: {cure}."
    )
