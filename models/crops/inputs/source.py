"""Series that models read some parcels at a time, from memory or from files."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
import xarray as xr

from features.series.chunks import chunks_of
from features.series.parcel_series import read_names, read_series
from models.crops.inputs.arrays import CONTEXT, take

MODELLED = ("value", "observed", CONTEXT)  # what models read of a ParcelSeries


class SeriesSource(Protocol):
    """ParcelSeries of `n` parcels in one order; those from files can be given to other processes."""

    def __hash__(self) -> int:
        """Return a hash: what was read last is held by source."""
        ...

    def names(self) -> np.ndarray:
        """Return `(n,)` parcel ids."""
        ...

    def read(self, parcels: slice) -> xr.Dataset:
        """Return MODELLED `(parcel, time, feature, statistic)` of some parcels, by position."""
        ...


@dataclass(frozen=True, eq=False)
class InMemory:
    """A ParcelSeries that is held."""

    series: xr.Dataset

    def names(self) -> np.ndarray:
        """Return `(n,)` parcel ids."""
        return np.asarray(self.series["parcel"].values.astype(str))

    def read(self, parcels: slice) -> xr.Dataset:
        """Return some parcels; their values are not copied."""
        return self.series.isel(parcel=parcels)


@dataclass(frozen=True)
class SeriesFile:
    """A ParcelSeries on disk, as `features.series.chunks.write_chunks` writes it."""

    path: Path

    def names(self) -> np.ndarray:
        """Return `(n,)` parcel ids."""
        return read_names(self.path)

    def read(self, parcels: slice) -> xr.Dataset:
        """Read some parcels."""
        return read_series(self.path, parcels, MODELLED)


def read_rows(source: SeriesSource, rows: np.ndarray, total: int, at_once: int) -> xr.Dataset:
    """Read the parcels at `rows (m,)`, rising, of `total`; memory holds them and `at_once` parcels more."""
    if isinstance(source, InMemory):
        return source.series if len(rows) == total else take(source.series, rows)
    parts = rows_by_chunk(source, rows, total, at_once)
    first = next(parts, None)
    if first is None:
        return source.read(slice(0, 0))
    if first.sizes["parcel"] == len(rows):
        return first
    held = {name: _room(variable, len(rows)) for name, variable in first.variables.items()}
    done = 0
    for part in chain([first], parts):
        stop = done + part.sizes["parcel"]
        for name, variable in part.variables.items():
            if variable.dims[:1] == ("parcel",):
                held[name].values[done:stop] = variable.values
        done = stop
    coords = {name: held[name] for name in first.coords}
    return xr.Dataset({name: held[name] for name in first.data_vars}, coords, first.attrs)


def rows_by_chunk(source: SeriesSource, rows: np.ndarray, total: int, at_once: int) -> Iterator[xr.Dataset]:
    """Yield the parcels at `rows (m,)`, rising, of `total`, chunk after chunk; none of chunks without any."""
    for part in chunks_of(total, at_once):
        first, last = np.searchsorted(rows, (part.start, part.stop))
        if last > first:
            some = source.read(part)
            mine = rows[first:last] - part.start
            yield some if len(mine) == some.sizes["parcel"] else take(some, mine)


def _room(variable: xr.Variable, parcels: int) -> xr.Variable:
    """Return an empty variable like this one for so many parcels; the same where it has no parcels."""
    if variable.dims[:1] != ("parcel",):
        return variable
    return xr.Variable(
        variable.dims, np.empty((parcels, *variable.shape[1:]), variable.dtype), variable.attrs
    )
