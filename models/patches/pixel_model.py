"""What a model of pixels is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from features.workers import Progress
from models.patches.inputs.composites import Composites
from models.patches.inputs.samples import LabelledBlock


class PixelModel(Protocol):
    """Gives every pixel chances of classes."""

    @property
    def margin_px(self) -> int:
        """Pixels around a block that it looks at."""
        ...

    def fit(
        self,
        blocks: Sequence[LabelledBlock],
        fold: int | None,
        seed: int,
        progress: Progress | None = None,
    ) -> Self:
        """Learn from all labels but those of `fold`; None: from all."""
        ...

    def chances(self, composites: Composites, wanted: np.ndarray | None = None) -> np.ndarray:
        """Return `(class, y, x)` float32, summing to one; NaN where not seen, or not wanted."""
        ...

    def save(self, folder: Path) -> Path:
        """Write it without pickle; return the path of the JSON that holds the other files' hashes."""
        ...

    @classmethod
    def load(cls, folder: Path, sha256: str | None = None) -> Self:
        """Read what `save` wrote, after its hash has been checked."""
        ...
