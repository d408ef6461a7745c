"""The delivered scene classes as a mask."""

from collections.abc import Iterator

import numpy as np

from features.errors import ModelError
from models.clouds.mask.classes import from_scene_class
from models.clouds.mask.frames import FOR_SNOW, Frames, one_hot

CERTAINTY = 0.85  # of Sen2Cor's class; the scene classification says no chance


class SceneClassMask:
    """Sen2Cor's classes, mapped to ours."""

    name = "scl"
    margin_px = 0
    needs: tuple[tuple[str, ...], ...] = ()
    uses = FOR_SNOW

    def chances(self, frames: Frames) -> Iterator[np.ndarray]:
        """Yield each date's chances `(class, y, x)`.

        Raises
        ------
        ModelError
            Where no date has scene classes.
        """
        if frames.scene_class is None:
            raise ModelError(
                "No scene classification is delivered; choose clear.mask.method: temporal or fmask.",
                reason="no_scene_class",
            )
        for classes in frames.scene_class:
            yield one_hot(from_scene_class(classes), CERTAINTY)
