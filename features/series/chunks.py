"""A ParcelSeries of more parcels than memory holds: written and read some parcels at a time."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Protocol

import h5netcdf
import numpy as np
import xarray as xr

from features.errors import StageError
from features.files import atomic_path, make_room
from features.memory import fitting
from features.series.parcel_series import (
    BESIDE_VALUES,
    PARCELS_PER_CHUNK,
    create_series,
    loaded,
    opened_series,
    read_series,
)

PACKS_READ = 8
READ_SHARE = 1 / 8  # of the memory that may be used
BYTES_A_CELL = 32  # of a value as it is read, its marks, and what is computed of it


def chunks_of(total: int, size: int) -> list[slice]:
    """Return slices of at most `size` parcels that cover `total`; one, empty, where there is none.

    Examples
    --------
    >>> chunks_of(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + size, total)) for start in range(0, max(total, 1), size)]


def write_chunks(path: Path, chunks: Iterable[xr.Dataset], total: int) -> Path:
    """Write a ParcelSeries that comes some parcels at a time, atomically, as `write_series` writes it.

    Parameters
    ----------
    chunks
        ParcelSeries `(parcel, time, feature, statistic)` of parcels in order, alike in everything else.
    total
        How many parcels come in all.

    Raises
    ------
    StageError
        Where other than `total` parcels came.
    """
    rest = iter(chunks)
    with atomic_path(path) as partial:
        first = next(rest)
        create_series(first, partial, grows=first.sizes["parcel"] < total)
        done = first.sizes["parcel"]
        for chunk in rest:
            _append(partial, chunk, done)
            done += chunk.sizes["parcel"]
        if done != total:
            raise StageError(f"{path.name} was to hold {total} parcels, and {done} came.")
    return path


def read_chunks(path: Path, size: int | None = None) -> Iterator[xr.Dataset]:
    """Yield a ParcelSeries on disk, `size` parcels `(parcel, time, feature, statistic)` at a time, or as many
    as memory allows.
    """
    for _, chunk in StoredSeries(path).chunks(size):
        yield chunk


class SeriesRows(Protocol):
    """A ParcelSeries of which some parcels are looked at."""

    @property
    def head(self) -> xr.Dataset:
        """The series without parcels: its steps, features and statistics."""
        ...

    @property
    def parcels(self) -> np.ndarray:
        """Return `(parcel,)` ids, text."""
        ...

    def of(self, places: np.ndarray) -> Iterator[tuple[np.ndarray, xr.Dataset]]:
        """Yield the parcels at `places (n)`, some at a time: which of `places` they are, and their series."""
        ...


class HeldSeries:
    """A ParcelSeries in memory."""

    def __init__(self, series: xr.Dataset) -> None:
        self._series = series
        self.head = series.isel(parcel=slice(0, 0))
        self.parcels = series["parcel"].to_numpy().astype(object)

    def of(self, places: np.ndarray) -> Iterator[tuple[np.ndarray, xr.Dataset]]:
        """Yield the parcels at `places (n)`."""
        yield np.arange(len(places)), self._series.isel(parcel=places)


class StoredSeries:
    """A ParcelSeries on disk.

    Raises
    ------
    StageError
        Where the file is absent or is not a whole ParcelSeries.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.head = read_series(path, slice(0, 0))

    @cached_property
    def parcels(self) -> np.ndarray:
        """Return `(parcel,)` ids, text."""
        with opened_series(self._path) as opened:
            return opened["parcel"].to_numpy().astype(str).astype(object)

    def chunks(self, size: int | None = None) -> Iterator[tuple[slice, xr.Dataset]]:
        """Yield which parcels, and their series, `size` at a time, or as many as memory allows."""
        size = size or parcels_read(self.head)
        with opened_series(self._path) as opened:
            for part in chunks_of(opened.sizes["parcel"], size):
                yield part, loaded(opened.isel(parcel=part))

    def of(self, places: np.ndarray) -> Iterator[tuple[np.ndarray, xr.Dataset]]:
        """Yield the parcels at `places (n)` as they lie in the file, where neighbours are packed together."""
        order = np.argsort(places, kind="stable")
        pack = places[order] // PARCELS_PER_CHUNK
        with opened_series(self._path) as opened:
            for number in np.unique(pack):
                mine = order[pack == number]
                start = int(number) * PARCELS_PER_CHUNK
                chunk = loaded(opened.isel(parcel=slice(start, start + PARCELS_PER_CHUNK)))
                yield mine, chunk.isel(parcel=places[mine] - start)


def parcels_read(series: xr.Dataset) -> int:
    """Return how many parcels of a ParcelSeries are read at a time: whole packs of the file."""
    each = BYTES_A_CELL * np.prod([series.sizes[name] for name in ("time", "feature", "statistic")])
    packs = fitting(float(each) * PARCELS_PER_CHUNK, READ_SHARE, 1, PACKS_READ)
    return packs * PARCELS_PER_CHUNK


def rows_of(series: xr.Dataset | StoredSeries) -> SeriesRows:
    """Return a series as one whose parcels can be looked at, wherever it lies."""
    return HeldSeries(series) if isinstance(series, xr.Dataset) else series


def _append(path: Path, chunk: xr.Dataset, start: int) -> None:
    stop = start + chunk.sizes["parcel"]
    make_room(path, chunk.nbytes + BESIDE_VALUES)
    with h5netcdf.File(path, "a") as file:
        file.resize_dimension("parcel", stop)
        for name, variable in chunk.variables.items():
            if variable.dims[:1] == ("parcel",):
                file.variables[str(name)][start:stop] = variable.values
