"""CropHarvest: points of the world, `features/arrays/<index>_<dataset>.h5` and `labels.geojson`.

`array (12, 18)` has one row for each 30 days up to the label's `export_end_date`: VV and VH in dB, eleven
Sentinel-2 Level-1C bands times 10,000, temperature, precipitation, elevation, slope, NDVI. A point's `label`
is free text, `classification_label` one of FAO's ten groups.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from features.errors import ImageryError
from features.storage.hdf5 import check_dataset
from models.crops.sets.readers.unpacked import another_version, lost, refuse, unlike
from models.crops.sets.sample import BROKEN, MISSING, SETTING, About, Looks, Lost, Sample, Unit, reflectance

ABOUT = About(
    title="CropHarvest",
    version="arrays of 12 x 18 (Zenodo 7257688)",
    licence="CC-BY-SA-4.0",
    citation="Tseng, G., Zvonkov, I., Nakalembe, C. L., Kerner, H. (2021). CropHarvest: A global dataset for "
    "crop-type classification. NeurIPS Datasets and Benchmarks.",
    where="https://zenodo.org/records/7257688",
    size="features.tar.gz and labels.geojson; about 70,000 small files",
)
HCAT: dict[str, str | None] = {
    "maize": "3301010600", "corn": "3301010600", "wheat": "3301010100", "winter wheat": "3301010101",
    "spring wheat": "3301010102", "barley": "3301010400", "winter barley": "3301010401",
    "spring barley": "3301010402", "rye": "3301010300", "oats": "3301010500", "rice": "3301010700",
    "sorghum": "3301010900", "millet": "3301010900", "triticale": "3301010800", "cotton": "3301060300",
    "sunflower": "3301060500", "rapeseed": "3301060400", "soybean": "3301160000", "soybeans": "3301160000",
    "soya": "3301160000", "potato": "3301030000", "potatoes": "3301030000", "alfalfa": "3301090301",
    "beans": "3301020100", "chickpeas": "3301020200", "lentils": "3301020500", "peas": "3301020600",
    "tobacco": "3301060100", "sugarbeet": "3301290700", "sugar beet": "3301290700", "olive": "3303050000",
    "vineyard": "3303060000", "grapes": "3303060000", "almond": "3303030100", "orchard": "3303010000",
    "citrus": "3303040000", "fallow": "3301110000", "grassland": "3302000000", "pasture": "3302000000",
    # FAO's groups, where the label itself is not known here
    "cereals": "3301010000", "leguminous": "3301020000", "fruits_nuts": "3303010000",
    "vegetables_melons": None, "oilseeds": None, "root_tuber": None, "beverage_spice": None, "sugar": None,
    "other": None, "non_crop": None, "crop": None,
}  # fmt: skip
COLUMNS = ("s0vv_db", "s0vh_db", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
SHAPE = (12, 18)
STEP_DAYS = 30
HALF_YEAR = 183


def units(folder: Path, most: int) -> list[Unit]:
    """Return one unit an array, and one a label without one, which is lost; raises a ConfigError where labels
    or arrays are missing.
    """
    labels, arrays = folder / "labels.geojson", sorted(folder.glob("**/arrays/*.h5"))
    if not labels.is_file() or not arrays:
        raise refuse(ABOUT.title, folder, "labels.geojson or features/arrays/*.h5")
    try:
        features = json.loads(labels.read_text("utf-8"))["features"]
        known = {f"{of['index']}_{of['dataset']}": of for of in (row["properties"] for row in features)}
    except (ValueError, KeyError, TypeError) as error:
        raise unlike(ABOUT.title, labels, error) from error
    there = {path.stem for path in arrays}
    return [
        Unit(path.stem, _label(known.get(path.stem)), partial(_read, path, known, most)) for path in arrays
    ] + [lost(name, MISSING) for name in sorted(set(known) - there)]


def _label(of: Mapping[str, Any] | None) -> str:
    """The point's own label where it is known here, else its FAO group."""
    if of is None:
        return "without_a_label"
    names = [str(of[key]).strip().lower() for key in ("label", "classification_label") if of.get(key)]
    if not names:
        return "crop" if of.get("is_crop") else "non_crop"
    return next((name for name in names if name in HCAT), names[-1])


def _read(path: Path, known: Mapping[str, Mapping[str, Any]], most: int) -> Sequence[Sample | Lost]:
    of = known.get(path.stem)
    if of is None:
        return [Lost(path.stem, "without_a_label")]
    try:
        with h5py.File(path, "r") as file:
            check_dataset(file["array"], str(path), "array", most, SETTING, whole=True)
            array = np.asarray(file["array"], np.float32)
        end = np.datetime64(str(of["export_end_date"])[:10], "D")
    except ImageryError as error:
        return [Lost(path.stem, error.reason)]
    except (OSError, ValueError, KeyError, RuntimeError):
        return [Lost(path.stem, BROKEN)]
    if array.shape != SHAPE:
        raise another_version(ABOUT.title, path, f"an array of {array.shape}", f"{SHAPE}")
    middles = end - np.arange(SHAPE[0], 0, -1) * STEP_DAYS + STEP_DAYS // 2
    radar, optical = array[:, :2].copy(), array[:, 2 : len(COLUMNS)]
    radar[(radar == 0).all(1)] = np.nan  # exactly 0 dB in both: nothing was there
    values = reflectance(optical, (optical == 0).all(1))
    looks = (Looks(middles, COLUMNS[:2], radar), Looks(middles, COLUMNS[2:], values))
    year = int(str(end - HALF_YEAR)[:4])
    return [Sample(path.stem, _label(of), f"{of['dataset']}", year, looks)]
