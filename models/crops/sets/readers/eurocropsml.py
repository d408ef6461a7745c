"""EuroCropsML: parcels of Estonia, Latvia and Portugal, `<NUTS3>_<parcel>_<HCAT code>.npz`.

Each file holds `data (date, band)`, medians over the parcel of Level-1C times 10,000 (13 bands), `dates` and
`center`. A folder S1 holds backscatter (VV, VH) under the same names. -999 is padding; cloudy dates have been
left out by the publisher.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from models.arrays_file import UNREADABLE, unpacked_bytes
from models.crops.sets.readers.unpacked import another_version, lost, refuse
from models.crops.sets.sample import (
    BROKEN,
    TOO_LARGE,
    About,
    Looks,
    Lost,
    Sample,
    Unit,
    reflectance,
)

ABOUT = About(
    title="EuroCropsML",
    version="preprocessed S2 of 13 bands",
    licence="CC-BY-4.0 (please check the record that you took)",
    citation="Reuss, J., Macdonald, J., Becker, S., Richter, L., Koerner, M. (2024). EuroCropsML: A Time "
    "Series Benchmark Dataset For Few-Shot Crop Type Classification. arXiv:2407.17458",
    where="https://github.com/dida-do/eurocropsml, which links to Zenodo",
    size="706,683 small files",
)
HCAT: dict[str, str | None] = {}  # its labels are HCAT codes
NAME = re.compile(r"(?P<region>[A-Z]{2}[A-Z0-9]*)_(?P<parcel>.+)_(?P<code>\d{10})")
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
KEPT = tuple(band for band in BANDS if band not in ("B01", "B09", "B10"))
PADDING = -999
YEAR = 2021
UNKNOWN_NAME = "unknown_name"


def units(folder: Path, most: int) -> list[Unit]:
    """Return one unit a file, those of other names are lost; raises a ConfigError where no file is named as
    the set names them.
    """
    files = sorted(path for path in folder.rglob("*.npz") if path.parent.name != "S1")
    named = {path: found for path in files if (found := NAME.fullmatch(path.stem))}
    if not named:
        raise refuse(ABOUT.title, folder, "a file <NUTS3>_<parcel>_<HCAT code>.npz")
    return [
        Unit(path.stem, named[path]["code"], partial(_read, path, named[path]["region"], most))
        if path in named
        else lost(path.stem, UNKNOWN_NAME)
        for path in files
    ]


def _read(path: Path, region: str, most: int) -> Sequence[Sample | Lost]:
    label = path.stem.rsplit("_", 1)[-1]
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            if unpacked_bytes(held) > 8 * most:
                return [Lost(path.stem, TOO_LARGE)]
            data, dates = held["data"], held["dates"].astype("datetime64[D]")
    except UNREADABLE:
        return [Lost(path.stem, BROKEN)]
    if data.ndim != 2 or len(data) != len(dates) or not len(data):
        return [Lost(path.stem, BROKEN)]
    if data.shape[1] != len(BANDS):
        raise another_version(ABOUT.title, path, f"{data.shape[1]} bands", f"{len(BANDS)}")
    padded = (data == PADDING).all(1) | (data == 0).all(1)
    values = reflectance(data[:, [BANDS.index(band) for band in KEPT]], padded)
    return [Sample(path.stem, label, region, YEAR, (Looks(dates, KEPT, values),))]
