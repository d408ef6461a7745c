"""Crop maps of whole tiles: chances block by block, blended where blocks meet, as COGs with a STAC item."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window

from features.files import write_json
from features.imagery.blocks import Block, cut
from features.imagery.rasters.drafts import keep_block, open_draft, write_cog
from models.clouds.products import MEDIA_TYPE, make_catalog, make_item
from models.patches.crossfit import WHOLE, FoldModels
from models.patches.units import Imagery

OVERLAP = 16  # pixels on each side of a block's border over which neighbours are blended
STEPS = 200  # a chance is kept as whole numbers of 1 / STEPS until blended
LOST = 255  # in blocks and in the map of chances: never seen
UNKNOWN = 0  # in the map of classes
CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
DESCRIPTION = (
    "Crop map from Sentinel-2. classes: the likeliest class, 0 where never seen; chances: percent by class, "
    "255 where never seen. Only crops are told apart: pixels that are no field have a class too. The model "
    "learned from all declarations, so that the map is no check of them."
)


@dataclass(frozen=True)
class MapUnit:
    """One block of a tile, with what lies around it as far as neighbours are blended and the model looks."""

    imagery: Imagery
    place: Block
    models: FoldModels
    file: Path

    @property
    def wide(self) -> Block:
        """The block with the overlap."""
        return self.place.widened(OVERLAP, self.imagery.grid.shape)


def map_units(imagery: Imagery, models: FoldModels, side: int, folder: Path) -> list[MapUnit]:
    """Cut a tile into units that write below `folder`, in the order of `assemble`."""
    places = cut(imagery.grid.shape, side, even=True)
    return [MapUnit(imagery, place, models, folder / f"{k:06d}.npy") for k, place in enumerate(places)]


def run_map_unit(unit: MapUnit) -> Path:
    """Predict a block and write its chances `(class, y, x)`, unless they lie there whole; return the file."""
    return keep_block(unit.file, lambda: _stored_chances(unit))


def _stored_chances(unit: MapUnit) -> np.ndarray:
    """Return the chances `(class, y, x)` uint8 of a block and its overlap, in units of 1 / STEPS."""
    read = unit.wide.widened(unit.models.margin_px, unit.imagery.grid.shape)
    found = unit.models.model(WHOLE).chances(unit.imagery.composites(read))
    found = found[:, *unit.wide.within(read).slices]
    known = np.isfinite(found).all(axis=0)
    return np.where(known, np.rint(STEPS * np.nan_to_num(found)), LOST).astype(np.uint8)


def ramp(outer: slice, inner: slice) -> np.ndarray:
    """Return `(pixel,)` weights along one side of a widened block: one well inside, falling to nothing over
    the overlap, which lies half within the block.

    Examples
    --------
    >>> ramp(slice(0, 40), slice(0, 24)).round(2)[[0, 7, 8, 23, 24, 39]].tolist()
    [1.0, 1.0, 0.98, 0.52, 0.48, 0.02]
    """
    at = np.arange(outer.start, outer.stop) + 0.5
    left = 1.0 if outer.start == inner.start else (at - inner.start + OVERLAP) / (2 * OVERLAP)
    right = 1.0 if outer.stop == inner.stop else (inner.stop + OVERLAP - at) / (2 * OVERLAP)
    return np.asarray(np.clip(np.minimum(left, right) * np.ones(len(at)), 0, 1))


def blended(place: Block, units: Sequence[MapUnit], classes: int) -> np.ndarray:
    """Return the chances `(class, y, x)` of a block, blended from the units that reach into it; NaN where
    none saw a pixel."""
    total, weight = np.zeros((classes, *place.shape), np.float32), np.zeros(place.shape, np.float32)
    for unit in units:
        both = _common(place, unit.wide)
        if both is None:
            continue
        stored = np.load(unit.file, mmap_mode="r", allow_pickle=False)
        part = np.asarray(stored[:, *both.within(unit.wide).slices])
        sides = [ramp(outer, inner) for outer, inner in zip(unit.wide.slices, unit.place.slices, strict=True)]
        share = np.outer(*sides)[both.within(unit.wide).slices].astype(np.float32)
        share = np.where(part[0] == LOST, 0, share)
        here = both.within(place).slices
        total[:, *here] += share * part / np.float32(STEPS)
        weight[here] += share
    with np.errstate(invalid="ignore"):
        return np.where(weight > 0, total / weight, np.nan)


def _common(first: Block, second: Block) -> Block | None:
    """Return the pixels that two blocks share."""
    spans = [
        slice(max(a.start, b.start), min(a.stop, b.stop))
        for a, b in zip(first.slices, second.slices, strict=True)
    ]
    return None if any(span.start >= span.stop for span in spans) else Block(*spans)


def _near(units: Sequence[MapUnit]) -> list[list[MapUnit]]:
    """Return for each unit those that reach into its block, itself included."""
    edges = np.array([[s.start, s.stop] for unit in units for s in unit.place.slices]).reshape(-1, 2, 2)
    found = []
    for (top, bottom), (left, right) in edges:
        rows = (edges[:, 0, 0] - OVERLAP < bottom) & (edges[:, 0, 1] + OVERLAP > top)
        columns = (edges[:, 1, 0] - OVERLAP < right) & (edges[:, 1, 1] + OVERLAP > left)
        found.append([units[int(k)] for k in np.flatnonzero(rows & columns)])
    return found


def assemble(
    tile: str, units: Sequence[MapUnit], classes: Sequence[str], times: tuple[str, str], folder: Path
) -> dict[str, Any]:
    """Blend the units of a tile into two COGs and a STAC item, block by block; return the item's link."""
    grid, place = units[0].imagery.grid, folder / tile / "crops"
    work = units[0].file.parent
    rasters = {"classes": (1, UNKNOWN), "chances": (len(classes), LOST)}
    drafts = {kind: work / f"{kind}.tif" for kind in rasters}
    opened = {
        kind: open_draft(drafts[kind], grid, count, "uint8", nodata)
        for kind, (count, nodata) in rasters.items()
    }
    try:
        for unit, near in zip(units, _near(units), strict=True):
            found = blended(unit.place, near, len(classes))
            known = np.isfinite(found[0])
            window = Window.from_slices(*unit.place.slices)
            likely = np.where(known, np.nan_to_num(found).argmax(axis=0) + 1, UNKNOWN).astype(np.uint8)
            percent = np.where(known, np.rint(100 * np.nan_to_num(found)), LOST).astype(np.uint8)
            opened["classes"].write(likely[None], window=window)
            opened["chances"].write(percent, window=window)
        opened["classes"].descriptions, opened["chances"].descriptions = ("crop",), tuple(classes)
    finally:
        for raster in opened.values():
            raster.close()
    name = f"{tile}_crops"
    for kind, draft in drafts.items():
        write_cog(draft, place / f"{name}_{kind}.tif", "nearest" if kind == "classes" else "average")
    assets = {kind: _asset(kind, f"./{name}_{kind}.tif", classes) for kind in rasters}
    item = make_item(name, tile, grid, times, assets, (CLASSIFICATION,))
    write_json(place / f"{name}.json", item)
    return {"name": name, "href": f"./{tile}/crops/{name}.json"}


def finish(folder: Path, items: Sequence[dict[str, Any]], title: str, work: Path) -> Path:
    """Write the catalog, last of all, and delete the blocks that maps were blended from; return its path."""
    shutil.rmtree(work, ignore_errors=True)
    return write_json(folder / "catalog.json", make_catalog("crop-map", title, DESCRIPTION, items))


def _asset(kind: str, href: str, classes: Sequence[str]) -> dict[str, Any]:
    if kind == "classes":
        listed = [{"value": UNKNOWN, "name": "unknown", "nodata": True}]
        listed += [{"value": k, "name": name} for k, name in enumerate(classes, start=1)]
        bands: list[dict[str, Any]] = [
            {"name": "crop", "data_type": "uint8", "classification:classes": listed}
        ]
    else:
        bands = [{"name": name, "data_type": "uint8", "unit": "%"} for name in classes]
    return {
        "href": href,
        "type": MEDIA_TYPE,
        "roles": ["data"] if kind == "classes" else ["metadata"],
        "nodata": UNKNOWN if kind == "classes" else LOST,
        "bands": bands,
    }
