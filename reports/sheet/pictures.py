"""Small true- and false-colour pictures of parcels, cut from the run's own imagery."""

import base64
import logging
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from threading import Lock

import geopandas as gpd
import numpy as np
import polars as pl
import rasterio.features
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio import DatasetReader
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from features.errors import CropcheckError
from features.imagery.grids import grid_of, pixel_metres
from features.imagery.masks import MaskOptions, clear_mask
from features.imagery.physical import encoding_of
from features.imagery.rasters.opening import open_raster
from features.schema import Asset, acquisition_rows, assets_by_band
from features.workers import Progress
from reports.run import RunTables

log = logging.getLogger(__name__)
NEAR_INFRARED = ("B08", "B8A")
# reflectance shown as black and white, per colour: true (red, green, blue), false (near infrared, red, green)
STRETCH = {"true": ((0.0, 0.26), (0.0, 0.22), (0.0, 0.18)), "false": ((0.0, 0.55), (0.0, 0.24), (0.0, 0.22))}
GAMMA = 0.8
MOST_PIXELS = 160
FRAMES_KEPT = 1024  # parcels whose clear shares an album remembers
DAYS_ABOUT = 10  # how far from the date wanted an acquisition still shows that date
DAYS_FAR = 30  # how far the nearest clear one may lie that stands in for a clouded date
HALF_SEEN, SEEN = 0.5, 0.9  # shares of the parcel


@dataclass(frozen=True)
class Picture:
    """What was seen of a parcel and its surroundings on one date."""

    day: date
    item_id: str
    clear_share: float  # of the parcel's pixels on that date, by the scene classification
    true_colour: str  # data URIs of PNGs
    false_colour: str
    width: int
    height: int
    outline: str  # SVG path in pixels
    stands_for: date | None = None  # the date wanted, where clouds hid it and this is the nearest clear one


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
class _View:
    """One parcel on one acquisition's grid."""

    parcel_id: str
    item: int
    rows: slice
    columns: slice
    transform: Affine
    geometry: BaseGeometry


def read_pictures(
    run: RunTables, wanted: Mapping[str, list[date]], margin_m: float, progress: Progress | None = None
) -> dict[str, list[Picture]]:
    """Return the pictures of parcels at the dates wanted: for each, the clearest acquisition within ten days,
    or the nearest clear one within thirty where that saw less than half of the parcel.

    Each file is opened once for all of its parcels. A file that cannot be read is logged and left out.

    Parameters
    ----------
    wanted
        Parcel id to the first days of calendar steps.
    margin_m
        Metres of surroundings.
    """
    items = optical_items(run)
    if not items or not wanted:
        return {}
    views = list(_views(run, items, wanted, margin_m))
    clear = _clear_shares(items, views)
    chosen = _choose(items, views, clear, wanted)
    found: dict[str, list[Picture]] = defaultdict(list)
    by_item: dict[int, list[_View]] = defaultdict(list)
    for view, _ in chosen:
        by_item[view.item].append(view)
    stands_for = {(view.parcel_id, view.item): wished for view, wished in chosen}
    for done, (number, members) in enumerate(sorted(by_item.items())):
        _read_item(items[number], members, clear, stands_for, found)
        if progress:
            progress(done + 1, len(by_item))
    return {name: sorted(pictures, key=lambda picture: picture.day) for name, pictures in found.items()}


@dataclass(frozen=True)
class Frame:
    """One acquisition that shows a parcel."""

    item_id: str
    day: date
    clear_share: float | None  # of the parcel's pixels; None without a scene classification


class Album:
    """The pictures of single parcels on every date, cut as they are asked for; headers are read once."""

    def __init__(self, run: RunTables, margin_m: float) -> None:
        self.run, self.margin_m = run, margin_m
        self.items = optical_items(run)
        self._lock = Lock()  # rasterio's masks change warning filters, which threads share
        self.frames = lru_cache(FRAMES_KEPT)(self._frames)  # a page is opened again after each decision

    def _frames(self, parcel_id: str) -> list[Frame]:
        """Return every acquisition that shows all of a parcel, in order of time."""
        views = self._views(parcel_id)
        with self._lock:
            clear = _clear_shares(self.items, views)
        return [
            Frame(
                self.items[view.item].item_id,
                self.items[view.item].day,
                clear.get((parcel_id, view.item)),
            )
            for view in views
        ]

    def picture(self, parcel_id: str, item_id: str) -> Picture | None:
        """Return the picture of a parcel on one acquisition, or None where there is none."""
        views = [view for view in self._views(parcel_id) if self.items[view.item].item_id == item_id]
        if not views:
            return None
        found: dict[str, list[Picture]] = defaultdict(list)
        view = views[0]
        stands_for = {(parcel_id, view.item): None}
        with self._lock:
            clear = _clear_shares(self.items, [view])
            _read_item(self.items[view.item], [view], clear, stands_for, found)
        return found[parcel_id][0] if found[parcel_id] else None

    def _views(self, parcel_id: str) -> list[_View]:
        days = [item.day for item in self.items]
        return list(_views(self.run, self.items, {parcel_id: days}, self.margin_m))


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


