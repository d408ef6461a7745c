"""About how much memory each stage takes: measured rates times the load; and whether that is allowed.

Measured as the seconds are, on 2,600 and 20,000 parcels with imagery, and 20,000, 100,000 and a million that
came as tables.
"""

from collections.abc import Mapping

from features.schema import OPTICAL_BANDS
from models.clouds.removal.options import LEARNED
from pipelines.config import RunConfig
from pipelines.steps.estimate.load import NOTHING, Load, inputs_of, learned_of, pictured_sheets

MARGIN_PX = 32  # around a block that is filled
EVENT_CHUNKS_READ = 5  # as `detect` reads them
# in a chunk, and the side of a block, however little memory is allowed
LEAST_PARCELS, LEAST_BLOCK_PX = 500, 32
LESS_WITH = {"train": "train.sample.size", "forecast": "forecast.most_parcels"}  # what makes a stage smaller
# GiB at the peak of a process that runs one stage: libraries, and what a thousand parcels add: all of them,
# and those that are learned from. Inputs are the features of a step times their statistics.
BASE_GIB = {"synthesise": 0.5, "clear": 1.0, "extract": 0.7, "fill": 0.6, "train": 0.9, "detect": 0.8,
            "judge": 0.4, "forecast": 0.95, "publish": 0.6}  # fmt: skip
GIB_PER_THOUSAND_PARCELS = {"extract": 0.008, "fill": 0.0012, "train": 0.0011, "detect": 0.0033,
                            "judge": 0.0016, "forecast": 0.0018, "publish": 0.0024}  # fmt: skip
GIB_PER_THOUSAND_OF_TABLES = 0.0006  # extract, where tables are read instead of imagery
GIB_PER_THOUSAND_DRAWN, MOST_DRAWN = 0.0063, 100.0  # more for those that pages hold one by one; beyond, areas
GIB_PER_THOUSAND_LEARNED = {"train": 0.032, "forecast": 0.0135}
GIB_PER_INPUT_AND_THOUSAND_LEARNED = {"train": 0.0009, "forecast": 0.000475}
GIB_PER_INPUT, FEW_INPUTS = 0.01375, 20  # train: a chunk that is predicted, beyond so many inputs
GIB_PER_INPUT_AND_THOUSAND_OF_A_CURVE = 0.00125  # judge: parcels that the in-season curve rests on
# fill and detect: of a chunk of parcels' observations, for each statistic
GIB_PER_MILLION_ROWS = {"fill": 0.11, "detect": 0.085}
GIB_PER_MEGAPIXEL_SIMULATED = 0.31
GIB_PER_SHEET = 0.0005  # with its pictures
# clear: parcels in the squares that scenes are compared on
GIB_PER_THOUSAND_COMPARED, MOST_COMPARED = 0.035, 20.0
GIB_OF_TABLES, ROWS_OF_TABLES = 0.7, 4e6  # of a chunk of tables that others extracted
GIB_TOGETHER = 0.5  # more where stages run in one process, which holds the libraries of all
GIB_OF_NETWORKS = 0.5  # TensorFlow, where clouds are removed by a network
# where clouds are removed: two blocks as read, and what is made of one; where a model is fitted to do so
STACKS_HELD, STACKS_LEARNED = 4.5, 2.5


def memory_of(config: RunConfig, load: Load, least: bool = False) -> dict[str, float]:
    """Return the peak memory of each stage, GiB, in a separate process.

    Parameters
    ----------
    least
        With the smallest chunks of parcels and blocks of pixels, as where little memory is allowed.
    """
    thousands, learned, inputs = load.parcels / 1e3, learned_of(config, load), inputs_of(config, load)
    chunks = {"fill": config.series.chunk_parcels, "detect": EVENT_CHUNKS_READ * config.events.chunk}
    chunks = {name: min(LEAST_PARCELS, chunk) if least else chunk for name, chunk in chunks.items()}
    network = GIB_OF_NETWORKS if config.clear.method in LEARNED else 0.0
    statistics, stack = len(config.series.statistics), _stack_gib(config, load.deepest, least)
    tables = min(load.parcels * load.features / ROWS_OF_TABLES, 1.0) * GIB_OF_TABLES
    more = {
        "synthesise": load.megapixels * GIB_PER_MEGAPIXEL_SIMULATED,
        "clear": network + STACKS_LEARNED * stack + min(thousands, MOST_COMPARED) * GIB_PER_THOUSAND_COMPARED,
        "extract": tables if config.series.tables else network + STACKS_HELD * stack,
        "train": max(inputs - FEW_INPUTS, 0) * GIB_PER_INPUT,
        "judge": min(thousands, config.judge.season_parcels / 1e3)
        * inputs
        * GIB_PER_INPUT_AND_THOUSAND_OF_A_CURVE,
        "publish": min(thousands, MOST_DRAWN) * GIB_PER_THOUSAND_DRAWN
        + pictured_sheets(config, load) * GIB_PER_SHEET,
        **{
            name: min(load.parcels, chunk) * load.features / 1e6 * statistics * GIB_PER_MILLION_ROWS[name]
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
        + learned.get(name, 0.0)
        * (
            GIB_PER_THOUSAND_LEARNED.get(name, 0.0)
            + inputs * GIB_PER_INPUT_AND_THOUSAND_LEARNED.get(name, 0.0)
        )
        + more.get(name, 0.0)
        for name, base in BASE_GIB.items()
        if absent.get(name, True)
    }


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


def _stack_gib(config: RunConfig, frames: int, least: bool) -> float:
    """Return the memory of a stack that cloud removal works on; `least` of the smallest blocks."""
    if config.clear.method == "none":
        return 0.0
    block = min(LEAST_BLOCK_PX, config.extract.clear_block_px) if least else config.extract.clear_block_px
    side = block + 2 * MARGIN_PX
    return side**2 * frames * len(OPTICAL_BANDS) * 4 / 2**30
