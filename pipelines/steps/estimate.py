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
# observations: written of imagery, made of tables that others extracted, and laid out as series
SECONDS_PER_MILLION_ROWS = {"imagery": 0.4, "tables": 0.34, "fill": 0.28}
BASE_S = {"fill": 2.0, "train": 6.0, "detect": 3.0, "judge": 7.5, "forecast": 2.0, "publish": 7.0}
BASE_OF_TABLES_S = 5.0  # extract, where tables are read instead of imagery
LEARNING_EVENTS_S = 7.0  # where labels of events are learned from
SECONDS_PER_THOUSAND_PARCELS = {"detect": 0.6, "judge": 0.225, "forecast": 0.31, "publish": 0.2}
SECONDS_PER_THOUSAND_LEARNED = {"forecast": 0.7}
SECONDS_PER_FIT_AND_THOUSAND_LEARNED = 0.2175
SECONDS_PER_FIT_AND_THOUSAND_PREDICTED = 0.039
BLOCKS_PER_PARCEL_AREA = 1.6  # blocks are read whole, parcels fill about 60% of them
# bytes, measured on the embedded default (127 acquisitions: 747 MB) and on a region of 200 parcels
# of the observations; those of tables say little beside the value, and what was not seen takes no place
BYTES_PER_ROW = {"imagery": 26.0, "tables": 1.5}
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
EVENT_CHUNKS_READ = 5  # as `detect` reads them
# in a chunk, and the side of a block, however little memory is allowed
LEAST_PARCELS, LEAST_BLOCK_PX = 500, 32
LESS_WITH = {"train": "train.sample.size", "forecast": "forecast.most_parcels"}  # what makes a stage smaller
# GiB at the peak of a process that runs one stage: libraries, and what a thousand parcels add: all of them,
# and those that are learned from
BASE_GIB = {"synthesise": 0.8, "clear": 1.0, "extract": 0.7, "fill": 0.5, "train": 0.9, "detect": 0.8,
            "judge": 0.7, "forecast": 0.95, "publish": 0.6}  # fmt: skip
# as 20,000, 100,000 and a million parcels took
GIB_PER_THOUSAND_PARCELS = {"extract": 0.003, "fill": 0.0012, "train": 0.0011, "detect": 0.0033,
                            "judge": 0.0016, "forecast": 0.0018, "publish": 0.0024}  # fmt: skip
GIB_PER_THOUSAND_OF_TABLES = 0.0006  # extract, where tables are read instead of imagery
GIB_PER_THOUSAND_DRAWN, MOST_DRAWN = 0.0063, 100.0  # more for those that pages hold one by one; beyond, areas
GIB_PER_THOUSAND_LEARNED = {"train": 0.051, "forecast": 0.023}
GIB_PER_MILLION_ROWS = {"fill": 0.13, "detect": 0.085}  # of a chunk of parcels' observations
GIB_OF_TABLES, ROWS_OF_TABLES = 0.7, 4e6  # of a chunk of tables that others extracted
GIB_TOGETHER = 0.5  # more where stages run in one process, which holds the libraries of all
GIB_OF_NETWORKS = 0.5  # TensorFlow, where clouds are removed by a network
STACKS_HELD = 6  # where clouds are removed: two blocks as read, and what is made of one


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


NOTHING = Load(0, 0.0, 0, 0, 0, 0, 0, 0, 0, 0)


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
    pixels, thousands, millions = _megapixels(load), load.parcels / 1e3, load.parcels * load.features / 1e6
    fits = len(config.train.models) * config.folds.count * FITS_PER_FOLD
    learned = _learned(config, load)
    fitting, filling = _clearing(config.clear, pixels * load.frames)
    tables = bool(config.series.tables)
    rows = millions * SECONDS_PER_MILLION_ROWS["tables" if tables else "imagery"]
    found = {
        "synthesise": pixels * load.simulated * SECONDS_PER_MEGAPIXEL_SCENE,
        "clear": fitting,
        "extract": pixels * load.bands * SECONDS_PER_MEGAPIXEL_BAND + filling + rows,
        "fill": millions * SECONDS_PER_MILLION_ROWS["fill"],
        "train": fits * learned["train"] * SECONDS_PER_FIT_AND_THOUSAND_LEARNED
        + fits * thousands * SECONDS_PER_FIT_AND_THOUSAND_PREDICTED,
        **dict.fromkeys(("detect", "judge", "forecast", "publish"), 0.0),
    }
    base = {**BASE_S, "extract": BASE_OF_TABLES_S if tables else 0.0}
    base["detect"] += LEARNING_EVENTS_S if config.simulate or config.events.labels else 0.0
    beside = {
        name: base.get(name, 0.0)
        + thousands * SECONDS_PER_THOUSAND_PARCELS.get(name, 0.0)
        + learned.get(name, 0.0) * SECONDS_PER_THOUSAND_LEARNED.get(name, 0.0)
        for name in found
    }
    return {name: value + beside[name] for name, value in found.items() if value + beside[name] > 0}


