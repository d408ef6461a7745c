"""Fitting of masks: on labelled tiles first, where there are any, then on the region itself."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from features.errors import ModelError
from features.workers import Progress
from models.clouds.mask.by_name import build
from models.clouds.mask.classes import CLEAR, UNKNOWN
from models.clouds.mask.frames import Frames, Mask
from models.clouds.mask.methods.combined import CombinedMask
from models.clouds.mask.methods.temporal import TemporalMask
from models.clouds.mask.network.samples import Sample, region_samples, teacher_labels, tile_samples
from models.clouds.mask.network.unet import UNetMask
from models.clouds.mask.options import CloudMaskOptions, MaskNetworkOptions
from models.clouds.removal.bundle import META
from models.noted_hash import hash_in_manifest

log = logging.getLogger(__name__)
SIMULATED = Path(__file__).parent / "network" / "simulated"  # made by tests.benchmarks.cloud_mask_labels
SIMULATED_WIDTH = 16
NOTHING_TO_LEARN = "nothing_to_learn"


def fit_mask(
    options: CloudMaskOptions,
    stacks: Sequence[Frames],
    tiles: Sequence[Sample] = (),
    back: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> UNetMask | CombinedMask | TemporalMask:
    """Fit `unet` or `combined`.

    Where no date is clear enough to calibrate `combined` on, the comparison in time takes its place.

    Parameters
    ----------
    stacks
        Parts of the region over all its dates.
    tiles
        Labelled images: learned before the region.

    Raises
    ------
    ModelError
        Where a network that knows nothing finds nothing to learn from (`unet`), or the pre-trained network is
        of another width.
    """
    temporal = TemporalMask(back if options.look is None else options.look == "back")
    try:
        network = learn(options, stacks, tiles, temporal, seed, progress)
        return network if options.method == "unet" else CombinedMask(network, temporal).fit(stacks, seed)
    except ModelError as error:
        if options.method == "unet" or error.reason != NOTHING_TO_LEARN:
            raise
        log.warning("clear.mask: %s The run goes on as with `temporal`.", error)
        return temporal


def learn(
    options: CloudMaskOptions,
    stacks: Sequence[Frames],
    tiles: Sequence[Sample],
    temporal: TemporalMask,
    seed: int,
    progress: Progress | None = None,
) -> UNetMask:
    """Train the network: pre-trained or from nothing, on labelled tiles, then on the region; one that has
    learned before stays as it is where the region teaches nothing.
    """
    settings = options.network
    network = beginning(settings)
    rng = np.random.default_rng([seed, 3])
    if tiles:
        network.fit(tile_samples(tiles, settings.windows, settings.window_px, rng), seed, progress)
    windows: list[Sample] = []
    for number, frames in enumerate(stacks):
        share = settings.windows // len(stacks) + (number < settings.windows % len(stacks))
        labels = region_labels(options, frames, temporal)
        windows += region_samples(frames, labels, share, settings.window_px, settings.painted_share, rng)
    if network.history and not any((window.labels < 4).any() for window in windows):
        log.warning(
            "clear.mask: no date of the imagery is clear enough to teach the network; it is used as it came."
        )
        return network
    return network.fit(_of_one_size(windows), seed, progress)


def beginning(settings: MaskNetworkOptions) -> UNetMask:
    """Return the network that training begins from: that of a folder, ours of simulated regions where it has
    the width asked for, or one that knows nothing."""
    if settings.pretrained is not None:
        network = pretrained(settings.pretrained, settings.width)
    elif settings.start == "simulated" and settings.width == SIMULATED_WIDTH:
        network = UNetMask.load(SIMULATED)
    else:
        network = UNetMask(settings)
    network.options = settings
    return network


def pretrained(folder: Path, width: int) -> UNetMask:
    """Read a network to go on from.

    Raises
    ------
    ModelError
        Where it is absent, or of another width.
    """
    network = UNetMask.load(folder, hash_in_manifest(folder / META))
    if network.options.width != width:
        raise ModelError(
            f"The network in {folder} has the width {network.options.width}, the config asks for {width}; "
            f"set clear.mask.network.width={network.options.width}."
        )
    return network


def region_labels(options: CloudMaskOptions, frames: Frames, temporal: TemporalMask) -> np.ndarray:
    """Return what the teachers are sure of, `(time, y, x)`; 255 elsewhere.

    The first teacher's class counts; another one must agree on whether the pixel is clear.
    """
    labels: np.ndarray | None = None
    for name in options.network.teachers:
        teacher = temporal if name == "temporal" else build(options.model_copy(update={"method": name}))
        found = teacher_labels(np.stack(list(teacher.chances(frames))))
        if labels is None:
            labels = found
        else:
            labels = np.where(((labels == CLEAR) == (found == CLEAR)) & (found < 4), labels, UNKNOWN)
    assert labels is not None
    return labels.astype(np.uint8)


def _of_one_size(windows: Sequence[Sample]) -> list[Sample]:
    """Cut all windows to the smallest of them: stacks may be smaller than a window."""
    if not windows:
        return []
    side = min(min(sample.labels.shape) for sample in windows)
    here = (slice(side), slice(side))
    return [Sample(s.values[(slice(None), *here)], s.labels[here], s.top_of_atmosphere) for s in windows]


def load_mask(folder: Path, options: CloudMaskOptions, back: bool = False, sha256: str | None = None) -> Mask:
    """Read a fitted mask; `fast` is the config's, whatever it was fitted with."""
    if options.method == "combined":
        looks_back = back if options.look is None else options.look == "back"
        mask = CombinedMask.load(folder, looks_back, sha256)
        mask.network.options = mask.network.options.model_copy(update={"fast": options.network.fast})
        return mask
    network = UNetMask.load(folder, sha256)
    network.options = network.options.model_copy(update={"fast": options.network.fast})
    return network
