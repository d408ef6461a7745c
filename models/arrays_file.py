"""Arrays in an .npz file, checked against what was noted of them before anything large is read."""

import json
import struct
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from features.errors import ModelError
from features.files import atomic_path, sha256

# what a damaged or hostile .npz file raises: of the archive, its headers, its packed parts
UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError,
    NotImplementedError, struct.error, SyntaxError, TypeError, MemoryError,
)  # fmt: skip
LONGEST_HEADER = 4096
LONGEST_RECIPE = 64 << 20
KINDS = "fiub"

Described = dict[str, list[Any]]  # by name: shape and dtype


def describe_arrays(path: Path) -> Described:
    """Return shape and dtype of every array of an .npz file, from the headers alone.

    Raises
    ------
    ModelError
        Where it is no such file, a header is odd, an array is of objects or text, or what is declared does
        not fit the file.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            members = packed.infolist()
            found = {_name(member): _described(packed, member) for member in members}
    except UNREADABLE as error:
        raise ModelError(f"{path} is no file of arrays ({error}); copy it anew.") from error
    if len(found) != len(members):
        raise ModelError(f"{path} holds two arrays of one name; copy it anew.")
    return found


def read_arrays(path: Path, noted: object, may_lack: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Read an .npz file whose arrays are those noted, with finite values.

    Parameters
    ----------
    noted
        As `describe_arrays` gave it when the file was written.
    may_lack
        Arrays in which NaN stands for what is not known.

    Raises
    ------
    ModelError
        Where names, shapes or dtypes differ, the arrays have more bytes than the file (ours are stored as
        they are: no file unpacks to more than it takes on disk), or a value is not finite; nothing is read
        before the headers agree.
    """
    found = describe_arrays(path)
    if not isinstance(noted, Mapping) or found != {name: list(one) for name, one in noted.items()}:
        raise ModelError(f"{path} holds other arrays than its recipe names; copy it anew, or train again.")
    size = sum(int(np.prod(shape, dtype=object)) * np.dtype(kind).itemsize for shape, kind in found.values())
    if size > path.stat().st_size:
        raise ModelError(
            f"{path} would unpack to {size:,} bytes, more than it has; arrays of a model are stored as they "
            "are. Copy it anew, or train again."
        )
    with np.load(path, allow_pickle=False) as packed:
        arrays = {name: packed[name] for name in found}
    odd = [
        name
        for name, array in arrays.items()
        if np.isinf(array).any() or (name not in may_lack and np.isnan(array).any())
    ]
    if odd:
        raise ModelError(f"{path} holds values that are not finite, in {odd[0]}; train again.")
    return arrays


def unpacked_bytes(held: Any) -> int:
    """Return what an open .npz file of somebody else would unpack to, as its archive says."""
    return sum(member.file_size for member in held.zip.infolist())


def write_arrays(folder: Path, name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Write arrays to `folder / name`; return what a bundle notes of them: `file`, `sha256` and `arrays`."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / name) as partial, partial.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
    return {"file": name, "sha256": sha256(folder / name), "arrays": describe_arrays(folder / name)}


def read_recipe_json(path: Path) -> dict[str, Any]:
    """Read the JSON object that describes a stored model.

    Raises
    ------
    ModelError
        Where it is longer than any of ours, or no JSON object.
    """
    try:
        if path.stat().st_size > LONGEST_RECIPE:
            raise ValueError(f"more than {LONGEST_RECIPE >> 20} MiB")
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read ({error}); copy the model anew, or train again.") from error
    return value


def _name(member: zipfile.ZipInfo) -> str:
    if not member.filename.endswith(".npy"):
        raise ValueError(f"{member.filename!r:.40} is no array")
    return member.filename.removesuffix(".npy")


def _described(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> list[Any]:
    with packed.open(member) as stream:
        shape, dtype = _header(stream)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if dtype.kind not in KINDS or stream.tell() + size != member.file_size:
            raise ValueError(f"{member.filename} declares {shape} of {dtype}, which its size does not fit")
    return [list(shape), dtype.str]


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise ValueError(f"version {version} of the format")
    shape, _, dtype = read[version](stream, max_header_size=LONGEST_HEADER)
    return shape, dtype
