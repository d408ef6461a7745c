"""NetCDF and HDF5 files of other people: what they declare is looked at before anything of it is read."""

import math
from collections.abc import Iterator
from typing import Any

import h5py

from features.errors import ImageryError
from features.limits import DEFAULT_LIMITS, MILLION

# In one map, or on one axis.
MOST_VALUES = int(DEFAULT_LIMITS.map_megavalues * MILLION)
SETTING = "limits.map_megavalues"
MOST_CHUNK_BYTES = 256 << 20  # that are unpacked together
MOST_OBJECTS = 20_000
DEEPEST = 8


def check_hdf5(
    opened: h5py.File, name: str, most_values: int = MOST_VALUES, setting: str = SETTING, whole: bool = False
) -> None:
    """Refuse a file that would take the memory, or that leads to other files.

    A map is the last two axes of a variable: the others are read one by one. HDF5 can store values in any
    file of the disk (external storage), link to other files, and put variables together from them.

    Parameters
    ----------
    setting
        That raises `most_values`, for the message.
    whole
        Whether variables are read at once, all axes of them.

    Raises
    ------
    ImageryError
        With the reason `too_large` or `leads_elsewhere`, naming what.
    """
    for count, (path, stored) in enumerate(_datasets(opened, name), start=1):
        check_dataset(stored, name, path, most_values, setting, whole)
        if count > MOST_OBJECTS:
            raise ImageryError(
                f"{name} holds more than {MOST_OBJECTS:,} variables; no product has.", reason="too_large"
            )


def check_dataset(
    stored: Any,
    name: str,
    path: str,
    most_values: int = MOST_VALUES,
    setting: str = SETTING,
    whole: bool = False,
) -> None:
    """Refuse one variable as `check_hdf5` does; `path` is its name within the file `name`."""
    if not isinstance(stored, h5py.Dataset) or stored.external or stored.is_virtual:
        raise _elsewhere(name, path)
    shape = stored.shape or ()
    values = math.prod(shape if whole else shape[-2:])
    part = math.prod(stored.chunks or (1,)) * stored.dtype.itemsize
    if values > most_values or part > MOST_CHUNK_BYTES:
        raise ImageryError(
            f"{name}: {path} declares {stored.shape} values, in parts of {part >> 20:,} MiB; more than "
            f"{most_values:,} in {'all' if whole else 'a map'} ({setting}), or {MOST_CHUNK_BYTES >> 20} MiB "
            "in a part, are not read.",
            reason="too_large",
        )


def _datasets(opened: h5py.File, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the variables of all groups, each once, with their paths."""
    waiting, seen = [("", opened["/"], 0)], set()
    while waiting:
        path, group, depth = waiting.pop()
        for key in group:
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise _elsewhere(name, f"{path}/{key}")
            found = group.get(key) if isinstance(link, h5py.HardLink) else None
            if found is None or (place := h5py.h5o.get_info(found.id).addr) in seen:
                continue
            seen.add(place)
            if isinstance(found, h5py.Dataset):
                yield f"{path}/{key}", found
            elif isinstance(found, h5py.Group) and depth < DEEPEST:
                waiting.append((f"{path}/{key}", found, depth + 1))


def _elsewhere(name: str, path: str) -> ImageryError:
    return ImageryError(
        f"{name}: {path} is stored in other files, which are not read; write the file with its own values "
        "(nccopy, h5repack).",
        reason="leads_elsewhere",
    )
