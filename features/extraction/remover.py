"""What extraction asks of a cloud remover."""

from pathlib import Path
from typing import Protocol

import xarray as xr


class Remover(Protocol):
    """A fitted method that fills what clouds hid; small enough to travel with work units."""

    @property
    def margin_px(self) -> int:
        """Pixels around a block that influence its filling."""
        ...

    def fill(self, stack: xr.Dataset) -> xr.Dataset:
        """Fill a pixel stack.

        Parameters
        ----------
        stack
            `reflectance (time, band, y, x)`, `clear (time, y, x)` and what else
            `features.imagery.stacks.read_stack` and `features.context.blocks` give; its arrays may be
            written into.

        Returns
        -------
        xr.Dataset
            `reflectance` and `sigma (time, band, y, x)`, `filled (time, y, x)`.
        """
        ...

    def save(self, folder: Path) -> Path:
        """Write itself as files: equal methods give equal files."""
        ...
