"""About how long a run takes, and its disk and memory, by stage: measured rates times the load."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from features.files import fingerprint
from features.schema import OPTICAL_BANDS, acquisition_rows, assets_by_band
from features.simulate.options import SimulationOptions
from models.clouds.removal.options import LEARNED, CloudRemovalOptions
from models.crops.estimators.by_name import read_options
from models.crops.estimators.options import DenseOptions, LightgbmOptions, LstmOptions, TempcnnOptions
from pipelines.config import RunConfig
from pipelines.record.hashes import files_in

# seconds, measured on two cores by `python -m tests.benchmarks.zonal`, the embedded default (2,600 parcels)
# and `python -m tests.benchmarks.country`, which prints what is foretold beside what is measured
BETWEEN_STAGES_S = 24.0  # libraries that are loaded, and the record in MLflow
SECONDS_PER_MEGAPIXEL_BAND = 0.004  # reading and aggregating, local deflate COGs
SECONDS_PER_MEGAPIXEL_SCENE = 0.1  # making a simulated acquisition
SECONDS_PER_MEGAPIXEL_HIDDEN = 0.35  # hiding and filling pixels, to learn how far filled ones are off
SECONDS_PER_MEGAPIXEL_FILLED = {"classical": 0.5, "learned": 0.6}  # and aggregating a frame of 10 bands
SECONDS_PER_WINDOW_PASS = 0.08  # training a small network for one pass over one window
SECONDS_PER_MILLION_ROWS = 0.4  # writing observations, or reading them back
BASE_S = {"fill": 1.0, "train": 6.0, "detect": 10.0, "judge": 6.0, "forecast": 2.0, "publish": 8.5}
SECONDS_PER_THOUSAND_PARCELS = {"fill": 0.1, "detect": 0.3, "judge": 0.4, "forecast": 0.9, "publish": 0.2}
SECONDS_PER_FIT_AND_THOUSAND_PARCELS = 0.25
BLOCKS_PER_PARCEL_AREA = 1.6  # blocks are read whole, parcels fill about 60% of them
# bytes, measured on the embedded default (127 acquisitions: 747 MB) and on a region of 200 parcels
BYTES_PER_ROW = 26.0  # of the observations
BYTES_PER_UNIT = 20e3  # of the files of one acquisition, however few its parcels
BYTES_PER_PIXEL_SIMULATED = 0.8  # of one band
BYTES_PER_SERIES_VALUE = 3.9  # in one of series.nc and filled.nc, with its marks
BYTES_PER_TREE = 1.1e3  # of a class and round
BYTES_PER_WEIGHT = 4.0
BYTES_OF_OTHER_FITS = 3e5  # of a model whose size is not computed
FITS_PER_FOLD = 1.6  # with those that weigh models against each other
BYTES_OF_MODELS = {"detect": 1e6, "forecast": 0.5e6}
BYTES_OF_RECORD = 1e6  # MLflow's database
BYTES_PER_PARCEL = {
    "read": 1e3, "train": 1.5e3, "detect": 1e3, "judge": 0.7e3, "forecast": 0.8e3, "compare": 0.1e3,
    "publish": 3e3,
}  # fmt: skip
BYTES_OF_PAGES = 3e6
LARGEST_CLASSES, PARCELS_PER_CLASS = 20, 20
MARGIN_PX = 32  # around a block that is filled
# GiB at the peak of a process that runs one stage: libraries, and what a thousand parcels add
BASE_GIB = {"synthesise": 0.7, "clear": 1.0, "extract": 0.7, "fill": 0.6, "train": 1.2, "detect": 0.8,
            "judge": 0.6, "forecast": 0.8, "publish": 1.0}  # fmt: skip
GIB_PER_THOUSAND_PARCELS = {"train": 0.042, "detect": 0.06, "judge": 0.01, "forecast": 0.03, "publish": 0.015}
GIB_PER_MILLION_SERIES_VALUES = 0.02  # of a chunk of parcels whose series are built and filled
GIB_OF_NETWORKS = 0.5  # TensorFlow, where clouds are removed by a network
STACKS_HELD = 9  # where clouds are removed: three blocks as read, seen, or filled and with sigma


@dataclass(frozen=True)
class Load:
    """How much there is to do."""

    parcels: int
    hectares: float
    acquisitions: int
    frames: int  # optical acquisitions
    deepest: int  # those of the tile that has most
    simulated: int  # acquisitions that are still to be made
    bands: int  # over all acquisitions
    features: int  # over all acquisitions
    steps: int
    channels: int  # features of the series, orbits apart


def load_of(config: RunConfig, acquisitions: pl.DataFrame, parcels: int, hectares: float) -> Load:
    """Return how much work a table of acquisitions means."""
    rows = acquisition_rows(acquisitions)
    days = (config.season.end - config.season.start).days
    return Load(
        parcels=parcels,
        hectares=hectares,
        acquisitions=len(rows),
        frames=sum(row["sensor"] == "s2" for row in rows),
        deepest=max(Counter(row["tile"] for row in rows if row["sensor"] == "s2").values(), default=0),
        simulated=0,
        bands=sum(len(assets_by_band(row)) for row in rows),
        features=sum(len(config.extract.features_of(row["sensor"])) for row in rows),
        steps=max(days // 10, 1),
        channels=_channels(config),
    )


def load_of_tables(config: RunConfig, parcels: int, dates: int, features: int) -> Load:
    """Return how much work series mean that others extracted: on so many dates, with so many features."""
    days = (config.season.end - config.season.start).days
    return Load(
        parcels=parcels,
        hectares=0.0,
        acquisitions=0,
        frames=0,
        deepest=0,
        simulated=0,
        bands=0,
        features=dates * features,
        steps=max(days // 10, 1),
        channels=features,
    )


def load_of_simulation(config: RunConfig, simulate: SimulationOptions) -> Load:
    """Return how much work a region means that is still to be made."""
    months = simulate.last_month - simulate.first_month + 1
    optical = months * 30.4 / simulate.optical_revisit_days
    radar = months * 30.4 / simulate.radar_revisit_days * len(simulate.radar_orbits)
    return Load(
        parcels=simulate.n_parcels,
        hectares=simulate.n_parcels * simulate.median_ha * 1.3,
        acquisitions=round(optical + radar),
        frames=round(optical),
        deepest=round(optical),
        simulated=round(optical + radar),
        bands=round(optical * 11 + radar * (4 if simulate.coherence else 2)),
        features=round(optical * len(config.extract.optical) + radar * len(config.extract.radar)),
        steps=round(months * 3),
        channels=_channels(config),
    )


def _channels(config: RunConfig) -> int:
    return len(config.extract.optical) + 2 * len(config.extract.radar)  # of two orbits


def estimate(config: RunConfig, load: Load) -> list[str]:
    """Return a line each for time, disk and memory, by stage: measured rates times the load."""
    seconds, disk, memory = seconds_of(config, load), disk_of(config, load), memory_of(config, load)
    total = sum(seconds.values()) + BETWEEN_STAGES_S
    most = max(memory, key=lambda name: memory[name])
    return [
        f"Time: about {_duration(total)} on two cores ({_each(seconds, _duration, 1.0)}); here are "
        f"{os.cpu_count()}.",
        f"Disk: about {size_words(sum(disk.values()))} ({_each(disk, size_words, 1e6)}).",
        f"Memory: about {memory[most]:.1f} GiB at the peak, in {most} "
        f"({_each(memory, lambda gib: f'{gib:.1f}', 0.05)} GiB).",
        f"Config {fingerprint(config.model_dump(mode='json'))[:12]}.",
    ]


def _each(parts: Mapping[str, float], words: Callable[[float], str], least: float) -> str:
    return ", ".join(f"{name} {words(value)}" for name, value in parts.items() if value >= least)


def seconds_of(config: RunConfig, load: Load) -> dict[str, float]:
    """Return the seconds that each stage takes on two cores."""
    pixels, thousands = _megapixels(load), load.parcels / 1e3
    rows = load.parcels * load.features / 1e6 * SECONDS_PER_MILLION_ROWS
    fits = len(config.train.models) * config.folds.count * FITS_PER_FOLD
    learned = min(load.parcels, config.train.sample.size) / 1e3
    fitting, filling = _clearing(config.clear, pixels * load.frames)
    found = {
        "synthesise": pixels * load.simulated * SECONDS_PER_MEGAPIXEL_SCENE,
        "clear": fitting,
        "extract": pixels * load.bands * SECONDS_PER_MEGAPIXEL_BAND + filling + rows,
        "fill": rows,
        "train": fits * learned * SECONDS_PER_FIT_AND_THOUSAND_PARCELS,
        **dict.fromkeys(("detect", "judge", "forecast", "publish"), 0.0),
    }
    beside = {
        name: BASE_S.get(name, 0.0) + thousands * SECONDS_PER_THOUSAND_PARCELS.get(name, 0.0)
        for name in found
    }
    return {name: value + beside[name] for name, value in found.items() if value + beside[name] > 0}


def memory_of(config: RunConfig, load: Load) -> dict[str, float]:
    """Return the memory that each stage needs at its peak, GiB, in a process of its own."""
    thousands = load.parcels / 1e3
    chunk = min(load.parcels, config.series.chunk_parcels)
    values = chunk * load.steps * load.channels * len(config.series.statistics) / 1e6
    network = GIB_OF_NETWORKS if config.clear.method in LEARNED else 0.0
    more = {
        "clear": network,
        "extract": network + _stacks_gib(config, load.deepest),
        "fill": values * GIB_PER_MILLION_SERIES_VALUES,
    }
    absent = {"synthesise": load.simulated, "clear": config.clear.method != "none"}
    return {
        name: base + thousands * GIB_PER_THOUSAND_PARCELS.get(name, 0.0) + more.get(name, 0.0)
        for name, base in BASE_GIB.items()
        if absent.get(name, True)
    }


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
        "synthesise": _megapixels(load) * load.bands * share * 1e6 * BYTES_PER_PIXEL_SIMULATED,
        "read": 0.0,
        "extract": load.parcels * load.features * BYTES_PER_ROW + load.acquisitions * BYTES_PER_UNIT,
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
                f"{size_words(sum(parts.values()))} ({_each(parts, size_words, 1e6)}): it will be full in "
                f"{name}. Free some space, or name another folder with --out."
            )
    return ""


def _megapixels(load: Load) -> float:
    return load.hectares * 100 / 1e6 * BLOCKS_PER_PARCEL_AREA


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


def size_words(size: float) -> str:
    """Return bytes as people say them.

    Examples
    --------
    >>> size_words(748e6), size_words(3.2e9), size_words(2e5)
    ('748 MB', '3.2 GB', '0.2 MB')
    """
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e6:.1f} MB"


def _clearing(options: CloudRemovalOptions, frames: float) -> tuple[float, float]:
    """Seconds of fitting a remover, and of filling `frames` megapixels with it."""
    if options.method == "none":
        return 0.0, 0.0
    if options.method in LEARNED:
        training = options.windows * options.epochs * SECONDS_PER_WINDOW_PASS
        return training, frames * SECONDS_PER_MEGAPIXEL_FILLED["learned"]
    return frames * SECONDS_PER_MEGAPIXEL_HIDDEN, frames * SECONDS_PER_MEGAPIXEL_FILLED["classical"]


def _stacks_gib(config: RunConfig, frames: int) -> float:
    """Return the memory of the stacks that cloud removal holds at once."""
    if config.clear.method == "none":
        return 0.0
    side = config.extract.clear_block_px + 2 * MARGIN_PX
    return STACKS_HELD * side**2 * frames * len(OPTICAL_BANDS) * 4 / 2**30


def _duration(seconds: float) -> str:
    """Return seconds as people say them.

    Examples
    --------
    >>> _duration(42.0), _duration(600.0), _duration(9000.0)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
