"""The models of pixels by name; what is heavy is imported at first use."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.patches.options import PatchOptions
from models.patches.pixel_model import PixelModel

RECIPE = "model.json"  # of every stored model


def build(
    options: PatchOptions, classes: tuple[str, ...], start: Sequence[np.ndarray] | None = None
) -> PixelModel:
    """Return an unfitted model; `start` are weights of the network's trunk to begin from, of its shapes."""
    if options.method == "unet":
        from models.patches.networks.unet import PatchUNet

        return PatchUNet(options, classes, start)
    from models.patches.boosting import PixelBoosting

    return PixelBoosting(options, classes)


def load(method: str, folder: Path, sha256: str | None = None) -> PixelModel:
    """Read a fitted model, after its hash has been checked."""
    if method == "unet":
        from models.patches.networks.unet import PatchUNet

        return PatchUNet.load(folder, sha256)
    from models.patches.boosting import PixelBoosting

    return PixelBoosting.load(folder, sha256)
