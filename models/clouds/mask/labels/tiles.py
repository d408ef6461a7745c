"""Folders of images with masks that people made, as they are published or as CVAT's exports become.

Layouts
-------
kappaset
    NetCDF files (KappaSet, Zenodo 5095024): one variable a band, `B02` or with the level before it, and
    `Label`: 0 missing, 1 clear, 2 cloud shadow, 3 semi-transparent cloud, 4 cloud, 5 undefined.
cloudsen12
    Folders (Aybar et al. 2022): `S2L2A.tif` or `S2L1C.tif` beside or above `manual_hq.tif` or `target.tif`:
    0 clear, 1 thick cloud, 2 thin cloud, 3 cloud shadow.
pairs
    `NAME.tif` beside `NAME_mask.tif`, in our own codes: 0 clear, 1 shadow, 2 thin, 3 cloud, 255 unknown.
npz
    Arrays `image (band, y, x)`, `mask (y, x)` and `bands`; no pickled object is read.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from features.errors import ModelError
from features.imagery.rasters.opening import open_raster
from features.limits import DEFAULT_LIMITS, MILLION, LimitOptions
from features.storage.hdf5 import check_hdf5
from models.arrays_file import UNREADABLE, unpacked_bytes
from models.clouds.mask.classes import CLOUD, NAMES, SHADOW, THIN, UNKNOWN, recoded
from models.clouds.mask.network.inputs import GROUPS
from models.clouds.mask.network.samples import Sample
from models.clouds.mask.options import LabelledTiles

OWN = {0: 0, 1: 1, 2: 2, 3: 3, UNKNOWN: UNKNOWN}
KAPPASET = {0: UNKNOWN, 1: 0, 2: SHADOW, 3: THIN, 4: CLOUD, 5: UNKNOWN}
CLOUDSEN12 = {0: 0, 1: CLOUD, 2: THIN, 3: SHADOW, 99: UNKNOWN}
CODES = {"kappaset": KAPPASET, "cloudsen12": CLOUDSEN12, "pairs": OWN, "npz": OWN}
L1C = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
L2A = tuple(band for band in L1C if band != "B10")
BAND = re.compile(r"^(?:L(?P<level>1C|2A)_)?B(?P<number>\d{1,2}A?)$", re.IGNORECASE)
SETTING = "limits.tile_megavalues"
MASKS = ("manual_hq.tif", "target.tif")


def read_tiles(folder: LabelledTiles, limits: LimitOptions = DEFAULT_LIMITS) -> list[Sample]:
    """Read all labelled tiles of a folder.

    Raises
    ------
    ModelError
        Where there is none, a mask lies on another grid than its image, a label stands in no table, or the
        bands of an image are not known.
    """
    if not folder.path.is_dir():
        raise ModelError(f"clear.mask.network.tiles names {folder.path}, which is no folder.")
    read = {"kappaset": _kappaset, "cloudsen12": _cloudsen12, "pairs": _pairs, "npz": _npz}[folder.layout]
    found = list(read(folder, int(limits.tile_megavalues * MILLION)))
    if not found:
        raise ModelError(
            f"{folder.path} holds no labelled tile of layout {folder.layout}; README says what is expected."
        )
    return found


def _sample(
    folder: LabelledTiles,
    stored: np.ndarray,
    bands: tuple[str, ...],
    mask: np.ndarray,
    where: Path,
    top: bool,
) -> Sample:
    """Stored numbers `(band, y, x)` and codes `(y, x)` as a window of the network's bands."""
    if mask.shape != stored.shape[1:]:
        raise ModelError(
            f"{where}: the mask has {mask.shape[0]} x {mask.shape[1]} pixels, the image {stored.shape[1]} x "
            f"{stored.shape[2]}; they must lie on one grid.",
            reason="shifted_grid",
        )
    if len(bands) != len(stored):
        raise ModelError(
            f"{where} has {len(stored)} bands, but {len(bands)} are named; give its `bands` in order."
        )
    values = stored.astype(np.float32) * np.float32(folder.scale) + np.float32(folder.offset)
    values[~np.isfinite(stored) | (stored == 0)] = np.nan
    chosen = np.full((len(GROUPS), *mask.shape), np.nan, np.float32)
    for k, group in enumerate(GROUPS):
        present = [band for band in group if band in bands]
        if present:
            chosen[k] = values[bands.index(present[0])]
    missing = [" or ".join(group) for k, group in enumerate(GROUPS[:4]) if np.isnan(chosen[k]).all()]
    if missing:
        raise ModelError(
            f"{where} has no {', no '.join(missing)}; the network needs it.", reason="missing_band"
        )
    table = {code: ([*NAMES, "unknown"].index(name) if name != "unknown" else UNKNOWN)
             for code, name in folder.classes.items()} or CODES[folder.layout]  # fmt: skip
    labels = recoded(mask, table, str(where))
    labels[np.isnan(chosen[:4]).any(axis=0)] = UNKNOWN
    return Sample(chosen, labels, top)


