"""BreizhCrops: parcels of Brittany, `<year>/<level>/<region>.csv` with their series beside it.

The index names each parcel's code and series (`CODE_CULTU, path`); `classmapping.csv` its class. Series lie
in `<region>.h5`, one array a path, or in `<region>/csv/<id>.csv`. Level-1C has 17 columns and the time last
(`doa`, nanoseconds of 1970), Level-2A 14 and the time first. Cloud: QA60, or CLD and EDG, are not 0.
"""

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import polars as pl

from features.errors import ConfigError, ImageryError
from features.limits import refuse_packed
from features.storage.hdf5 import check_dataset
from models.crops.sets.readers.unpacked import another_version, refuse, unlike
from models.crops.sets.sample import (
    BROKEN,
    MISSING,
    SETTING,
    TOO_LARGE,
    About,
    Looks,
    Lost,
    Sample,
    Unit,
    reflectance,
)

ABOUT = About(
    title="BreizhCrops",
    version="2017 and 2018, L1C and L2A",
    licence="not stated with the data; ask its authors before passing anything on",
    citation="Russwurm, M., Pelletier, C., Zollner, M., Lefevre, S., Koerner, M. (2020). BreizhCrops: A Time "
    "Series Dataset for Crop Type Mapping. ISPRS Archives XLIII-B2-2020. "
    "doi:10.5194/isprs-archives-XLIII-B2-2020-1545-2020",
    where="https://github.com/dl4sits/BreizhCrops",
    size="1.5 to 2.5 GB a region, year and level (HDF5)",
)
HCAT: dict[str, str | None] = {
    "barley": "3301010400",
    "wheat": "3301010100",
    "rapeseed": "3301060400",
    "corn": "3301010600",
    "sunflower": "3301060500",
    "orchards": "3303010000",
    "nuts": "3303030000",
    "permanent meadows": "3302000000",
    "temporary meadows": "3301090100",
}
OUTSIDE = "not_in_classmapping"  # a code that the set itself leaves out
SHORT = {"B2": "B02", "B3": "B03", "B4": "B04", "B5": "B05", "B6": "B06", "B7": "B07", "B8": "B08",
         "B8A": "B8A", "B11": "B11", "B12": "B12"}  # fmt: skip
COLUMNS = {
    17: ("B1", "B10", "B11", "B12", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "QA10", "QA20",
         "QA60", "doa"),
    14: ("doa", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12", "CLD", "EDG", "SAT"),
}  # fmt: skip
MASKS = ("QA60", "CLD", "EDG")


def units(folder: Path, most: int) -> list[Unit]:
    """Return one unit a parcel of the indices; raises a ConfigError where an index or its series lack."""
    mapping = folder / "classmapping.csv"
    indices = sorted(folder.glob("20??/L??/*.csv"))
    if not mapping.is_file() or not indices:
        raise refuse(ABOUT.title, folder, "classmapping.csv or <year>/<level>/<region>.csv")
    classes = {row["code"]: row["classname"].strip() for row in _rows(mapping, "code", "classname")}
    found = []
    for index in indices:
        if not index.with_suffix(".h5").is_file() and not (index.with_suffix("") / "csv").is_dir():
            raise refuse(ABOUT.title, index.parent, f"{index.stem}.h5 or {index.stem}/csv, the series")
        for row in _rows(index, "CODE_CULTU", "path"):
            label = classes.get(row["CODE_CULTU"], OUTSIDE)
            found.append(
                Unit(f"{index.stem}/{row['path']}", label, partial(_read, index, row["path"], label, most))
            )
    return found


def _rows(path: Path, *columns: str) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            return [{name: row[name] or "" for name in columns} for row in csv.DictReader(handle)]
    except (KeyError, ValueError, csv.Error) as error:
        raise unlike(ABOUT.title, path, error) from error


def _read(index: Path, inside: str, label: str, most: int) -> Sequence[Sample | Lost]:
    name, year = f"{index.stem}/{inside}", int(index.parents[1].name)
    table = index.with_suffix("") / "csv" / Path(inside).name
    try:
        if table.is_file() and table.stat().st_size > most:  # a value takes a byte at least
            return [Lost(name, TOO_LARGE)]
        columns = _from_csv(table) if table.is_file() else _from_h5(index.with_suffix(".h5"), inside, most)
    except ImageryError as error:
        return [Lost(name, error.reason)]
    except (OSError, ValueError, KeyError, RuntimeError, pl.exceptions.PolarsError):
        return [Lost(name, BROKEN)]
    if columns is None:
        return [Lost(name, MISSING)]
    dates = columns["doa"].astype("datetime64[ns]").astype("datetime64[D]")
    present = tuple(band for band in SHORT if band in columns)
    numbers = np.stack([columns[band] for band in present], axis=1).astype(np.float32)
    unseen = np.any([columns[mask].astype(float) != 0 for mask in MASKS if mask in columns], axis=0)
    values = reflectance(numbers, unseen | (numbers < 0).any(1))
    looks = Looks(dates, tuple(SHORT[band] for band in present), values)
    return [Sample(name, label, index.stem, year, (looks,))] if len(dates) else [Lost(name, BROKEN)]


def _from_csv(path: Path) -> dict[str, np.ndarray]:
    try:
        table = pl.read_csv(refuse_packed(path)).drop_nulls()
    except ConfigError as error:  # one packed file is no reason to refuse the set
        raise ValueError(str(error)) from error
    columns = {name: table[name].to_numpy() for name in (*SHORT, *MASKS) if name in table.columns}
    return {
        **columns,
        "doa": table["doa"].cast(pl.String).str.slice(0, 10).to_numpy().astype("datetime64[D]"),
    }


def _from_h5(path: Path, inside: str, most: int) -> dict[str, np.ndarray] | None:
    if not path.is_file():
        return None
    with h5py.File(path, "r") as file:
        if inside not in file:
            return None
        check_dataset(file[inside], str(path), inside, most, SETTING, whole=True)
        array = np.asarray(file[inside])
    if array.ndim != 2 or array.shape[1] not in COLUMNS:
        raise another_version(ABOUT.title, path, f"arrays of shape {array.shape}", "17 or 14 columns")
    columns = dict(zip(COLUMNS[array.shape[1]], array.T, strict=True))
    return {**columns, "doa": columns["doa"].astype(np.int64)}
