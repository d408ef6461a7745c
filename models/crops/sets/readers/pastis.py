"""PASTIS and PASTIS-R: French patches of 128 x 128 pixels, NumPy arrays and `metadata.geojson`.

`DATA_S2/S2_<id>.npy (date, 10, y, x)` is Level-2A times 10,000; PASTIS-R adds `DATA_S1A` and `DATA_S1D`
`(date, 3, y, x)`: VV, VH and their ratio in dB. `ANNOTATIONS/TARGET_<id>.npy` has classes first,
`ANNOTATIONS/ParcelIDs_<id>.npy` the parcels. No cloud mask is published: a date on which a parcel's red
reflectance is above 0.25 counts as cloud (the upper threshold of Sen2Cor's first test).
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.crops.sets.readers.parcels import RED_OF_CLOUD, means_of_parcels
from models.crops.sets.readers.unpacked import another_version, refuse, unlike
from models.crops.sets.sample import BROKEN, MISSING, TOO_LARGE, About, Looks, Lost, Sample, Unit

ABOUT = About(
    title="PASTIS / PASTIS-R",
    version="1.0 (Zenodo 5012942) and PASTIS-R (Zenodo 5735646)",
    licence="Etalab Open Licence 2.0",
    citation="Sainte Fare Garnot, V., Landrieu, L. (2021). Panoptic Segmentation of Satellite Image Time "
    "Series with Convolutional Temporal Attention Networks. ICCV. Radar: Sainte Fare Garnot, V., Landrieu, "
    "L., Chehata, N. (2022). Multi-modal temporal attention models for crop mapping. ISPRS Journal 187.",
    where="https://zenodo.org/records/5012942 and https://zenodo.org/records/5735646",
    size="29 GB; with radar 54 GB",
)
HCAT: dict[str, str | None] = {
    "0": None,  # background
    "1": "3302000000",  # meadow
    "2": "3301010101",  # soft winter wheat
    "3": "3301010600",  # corn
    "4": "3301010401",  # winter barley
    "5": "3301060401",  # winter rapeseed
    "6": "3301010402",  # spring barley
    "7": "3301060500",  # sunflower
    "8": "3303060000",  # grapevine
    "9": "3301290700",  # beet
    "10": "3301010801",  # winter triticale
    "11": "3301010201",  # winter durum wheat
    "12": None,  # fruits, vegetables, flowers
    "13": "3301030000",  # potatoes
    "14": "3301090300",  # leguminous fodder
    "15": "3301160000",  # soybeans
    "16": "3303010000",  # orchard
    "17": "3301011100",  # mixed cereal
    "18": "3301010900",  # sorghum
    "19": None,  # void
}
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
RADAR = ("s0vv_db", "s0vh_db")
YEAR = 2019


def units(folder: Path, most: int) -> list[Unit]:
    """Return one unit a patch; raises a ConfigError where the metadata or a folder is missing."""
    metadata = folder / "metadata.geojson"
    if not metadata.is_file() or not (folder / "DATA_S2").is_dir() or not (folder / "ANNOTATIONS").is_dir():
        raise refuse(ABOUT.title, folder, "metadata.geojson, DATA_S2 or ANNOTATIONS")
    try:
        patches = [feature["properties"] for feature in json.loads(metadata.read_text("utf-8"))["features"]]
        patches = sorted(patches, key=lambda of: int(of["ID_PATCH"]))
        return [Unit(str(of["ID_PATCH"]), None, partial(_read, folder, of, most)) for of in patches]
    except (ValueError, KeyError, TypeError) as error:
        raise unlike(ABOUT.title, metadata, error) from error


def _dates(of: Mapping[str, Any], sensor: str) -> np.ndarray:
    """Dates of a patch: {"0": 20180924, …}, in some versions as text."""
    held = of[f"dates-{sensor}"]
    table = json.loads(held) if isinstance(held, str) else held
    days = [str(table[key]) for key in sorted(table, key=int)]
    return np.array([f"{d[:4]}-{d[4:6]}-{d[6:]}" for d in days], dtype="datetime64[D]")


def _read(folder: Path, of: Mapping[str, Any], most: int) -> Sequence[Sample | Lost]:
    patch = str(of["ID_PATCH"])
    names = {kind: folder / "ANNOTATIONS" / f"{kind}_{patch}.npy" for kind in ("TARGET", "ParcelIDs")}
    optical = folder / "DATA_S2" / f"S2_{patch}.npy"
    if not all(path.is_file() for path in (*names.values(), optical)):
        return [Lost(patch, MISSING)]
    try:
        target, parcel = (np.load(path, allow_pickle=False, mmap_mode="r") for path in names.values())
        stacks = [(optical, "S2", BANDS)] + [
            (path, sensor, RADAR)
            for sensor in ("S1A", "S1D")
            if (path := folder / f"DATA_{sensor}" / f"{sensor}_{patch}.npy").is_file()
            and f"dates-{sensor}" in of
        ]
        if (
            max(path.stat().st_size for path in (*names.values(), *(path for path, _, _ in stacks)))
            > 8 * most
        ):
            return [Lost(patch, TOO_LARGE)]
        found = [_looks(path, _dates(of, sensor), features, parcel) for path, sensor, features in stacks]
        classes = np.asarray(target[0] if target.ndim == 3 else target).astype(np.uint8)
        if classes.shape != parcel.shape:
            raise ValueError("classes and parcels differ in shape")
    except (OSError, ValueError, KeyError, EOFError):
        return [Lost(patch, BROKEN)]
    samples = []
    for number, parcel_id in enumerate(np.unique(parcel[parcel > 0])):
        label = str(np.bincount(classes[parcel == parcel_id]).argmax())
        looks = tuple(Looks(dates, features, values[number]) for dates, features, values in found)
        samples.append(Sample(f"{patch}/{parcel_id}", label, str(of.get("TILE", patch)), YEAR, looks))
    return samples


def _looks(
    path: Path, dates: np.ndarray, features: tuple[str, ...], parcel: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """Dates, features and values `(parcel, time, feature)` of one sensor."""
    stack = np.load(path, allow_pickle=False, mmap_mode="r")
    optical = features is BANDS
    if stack.ndim != 4 or stack.shape[1] != (len(BANDS) if optical else 3):
        raise another_version(
            ABOUT.title, path, f"shape {stack.shape}", "(date, 10 bands or 3 channels, y, x)"
        )
    if len(stack) != len(dates):
        raise ValueError("dates and images differ in number")
    values = means_of_parcels(stack[:, : len(features)], parcel)
    if optical:
        values = values * np.float32(1e-4)
        values[values[..., BANDS.index("B04")] > RED_OF_CLOUD] = np.nan
        values[(values <= 0).all(-1)] = np.nan
    return dates, features, values