def _views(
    run: RunTables, items: list[Item], wanted: Mapping[str, list[date]], margin_m: float
) -> Iterable[_View]:
    shapes = run.shapes_of(wanted)
    shapes = shapes[~(shapes.is_empty | shapes.isna())]
    projected: dict[str, gpd.GeoSeries] = {}
    for number, item in enumerate(items):
        day = item.day
        near = [name for name in shapes.index if any(_away(day, first) <= DAYS_FAR for first in wanted[name])]
        if not near:
            continue
        grid = item.grid
        crs = f"EPSG:{item.epsg}" if item.epsg else str(grid.crs)
        if crs not in projected:
            projected[crs] = shapes.to_crs(crs)
        for name in near:
            view = _view(name, number, projected[crs].loc[name], grid, margin_m)
            if view is not None:
                yield view


def _view(name: str, number: int, geometry: BaseGeometry, grid: GeoBox, margin_m: float) -> _View | None:
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
    return _View(
        name, number, rows, columns, grid.affine @ Affine.translation(columns.start, rows.start), geometry
    )


def _clear_shares(items: list[Item], views: list[_View]) -> dict[tuple[str, int], float]:
    """Return the share of each parcel's pixels that each acquisition saw clear; unknown ones are left out."""
    found = {}
    by_item: dict[int, list[_View]] = defaultdict(list)
    for view in views:
        by_item[view.item].append(view)
    masks: dict[tuple[object, ...], np.ndarray] = {}  # the dates of one grid share a parcel's
    for number, members in sorted(by_item.items()):
        asset = items[number].assets.get("scl")
        if asset is None:
            continue
        blocks = _blocks(asset, items[number].grid, members)
        pixel_m = pixel_metres(items[number].grid)
        for view, block in zip(members, blocks, strict=True):
            if block is not None:
                place = (view.parcel_id, view.transform, block.shape)
                if place not in masks:
                    masks[place] = _mask(view, block.shape)
                inside = masks[place]
                clear = clear_mask(block, MaskOptions(), pixel_m)
                found[(view.parcel_id, number)] = float(clear[inside].mean()) if inside.any() else 0.0
    return found


def _mask(view: _View, shape: tuple[int, ...]) -> np.ndarray:
    mask = rasterio.features.geometry_mask
    return np.asarray(mask([view.geometry], shape[:2], view.transform, all_touched=True, invert=True))


