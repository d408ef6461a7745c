"""About how much each stage writes, and whether the disk holds it.

Bytes, measured on the embedded default (127 acquisitions: 747 MB) and on a region of 200 parcels.
"""

import shutil
from pathlib import Path

from models.crops.estimators.by_name import read_options
from models.crops.estimators.options import DenseOptions, LightgbmOptions, LstmOptions, TempcnnOptions
from pipelines.config import RunConfig
from pipelines.record.hashes import files_in
from pipelines.steps.estimate.load import FITS_PER_FOLD, Load
from pipelines.steps.estimate.words import each, size_words

# of the observations; those of tables say little beside the value, and what was not seen takes no place
BYTES_PER_ROW = {"imagery": 26.0, "tables": 1.5}
BYTES_PER_UNIT = 20e3  # of the files of one acquisition, however few its parcels
BYTES_PER_PIXEL_SIMULATED = 0.8  # of one band
BYTES_PER_SERIES_VALUE = 3.9  # in one of series.nc and filled.nc, with its marks
BYTES_PER_TREE = 1.1e3  # of a class and round
BYTES_PER_WEIGHT = 4.0
BYTES_OF_OTHER_FITS = 3e5  # of a model whose size is not computed
BYTES_OF_MODELS = {"detect": 1e6, "forecast": 0.5e6}
BYTES_OF_RECORD = 1e6  # MLflow's database
BYTES_PER_PARCEL = {
    "read": 1e3, "train": 1.5e3, "detect": 1e3, "judge": 0.7e3, "forecast": 0.8e3, "compare": 0.1e3,
    "publish": 3e3,
}  # fmt: skip
BYTES_OF_PAGES = 3e6
LARGEST_CLASSES, PARCELS_PER_CLASS = 20, 20


def disk_of(config: RunConfig, load: Load) -> dict[str, float]:
    """Return the bytes that each stage writes."""
    share = load.simulated / load.acquisitions if load.acquisitions else 0
    values = load.parcels * load.steps * load.channels * len(config.series.statistics)
    classes = min(LARGEST_CLASSES, max(2, load.parcels // PARCELS_PER_CLASS))
    inputs = load.channels * len(config.series.statistics)
    fit = sum(_bytes_of_fit(config, name, inputs, load.steps, classes) for name in config.train.models)
    copies = 2 if config.tracking.enabled else 1  # in the output and in MLflow's folder
    models = fit * config.folds.count * FITS_PER_FOLD * copies
    found = {
        "synthesise": load.megapixels * load.bands * share * 1e6 * BYTES_PER_PIXEL_SIMULATED,
        "read": 0.0,
        "extract": load.parcels
        * load.features
        * BYTES_PER_ROW["tables" if config.series.tables else "imagery"]
        + load.acquisitions * BYTES_PER_UNIT,
        "fill": 2 * values * BYTES_PER_SERIES_VALUE,
        "train": models,
        "detect": BYTES_OF_MODELS["detect"],
        "judge": 0.0,
        "forecast": BYTES_OF_MODELS["forecast"],
        "compare": 0.0,
        "publish": BYTES_OF_PAGES + (BYTES_OF_RECORD if config.tracking.enabled else 0.0),
    }
    return {name: value + load.parcels * BYTES_PER_PARCEL.get(name, 0.0) for name, value in found.items()}


def short_of_disk(config: RunConfig, load: Load, folder: Path) -> str:
    """Say in which stage the disk of a run's folder will be full; empty where it is large enough.

    What the folder holds already is written over, not beside.
    """
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(there).free + sum(path.stat().st_size for path in files_in(folder))
    written, parts = 0.0, disk_of(config, load)
    for name, size in parts.items():
        written += size
        if written > free:
            return (
                f"The disk of {folder} has {size_words(free)} for this run, and it writes about "
                f"{size_words(sum(parts.values()))} ({each(parts, size_words, 1e6)}): it will be full in "
                f"{name}. Free some space, or name another folder with --out."
            )
    return ""


def _bytes_of_fit(config: RunConfig, name: str, inputs: int, steps: int, classes: int) -> float:
    """Return about what one fit of a model takes: its trees, or the weights of its widest layers."""
    kind = config.train.kind(name)
    options = read_options(kind, **{k: v for k, v in config.train.models[name].items() if k != "model"})
    if isinstance(options, LightgbmOptions):
        return options.rounds * classes * BYTES_PER_TREE
    weights = 0.0
    if isinstance(options, DenseOptions):
        weights = options.units * (inputs * steps + 1.5 * options.units)
    elif isinstance(options, LstmOptions):
        weights = 4 * options.units * (inputs * options.joined_steps + options.units)
    elif isinstance(options, TempcnnOptions):
        read = inputs * options.joined_steps + 2 * options.filters
        weights = options.filters * (options.width * read + options.units * steps / options.joined_steps)
    return weights * BYTES_PER_WEIGHT + (0 if weights else BYTES_OF_OTHER_FITS)
