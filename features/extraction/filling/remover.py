"""What extraction asks of a cloud remover."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import xarray as xr


@dataclass(frozen=True)
class FilledFrame:
    """One frame of a stack, filled.

    Attributes
    ----------
    frame
        Its position in the stack.
    value, sigma
        `(band, y, x)` float32: reflectance, and one standard deviation of its error, 0 where seen; NaN where
        nothing is known.
    filled
        `(y, x)` bool.
    """

    frame: int
    value: np.ndarray
    sigma: np.ndarray
    filled: np.ndarray


class Remover(Protocol):
    """A fitted method that fills what clouds hid; small enough to travel with work units."""

    @property
    def margin_px(self) -> int:
        """Pixels around a block that influence its filling."""
        ...

    def filled_frames(self, stack: xr.Dataset, reuse: bool = False) -> Iterator[FilledFrame]:
        """Fill a pixel stack, and give each of its frames once, in any order.

        Parameters
        ----------
        stack
            `reflectance (time, band, y, x)`, `clear (time, y, x)` and what else
            `features.imagery.stacks.read_stack` and `features.context.blocks` give.
        reuse
            Whether the stack's arrays may be written into.
        """
        ...

    def save(self, folder: Path) -> Path:
        """Write itself as files: equal methods give equal files."""
        ...