def _kappaset(folder: LabelledTiles, most: int) -> Iterator[Sample]:
    for path in sorted(folder.path.rglob("*.nc")):
        with h5py.File(path, "r") as opened:
            check_hdf5(opened, str(path), most, SETTING, whole=True)
        with xr.open_dataset(path, engine="h5netcdf", mask_and_scale=False) as tile:
            label = next((name for name in tile if str(name).lower() == "label"), None)
            matched = {str(name): match for name in tile if (match := BAND.match(str(name)))}
            levels = {match["level"] for match in matched.values() if match["level"]}
            level = "2A" if "2A" in levels or not levels else "1C"
            kept = {name: m for name, m in matched.items() if m["level"] in (None, level)}
            if label is None or not kept:
                raise ModelError(f"{path} has no variable Label or no band; it is no tile of KappaSet.")
            stored = np.stack([tile[name].values.squeeze() for name in kept])
            bands = tuple(f"B{m['number'].upper().zfill(2)}" for m in kept.values())
            yield _sample(folder, stored, bands, tile[label].values.squeeze(), path, level == "1C")


def _cloudsen12(folder: LabelledTiles, most: int) -> Iterator[Sample]:
    for mask in sorted(path for name in MASKS for path in folder.path.rglob(name)):
        places = (mask.parent, mask.parent.parent)
        images = [p / name for p in places for name in ("S2L2A.tif", "S2L1C.tif") if (p / name).is_file()]
        if not images:
            raise ModelError(f"{mask} has no S2L2A.tif or S2L1C.tif beside or above it.")
        stored = _read(images[0], most)
        bands = folder.bands or {13: L1C, 12: L2A}.get(len(stored), ())
        yield _sample(folder, stored, bands, _read(mask, most)[0], mask, images[0].name == "S2L1C.tif")


def _pairs(folder: LabelledTiles, most: int) -> Iterator[Sample]:
    for mask in sorted(folder.path.rglob("*_mask.tif")):
        image = mask.with_name(mask.name.replace("_mask.tif", ".tif"))
        if not image.is_file():
            raise ModelError(f"{mask} has no image {image.name} beside it.")
        with open_raster(str(image)) as raster:
            named = tuple(name or "" for name in raster.descriptions)
        bands = folder.bands or named
        yield _sample(folder, _read(image, most), bands, _read(mask, most)[0], mask, top=False)


def _npz(folder: LabelledTiles, most: int) -> Iterator[Sample]:
    for path in sorted(folder.path.rglob("*.npz")):
        try:
            with np.load(path, allow_pickle=False) as stored:
                if (size := unpacked_bytes(stored)) > 8 * most:
                    raise ValueError(
                        f"it unpacks to {size >> 20:,} MiB; at most {8 * most >> 20:,} are read, or raise "
                        f"{SETTING}"
                    )
                image, mask = stored["image"], stored["mask"]
                named = tuple(str(name) for name in stored["bands"]) if "bands" in stored.files else ()
        except UNREADABLE as error:
            raise ModelError(
                f"{path} cannot be read as a labelled tile ({error}); it needs image and mask."
            ) from error
        yield _sample(folder, image, folder.bands or named, mask, path, top=False)


def _read(path: Path, most: int) -> np.ndarray:
    with open_raster(str(path)) as raster:
        if raster.count * raster.height * raster.width > most:
            raise ModelError(
                f"{path} declares {raster.count} bands of {raster.height} x {raster.width} pixels; cut it "
                f"into tiles, or raise {SETTING}.",
                reason="too_large",
            )
        return np.asarray(raster.read())
