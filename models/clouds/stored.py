"""A fitted method by the folder it is kept in: small enough to be sent to the processes that fill with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import xarray as xr

from features.extraction.filling.remover import FilledFrame
from features.files import sha256
from models.clouds.methods import load
from models.clouds.removal.bundle import META
from models.clouds.removal.remover import Remover


@dataclass(frozen=True)
class Stored:
    """A fitted method in a folder; a process loads it at the first use, and once.

    Attributes
    ----------
    sha256
        Of the folder's `model.json`: another model in its place is refused with a ModelError.
    """

    folder: Path
    sha256: str

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Remember the method that a folder holds now."""
        return cls(folder.absolute(), sha256(folder / META))

    @property
    def margin_px(self) -> int:
        """As `Remover.margin_px`."""
        return _loaded(self).margin_px

    def fill(self, stack: xr.Dataset) -> xr.Dataset:
        """Fill a stack `(time, band, y, x)`; see `Remover.fill`."""
        return _loaded(self).fill(stack)

    def filled_frames(self, stack: xr.Dataset, reuse: bool = False) -> Iterator[FilledFrame]:
        """As `Remover.filled_frames`."""
        return _loaded(self).filled_frames(stack, reuse)

    def save(self, folder: Path) -> Path:
        """As `Remover.save`."""
        return _loaded(self).save(folder)


@lru_cache(maxsize=1)
def _loaded(stored: Stored) -> Remover:
    return load(stored.folder, stored.sha256)
