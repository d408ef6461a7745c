"""Which acquisitions can be used at all, and the grid that each sensor's tile is read on."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import polars as pl
import shapely
from odc.geo.geobox import GeoBox

from features.catalog.access.hrefs import is_remote
from features.catalog.place import UNTILED
from features.errors import CropcheckError, ImageryError
from features.extraction.options import ExtractOptions
from features.extraction.passes import number_passes
from features.extraction.tiles.tiling import View
from features.extraction.units import Outcome
from features.imagery.grids import grid_of
from features.imagery.physical import encoding_of, is_left_to_file
from features.indices.formulas import bands_of
from features.messages.listed import listed
from features.schema import Acquisition, acquisition_rows, assets_by_band

log = logging.getLogger(__name__)

Tile = tuple[str, str]  # sensor and name


@dataclass(frozen=True)
class Work:
    """The acquisitions in order of time, by sensor and tile the grid of most of them and what each could see,
    and those that cannot be used at all.
    """

    rows: list[Acquisition]
    references: dict[Tile, GeoBox]
    views: dict[Tile, list[View]]
    headers: dict[str, GeoBox]  # grid of one asset of each acquisition, by item id
    aside: list[Outcome]

    def views_of(self, sensor: str) -> dict[str, list[View]]:
        """What the acquisitions of each tile could see, for one sensor."""
        return {tile: views for (kind, tile), views in self.views.items() if kind == sensor}

    @property
    def sensors(self) -> list[str]:
        """The sensors that have a tile."""
        return sorted({sensor for sensor, _ in self.references})


def plan(acquisitions: pl.DataFrame, options: ExtractOptions) -> Work:
    """Open one header of every acquisition, and settle the grids of every sensor's tile.

    Acquisitions of one place without a tile's name, and radar of any, are told apart by their grids: slices
    and passes that are projected to another UTM zone become tiles of their own. Of a named optical tile those
    that lie off its grid are set aside.
    """
    rows, untold = _told(acquisition_rows(acquisitions.sort("datetime", "item_id")), options)
    headers, aside = _read_headers(rows, options)
    rows = _split_places(rows, headers)
    references, shifted = _reference_grids(rows, headers)
    lost = {outcome.item_id for outcome in shifted}
    views: dict[Tile, list[View]] = {}
    for row, number in zip(rows, number_passes(rows), strict=True):
        if row["item_id"] in headers and row["item_id"] not in lost:
            view = View(number, headers[row["item_id"]], _footprint(row))
            views.setdefault((row["sensor"], row["tile"]), []).append(view)
    return Work(rows, references, views, headers, aside + shifted + untold)


def tell_of_bands(work: Work, options: ExtractOptions) -> None:
    """Log which features no acquisition of a tile allows, and which bands some of them lack."""
    members: dict[Tile, list[list[str]]] = {}
    lost = {outcome.item_id for outcome in work.aside}
    for row in (row for row in work.rows if row["item_id"] not in lost):
        members.setdefault((row["sensor"], row["tile"]), []).append(_needed(row, options))
    for (sensor, tile), held in sorted(members.items()):
        counts = Counter(band for bands in held for band in bands)
        partial = [f"{band} in {count}" for band, count in sorted(counts.items()) if count < len(held)]
        absent = [name for name in options.features_of(sensor) if not set(bands_of([name])) <= counts.keys()]
        if absent:
            log.warning(
                "No acquisition (%s) of tile %s holds the bands of %s: they come out empty. If their assets "
                "are there, name them in imagery.bands.",
                sensor, tile, ", ".join(absent),
            )  # fmt: skip
        if partial:
            log.warning(
                "Not all of %d acquisitions (%s) of tile %s hold every band: %s. Features come from those "
                "that do.",
                len(held), sensor, tile, ", ".join(partial),
            )  # fmt: skip


def _told(rows: Sequence[Acquisition], options: ExtractOptions) -> tuple[list[Acquisition], list[Outcome]]:
    """Ask the files of what their items do not say; without the bands of which neither says it, and the
    acquisitions of which none is left.
    """
    kept, aside, left_out = [], [], Counter[str]()
    for row in rows:
        assets = assets_by_band(row)
        refused: dict[str, CropcheckError] = {}
        for band in (band for band in _needed(row, options) if is_left_to_file(assets[band])):
            try:
                encoding_of(assets[band])
            except CropcheckError as error:
                refused[band] = error
        usable = set(_needed(row, options)) - refused.keys()
        if refused and (not usable or row["sensor"] == "s2"):
            first = next(iter(refused.values()))
            aside.append(Outcome(row["item_id"], row["tile"], first.reason, str(first)))
            continue
        left_out.update({f"{band} ({error.reason})": 1 for band, error in refused.items()})
        kept.append({**row, "assets": [a for a in row["assets"] if a["band"] not in refused]})
    for band, count in sorted(left_out.items()):
        log.warning("%s is left out of %d acquisitions; their other bands are used.", band, count)
    return [cast(Acquisition, row) for row in kept], aside


def _footprint(row: Acquisition) -> shapely.Geometry | None:
    text = row.get("footprint")
    return shapely.from_wkt(text) if text else None


def _split_places(rows: Sequence[Acquisition], headers: Mapping[str, GeoBox]) -> list[Acquisition]:
    """Give a tile of their own to acquisitions whose pixels do not lie on those of most others."""
    lattices: dict[Tile, Counter[tuple[object, ...]]] = {}
    for row in rows:
        if _by_grid(row) and row["item_id"] in headers:
            counts = lattices.setdefault((row["sensor"], row["tile"]), Counter())
            counts[_lattice(headers[row["item_id"]])] += 1
    named = {
        tile: {lattice: number for number, (lattice, _) in enumerate(counts.most_common())}
        for tile, counts in lattices.items()
    }
    split = []
    for row in rows:
        numbers = named.get((row["sensor"], row["tile"]), {})
        held = headers.get(row["item_id"])
        number = numbers.get(_lattice(held), 0) if held is not None else 0
        split.append(row if number == 0 else {**row, "tile": f"{row['tile']}_grid{number + 1}"})
    return split


def _by_grid(row: Acquisition) -> bool:
    return row["sensor"] == "s1" or row["tile"].startswith(UNTILED)


def _needed(row: Acquisition, options: ExtractOptions) -> list[str]:
    assets = assets_by_band(row)
    return [band for band in bands_of(options.features_of(row["sensor"])) if band in assets]


def _bounded_grid(row: Acquisition, needed: Sequence[str], most_megapixels: int) -> GeoBox:
    """The grid of an acquisition's first band; every local file's is looked at for its size."""
    assets = assets_by_band(row)
    first, *others = (assets[band]["href"] for band in needed)
    for href in (first, *(other for other in others if not is_remote(other))):
        grid = grid_of(href)
        height, width = grid.shape
        if not grid.axis_aligned or grid.affine.a <= 0 or grid.affine.e >= 0:
            raise ImageryError(
                f"The pixels of {href} do not lie in rows from west to east, the first row northernmost; "
                "warp it (gdalwarp).",
                reason="rotated_grid",
            )
        if height * width > most_megapixels * 1_000_000:
            raise ImageryError(
                f"{href} declares {height} x {width} pixels, more than extract.most_megapixels "
                f"({most_megapixels}) allows; raise it if the file is right.",
                reason="too_large",
            )
    return grid_of(first)


def usual_bands(held: Sequence[Iterable[str]]) -> set[str]:
    """Return the bands that more than half of some acquisitions hold: one with an odd band more is no rule.

    Examples
    --------
    >>> sorted(usual_bands([["B04", "B08"], ["B04", "B08"], ["B04", "B05", "B08"]]))
    ['B04', 'B08']
    """
    counts = Counter(band for bands in held for band in set(bands))
    return {band for band, count in counts.items() if 2 * count > len(held)}


def _read_headers(
    rows: Sequence[Acquisition], options: ExtractOptions
) -> tuple[dict[str, GeoBox], list[Outcome]]:
    """The grid of one asset of each acquisition; those that cannot be opened, or lack a usual band."""
    headers: dict[str, GeoBox] = {}
    aside = []
    held: dict[tuple[str, str], list[list[str]]] = {}
    for row in rows:
        held.setdefault((row["sensor"], row["tile"]), []).append(_needed(row, options))
    bands = {tile: usual_bands(each) for tile, each in held.items()}
    for row in rows:
        needed = _needed(row, options)
        missing = sorted(bands[row["sensor"], row["tile"]] - set(needed))
        try:
            if not needed or (missing and row["sensor"] == "s2"):
                lacks = f" and lacks {listed(missing)}, which most others of its tile hold" if missing else ""
                raise ImageryError(
                    f"{row['item_id']} has bands {listed(needed)}{lacks}.", reason="missing_band"
                )
            headers[row["item_id"]] = _bounded_grid(row, needed, options.most_megapixels)
        except CropcheckError as error:
            aside.append(Outcome(row["item_id"], row["tile"], error.reason, str(error)))
    return headers, aside


def _lattice(grid: GeoBox) -> tuple[object, ...]:
    """What grids share whose pixels lie on each other: CRS, pixel size and the place of a corner within
    a pixel, in thousandths of one."""
    a = grid.affine
    corner = (round(a.c / a.a % 1, 3) % 1, round(a.f / a.e % 1, 3) % 1)
    return str(grid.crs), f"{a.a:.7g}", f"{a.e:.7g}", *corner


def _reference_grids(
    rows: Sequence[Acquisition], headers: Mapping[str, GeoBox]
) -> tuple[dict[Tile, GeoBox], list[Outcome]]:
    """The grid of each sensor and tile that most of its acquisitions have; those that lie off it."""
    members: dict[Tile, list[str]] = {}
    for row in rows:
        if row["item_id"] in headers:
            members.setdefault((row["sensor"], row["tile"]), []).append(row["item_id"])
    references, aside = {}, []
    for (sensor, tile), items in members.items():
        lattices = Counter(_lattice(headers[item]) for item in items)
        common = lattices.most_common(1)[0][0]
        same = [headers[item] for item in items if _lattice(headers[item]) == common]
        references[sensor, tile] = max(same, key=lambda grid: grid.shape[0] * grid.shape[1])
        for item in items:
            found = _lattice(headers[item])
            if found != common:
                reason = "other_crs" if found[0] != common[0] else "shifted_grid"
                aside.append(
                    Outcome(item, tile, reason, f"grid {found} where most of tile {tile} has {common}")
                )
    return references, aside
