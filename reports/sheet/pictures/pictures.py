"""Small true- and false-colour pictures of parcels, cut from the run's own imagery."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache, partial
from threading import Lock
from typing import TypeVar

import numpy as np

from features.errors import CropcheckError
from features.imagery.grids import pixel_metres
from features.imagery.masks import MaskOptions, clear_mask
from features.imagery.physical import encoding_of
from reports.run import RunTables
from reports.sheet.pictures.colours import STRETCH, data_uri
from reports.sheet.pictures.cutouts import cutouts, grouped_cutouts
from reports.sheet.pictures.views import DAYS_ABOUT, Item, View, optical_items, views_of

log = logging.getLogger(__name__)
FRAMES_KEPT = 1024  # parcels whose clear shares an album remembers
HALF_SEEN, SEEN = 0.5, 0.9  # shares of the parcel
READERS = 4  # images at a time

Part = TypeVar("Part", View, "Chosen")
Result = TypeVar("Result")
Shares = dict[tuple[str, int], float]  # of a parcel's pixels, by parcel and number of the acquisition


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


def read_pictures(
    run: RunTables, wanted: Mapping[str, list[date]], margin_m: float
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
    views = list(views_of(run, items, wanted, margin_m))
    clear = _clear_shares(items, views)
    chosen = _choose(items, views, clear, wanted)
    found: dict[str, list[Picture]] = defaultdict(list)
    for parts in _by_item(partial(_draw, clear=clear), items, chosen):
        for name, picture in parts:
            found[name].append(picture)
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
        with self._lock:
            clear = _clear_shares(self.items, views[:1])
            drawn = _draw(self.items[views[0].item], [Chosen(views[0])], clear)
        return drawn[0][1] if drawn else None

    def _views(self, parcel_id: str) -> list[View]:
        days = [item.day for item in self.items]
        return list(views_of(self.run, self.items, {parcel_id: days}, self.margin_m))


@dataclass(frozen=True)
class Chosen:
    """A view that is drawn, and the date that it stands in for where clouds hid that."""

    view: View
    stands_for: date | None = None


def _by_item(
    work: Callable[[Item, list[Part]], Result], items: list[Item], parts: Iterable[Part]
) -> Iterator[Result]:
    """Do the work of each acquisition that has views among the parts, some acquisitions at a time; yield the
    results in order of time.
    """
    by_item: dict[int, list[Part]] = defaultdict(list)
    for part in parts:
        by_item[(part.view if isinstance(part, Chosen) else part).item].append(part)
    if len(by_item) < 2:
        yield from (work(items[number], members) for number, members in by_item.items())
        return
    with ThreadPoolExecutor(READERS) as pool:
        numbers = sorted(by_item)
        yield from pool.map(work, [items[k] for k in numbers], [by_item[k] for k in numbers])


def _clear_shares(items: list[Item], views: list[View]) -> Shares:
    """Return the share of each parcel's pixels that each acquisition saw clear; unknown ones are left out."""
    for view in views:
        _ = view.place.inside  # in this thread: see the lock of an album
    found: Shares = {}
    for shares in _by_item(_seen_clear, items, views):
        found |= shares
    return found


def _seen_clear(item: Item, views: list[View]) -> Shares:
    """Return the clear shares of one acquisition; nothing where it has no classes or they cannot be read."""
    asset = item.assets.get("scl")
    if asset is None:
        return {}
    found: Shares = {}
    blocks = [view.place.block for view in views]
    pixel_m = pixel_metres(item.grid)
    try:
        for around, classes, numbers in grouped_cutouts(asset, item.grid, blocks):
            clear = clear_mask(classes, MaskOptions(), pixel_m)
            for number in numbers:
                inside = views[number].place.inside
                seen = clear[blocks[number].within(around).slices] & inside
                share = int(np.count_nonzero(seen)) / max(int(np.count_nonzero(inside)), 1)
                found[(views[number].parcel_id, views[number].item)] = share
    except CropcheckError as error:
        log.warning("No picture from %s", error)
        return {}
    return found


def _choose(
    items: list[Item], views: list[View], clear: Shares, wanted: Mapping[str, list[date]]
) -> list[Chosen]:
    """Return, for each parcel and date wanted, the view that shows it best, and the date it stands in for."""
    of: dict[str, list[View]] = defaultdict(list)
    for view in views:
        of[view.parcel_id].append(view)
    days = [item.day.toordinal() for item in items]
    chosen: dict[tuple[str, int], Chosen] = {}
    for name, firsts in wanted.items():
        for first in firsts:
            middle = first + timedelta(days=DAYS_ABOUT // 2)  # of the ten-day step
            at = middle.toordinal()
            free = [view for view in of[name] if (name, view.item) not in chosen]
            apart = {view.item: abs(days[view.item] - at) for view in free}
            share = {view.item: clear.get((name, view.item), HALF_SEEN) for view in free}
            best = _best(free, apart, share)
            if best is not None:
                chosen[(name, best.item)] = Chosen(best, middle if apart[best.item] > DAYS_ABOUT else None)
    return list(chosen.values())


def _best(views: list[View], apart: Mapping[int, int], share: Mapping[int, float]) -> View | None:
    """Return the clearest view about the date, the nearer of equals; or where that is clouded, the nearest
    clear one."""
    near = [view for view in views if apart[view.item] <= DAYS_ABOUT]
    best = max(near, key=lambda view: (round(share[view.item], 1), -apart[view.item]), default=None)
    if best is not None and share[best.item] >= HALF_SEEN:
        return best
    seen = [view for view in views if share[view.item] >= SEEN]
    return min(seen, key=lambda view: apart[view.item], default=best)


def _draw(item: Item, members: list[Chosen], clear: Shares) -> list[tuple[str, Picture]]:
    """Return the pictures of one acquisition by parcel; none where a band cannot be read."""
    blocks = [chosen.view.place.block for chosen in members]
    bands = ("B02", "B03", "B04", item.infrared)
    raw = {band: cutouts(item.assets[band], item.grid, blocks) for band in bands}
    read = {band: found for band, found in raw.items() if found is not None}
    if len(read) < len(raw):
        return []
    encodings = {band: encoding_of(item.assets[band]) for band in bands}
    drawn = []
    for k, chosen in enumerate(members):
        light = {band: encodings[band].physical(found[k]) for band, found in read.items()}
        place, (height, width) = chosen.view.place, blocks[k].shape
        picture = Picture(
            day=item.day,
            item_id=item.item_id,
            clear_share=clear.get((place.parcel_id, chosen.view.item), float("nan")),
            true_colour=data_uri([light[band] for band in ("B04", "B03", "B02")], STRETCH["true"]),
            false_colour=data_uri([light[band] for band in (item.infrared, "B04", "B03")], STRETCH["false"]),
            width=width,
            height=height,
            outline=place.outline,
            stands_for=chosen.stands_for,
        )
        drawn.append((place.parcel_id, picture))
    return drawn
