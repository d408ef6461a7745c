"""Cloud-free images, NDVI maps and monthly composites as COGs with a static STAC catalog."""

import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from features.errors import ModelError
from features.files import write_json
from features.imagery.blocks import Block
from features.imagery.rasters.drafts import open_draft, write_cog
from models.clouds.composites import Picture, pictures

SCALE = 1e-4  # stored integers times this are reflectance or NDVI
MISSING = -32768
UNKNOWN = 255  # in the filled mask: neither seen nor filled
MEDIA_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
RASTER = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"
WORK = ".writing"
log = logging.getLogger(__name__)


@dataclass
class ProductWriter:
    """Collects the filled blocks of one tile and writes its products.

    Memory is bounded by the block: each is written into tiled files at once, and those become COGs at the
    end.

    Attributes
    ----------
    folder
        Receives `catalog.json` and a folder per tile; must not hold another catalog.
    tile
        Name of the tile, part of the items' names.
    grid
        The whole tile's grid.
    clear_share
        `(time,)`: each frame's clear share over the tile, which decides the least cloudy of a month.
    """

    folder: Path
    tile: str
    grid: GeoBox
    clear_share: np.ndarray
    found: dict[str, Picture] = field(default_factory=dict)

    def add(self, place: Block, filled: xr.Dataset) -> None:
        """Write one block, filled `(time, band, y, x)` as `Remover.fill` returns it, its margin already cut
        off.

        Raises
        ------
        ModelError
            Where the block's size differs from its place, or the grid has no coordinate system.
        """
        _crs_of(self.grid, self.tile)
        height, width = filled["reflectance"].shape[2:]
        if (height, width) != place.shape:
            raise ModelError(f"A block of {height} x {width} pixels does not fit its place of {place.shape}.")
        window = Window.from_slices(*place.slices)
        for picture in pictures(filled, self.clear_share):
            self.found[picture.name] = picture
            for kind, raw in encode(picture).items():
                with self._open(picture, kind, raw) as raster:
                    raster.write(raw, window=window)

    def close(self) -> list[dict[str, Any]]:
        """Turn what was written into COGs; returns the tile's STAC items, oldest first."""
        items = []
        for name, picture in sorted(self.found.items()):
            assets = {}
            for kind in ("value", "sigma", "filled"):
                target = self.folder / self.tile / name / f"{name}_{kind}.tif"
                write_cog(self._path(name, kind), target)
                assets[kind] = _asset(target, kind, picture.bands)
            items.append(self._item(picture, assets))
        shutil.rmtree(self.folder / WORK / self.tile, ignore_errors=True)
        return items

    def _path(self, name: str, kind: str) -> Path:
        return self.folder / WORK / self.tile / f"{name}_{kind}.tif"

    def _open(self, picture: Picture, kind: str, raw: np.ndarray) -> Any:
        path = self._path(picture.name, kind)
        if path.exists():
            return rasterio.open(path, "r+")
        nodata = UNKNOWN if kind == "filled" else MISSING
        raster = open_draft(path, self.grid, len(raw), raw.dtype.name, nodata)
        raster.descriptions = ("filled",) if kind == "filled" else picture.bands
        if kind != "filled":
            raster.scales = (SCALE,) * len(raw)
        return raster

    def _item(self, picture: Picture, assets: dict[str, Any]) -> dict[str, Any]:
        name = f"{self.tile}_{picture.name}"
        start, end = (f"{np.datetime_as_string(t, unit='s')}Z" for t in (picture.start, picture.end))
        item = make_item(name, self.tile, self.grid, (start, end), assets)
        write_json(self.folder / self.tile / picture.name / f"{name}.json", item)
        return {"name": name, "href": f"./{self.tile}/{picture.name}/{name}.json"}


def make_item(
    name: str,
    tile: str,
    grid: GeoBox,
    times: tuple[str, str],
    assets: dict[str, Any],
    extensions: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return a STAC item of rasters on a tile's grid, two folders below the catalog.

    Parameters
    ----------
    times
        Start and end, as STAC writes them.

    Raises
    ------
    ModelError
        Where the grid has no coordinate system.
    """
    crs = _crs_of(grid, tile)
    west, south, east, north = transform_bounds(crs.to_wkt(), "OGC:CRS84", *grid.boundingbox.bbox)
    ring = [[west, south], [east, south], [east, north], [west, north]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [PROJECTION, RASTER, *extensions],
        "id": name,
        "bbox": [west, south, east, north],
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
        "properties": {
            "datetime": times[0],
            "start_datetime": times[0],
            "end_datetime": times[1],
            "proj:code": f"EPSG:{crs.epsg}",
            "proj:shape": list(grid.shape),
            "proj:transform": list(grid.affine)[:6],
            "grid:code": tile,
        },
        "assets": assets,
        "links": [
            {"rel": rel, "href": "../../catalog.json", "type": "application/json"}
            for rel in ("root", "parent")
        ],
    }


def _crs_of(grid: GeoBox, tile: str) -> Any:
    if grid.crs is None:
        raise ModelError(f"The grid of tile {tile} has no coordinate system; products need one.")
    return grid.crs


def write_catalog(folder: Path, items: Iterable[dict[str, Any]], title: str) -> Path:
    """Write the catalog that links the items of `ProductWriter.close`, last of all."""
    shutil.rmtree(folder / WORK, ignore_errors=True)
    description = (
        "Images with clouded pixels filled from other dates and radar. value and sigma: stored "
        "integers x 0.0001; "
        "sigma is one standard deviation of the filling's error, 0 where seen; filled: percent of "
        "dates filled, 255 unknown."
    )
    return write_json(folder / "catalog.json", make_catalog("cloud-free", title, description, items))


def make_catalog(name: str, title: str, description: str, items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return a STAC catalog that links items, each `{"href": ...}`."""
    links = [{"rel": "item", "href": item["href"], "type": "application/geo+json"} for item in items]
    root = {"rel": "root", "href": "./catalog.json", "type": "application/json"}
    return {
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": name,
        "title": title,
        "description": description,
        "links": [root, *links],
    }


def encode(picture: Picture) -> dict[str, np.ndarray]:
    """Return what is stored of a picture: `value` and `sigma` as int16 `(band, y, x)` in units of 0.0001,
    `filled` as percent, uint8 `(1, y, x)`.
    """
    percent = np.where(np.isfinite(picture.filled), np.round(100 * np.nan_to_num(picture.filled)), UNKNOWN)
    return {
        "value": _integers(picture.value),
        "sigma": _integers(picture.sigma),
        "filled": percent.astype(np.uint8)[None],
    }


def _integers(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    scaled = np.clip(np.round(np.where(known, values, 0) / SCALE), MISSING + 1, 32767)
    return np.where(known, scaled, MISSING).astype(np.int16)


def _asset(path: Path, kind: str, bands: tuple[str, ...]) -> dict[str, Any]:
    filled = kind == "filled"
    names = ("filled",) if filled else bands
    scale = {} if filled else {"raster:scale": SCALE, "raster:offset": 0.0}
    described = [{"name": name, "data_type": "uint8" if filled else "int16", **scale} for name in names]
    return {
        "href": f"./{path.name}",
        "type": MEDIA_TYPE,
        "roles": ["data"] if kind == "value" else ["metadata"],
        "nodata": UNKNOWN if filled else MISSING,
        "bands": described,
    }
