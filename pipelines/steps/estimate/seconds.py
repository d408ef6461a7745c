"""About how long each stage takes: measured rates times the load.

The rates were measured on two cores by `python -m tests.benchmarks.zonal`, and by `tests.benchmarks.region`
(2,600 and 20,000 parcels) and `tests.benchmarks.country` (20,000 to a million), which print what is foretold
beside what was measured.
"""

from models.clouds.removal.options import LEARNED, CloudRemovalOptions
from pipelines.config import RunConfig
from pipelines.steps.estimate.load import FITS_PER_FOLD, Load, inputs_of, learned_of, pictured_sheets

BETWEEN_STAGES_S = 3.0  # the start, and the record in MLflow
SECONDS_PER_MEGAPIXEL_BAND = 0.004  # reading and aggregating, local deflate COGs
SECONDS_PER_MEGAPIXEL_SCENE = 0.074  # making a simulated acquisition
SECONDS_PER_MEGAPIXEL_HIDDEN = 0.35  # hiding and filling pixels, to learn how far filled ones are off
SECONDS_PER_MEGAPIXEL_FILLED = {"classical": 0.5, "learned": 0.45}  # and aggregating a frame of 10 bands
SECONDS_PER_WINDOW_PASS = 0.052  # training a small network for one pass over one window
SECONDS_PER_MEGAPIXEL_COMPARED = 0.03  # looking at a frame for scenes that contradict the others
SECONDS_PER_MEGAPIXEL_BAND_HASHED = 0.0005  # for the manifest
SECONDS_PER_SHEET = 0.007  # with its pictures
# observations: written of imagery, made of tables that others extracted, and laid out as series
SECONDS_PER_MILLION_ROWS = {"imagery": 0.4, "tables": 0.34}
SECONDS_PER_MILLION_ROWS_FILLED = {"imagery": 0.78, "tables": 0.28}
BASE_S = {"fill": 1.5, "train": 6.0, "detect": 2.0, "judge": 5.0, "forecast": 2.0, "publish": 7.0}
BASE_OF_TABLES_S = 5.0  # extract, where tables are read instead of imagery
SECONDS_PER_THOUSAND_PARCELS = {"detect": 0.6, "judge": 0.28, "forecast": 0.35, "publish": 0.2}
SECONDS_PER_THOUSAND_OF_EVENTS = 1.75  # of all parcels, where records of half of them are learned from
SECONDS_PER_THOUSAND_LEARNED = {"forecast": 0.7}
# of each fit, and more for each input of a step
SECONDS_PER_FIT_AND_THOUSAND_LEARNED, AND_INPUT = 0.185, 0.0016
SECONDS_PER_FIT_AND_THOUSAND_PREDICTED = 0.039


def seconds_of(config: RunConfig, load: Load) -> dict[str, float]:
    """Return the seconds that each stage takes on two cores."""
    pixels, thousands, millions = load.megapixels, load.parcels / 1e3, load.parcels * load.features / 1e6
    fits = len(config.train.models) * config.folds.count * FITS_PER_FOLD
    learned, inputs = learned_of(config, load), inputs_of(config, load)
    fitting, filling = _clearing(config.clear, pixels * load.frames)
    source = "tables" if config.series.tables else "imagery"
    found = {
        "synthesise": pixels * load.simulated * SECONDS_PER_MEGAPIXEL_SCENE,
        "clear": fitting,
        "extract": pixels * load.bands * SECONDS_PER_MEGAPIXEL_BAND
        + filling
        + millions * SECONDS_PER_MILLION_ROWS[source],
        "fill": millions * SECONDS_PER_MILLION_ROWS_FILLED[source],
        "train": fits * learned["train"] * (SECONDS_PER_FIT_AND_THOUSAND_LEARNED + inputs * AND_INPUT)
        + fits * thousands * SECONDS_PER_FIT_AND_THOUSAND_PREDICTED,
        "detect": thousands * SECONDS_PER_THOUSAND_OF_EVENTS * bool(config.simulate or config.events.labels),
        **dict.fromkeys(("judge", "forecast"), 0.0),
        "publish": pixels * load.bands * SECONDS_PER_MEGAPIXEL_BAND_HASHED
        + pictured_sheets(config, load) * SECONDS_PER_SHEET,
    }
    base = {**BASE_S, "extract": BASE_OF_TABLES_S if source == "tables" else 2.0}
    beside = {
        name: base.get(name, 0.0)
        + thousands * SECONDS_PER_THOUSAND_PARCELS.get(name, 0.0)
        + learned.get(name, 0.0) * SECONDS_PER_THOUSAND_LEARNED.get(name, 0.0)
        for name in found
    }
    return {name: value + beside[name] for name, value in found.items() if value + beside[name] > 0}


def _clearing(options: CloudRemovalOptions, frames: float) -> tuple[float, float]:
    """Seconds of fitting a remover, and of filling `frames` megapixels with it."""
    if options.method == "none":
        return 0.0, 0.0
    if options.method in LEARNED:
        training = options.windows * options.epochs * SECONDS_PER_WINDOW_PASS
        return training + frames * SECONDS_PER_MEGAPIXEL_COMPARED, frames * SECONDS_PER_MEGAPIXEL_FILLED[
            "learned"
        ]
    return frames * SECONDS_PER_MEGAPIXEL_HIDDEN, frames * SECONDS_PER_MEGAPIXEL_FILLED["classical"]
