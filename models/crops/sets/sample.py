"""What a reader of a public set gives: labelled series with masks, and what is to be said of the set."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

BROKEN = "broken_file"
TOO_LARGE = "too_large"
SETTING = "limits.set_megavalues"
MISSING = "missing_file"
NO_EQUAL = "no_equal_in_hcat"
UNKNOWN_CLASS = "unknown_class"


@dataclass(frozen=True)
class About:
    """Where a set comes from and under which terms it may be used."""

    title: str
    version: str  # of the published format that is read
    licence: str
    citation: str
    where: str
    size: str  # what is downloaded


@dataclass(frozen=True)
class Looks:
    """One sensor's values of a sample.

    `dates` is `(time,)` datetime64[D], in any order; `values` is `(time, feature)` float32, NaN where nothing
    was seen: reflectance 0 to 1, backscatter in dB.
    """

    dates: np.ndarray
    features: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True)
class Sample:
    """One labelled series.

    `label` is the class as the set writes it; `group` names the place, and samples of one place are never on
    both sides of a fold; `year` is that of the harvest.
    """

    sample_id: str
    label: str
    group: str
    year: int
    looks: tuple[Looks, ...]


@dataclass(frozen=True)
class Lost:
    """A sample that cannot be used, and why."""

    sample_id: str
    reason: str


@dataclass(frozen=True)
class Unit:
    """What is read at once: one sample, or the parcels of one patch (`label` is then None)."""

    name: str
    label: str | None
    read: Callable[[], Sequence[Sample | Lost]]


class SetReader(Protocol):
    """A module that reads one public set."""

    ABOUT: About
    HCAT: Mapping[str, str | None]
    """HCAT code by label; None where the set's class has no equal in HCAT."""

    def units(self, folder: Path, most: int) -> list[Unit]:
        """Return what there is to read, in a fixed order; raises a ConfigError where the folder is no such
        set, is not unpacked, or is of another version. Arrays of more than `most` values are set aside.
        """


def reflectance(numbers: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Return `(time, band)` numbers of 1e-4 as reflectance, NaN in the rows that `unseen (time,)` marks."""
    values = np.asarray(numbers, np.float32) * np.float32(1e-4)
    values[unseen] = np.nan
    return values
