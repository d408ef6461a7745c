"""Imagery that people already have, indexed into a static STAC catalog that reads like any other."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from features.accounting import Tally, tally
from features.catalog.mission import is_of_another_satellite
from features.errors import CropcheckError, ImageryError
from features.files import atomic_path
from features.indexing.cube_axes import plain_axes
from features.indexing.dated_image import BandImage, DatedImage, infer_orbits
from features.indexing.dated_raster import read_raster
from features.indexing.field_raster import parcels_from_raster
from features.indexing.file_names import DATE_CURE, place_words, read_path
from features.indexing.grouping import group_images, place_of
from features.indexing.netcdf_cube import has_bands, kind_of, open_cube, read_images, read_weather, with_date
from features.indexing.stac_writer import write_catalog, write_cog, write_items
from features.storage.geopackage import write_geopackage
from features.workers import Progress

log = logging.getLogger(__name__)

MOST_MEGAPIXELS = 500  # of an image that is read whole; a Sentinel-2 tile has 121
CUBES, RASTERS = (".nc", ".nc4"), (".tif", ".tiff", ".jp2")
# What to do about files that are set aside, where something can be done.
CURES = {
    "no_date": DATE_CURE,
    "no_known_band": "name the band in the file's name or in the band's description (B04, nir, SCL, VV ...)",
    "other_satellite": "only images of Sentinel-1 and Sentinel-2 are read; leave others out of the folder",
    "no_crs": "write the coordinate system into the file",
    "only_control_points": "project the radar to the ground first (terrain correction)",
    "other_format": "only .nc, .nc4, .tif, .tiff and .jp2 are read; convert others",
    "too_large": "cut these images, or, where they are right, raise --most-megapixels",
    "leads_elsewhere": "write these files with their own values (nccopy, h5repack)",
    "unreadable_name": "rename the files and folders whose names are not UTF-8",
    "unreadable": "fetch these files again",
    "unknown_reflectance_scale": "numbers between 2 and 100, or bytes, may be percent or brightness: write "
    "the scale into the file (gdal_edit.py -a_scale 0.01 where they are percent)",
    "unknown_radar_scale": "whole numbers above zero may be amplitude or intensity: calibrate the radar to "
    "sigma0 or gamma0 in decibels or linear power first, in floating point",
    "unknown_coherence_scale": "write coherence from 0 to 1, in floating point",
    "unnamed_bands": "write the bands' names into the cube's band coordinate",
    "uneven_grid": "resample these cubes onto an even grid",
    "unreadable_times": "write the cube's time axis as CF conventions ask",
}


@dataclass(frozen=True)
class Indexed:
    """A folder as a catalog: where it is, what lies beside it, and what became of everything found.

    The files, the dates in those that are used, and the bands of those dates each come out or are set aside;
    the bands that come out are the assets of the `items`.
    """

    catalog: Path
    items: int
    files: Tally
    dates: Tally
    bands: Tally
    parcels: tuple[Path, ...] = ()
    weather: tuple[Path, ...] = ()

    @property
    def cures(self) -> list[str]:
        """What to do about what was set aside: a sentence a reason."""
        reasons = {**self.files.set_aside, **self.dates.set_aside, **self.bands.set_aside}
        return [f"{reason}: {CURES[reason]}." for reason in sorted(reasons) if reason in CURES]


@dataclass
class _Found:
    """What the files of a folder turned out to hold, and why what is not used is not."""

    root: Path
    out: Path
    min_pixels: int
    most_pixels: int
    images: list[DatedImage] = field(default_factory=list)
    files: list[str | None] = field(default_factory=list)
    dates: list[str | None] = field(default_factory=list)
    bands: list[str | None] = field(default_factory=list)
    parcels: list[Path] = field(default_factory=list)
    weather: list[Path] = field(default_factory=list)
    folders: Counter[Path] = field(default_factory=Counter)

    def add(self, images: list[DatedImage], lost: list[str]) -> None:
        """Take in one date of one file, its pixels put on disk."""
        self.bands += lost
        self.bands += [None for image in images for _ in image.bands]
        self.dates.append(
            None if images else (Counter(lost).most_common(1)[0][0] if lost else "no_known_band")
        )
        self.images += [self._on_disk(image) for image in images]

    def _on_disk(self, image: DatedImage) -> DatedImage:
        inside = (
            image.source.relative_to(self.root) if image.source.is_relative_to(self.root) else image.source
        )
        folder = (
            self.out / "cogs" / inside.parent / inside.name / f"{image.taken:%Y%m%dT%H%M%S}-{image.sensor}"
        )
        self.folders[folder] += 1
        if self.folders[folder] > 1:  # a cube may hold a moment twice
            folder = folder.with_name(f"{folder.name}-{self.folders[folder]}")
        return replace(image, bands=tuple(_written(band, image.source, folder) for band in image.bands))


def _written(band: BandImage, source: Path, folder: Path) -> BandImage:
    if band.values is None:
        return band
    path = folder / f"{band.band}.tif"
    if not path.is_file() or path.stat().st_mtime < source.stat().st_mtime:
        write_cog(band, path)
    return replace(band, values=None, file=path, written=True, data_type=str(np.asarray(band.values).dtype))


def index_folder(
    folder: Path,
    out: Path,
    min_pixels: int = 8,
    progress: Progress | None = None,
    most_megapixels: int = MOST_MEGAPIXELS,
) -> Indexed:
    """Index imagery into a static STAC catalog of COGs.

    Takes NetCDF cubes and dated GeoTIFFs or JPEG2000 files, from `folder` and below. Pixels keep their raw
    values; scale, offset, nodata and unit are stated by the items. A raster of one band is referred to where
    it lies, all else is written as one COG a band and date. Images of two places, orbits or directions are
    two acquisitions also where they share a moment. Daily weather among the cubes becomes `weather.csv`
    (date, t_min_c, t_max_c, precipitation_mm, radiation_mj) and a raster of declared crops `parcels.gpkg`
    (see `parcels_from_raster`), beside the catalog or, where they come from a subfolder, in a subfolder of
    the same name; where a folder holds several, the name of their file is added.

    Parameters
    ----------
    out
        Folder of the catalog; created. Nothing in `folder` is changed. COGs that are there already and newer
        than their source are kept.
    min_pixels
        Smallest connected field of a declared-crop raster that becomes a parcel.
    progress
        Called with files read and files in all.
    most_megapixels
        Million pixels that an image may declare; a larger one is set aside before it is read.

    Returns
    -------
    Indexed
        Whose `catalog.json` was written last.

    Raises
    ------
    ImageryError
        Where the folder is missing or holds no imagery.
    """
    files = _files(folder, out)
    found = _Found(folder, out, min_pixels, most_megapixels * 1_000_000)
    for position, path in enumerate(files, start=1):
        _read(path, found)
        if progress:
            progress(position, len(files))
    images, coarser = group_images(found.images)
    images = _with_orbits(images)
    kept = sum(reason is None for reason in found.bands) - len(coarser)
    bands = tally("catalog", "bands", [*[None] * kept, *filter(None, found.bands), *coarser])
    accounts = (tally("catalog", "files", found.files), tally("catalog", "dates", found.dates), bands)
    for account in accounts:
        log.info("%s", account)
    indexed = Indexed(
        out / "catalog.json", len(images), *accounts, tuple(found.parcels), tuple(found.weather)
    )
    if not images:
        cures = " ".join(indexed.cures)
        raise ImageryError(f"{folder} holds no imagery that can be indexed: {accounts[0]}. {cures}".rstrip())
    about = "; ".join(str(account) for account in accounts)
    write_catalog(out, write_items(images, out), f"Imagery indexed from {folder.name}: {about}.")
    return indexed


def _files(folder: Path, out: Path) -> list[Path]:
    if not folder.is_dir():
        raise ImageryError(f"There is no folder {folder}; name the folder that holds the imagery.")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    files = [path for path in files if out.absolute() not in path.absolute().parents]
    if not any(path.suffix.lower() in (*CUBES, *RASTERS) for path in files):
        endings = ", ".join((*CUBES, *RASTERS))
        raise ImageryError(
            f"{folder} holds none of {endings} among its {len(files)} files; name the folder that holds the "
            "imagery."
        )
    return files


def _read(path: Path, found: _Found) -> None:
    """Take in one file; what cannot be used is set aside with its reason."""
    kind = path.suffix.lower()
    inside = path.relative_to(found.root).parts if path.is_relative_to(found.root) else (path.name,)
    try:
        if not is_storable(path):
            found.files.append("unreadable_name")
        elif kind in (*RASTERS, *CUBES) and is_of_another_satellite(reversed(inside)):
            found.files.append("other_satellite")
        elif kind in RASTERS:
            read = read_raster(path, found.root, found.most_pixels)
            found.files.append(read if isinstance(read, str) else None)
            if not isinstance(read, str):
                found.add(*read)
        elif kind in CUBES:
            found.files.append(_read_cube(path, found))
        else:
            found.files.append("other_format")
    except CropcheckError as error:
        log.warning("%s", error)
        found.files.append(error.reason)


def is_storable(path: Path) -> bool:
    """Whether a catalog can hold a path: names of files need not be UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_cube(path: Path, found: _Found) -> str | None:
    said = read_path(path, found.root)
    with open_cube(path, found.most_pixels) as raw:
        cube = plain_axes(raw, path)
        if has_bands(cube) and "t" not in cube.dims:
            cube = with_date(cube, said, path)
        kind = kind_of(cube)
        if kind == "imagery":
            for images, lost in read_images(cube, path, place_words(path, found.root)):
                found.add(images, lost)
        weather = read_weather(cube) if kind == "weather" else None
    beside = found.out / path.parent.relative_to(found.root)
    if weather is not None:
        found.weather.append(_write_weather(weather, _free(beside / "weather.csv", path, found.weather)))
    if kind == "crops":
        target = _free(beside / "parcels.gpkg", path, found.parcels)
        found.parcels.append(_write_parcels(path, found.min_pixels, target))
    return None if kind else "no_known_band"


def _free(path: Path, source: Path, taken: Iterable[Path]) -> Path:
    """The path, or, where another file of this folder took it, one with the source's name."""
    return path.with_name(f"{path.stem}_{source.stem}{path.suffix}") if path in taken else path


def _write_weather(weather: pl.DataFrame, path: Path) -> Path:
    with atomic_path(path) as partial:
        weather.write_csv(partial)
    return path


def _write_parcels(raster: Path, min_pixels: int, path: Path) -> Path:
    parcels = parcels_from_raster(raster, min_pixels)
    with atomic_path(path) as partial:
        write_geopackage(parcels, partial, "parcels", multi=False)
    return path


def _with_orbits(images: list[DatedImage]) -> list[DatedImage]:
    """Infer the orbits of each place by itself; the order stays."""
    places: dict[int, list[int]] = {}
    for position, place in enumerate(place_of(images)):
        places.setdefault(place, []).append(position)
    found = list(images)
    for positions in places.values():
        inferred = infer_orbits([images[k] for k in positions])
        for position, image in zip(positions, inferred, strict=True):
            found[position] = image
    return found
