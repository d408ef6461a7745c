"""Imagery that people already have, indexed into a static STAC catalog that reads like any other."""

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from features.accounting import tally
from features.errors import CropcheckError, ImageryError
from features.files import atomic_path
from features.indexing.dated_raster import Part, group_parts, read_part
from features.indexing.dated_scene import Layer, Scene, infer_orbits
from features.indexing.field_raster import parcels_from_raster
from features.indexing.netcdf_cube import kind_of, open_cube, read_scenes, read_weather
from features.indexing.stac_writer import bounds_wgs84, write_catalog, write_cog, write_items
from features.workers import Progress

log = logging.getLogger(__name__)

CUBES, RASTERS = (".nc", ".nc4"), (".tif", ".tiff")


@dataclass
class _Found:
    """What the files of a folder turned out to hold."""

    scenes: list[Scene] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    reasons: list[str | None] = field(default_factory=list)


def index_folder(folder: Path, out: Path, min_pixels: int = 8, progress: Progress | None = None) -> Path:
    """Index imagery into a static STAC catalog of COGs.

    Takes openEO NetCDF cubes and dated GeoTIFFs, from `folder` and below. Pixels keep their raw values;
    scale, offset, nodata and unit are stated by the items. A GeoTIFF of one band is referred to where it
    lies, all else is written as one COG a band and date. Daily weather among the cubes becomes `weather.csv`
    (date, t_min_c, t_max_c, precipitation_mm, radiation_mj) and a raster of declared crops `parcels.gpkg`
    (see `parcels_from_raster`), beside the catalog or, where they come from a subfolder, in a subfolder of
    the same name.

    Parameters
    ----------
    out
        Folder of the catalog; created. Nothing in `folder` is changed. COGs that are there already and newer
        than their source are kept.
    min_pixels
        Smallest connected field of a declared-crop raster that becomes a parcel.
    progress
        Called with files read and files in all.

    Returns
    -------
    Path
        `catalog.json`, written last.

    Raises
    ------
    ImageryError
        Where the folder is missing or holds no imagery.
    """
    files = _files(folder, out)
    found = _Found()
    for position, path in enumerate(files, start=1):
        _read(path, folder, out, min_pixels, found)
        if progress:
            progress(position, len(files))
    scenes = _with_orbits(_merge([*found.scenes, *group_parts(found.parts)]))
    account = tally("catalog", "files and dates", found.reasons)
    log.info("%s", account)
    if not scenes:
        raise ImageryError(f"{folder} holds no imagery that can be indexed: {account}.")
    ids = write_items(scenes, out)
    return write_catalog(out, ids, f"Imagery indexed from {folder.name}: {account}.")


def _files(folder: Path, out: Path) -> list[Path]:
    if not folder.is_dir():
        raise ImageryError(f"There is no folder {folder}; name the folder that holds the imagery.")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (*CUBES, *RASTERS))
    files = [path for path in files if out.absolute() not in path.absolute().parents]
    if not files:
        raise ImageryError(
            f"{folder} holds no .nc, .tif or .tiff file; name the folder that holds the imagery."
        )
    return files


def _read(path: Path, folder: Path, out: Path, min_pixels: int, found: _Found) -> None:
    """Take in one file; what cannot be used is set aside with its reason."""
    try:
        if path.suffix.lower() in RASTERS:
            part = read_part(path)
            found.reasons.append(part if isinstance(part, str) else None)
            if isinstance(part, Part):
                found.parts.append(_kept(part, path, out))
        else:
            _read_cube(path, out / path.parent.relative_to(folder), out, min_pixels, found)
    except CropcheckError as error:
        log.warning("%s", error)
        found.reasons.append("unreadable")


def _read_cube(path: Path, beside: Path, out: Path, min_pixels: int, found: _Found) -> None:
    with open_cube(path) as cube:
        kind = kind_of(cube)
        if kind == "imagery":
            for scene in read_scenes(cube, path):
                found.reasons.append(scene if isinstance(scene, str) else None)
                if isinstance(scene, Scene):
                    found.scenes.append(_written(scene, path, out))
            return
        weather = read_weather(cube) if kind == "weather" else None
    if weather is not None:
        _write_weather(weather, beside / "weather.csv")
    if kind == "crops":
        _write_parcels(path, min_pixels, beside / "parcels.gpkg")
    found.reasons.append(None if kind else "not_recognised")


def _write_weather(weather: pl.DataFrame, path: Path) -> None:
    with atomic_path(path) as partial:
        weather.write_csv(partial)


def _write_parcels(raster: Path, min_pixels: int, path: Path) -> None:
    parcels = parcels_from_raster(raster, min_pixels)
    with atomic_path(path) as partial:
        parcels.to_file(partial, layer="parcels", driver="GPKG")


def _written(scene: Scene, source: Path, out: Path) -> Scene:
    """The scene with its values on disk instead of in memory."""
    folder = out / "cogs" / source.stem / f"{scene.taken:%Y%m%dT%H%M%S}"
    return replace(scene, layers=tuple(_on_disk(layer, source, folder) for layer in scene.layers))


def _kept(part: Part, source: Path, out: Path) -> Part:
    folder = out / "cogs" / source.stem
    return replace(part, layers=tuple(_on_disk(layer, source, folder) for layer in part.layers))


def _on_disk(layer: Layer, source: Path, folder: Path) -> Layer:
    if layer.values is None:
        return layer
    path = folder / f"{layer.band}.tif"
    if not path.is_file() or path.stat().st_mtime < source.stat().st_mtime:
        write_cog(layer, path)
    return replace(layer, values=None, file=path, written=True, data_type=str(np.asarray(layer.values).dtype))


def _merge(scenes: list[Scene]) -> list[Scene]:
    """Put together what several cubes hold of one acquisition: 10 m and 20 m bands are files of their own."""
    groups: defaultdict[tuple[object, ...], list[Scene]] = defaultdict(list)
    for scene in scenes:
        extent = tuple(round(value, 3) for value in bounds_wgs84(scene.layers[0]))
        groups[scene.taken, scene.sensor, extent, scene.properties.get("s2:processing_baseline")].append(
            scene
        )
    return [_union(group) for _, group in sorted(groups.items(), key=lambda group: str(group[0]))]


def _with_orbits(scenes: list[Scene]) -> list[Scene]:
    """Infer the orbits of each place by itself."""
    places: defaultdict[tuple[float, ...], list[Scene]] = defaultdict(list)
    for scene in scenes:
        places[_extent(scene)].append(scene)
    return [scene for place in places.values() for scene in infer_orbits(place)]


def _extent(scene: Scene) -> tuple[float, ...]:
    """Where a scene lies, to about 100 m."""
    return tuple(round(value, 3) for value in bounds_wgs84(scene.layers[0]))


def _union(group: list[Scene]) -> Scene:
    finest: dict[str, Layer] = {}
    for layer in sorted(_layers(group), key=lambda layer: abs(layer.transform.a)):
        finest.setdefault(layer.band, layer)
    azimuth = next((scene.view_azimuth for scene in group if scene.view_azimuth is not None), None)
    properties = {name: value for scene in group for name, value in scene.properties.items()}
    return replace(group[0], layers=tuple(finest.values()), properties=properties, view_azimuth=azimuth)


def _layers(group: list[Scene]) -> Iterator[Layer]:
    for scene in group:
        yield from scene.layers
