"""Tiled GeoTIFFs read without GDAL: the usual Cloud-Optimised GeoTIFF, decoded by imagecodecs beside
other threads.

Only what such files are made of is understood: little-endian TIFF or BigTIFF, one sample per pixel, blocks
that are not compressed or by DEFLATE or Zstandard, no predictor or horizontal differences, a north-up grid
with an EPSG code. `read_layout` returns None for anything else, and GDAL reads that.

TIFF 6.0 (Adobe, 1992); BigTIFF; OGC GeoTIFF 1.1 (OGC 19-008r4); GDAL's nodata tag 42113.
"""

import os
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numba import njit
from odc.geo.geobox import GeoBox

from features.errors import ImageryError

PLAIN, DEFLATE, OLD_DEFLATE, ZSTD = 1, 8, 32946, 50000
LARGEST_HEADER = 1 << 24  # bytes of one tag's values; a million blocks take 8 MB
LARGEST_BLOCK = 1 << 28  # bytes of one decoded block
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 11: 4, 12: 8, 13: 4, 16: 8}
_CODES = {1: "u1", 2: "u1", 3: "<u2", 4: "<u4", 11: "<f4", 12: "<f8", 13: "<u4", 16: "<u8"}
_KINDS = {1: "u", 2: "i", 3: "f"}


@dataclass(frozen=True)
class Layout:
    """Where the blocks of a raster's full-resolution image lie, and how to decode them."""

    path: str
    grid: GeoBox
    dtype: np.dtype
    block: tuple[int, int]
    offsets: np.ndarray  # int64, row by row of blocks
    counts: np.ndarray
    compression: int
    differences: bool
    sparse_value: float  # of blocks that the file leaves out


@lru_cache(maxsize=4096)
def read_layout(path: str, _stamp: int = 0) -> Layout | None:
    """Parse the header of a local file; None where GDAL should read it.

    Raises
    ------
    ImageryError
        Where it is cut short within its header.
    """
    try:
        with Path(path).open("rb") as file:
            tags = _first_directory(file)
            layout = None if tags is None else _layout(path, tags)
    except (struct.error, ValueError, OverflowError, KeyError) as error:
        raise ImageryError(f"{path} is damaged in its header ({error}); download it again.") from error
    if layout is not None and (layout.offsets + layout.counts).max(initial=0) > Path(path).stat().st_size:
        raise ImageryError(f"{path} is damaged: it ends before its last block; download it again.")
    return layout


def _first_directory(file) -> dict[int, np.ndarray] | None:  # type: ignore[no-untyped-def]
    head = file.read(16)
    if head[:4] == b"II*\0":
        at, big = struct.unpack("<I", head[4:8])[0], False
    elif head[:4] == b"II+\0":
        at, big = struct.unpack("<Q", head[8:16])[0], True
    else:
        return None
    count_code, entry_code, inline = ("<Q", "<HHQ8s", 8) if big else ("<H", "<HHI4s", 4)
    file.seek(at)
    (number,) = struct.unpack(count_code, file.read(struct.calcsize(count_code)))
    size = struct.calcsize(entry_code)
    raw = file.read(number * size) if number < 4096 else b""
    if len(raw) != number * size:
        raise ValueError("the directory is cut short")
    tags = {}
    for tag, kind, count, value in struct.iter_unpack(entry_code, raw):
        if kind in _CODES:
            tags[tag] = _values(file, kind, count, value, inline)
    return tags