def _learned(config: RunConfig, load: Load) -> dict[str, float]:
    """Return how many thousand parcels stages learn from."""
    most = {"train": config.train.sample.size, "forecast": config.forecast.most_parcels}
    return {name: min(load.parcels, size) / 1e3 for name, size in most.items()}


def memory_of(config: RunConfig, load: Load, least: bool = False) -> dict[str, float]:
    """Return the peak memory of each stage, GiB, in a separate process.

    Parameters
    ----------
    least
        With the smallest chunks of parcels and blocks of pixels, as where little memory is allowed.
    """
    thousands, learned = load.parcels / 1e3, _learned(config, load)
    chunks = {"fill": config.series.chunk_parcels, "detect": EVENT_CHUNKS_READ * config.events.chunk}
    chunks = {name: min(LEAST_PARCELS, chunk) if least else chunk for name, chunk in chunks.items()}
    network = GIB_OF_NETWORKS if config.clear.method in LEARNED else 0.0
    tables = min(load.parcels * load.features / ROWS_OF_TABLES, 1.0) * GIB_OF_TABLES
    more = {
        "publish": min(thousands, MOST_DRAWN) * GIB_PER_THOUSAND_DRAWN,
        "clear": network,
        "extract": tables if config.series.tables else network + _stacks_gib(config, load.deepest, least),
        **{
            name: min(load.parcels, chunk) * load.features / 1e6 * GIB_PER_MILLION_ROWS[name]
            for name, chunk in chunks.items()
        },
    }
    each = GIB_PER_THOUSAND_PARCELS | (
        {"extract": GIB_PER_THOUSAND_OF_TABLES} if config.series.tables else {}
    )
    absent = {"synthesise": load.simulated, "clear": config.clear.method != "none"}
    return {
        name: base
        + thousands * each.get(name, 0.0)
        + learned.get(name, 0.0) * GIB_PER_THOUSAND_LEARNED.get(name, 0.0)
        + more.get(name, 0.0)
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
                f"{size_words(sum(parts.values()))} ({_each(parts, size_words, 1e6)}): it will be full in "
                f"{name}. Free some space, or name another folder with --out."
            )
    return ""


def over_memory(config: RunConfig, load: Load | None, allowed: int) -> dict[str, float]:
    """Return the stages that need more memory than a process may use, `allowed` bytes, and how much, GiB.

    Parameters
    ----------
    load
        None: of what libraries alone take.
    """
    needed = memory_of(config, NOTHING if load is None else load, least=True)
    return {name: gib for name, gib in needed.items() if gib * 2**30 > allowed}


def over_memory_words(over: Mapping[str, float], allowed: int, counted: bool, together: bool = False) -> str:
    """Say which stages will use more memory than is allowed, and the cure; empty where none does.

    Parameters
    ----------
    counted
        Whether parcels are counted in it, or libraries alone.
    together
        Whether the stages run in one process.
    """
    if not over:
        return ""
    each = ", ".join(f"{name} about {gib:.1f} GiB" for name, gib in over.items())
    settings = [LESS_WITH[name] for name in over if name in LESS_WITH and counted]
    less = f", or set a smaller {' or '.join(settings)}" if settings else ""
    least = max(over.values()) + (GIB_TOGETHER if together else 0.0) + 0.05
    return (
        f"{allowed / 2**30:.1f} GiB may be used (--memory, for each process), and "
        f"{'more is needed' if counted else 'libraries alone take more'}: {each}. These stages will use more "
        f"than allowed; give at least {least:.1f} GiB{less}."
    )


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


def _stacks_gib(config: RunConfig, frames: int, least: bool) -> float:
    """Return the memory of the stacks that cloud removal holds at once; `least` of the smallest blocks."""
    if config.clear.method == "none":
        return 0.0
    block = min(LEAST_BLOCK_PX, config.extract.clear_block_px) if least else config.extract.clear_block_px
    side = block + 2 * MARGIN_PX
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
