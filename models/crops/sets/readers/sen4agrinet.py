"""Sen4AgriNet: patches of Catalonia and France, `<year>_<tile>_patch_<x>_<y>.nc`.

Each file has a group a band (`B02 (time, y, x)`, Level-1C times 10,000, 366 pixels of 10 m or 183 of 20 m), a
group `labels` (FAO's indicative crop classification) and a group `parcels`. No cloud mask is published: a
date on which a parcel's red reflectance is above 0.25 counts as cloud (the upper threshold of Sen2Cor's first
test).
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from features.errors import ImageryError
from features.storage.hdf5 import check_hdf5
from models.crops.sets.readers.parcels import RED_OF_CLOUD, means_of_parcels
from models.crops.sets.readers.unpacked import another_version, refuse
from models.crops.sets.sample import BROKEN, SETTING, About, Looks, Lost, Sample, Unit

ABOUT = About(
    title="Sen4AgriNet",
    version="21.03",
    licence="CC-BY-SA-4.0",
    citation="Sykas, D., Sdraka, M., Zografakis, D., Papoutsis, I. (2022). A Sentinel-2 multi-year, "
    "multi-country benchmark dataset for crop classification and segmentation with deep learning. IEEE "
    "JSTARS 15. doi:10.1109/JSTARS.2022.3164771",
    where="https://github.com/Orion-AI-Lab/S4A",
    size="very large; any part of it will do, by year and tile",
)
HCAT: dict[str, str | None] = {
    "110": "3301010100", "120": "3301010600", "130": "3301010700", "140": "3301010900", "150": "3301010400",
    "160": "3301010300", "170": "3301010500", "180": "3301010900", "190": "3301019900", "191": "3301011100",
    "330": "3303060000", "361": "3303030100", "363": "3303030500", "364": "3303030200", "366": "3303030600",
    "351": "3303010200", "410": "3301160000", "432": "3301060702", "435": "3301060400", "438": "3301060500",
    "442": "3303050000", "510": "3301030000", "520": "3301040000", "710": "3301020100", "730": "3301020200",
    "750": "3301020500", "760": "3301020700", "770": "3301020600", "810": "3301290700", "911": "3301090100",
    "912": "3302000000", "921": "3301060300", "960": "3301060100", "975": "3301110000",
}  # fmt: skip
GROUPS = {  # whole groups of FAO's classification; what none of them holds has no equal
    "32": "3303040000",  # citrus
    "35": "3303010000",  # pome and stone fruit
    "36": "3303030000",  # nuts
    "70": "3301020000", "72": "3301020100", "74": "3301020000", "78": "3301020000", "79": "3301020000",
}  # fmt: skip
HCAT |= {str(code): next((GROUPS[g] for g in GROUPS if str(code).startswith(g)), None)
         for code in range(100, 1000) if str(code) not in HCAT}  # fmt: skip
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")


def units(folder: Path, most: int) -> list[Unit]:
    """Return one unit a patch; raises a ConfigError where there is none."""
    patches = sorted(folder.rglob("*_patch_*.nc"))
    if not patches:
        raise refuse(ABOUT.title, folder, "a file <year>_<tile>_patch_<x>_<y>.nc")
    return [Unit(path.stem, None, partial(_read, path, most)) for path in patches]


def _read(path: Path, most: int) -> Sequence[Sample | Lost]:
    try:
        with h5py.File(path, "r") as opened:
            check_hdf5(opened, str(path), most, SETTING, whole=True)
        with xr.open_dataset(path, engine="h5netcdf") as root:
            about = {name: str(root.attrs.get(name, "")) for name in ("version", "patch_year", "patch_tile")}
        if about["version"] not in ("", ABOUT.version):
            raise another_version(ABOUT.title, path, f"version {about['version']}", ABOUT.version)
        parcel, labels = (_group(path, name)[0].astype(np.int64) for name in ("parcels", "labels"))
        dates, values = _bands(path, parcel)
        year = int(about["patch_year"] or path.stem[:4])
        if labels.shape != parcel.shape or labels.min(initial=0) < 0:
            raise ValueError("labels do not fit the parcels")
    except ImageryError as error:
        return [Lost(path.stem, error.reason)]
    except (OSError, ValueError, KeyError, RuntimeError):
        return [Lost(path.stem, BROKEN)]
    looks = [Looks(dates, BANDS, of) for of in values]
    tile = about["patch_tile"] or path.stem.split("_")[1]
    return [
        Sample(
            f"{path.stem}/{number}", str(np.bincount(labels[parcel == number]).argmax()), tile, year, (of,)
        )
        for number, of in zip(np.unique(parcel[parcel > 0]), looks, strict=True)
    ]


def _group(path: Path, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Values of a group's variable of its own name, and its times."""
    with xr.open_dataset(path, group=name, engine="h5netcdf") as group:
        return group[name].to_numpy(), group["time"].to_numpy() if "time" in group.variables else None


def _bands(path: Path, parcel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dates, and values `(parcel, time, band)`, NaN where there was cloud or nothing."""
    parts, dates = [], np.empty(0, "datetime64[D]")
    for band in BANDS:
        stack, times = _group(path, band)
        if times is None or stack.ndim != 3 or parcel.shape[0] % stack.shape[1]:
            raise ValueError(f"{band} does not fit the parcels")
        factor = parcel.shape[0] // stack.shape[1]
        dates = times.astype("datetime64[D]")
        seen = np.repeat(np.repeat(stack, factor, axis=1), factor, axis=2)
        parts.append(means_of_parcels(seen[:, None], parcel))
    values = np.concatenate(parts, axis=2) * np.float32(1e-4)
    values[(values <= 0).all(-1) | (values[..., BANDS.index("B04")] > RED_OF_CLOUD)] = np.nan
    return dates, values