def _values(file, kind: int, count: int, value: bytes, inline: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    nbytes = count * _SIZES[kind]
    if nbytes > LARGEST_HEADER:
        raise ValueError(f"a tag of {nbytes} bytes")
    if nbytes > inline:
        file.seek(int.from_bytes(value, "little"))
        value = file.read(nbytes)
    if len(value) < nbytes:
        raise ValueError("a tag is cut short")
    return np.frombuffer(value[:nbytes], _CODES[kind])


def _layout(path: str, tags: dict[int, np.ndarray]) -> Layout | None:
    def one(tag: int, default: int | None = None) -> int | None:
        return int(tags[tag][0]) if tag in tags and len(tags[tag]) else default

    grid = _grid(tags)
    tiled = 322 in tags and 323 in tags and 324 in tags and 325 in tags
    compression, predictor = one(259, PLAIN), one(317, 1)
    bits, kind = one(258, 1), one(339, 1)
    known = compression in (PLAIN, DEFLATE, OLD_DEFLATE, ZSTD) and bits in (8, 16, 32, 64) and kind in _KINDS
    if grid is None or not tiled or not known or one(277, 1) != 1 or one(266, 1) != 1 or 347 in tags:
        return None
    dtype = np.dtype(f"<{_KINDS[kind or 1]}{(bits or 8) // 8}")
    if predictor not in (1, 2) or (predictor == 2 and dtype.kind == "f") or dtype.str in ("<f1", "<f2"):
        return None
    block = (int(tags[323][0]), int(tags[322][0]))
    number = -(-grid.shape[0] // block[0]) * -(-grid.shape[1] // block[1]) if min(block) > 0 else -1
    if (
        len(tags[324]) != number
        or len(tags[325]) != number
        or block[0] * block[1] * dtype.itemsize > LARGEST_BLOCK
    ):
        raise ValueError("the table of blocks does not fit the image")
    offsets, counts = (tags[tag].astype(np.int64) for tag in (324, 325))
    return Layout(
        path, grid, dtype, block, offsets, counts, compression or 1, predictor == 2, _nodata(tags) or 0.0
    )


def _nodata(tags: dict[int, np.ndarray]) -> float | None:
    try:
        return float(tags[42113].tobytes().rstrip(b"\0 ").decode("ascii")) if 42113 in tags else None
    except ValueError:
        return None


def _grid(tags: dict[int, np.ndarray]) -> GeoBox | None:
    """The grid, where it is north-up, tied at its corner, and named by a projected EPSG code."""
    scale, tie, keys = tags.get(33550), tags.get(33922), tags.get(34735)
    if scale is None or tie is None or keys is None or 34264 in tags or len(tie) != 6 or len(keys) % 4:
        return None
    entries = {int(key): int(value) for key, place, _, value in keys.reshape(-1, 4)[1:] if place == 0}
    epsg = entries.get(3072, 32767)
    if entries.get(1024) != 1 or entries.get(1025, 1) != 1 or epsg >= 32767 or tie[0] or tie[1]:
        return None
    shape = (int(tags[257][0]), int(tags[256][0]))
    return GeoBox(
        shape, Affine(float(scale[0]), 0, float(tie[3]), 0, -float(scale[1]), float(tie[4])), f"EPSG:{epsg}"
    )


def read_blocks(
    layout: Layout,
    rows: slice,
    columns: slice,
    touched: np.ndarray | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Raw pixels `(y, x)` of a window.

    Parameters
    ----------
    touched
        bool (block row, block column) of the whole file: blocks that are False are not read, their
        pixels are zero.

    Raises
    ------
    ImageryError
        Where a block cannot be read whole or decoded.
    """
    height, width = layout.block
    across = -(-layout.grid.shape[1] // width)
    if out is None:
        out = np.zeros((rows.stop - rows.start, columns.stop - columns.start), layout.dtype)
    handle = os.open(layout.path, os.O_RDONLY)
    try:
        for row in range(rows.start // height, -(-rows.stop // height)):
            for column in range(columns.start // width, -(-columns.stop // width)):
                if touched is None or touched[row, column]:
                    pixels = _decode(layout, handle, row * across + column)
                    _place(pixels, row * height, column * width, rows, columns, layout.differences, out)
    finally:
        os.close(handle)
    return out


def _place(
    pixels: np.ndarray, top: int, left: int, rows: slice, columns: slice, differences: bool, out: np.ndarray
) -> None:
    """Copy a block's part that lies in the window, undoing horizontal differences on the way."""
    r0, r1 = max(rows.start, top), min(rows.stop, top + pixels.shape[0])
    c0, c1 = max(columns.start, left), min(columns.stop, left + pixels.shape[1])
    target = out[r0 - rows.start : r1 - rows.start, c0 - columns.start : c1 - columns.start]
    if differences:
        _undo(pixels[r0 - top : r1 - top], c0 - left, target)
    else:
        target[:] = pixels[r0 - top : r1 - top, c0 - left : c1 - left]


@njit(nogil=True, cache=True)
def _undo(pixels, skip, out):  # type: ignore[no-untyped-def]
    """Running sums along rows, wrapping as the type does; the first `skip` columns are summed but not
    kept."""
    for row in range(out.shape[0]):
        total = pixels[row, 0]
        for column in range(1, skip + 1):
            total += pixels[row, column]
        out[row, 0] = total
        for column in range(1, out.shape[1]):
            total += pixels[row, skip + column]
            out[row, column] = total


def _decode(layout: Layout, handle: int, index: int) -> np.ndarray:
    """One block as stored, decompressed; differences not yet undone."""
    import imagecodecs

    count = int(layout.counts[index])
    size = layout.block[0] * layout.block[1] * layout.dtype.itemsize
    if count == 0:
        blank = np.full(layout.block, layout.sparse_value).astype(layout.dtype)
        return np.diff(blank, axis=1, prepend=blank.dtype.type(0)) if layout.differences else blank
    data = os.pread(handle, count, int(layout.offsets[index])) if count < 2 * size + 65536 else b""
    if len(data) != count:
        raise ImageryError(f"{layout.path} is damaged: block {index} is cut short; download it again.")
    if layout.compression == PLAIN:
        buffer = np.frombuffer(data, np.uint8)
    else:
        buffer = np.empty(size, np.uint8)
        decode: Any = imagecodecs.zstd_decode if layout.compression == ZSTD else imagecodecs.deflate_decode
        try:
            found = decode(data, out=buffer)
        except (RuntimeError, ValueError) as error:
            raise ImageryError(
                f"{layout.path} is damaged: block {index} does not decode ({error})."
            ) from error
        buffer = buffer[: len(found)]
    if len(buffer) != size:
        raise ImageryError(f"{layout.path} is damaged: block {index} holds {len(buffer)} bytes of {size}.")
    return buffer.view(layout.dtype).reshape(layout.block)