def _choose(
    items: list[Item],
    views: list[_View],
    clear: Mapping[tuple[str, int], float],
    wanted: Mapping[str, list[date]],
) -> list[tuple[_View, date | None]]:
    """Return, for each parcel and date wanted, the view that shows it best, and the date it stands in for."""
    of: dict[str, list[_View]] = defaultdict(list)
    for view in views:
        of[view.parcel_id].append(view)
    chosen: dict[tuple[str, int], tuple[_View, date | None]] = {}
    for name, firsts in wanted.items():
        for first in firsts:
            free = [view for view in of[name] if (name, view.item) not in chosen]
            away = {view.item: _away(items[view.item].day, first) for view in free}
            share = {view.item: clear.get((name, view.item), HALF_SEEN) for view in free}
            best = _best(free, away, share)
            if best is not None:
                middle = first + timedelta(days=DAYS_ABOUT // 2)
                chosen[(name, best.item)] = (best, middle if away[best.item] > DAYS_ABOUT else None)
    return list(chosen.values())


def _best(views: list[_View], away: Mapping[int, int], share: Mapping[int, float]) -> _View | None:
    """Return the clearest view about the date, the nearer of equals; or where that is clouded, the nearest
    clear one."""
    near = [view for view in views if away[view.item] <= DAYS_ABOUT]
    best = max(near, key=lambda view: (round(share[view.item], 1), -away[view.item]), default=None)
    if best is not None and share[best.item] >= HALF_SEEN:
        return best
    seen = [view for view in views if share[view.item] >= SEEN]
    return min(seen, key=lambda view: away[view.item], default=best)


def _away(day: date, first: date) -> int:
    """Return the days between a day and the middle of the ten-day step that begins on `first`."""
    return abs((day - first - timedelta(days=DAYS_ABOUT // 2)).days)


def _blocks(asset: Asset, grid: GeoBox, views: list[_View]) -> list[np.ndarray | None]:
    """Return each view's raw pixels of one band on the picture's grid; a coarser band is repeated."""
    try:
        with open_raster(asset["href"]) as raster:
            factor = max(1, round(abs(raster.transform.a / grid.affine.a)))
            return [_block(raster, view, factor) for view in views]
    except CropcheckError as error:
        log.warning("No picture from %s", error)
        return [None] * len(views)


def _block(raster: DatasetReader, view: _View, factor: int) -> np.ndarray:
    """A view's pixels of one band, placed by where the band lies; nodata where the band does not reach."""
    height, width = view.rows.stop - view.rows.start, view.columns.stop - view.columns.start
    x, y = ~raster.transform @ (view.transform.c, view.transform.f)
    top, left = round(y * factor), round(x * factor)  # of the view within the band, in the view's pixels
    rows = range(top // factor, -(-(top + height) // factor))
    columns = range(left // factor, -(-(left + width) // factor))
    first, last = (max(rows.start, 0), max(columns.start, 0)), (
        min(rows.stop, raster.height), min(columns.stop, raster.width),
    )  # fmt: skip
    nodata = raster.nodata if raster.nodata is not None and np.isfinite(raster.nodata) else 0
    raw = np.full((len(rows), len(columns)), nodata, raster.dtypes[0])
    if first[0] < last[0] and first[1] < last[1]:
        there = Window.from_slices((first[0], last[0]), (first[1], last[1]))
        raw[
            first[0] - rows.start : last[0] - rows.start, first[1] - columns.start : last[1] - columns.start
        ] = raster.read(1, window=there)
    raw = raw.repeat(factor, 0).repeat(factor, 1) if factor > 1 else raw
    below, right = top - rows.start * factor, left - columns.start * factor
    return raw[below : below + height, right : right + width]


def _read_item(
    item: Item,
    views: list[_View],
    clear: Mapping[tuple[str, int], float],
    stands_for: Mapping[tuple[str, int], date | None],
    found: dict[str, list[Picture]],
) -> None:
    grid, infrared = item.grid, item.infrared
    bands = {band: _blocks(item.assets[band], grid, views) for band in ("B02", "B03", "B04", infrared)}
    for k, view in enumerate(views):
        raw = {band: blocks[k] for band, blocks in bands.items()}
        if any(block is None for block in raw.values()):
            continue
        light = {
            band: encoding_of(item.assets[band]).physical(block)
            for band, block in raw.items()
            if block is not None
        }
        height, width = light["B04"].shape
        found[view.parcel_id].append(
            Picture(
                day=item.day,
                item_id=item.item_id,
                clear_share=clear.get((view.parcel_id, view.item), float("nan")),
                true_colour=_picture([light["B04"], light["B03"], light["B02"]], STRETCH["true"]),
                false_colour=_picture([light[infrared], light["B04"], light["B03"]], STRETCH["false"]),
                width=width,
                height=height,
                outline=_outline(view),
                stands_for=stands_for[(view.parcel_id, view.item)],
            )
        )


def _picture(colours: list[np.ndarray], stretch: tuple[tuple[float, float], ...]) -> str:
    """Return a PNG as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png(shaded(colours, stretch))).decode()


def shaded(colours: list[np.ndarray], stretch: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Return reflectance as 8-bit colours `(y, x, 3)`; a pixel without data is mid-grey."""
    planes = []
    for colour, (black, white) in zip(colours, stretch, strict=True):
        shade = np.clip((colour - black) / (white - black), 0, 1) ** GAMMA
        planes.append(np.where(np.isfinite(shade), np.rint(255 * np.nan_to_num(shade)), 150).astype(np.uint8))
    return np.stack(planes, -1)


def png(pixels: np.ndarray) -> bytes:
    """Return 8-bit RGB pixels (y, x, 3) as a PNG without any metadata, so that equal pixels give equal bytes.

    PNG specification (ISO/IEC 15948), sections 5 and 11: signature, IHDR, one IDAT, IEND; no filter.
    """
    height, width, _ = pixels.shape
    raw = np.hstack([np.zeros((height, 1), np.uint8), pixels.reshape(height, 3 * width)]).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(raw, 9))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _outline(view: _View) -> str:
    """Return the parcel's outline as an SVG path in the picture's pixels."""
    inverse = ~view.transform
    path = ""
    for part in shapely.get_parts(view.geometry):
        for ring in shapely.get_rings(part):
            points = [inverse @ (x, y) for x, y in shapely.get_coordinates(ring)]
            path += "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points[:-1]) + "z"
    return path
