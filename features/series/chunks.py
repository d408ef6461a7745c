"""A ParcelSeries of more parcels than memory holds: written and read some parcels at a time."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import h5netcdf
import xarray as xr

from features.errors import StageError
from features.files import atomic_path, make_room
from features.series.parcel_series import BESIDE_VALUES, create_series, read_series


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


def read_chunks(path: Path, size: int) -> Iterator[xr.Dataset]:
    """Yield a ParcelSeries on disk, `size` parcels `(parcel, time, feature, statistic)` at a time."""
    with xr.open_dataset(path, engine="h5netcdf") as opened:
        total = opened.sizes["parcel"]
    for parcels in chunks_of(total, size):
        yield read_series(path, parcels)


def _append(path: Path, chunk: xr.Dataset, start: int) -> None:
    stop = start + chunk.sizes["parcel"]
    make_room(path, chunk.nbytes + BESIDE_VALUES)
    with h5netcdf.File(path, "a") as file:
        file.resize_dimension("parcel", stop)
        for name, variable in chunk.variables.items():
            if variable.dims[:1] == ("parcel",):
                file.variables[str(name)][start:stop] = variable.values
