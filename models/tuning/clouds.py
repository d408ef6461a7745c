"""Settings of the networks, searched for on held-out blocks and dates of the imagery."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from features.errors import ModelError
from features.messages.listed import listed
from features.workers import Progress
from models.clouds.removal.inputs.channel_selection import choose_channels
from models.clouds.removal.inputs.windows import draw_windows
from models.clouds.removal.networks.by_name import network_of
from models.clouds.removal.options import LEARNED, CloudRemovalOptions
from models.tuning.options import TuneOptions
from models.tuning.search import Fold, Range, Tuned, search

METRIC = "reduction of the error of linear interpolation, as a share"
SHARED = {
    "learning_rate": Range(5e-4, 1e-2, log=True),
    "batch_size": Range(choices=(4, 8, 16)),
    "loss": Range(choices=("mae", "mse", "likelihood")),
    "ndvi_weight": Range(0.0, 1.0),
    "neighbours": Range(1, 3, whole=True),
}
SPACES: Mapping[str, Mapping[str, Range]] = {
    "unet": SHARED | {"width": Range(choices=(12, 16, 24, 32))},
    "uncrtaints": SHARED | {"width": Range(choices=(8, 16, 24, 32))},
    "diffusion": {
        "learning_rate": SHARED["learning_rate"],
        "batch_size": SHARED["batch_size"],
        "width": Range(choices=(12, 16, 24, 32)),
        "steps": Range(1, 8, whole=True),
    },
}


def tune_clouds(
    name: str,
    stacks: Iterable[xr.Dataset],
    clear: CloudRemovalOptions,
    options: TuneOptions,
    *,
    journal: Path,
    on_trial: Callable[[dict[str, object]], None] | None = None,
    progress: Progress | None = None,
) -> Tuned:
    """Search for a network's options on stacks `(time, band, y, x)`.

    Parameters
    ----------
    clear
        Options that are not searched.
    journal, on_trial, progress
        As `models.tuning.search.tune` takes them. A fold is the blocks and dates that one network of an
        ensemble holds out.

    Raises
    ------
    ModelError
        For a method that is not a network, or imagery that holds nothing to learn from.
    """
    if name not in LEARNED:
        raise ModelError(f"{name!r} is no network of cloud removal; choose one of {listed(LEARNED)}.")
    score = _scores(name, list(stacks), clear, options)
    return search(
        name,
        SPACES[name],
        score,
        options,
        "saved_error",
        journal=journal,
        on_trial=on_trial,
        progress=progress,
    )


def _scores(name: str, stacks: list[xr.Dataset], clear: CloudRemovalOptions, options: TuneOptions) -> Fold:
    def scores(chosen: Mapping[str, object]) -> Iterator[float]:
        base = {**clear.model_dump(), **chosen, "method": name, "members": options.folds}
        settings = CloudRemovalOptions(**{**base, "seed": options.seed})
        pool = draw_windows(stacks, settings, np.random.default_rng(settings.seed))
        for fold in range(options.folds):
            windows = pool.windows_of(fold)
            network = network_of(name)(settings)
            network.begin(choose_channels(windows.train, settings, name, windows.sources))
            network.learn(windows)
            kept = min(network.history, key=lambda row: row["judged_mae"])
            yield 1 - kept["judged_mae"] / kept["linear_mae"]

    return scores
