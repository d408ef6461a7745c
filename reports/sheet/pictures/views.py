"""Which acquisitions show a parcel, and where: the windows that pictures are cut from."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import geopandas as gpd
import numpy as np
import polars as pl
import rasterio.features
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from features.errors import CropcheckError
from features.imagery.blocks import Block
from features.imagery.grids import grid_of
from features.schema import Asset, acquisition_rows, assets_by_band
from reports.run import RunTables

log = logging.getLogger(__name__)
NEAR_INFRARED = ("B08", "B8A")
MOST_PIXELS = 160
DAYS_ABOUT = 10  # how far from the date wanted an acquisition still shows that date
DAYS_FAR = 30  # how far the nearest clear one may lie that stands in for a clouded date


@dataclass(frozen=True)
class Item:
    """One optical acquisition that has the bands of a picture."""

    item_id: str
    day: date
    epsg: int | None
    infrared: str  # its near-infrared band
    assets: Mapping[str, Asset]  # by band
    grid: GeoBox  # of the 10 m bands


@dataclass(frozen=True)
class Place:
    """A parcel and its surroundings on a grid, which many acquisitions share."""

    parcel_id: str
    block: Block
    transform: Affine  # of the block
    geometry: BaseGeometry  # in the grid's system

    @cached_property
    def inside(self) -> np.ndarray:
        """Which pixels of the block the parcel touches; bool `(y, x)`."""
        mask = rasterio.features.geometry_mask
        return np.asarray(
            mask([self.geometry], self.block.shape, self.transform, all_touched=True, invert=True)
        )

    @cached_property
    def outline(self) -> str:
        """The parcel's outline as an SVG path in the block's pixels."""
        inverse = ~self.transform
        path = ""
        for part in shapely.get_parts(self.geometry):
            for ring in shapely.get_rings(part):
                points = [inverse @ (x, y) for x, y in shapely.get_coordinates(ring)]
                path += "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points[:-1]) + "z"
        return path


@dataclass(frozen=True)
class View:
    """One parcel on one acquisition, by its number."""

    place: Place
    item: int

    @property
    def parcel_id(self) -> str:
        """The parcel that is seen."""
        return self.place.parcel_id


def optical_items(run: RunTables) -> list[Item]:
    """Return the optical acquisitions that have the bands of a picture."""
    rows = acquisition_rows(run.acquisitions.filter(pl.col("sensor") == "s2").sort("datetime", "item_id"))
    found, faults, coloured = [], [], 0
    for row in rows:
        assets = assets_by_band(row)
        infrared = next((band for band in NEAR_INFRARED if band in assets), None)
        if infrared is None or not {"B02", "B03", "B04"} <= assets.keys():
            continue
        coloured += 1
        try:
            grid = grid_of(assets["B04"]["href"])
        except CropcheckError as error:
            faults.append(str(error))
            continue
        found.append(Item(row["item_id"], row["datetime"].date(), row["epsg"], infrared, assets, grid))
    if faults:
        log.warning("%d of %d scenes give no picture; the first: %s", len(faults), coloured, faults[0])
    return found


def views_of(
    run: RunTables, items: list[Item], wanted: Mapping[str, list[date]], margin_m: float
) -> Iterator[View]:
    """Yield, item by item, the parcels that an acquisition shows whole within DAYS_FAR of a date wanted."""
    shapes = run.shapes_of(wanted)
    shapes = shapes[~(shapes.is_empty | shapes.isna())]
    near = _near(items, [wanted[name] for name in shapes.index])
    places: dict[tuple[str, GeoBox], dict[int, Place | None]] = {}
    projected: dict[str, gpd.GeoSeries] = {}
    for number, item in enumerate(items):
        crs = f"EPSG:{item.epsg}" if item.epsg else str(item.grid.crs)
        chosen = np.flatnonzero(near[number]).tolist()
        if chosen and crs not in projected:
            projected[crs] = shapes.to_crs(crs)
        known = places.setdefault((crs, item.grid), {})
        for row in chosen:
            if row not in known:
                known[row] = _place(shapes.index[row], projected[crs].iloc[row], item.grid, margin_m)
            if (place := known[row]) is not None:
                yield View(place, number)


def _near(items: list[Item], wanted: list[list[date]]) -> np.ndarray:
    """Return which acquisitions lie within DAYS_FAR of a date that a parcel is wanted at, (item, parcel)."""
    days = np.array([item.day for item in items], "datetime64[D]")
    near = np.zeros((len(items), len(wanted)), bool)
    for row, firsts in enumerate(wanted):
        middles = np.array(firsts, "datetime64[D]") + DAYS_ABOUT // 2
        near[:, row] = (np.abs(days[:, None] - middles) <= np.timedelta64(DAYS_FAR, "D")).any(axis=1)
    return near


def _place(name: str, geometry: BaseGeometry, grid: GeoBox, margin_m: float) -> Place | None:
    """Return the window about a parcel, or None where the raster does not hold all of the parcel."""
    west, south, east, north = geometry.bounds
    inverse = ~grid.affine
    (c0, r0), (c1, r1) = (
        inverse @ (west - margin_m, north + margin_m),
        inverse @ (east + margin_m, south - margin_m),
    )
    (inner0, inner1) = inverse @ (west, north), inverse @ (east, south)
    if min(inner0) < 0 or inner1[0] > grid.shape[1] or inner1[1] > grid.shape[0]:
        return None
    rows = slice(max(0, int(np.floor(r0))), min(grid.shape[0], int(np.ceil(r1))))
    columns = slice(max(0, int(np.floor(c0))), min(grid.shape[1], int(np.ceil(c1))))
    if max(rows.stop - rows.start, columns.stop - columns.start) > 4 * MOST_PIXELS:
        return None
    corner = grid.affine @ Affine.translation(columns.start, rows.start)
    return Place(name, Block(rows, columns), corner, geometry)
