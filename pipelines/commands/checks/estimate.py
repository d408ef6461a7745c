"""About how long a run takes, and what it needs of disk and memory: measured rates times the load."""

import os
from collections import Counter
from dataclasses import dataclass

import polars as pl

from features.files import fingerprint
from features.schema import OPTICAL_BANDS, acquisition_rows, assets_by_band
from features.simulate.options import SimulationOptions
from models.clouds.removal.options import LEARNED, CloudRemovalOptions
from models.crops.estimators.by_name import read_options
from models.crops.estimators.options import DenseOptions, LightgbmOptions, LstmOptions, TempcnnOptions
from pipelines.config import RunConfig

# measured on two cores by `python -m tests.benchmarks.zonal` and on the embedded default
SECONDS_PER_MEGAPIXEL_BAND = 0.004  # reading and aggregating, local deflate COGs
SECONDS_PER_MEGAPIXEL_SCENE = 0.3  # making a simulated acquisition
SECONDS_PER_MEGAPIXEL_HIDDEN = 0.35  # hiding and filling pixels, to learn how far filled ones are off
# filling and aggregating a frame of 10 bands
SECONDS_PER_MEGAPIXEL_FILLED = {"classical": 1.5, "learned": 3.0}
SECONDS_PER_WINDOW_PASS = 0.2  # training a small network for one pass over one window: 0.1 to 0.3
SECONDS_PER_MILLION_ROWS = 0.6  # writing and reading back observations, and putting them onto a calendar
BLOCKS_PER_PARCEL_AREA = 1.6  # blocks are read whole, parcels fill about 60% of them
# measured on the embedded default (2,600 parcels, 127 acquisitions: 747 MB) and on a region of 200 parcels
BYTES_PER_ROW = 26.0  # of the observations
BYTES_PER_UNIT = 20e3  # of the files of one acquisition, however few its parcels
BYTES_PER_PIXEL_SIMULATED = 0.8  # of one band
BYTES_PER_SERIES_VALUE = 3.9  # in one of series.nc and filled.nc, with its marks
BYTES_PER_TREE = 1.1e3  # of a class and round
BYTES_PER_WEIGHT = 4.0
BYTES_OF_OTHER_FITS = 3e5  # of a model whose size is not computed
FITS_PER_FOLD = 1.6  # with those that weigh models against each other
BYTES_OF_EVENTS_AND_FORECASTS = 1.5e6  # their models
BYTES_OF_RECORD = 1e6  # MLflow's database
BYTES_PER_REPORTED_PARCEL = 8e3  # verdicts, probabilities, exports, its share of pages and sheets
BYTES_OF_PAGES = 3e6
SECONDS_PER_FIT_AND_THOUSAND_PARCELS = 1.2
LARGEST_CLASSES, PARCELS_PER_CLASS = 20, 20
MARGIN_PX = 32  # around a block that is filled
MEMORY_GIB = 2.0  # libraries, one block of pixels, one tile's coverage
MEMORY_GIB_A_MILLION_SERIES_VALUES = 0.012
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
    )


def estimate(config: RunConfig, load: Load) -> list[str]:
    """Return a line each for time, disk and memory; every figure is a measured rate times the load."""
    megapixels = load.hectares * 100 / 1e6 * BLOCKS_PER_PARCEL_AREA
    rows = load.parcels * load.features
    fits = len(config.train.models) * config.folds.count * 1.6
    fitting, filling = _clearing(config.clear, megapixels * load.frames)
    reading = megapixels * load.bands * SECONDS_PER_MEGAPIXEL_BAND
    seconds = {
        "synthesise": megapixels * load.simulated * SECONDS_PER_MEGAPIXEL_SCENE,
        "clear": fitting,
        "extract": reading + filling + rows / 1e6 * SECONDS_PER_MILLION_ROWS,
        "train": 12 + fits * load.parcels / 1e3 * SECONDS_PER_FIT_AND_THOUSAND_PARCELS,
        "judge": 3 + load.parcels / 1e3 * 2,
        "publish": 15 + load.parcels / 1e3 * 2,
    }
    seconds = {name: value for name, value in seconds.items() if value > 0}
    values = load.parcels * load.steps * 40 * len(config.series.statistics)
    memory = (
        MEMORY_GIB + values / 1e6 * MEMORY_GIB_A_MILLION_SERIES_VALUES + _stacks_gib(config, load.deepest)
    )
    each = ", ".join(f"{name} {_duration(value)}" for name, value in seconds.items())
    return [
        f"Time: about {_duration(sum(seconds.values()))} on two cores ({each}); here are {os.cpu_count()}.",
        _disk_line(disk_of(config, load)),
        f"Memory: about {memory:.1f} GiB at the peak.",
        f"Config {fingerprint(config.model_dump(mode='json'))[:12]}.",
    ]


def disk_of(config: RunConfig, load: Load) -> dict[str, float]:
    """Return the bytes that a run writes, by what they are."""
    megapixels = load.hectares * 100 / 1e6 * BLOCKS_PER_PARCEL_AREA
    share = load.simulated / load.acquisitions if load.acquisitions else 0
    channels = len(config.extract.optical) + 2 * len(config.extract.radar)  # of two orbits
    values = load.parcels * load.steps * channels * len(config.series.statistics)
    classes = min(LARGEST_CLASSES, max(2, load.parcels // PARCELS_PER_CLASS))
    inputs = channels * len(config.series.statistics)
    fit = sum(_bytes_of_fit(config, name, inputs, load.steps, classes) for name in config.train.models)
    models = fit * config.folds.count * FITS_PER_FOLD
    return {
        "simulated imagery": megapixels * load.bands * share * 1e6 * BYTES_PER_PIXEL_SIMULATED,
        "observations": load.parcels * load.features * BYTES_PER_ROW + load.acquisitions * BYTES_PER_UNIT,
        "series": 2 * values * BYTES_PER_SERIES_VALUE,
        # in the output and in MLflow's folder
        "models": 2 * models + BYTES_OF_EVENTS_AND_FORECASTS + BYTES_OF_RECORD,
        "reports and tables": load.parcels * BYTES_PER_REPORTED_PARCEL + BYTES_OF_PAGES,
    }


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


def _disk_line(parts: dict[str, float]) -> str:
    told = ", ".join(f"{name} {_size(size)}" for name, size in parts.items() if size >= 1e6)
    return f"Disk: about {_size(sum(parts.values()))} ({told})."


def _size(size: float) -> str:
    """Return bytes as people say them.

    Examples
    --------
    >>> _size(748e6), _size(3.2e9), _size(2e5)
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
